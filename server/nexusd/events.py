"""Every fact that can be observed from outside, as a frozen msgspec struct.

Code says `observe(QueryFinished(...))`; `app.py` subscribes the sinks (`telemetry/*`). An observer may not raise and
may not block. No event carries a secret, a row value or SQL text.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from typing import ClassVar, Final, Protocol, TypeAlias, runtime_checkable

import msgspec

from nexusd.errors import InternalError

_MAX_CAUSES: Final = 16


class Event(msgspec.Struct, frozen=True):
    """Something that happened; `name` is `noun.verb_past`, `level` the log level it deserves."""

    name: ClassVar[str]
    level: ClassVar[str] = "info"


Observer: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The observer that forgets everything."""


@runtime_checkable
class Choosy(Protocol):
    """An observer that is told only some kinds of events."""

    def handler(self, kind: type[Event]) -> Observer | None:
        """What is to be told events of this kind; None: they are of no interest, for good."""


class Observers:
    """One observer that tells each of these, in this order."""

    __slots__ = ("_handlers", "_observers")

    def __init__(self, *observers: Observer) -> None:
        self._observers = observers
        self._handlers: dict[type[Event], tuple[Observer, ...]] = {}

    def __call__(self, event: Event) -> None:
        """Tell those who want to know."""
        handlers = self._handlers.get(type(event))
        if handlers is None:
            handlers = self._handlers[type(event)] = tuple(self._chosen(type(event)))
        for handler in handlers:
            handler(event)

    def _chosen(self, kind: type[Event]) -> Iterator[Observer]:
        for observer in self._observers:
            if not isinstance(observer, Choosy):
                yield observer
            elif (handler := observer.handler(kind)) is not None:
                yield handler

    def handler(self, kind: type[Event]) -> Observer | None:
        """See Choosy."""
        handlers = tuple(self._chosen(kind))
        return self if len(handlers) > 1 else next(iter(handlers), None)


class ServerStarted(Event, frozen=True):
    """The process has begun to start."""

    name: ClassVar[str] = "server.started"
    version: str
    pid: int


class FailpointArmed(Event, frozen=True):
    """A test has this process fail at the event `moment`."""

    name: ClassVar[str] = "failpoint.armed"
    level: ClassVar[str] = "warning"
    moment: str
    action: str


class ServerReady(Event, frozen=True):
    """Every enabled channel answers."""

    name: ClassVar[str] = "server.ready"
    duration_s: float


class ServerDraining(Event, frozen=True):
    """A stop was asked for; what is running may finish."""

    name: ClassVar[str] = "server.draining"
    reason: str


class ServerStopped(Event, frozen=True):
    """The server has ended; `cancelled` requests were cut at the end of the grace."""

    name: ClassVar[str] = "server.stopped"
    duration_s: float
    cancelled: int


class ServerAborted(Event, frozen=True):
    """A second signal has ended the server at once; what was running is cut."""

    name: ClassVar[str] = "server.aborted"
    level: ClassVar[str] = "warning"
    reason: str


class TracingUnavailable(Event, frozen=True):
    """There is an endpoint for traces, but nothing that could send them; `hint` says what to install."""

    name: ClassVar[str] = "tracing.unavailable"
    level: ClassVar[str] = "warning"
    hint: str


class ChannelStarted(Event, frozen=True):
    """A channel answers at `address`."""

    name: ClassVar[str] = "channel.started"
    channel: str
    address: str


class ChannelFailed(Event, frozen=True):
    """A channel ended by itself."""

    name: ClassVar[str] = "channel.failed"
    level: ClassVar[str] = "error"
    channel: str
    error: str


class ControlFailed(Event, frozen=True):
    """There is no control socket at `path`; the server serves, but `nexusd reload` does not find it."""

    name: ClassVar[str] = "control.failed"
    level: ClassVar[str] = "warning"
    path: str
    reason: str


class WorkerStarted(Event, frozen=True):
    """A worker process answers, `duration_s` after it was started."""

    name: ClassVar[str] = "worker.started"
    worker: int
    pid: int
    duration_s: float


class WorkerExited(Event, frozen=True):
    """A worker process ended unasked, with `code` (negative: by that signal); another one follows."""

    name: ClassVar[str] = "worker.exited"
    level: ClassVar[str] = "warning"
    worker: int
    pid: int
    code: int
    duration_s: float


class WorkerReplaced(Event, frozen=True):
    """A worker process has ended after its successor had begun to answer."""

    name: ClassVar[str] = "worker.replaced"
    worker: int
    pid: int
    successor: int


class WorkerFailed(Event, frozen=True):
    """A worker process cannot serve what it was told to."""

    name: ClassVar[str] = "worker.failed"
    level: ClassVar[str] = "error"
    reasons: tuple[str, ...]


class RegistryLoaded(Event, frozen=True):
    """The registry was read and compiled."""

    name: ClassVar[str] = "registry.loaded"
    models: int
    workflows: int
    duration_s: float


class RegistryReloading(Event, frozen=True):
    """A reload was asked for and has begun."""

    name: ClassVar[str] = "registry.reloading"


class RegistryRejected(Event, frozen=True):
    """A reload found a registry that cannot be served; the one before is kept.

    `problems` are mistakes with their places, or what keeps the database from the registry; `exit_code` is what a start
    would end with.
    """

    name: ClassVar[str] = "registry.rejected"
    level: ClassVar[str] = "error"
    exit_code: int
    problems: tuple[str, ...]


class DatabaseWaiting(Event, frozen=True):
    """A start waits for a database that does not answer yet."""

    name: ClassVar[str] = "database.waiting"
    level: ClassVar[str] = "warning"
    reason: str


class MigrationPlanned(Event, frozen=True):
    """Registry and database were compared."""

    name: ClassVar[str] = "migration.planned"
    level: ClassVar[str] = "debug"
    changes: int
    blocked: int


class MigrationApplied(Event, frozen=True):
    """The database is as the registry wants it.

    `verdict` is unchanged, applied, joined, adopted or ahead; `deferred` steps follow once the server is ready;
    `backup` is the copy of a SQLite file whose tables were built anew.
    """

    name: ClassVar[str] = "migration.applied"
    verdict: str
    steps: int
    deferred: int
    backup: str
    duration_s: float


class MigrationKept(Event, frozen=True):
    """The database has something that the registry does not know; it is left alone."""

    name: ClassVar[str] = "migration.kept"
    table: str
    part: str
    reason: str


class MigrationStepDone(Event, frozen=True):
    """A step that was left for after the start is done: an index was built, or old rows obey a constraint."""

    name: ClassVar[str] = "migration.step_done"
    table: str
    part: str


class MigrationStepFailed(Event, frozen=True):
    """A step that was left for after the start failed; the next start tries it again."""

    name: ClassVar[str] = "migration.step_failed"
    level: ClassVar[str] = "warning"
    table: str
    part: str
    reason: str


class MigrationBlocked(Event, frozen=True):
    """The registry wants what is not safe to do by itself; nothing was changed."""

    name: ClassVar[str] = "migration.blocked"
    level: ClassVar[str] = "error"
    changes: int


class _RunEnded(Event, frozen=True):
    workflow: str
    channel: str
    execution_id: str
    request_id: str
    duration_s: float
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class ExecutionFinished(_RunEnded, frozen=True):
    """A workflow completed."""

    name: ClassVar[str] = "execution.finished"
    level: ClassVar[str] = "debug"


class ExecutionFailed(Event, frozen=True):
    """A workflow ended with an error that its caller was told."""

    name: ClassVar[str] = "execution.failed"
    workflow: str
    channel: str
    execution_id: str
    request_id: str
    duration_s: float
    code: str
    node: str | None
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class ExecutionCancelled(_RunEnded, frozen=True):
    """A workflow was stopped before its end: it was asked to, or its caller has gone."""

    name: ClassVar[str] = "execution.cancelled"


class ExecutionSuspended(_RunEnded, frozen=True):
    """A workflow ended, and kept nothing, because it asks its caller something; with the answers it is run again."""

    name: ClassVar[str] = "execution.suspended"


class IdempotencyRecorded(Event, frozen=True):
    """The answer of a run under an Idempotency-Key was written; its commit may still be to come."""

    name: ClassVar[str] = "idempotency.recorded"
    level: ClassVar[str] = "debug"


class IdempotencyReplayed(Event, frozen=True):
    """A request under a key that was used before got the answer of the first; `execution_id` is the first's."""

    name: ClassVar[str] = "idempotency.replayed"
    workflow: str
    channel: str
    execution_id: str
    request_id: str


class IdempotencyRefused(Event, frozen=True):
    """A key could not be served; `result` is `mismatch`, `in_flight`, or `unknown`, what became of an earlier run."""

    name: ClassVar[str] = "idempotency.refused"
    workflow: str
    channel: str
    request_id: str
    result: str


class NodeFinished(Event, frozen=True):
    """A node has ended, with an error if there is a `code`.

    `workflow` is the one that it stands in, which another may have called.
    """

    name: ClassVar[str] = "node.finished"
    level: ClassVar[str] = "debug"
    workflow: str
    node: str
    type: str
    execution_id: str
    duration_s: float
    code: str | None = None


class NodeRetried(Event, frozen=True):
    """A node failed and is run again, as its declaration says; `attempt` is the one that failed."""

    name: ClassVar[str] = "node.retried"
    workflow: str
    node: str
    execution_id: str
    attempt: int
    code: str


class RequestStarted(Event, frozen=True):
    """A door has the head of a request."""

    name: ClassVar[str] = "request.started"
    level: ClassVar[str] = "debug"
    channel: str
    method: str


class RequestFinished(Event, frozen=True):
    """A door has answered a request; `route` is a template, never a path with ids, `client` an address."""

    name: ClassVar[str] = "request.finished"
    channel: str
    method: str
    route: str
    status: int
    request_id: str
    duration_s: float
    client: str | None = None
    principal: str | None = None
    workflow: str | None = None
    execution_id: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class RequestRejected(Event, frozen=True):
    """A request was refused before it had a route."""

    name: ClassVar[str] = "request.rejected"
    channel: str
    reason: str


class AuthLocked(Event, frozen=True):
    """Authentication is on, and there is neither a key nor an issuer of tokens: nobody gets in yet."""

    name: ClassVar[str] = "auth.locked"
    level: ClassVar[str] = "warning"
    hint: str = "nexusd keys create, or set NEXUSD_ADMIN_KEY, auth.api_keys or auth.jwt"


class AuthRefused(Event, frozen=True):
    """A request came without a credential that is good; `reason` is missing, unknown, expired and so on."""

    name: ClassVar[str] = "auth.refused"
    channel: str
    reason: str
    request_id: str
    client: str | None


class LimitExceeded(Event, frozen=True):
    """A request was one too many.

    `policy` is `workflow` or `default` for the limit of a workflow or of a principal, `failures` for that of an address
    whose credentials were wrong too often.
    """

    name: ClassVar[str] = "limit.exceeded"
    channel: str
    policy: str
    request_id: str
    workflow: str | None
    principal: str | None


class JwksFailed(Event, frozen=True):
    """The keys of the tokens' issuer could not be fetched; those that are known stay good."""

    name: ClassVar[str] = "jwks.failed"
    level: ClassVar[str] = "warning"
    reason: str


class RequestShed(Event, frozen=True):
    """A request was refused because the server is at its limit."""

    name: ClassVar[str] = "request.shed"
    level: ClassVar[str] = "warning"
    channel: str
    reason: str


class ClientConnected(Event, frozen=True):
    """A client has opened a connection to a channel."""

    name: ClassVar[str] = "client.connected"
    level: ClassVar[str] = "debug"
    channel: str


class ClientLeft(Event, frozen=True):
    """A client's connection to a channel has ended, whoever closed it."""

    name: ClassVar[str] = "client.left"
    level: ClassVar[str] = "debug"
    channel: str


class SessionOpened(Event, frozen=True):
    """An MCP client of a protocol version with sessions has begun one."""

    name: ClassVar[str] = "session.opened"
    level: ClassVar[str] = "debug"
    principal: str | None


class SessionClosed(Event, frozen=True):
    """An MCP session has ended."""

    name: ClassVar[str] = "session.closed"
    level: ClassVar[str] = "debug"
    principal: str | None


class SubscriptionsChanged(Event, frozen=True):
    """MCP clients hear of `change` more resources or lists, or of fewer."""

    name: ClassVar[str] = "subscriptions.changed"
    level: ClassVar[str] = "debug"
    change: int


class ToolCalled(Event, frozen=True):
    """An MCP tool has answered.

    `era` is `2025` for protocol versions with sessions and `2026` for those without; `path` is `sdk` or `fast`; `tool`
    is `other` where there is no such tool; `status` is `ok` or the error's code.
    """

    name: ClassVar[str] = "tool.called"
    level: ClassVar[str] = "debug"
    tool: str
    era: str
    path: str
    status: str
    request_id: str
    duration_s: float
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


class DatabaseLost(Event, frozen=True):
    """The database stopped answering."""

    name: ClassVar[str] = "database.lost"
    level: ClassVar[str] = "warning"
    reason: str


class DatabaseRecovered(Event, frozen=True):
    """The database answers again."""

    name: ClassVar[str] = "database.recovered"
    duration_s: float


class ConnectionClosed(Event, frozen=True):
    """A pooled connection ended by itself; `reason` is `lost` (in use), `idle`, or `stuck` (did not become usable)."""

    name: ClassVar[str] = "connection.closed"
    level: ClassVar[str] = "debug"
    reason: str


class ConnectionAwaited(Event, frozen=True):
    """A statement had to wait for a connection."""

    name: ClassVar[str] = "connection.awaited"
    level: ClassVar[str] = "debug"
    wait_s: float


class PoolExhausted(Event, frozen=True):
    """A statement was refused because no connection became free in time; `waiting` others still wait."""

    name: ClassVar[str] = "pool.exhausted"
    level: ClassVar[str] = "warning"
    waiting: int


class TransactionBegun(Event, frozen=True):
    """A transaction of several statements has a connection."""

    name: ClassVar[str] = "transaction.begun"
    level: ClassVar[str] = "debug"


class TransactionCommitting(Event, frozen=True):
    """The COMMIT of a transaction is about to be sent."""

    name: ClassVar[str] = "transaction.committing"
    level: ClassVar[str] = "debug"


class TransactionCommitted(Event, frozen=True):
    """A transaction was kept; its caller does not know yet."""

    name: ClassVar[str] = "transaction.committed"
    level: ClassVar[str] = "debug"


class GroupSynced(Event, frozen=True):
    """A COMMIT that `size` writes shared has reached the disk; their callers do not know yet."""

    name: ClassVar[str] = "group.synced"
    level: ClassVar[str] = "debug"
    size: int


class StatementRetried(Event, frozen=True):
    """A statement is run again; `reason` is `lost`, `conflict` or `plan`."""

    name: ClassVar[str] = "statement.retried"
    level: ClassVar[str] = "debug"
    reason: str


class NodeCrashed(Event, frozen=True):
    """An operator's function raised something; the caller is told `node_failed` and no more.

    `traceback` as in ErrorUnexpected.
    """

    name: ClassVar[str] = "node.failed"
    level: ClassVar[str] = "error"
    workflow: str
    node: str
    execution_id: str
    request_id: str
    error_type: str
    traceback: str


class ThreadAbandoned(Event, frozen=True):
    """A function went on in its thread after its run had ended; `abandoned` of `limit` threads are held so."""

    name: ClassVar[str] = "thread.abandoned"
    level: ClassVar[str] = "warning"
    workflow: str
    node: str
    abandoned: int
    limit: int


class TransactionReplayed(Event, frozen=True):
    """A transaction is run again from its start; `reason` is `lost` or `conflict`."""

    name: ClassVar[str] = "transaction.replayed"
    level: ClassVar[str] = "debug"
    reason: str


class ErrorUnexpected(Event, frozen=True):
    """A bug, or a refusal that no error of ours stands for; `reason` and `traceback` go to the log only.

    `traceback` holds code positions and exception types, not messages: a message may hold a row value.
    """

    name: ClassVar[str] = "error.unexpected"
    level: ClassVar[str] = "error"
    where: str
    request_id: str
    error_type: str
    traceback: str
    reason: str | None = None


def unexpected(where: str, request_id: str, error: BaseException) -> ErrorUnexpected:
    """The event for a bug, and for what an InternalError keeps from the caller."""
    if not isinstance(error, InternalError):
        return ErrorUnexpected(where, request_id, type(error).__qualname__, positions_of(error))
    error.is_logged = True
    kind = type(error.__cause__ or error).__qualname__
    return ErrorUnexpected(where, request_id, kind, positions_of(error), error.reason or None)


def positions_of(error: BaseException) -> str:
    """Types and code positions of an error and what caused it, without messages: they may hold row values."""
    chain: list[str] = []
    current: BaseException | None = error
    # An operator's code may tie causes into a circle.
    for _ in range(_MAX_CAUSES):
        if current is None:
            break
        chain.append(f"{type(current).__module__}.{type(current).__qualname__}")
        chain += [f"  {f.filename}:{f.lineno} {f.name}" for f in traceback.extract_tb(current.__traceback__)]
        current = current.__cause__ or current.__context__
    return "\n".join(chain)
