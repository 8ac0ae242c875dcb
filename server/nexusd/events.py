"""Every fact that can be observed from outside, as a frozen dataclass.

Code says `observe(QueryFinished(...))`; `app.py` subscribes the sinks (`telemetry/*`). An observer may not raise and
may not block. No event carries a secret, a row value or SQL text.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, Final, TypeAlias

_MAX_CAUSES: Final = 16


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened; `name` is `noun.verb_past`, `level` the log level it deserves."""

    name: ClassVar[str]
    level: ClassVar[str] = "info"


Observer: TypeAlias = Callable[[Event], None]


def ignore(_event: Event) -> None:
    """The observer that forgets everything."""


def tell_all(*observers: Observer) -> Observer:
    """One observer that tells each of these, in this order."""

    def observe(event: Event) -> None:
        for observer in observers:
            observer(event)

    return observe


@dataclass(frozen=True, slots=True)
class ServerStarted(Event):
    """The process has begun to start."""

    name: ClassVar[str] = "server.started"
    version: str
    pid: int


@dataclass(frozen=True, slots=True)
class FailpointArmed(Event):
    """A test has this process fail at the event `moment`."""

    name: ClassVar[str] = "failpoint.armed"
    level: ClassVar[str] = "warning"
    moment: str
    action: str


@dataclass(frozen=True, slots=True)
class ServerReady(Event):
    """Every enabled channel answers."""

    name: ClassVar[str] = "server.ready"
    duration_s: float


@dataclass(frozen=True, slots=True)
class ServerDraining(Event):
    """A stop was asked for; what is running may finish."""

    name: ClassVar[str] = "server.draining"
    reason: str


@dataclass(frozen=True, slots=True)
class ServerStopped(Event):
    """The server has ended; `cancelled` requests were cut at the end of the grace."""

    name: ClassVar[str] = "server.stopped"
    duration_s: float
    cancelled: int


@dataclass(frozen=True, slots=True)
class ServerAborted(Event):
    """A second signal has ended the server at once; what was running is cut."""

    name: ClassVar[str] = "server.aborted"
    level: ClassVar[str] = "warning"
    reason: str


@dataclass(frozen=True, slots=True)
class TracingUnavailable(Event):
    """There is an endpoint for traces, but nothing that could send them; `hint` says what to install."""

    name: ClassVar[str] = "tracing.unavailable"
    level: ClassVar[str] = "warning"
    hint: str


@dataclass(frozen=True, slots=True)
class ChannelStarted(Event):
    """A channel answers at `address`."""

    name: ClassVar[str] = "channel.started"
    channel: str
    address: str


@dataclass(frozen=True, slots=True)
class ChannelFailed(Event):
    """A channel ended by itself."""

    name: ClassVar[str] = "channel.failed"
    level: ClassVar[str] = "error"
    channel: str
    error: str


@dataclass(frozen=True, slots=True)
class ControlFailed(Event):
    """There is no control socket at `path`; the server serves, but `nexusd reload` does not find it."""

    name: ClassVar[str] = "control.failed"
    level: ClassVar[str] = "warning"
    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerStarted(Event):
    """A worker process answers, `duration_s` after it was started."""

    name: ClassVar[str] = "worker.started"
    worker: int
    pid: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class WorkerExited(Event):
    """A worker process ended unasked, with `code` (negative: by that signal); another one follows."""

    name: ClassVar[str] = "worker.exited"
    level: ClassVar[str] = "warning"
    worker: int
    pid: int
    code: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class WorkerReplaced(Event):
    """A worker process has ended after its successor had begun to answer."""

    name: ClassVar[str] = "worker.replaced"
    worker: int
    pid: int
    successor: int


@dataclass(frozen=True, slots=True)
class WorkerFailed(Event):
    """A worker process cannot serve what it was told to."""

    name: ClassVar[str] = "worker.failed"
    level: ClassVar[str] = "error"
    reasons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegistryLoaded(Event):
    """The registry was read and compiled."""

    name: ClassVar[str] = "registry.loaded"
    models: int
    workflows: int
    duration_s: float


@dataclass(frozen=True, slots=True)
class RegistryReloading(Event):
    """A reload was asked for and has begun."""

    name: ClassVar[str] = "registry.reloading"


@dataclass(frozen=True, slots=True)
class RegistryRejected(Event):
    """A reload found a registry that cannot be served; the one before is kept.

    `problems` are mistakes with their places, or what keeps the database from the registry; `exit_code` is what a start
    would end with.
    """

    name: ClassVar[str] = "registry.rejected"
    level: ClassVar[str] = "error"
    exit_code: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class DatabaseWaiting(Event):
    """A start waits for a database that does not answer yet."""

    name: ClassVar[str] = "database.waiting"
    level: ClassVar[str] = "warning"
    reason: str


@dataclass(frozen=True, slots=True)
class MigrationPlanned(Event):
    """Registry and database were compared."""

    name: ClassVar[str] = "migration.planned"
    level: ClassVar[str] = "debug"
    changes: int
    blocked: int


@dataclass(frozen=True, slots=True)
class MigrationApplied(Event):
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


@dataclass(frozen=True, slots=True)
class MigrationKept(Event):
    """The database has something that the registry does not know; it is left alone."""

    name: ClassVar[str] = "migration.kept"
    table: str
    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class MigrationStepDone(Event):
    """A step that was left for after the start is done: an index was built, or old rows obey a constraint."""

    name: ClassVar[str] = "migration.step_done"
    table: str
    part: str


@dataclass(frozen=True, slots=True)
class MigrationStepFailed(Event):
    """A step that was left for after the start failed; the next start tries it again."""

    name: ClassVar[str] = "migration.step_failed"
    level: ClassVar[str] = "warning"
    table: str
    part: str
    reason: str


@dataclass(frozen=True, slots=True)
class MigrationBlocked(Event):
    """The registry wants what is not safe to do by itself; nothing was changed."""

    name: ClassVar[str] = "migration.blocked"
    level: ClassVar[str] = "error"
    changes: int


@dataclass(frozen=True, slots=True)
class ExecutionFinished(Event):
    """A workflow completed."""

    name: ClassVar[str] = "execution.finished"
    level: ClassVar[str] = "debug"
    workflow: str
    channel: str
    execution_id: str
    request_id: str
    duration_s: float
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


@dataclass(frozen=True, slots=True)
class ExecutionFailed(Event):
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


@dataclass(frozen=True, slots=True)
class ExecutionCancelled(Event):
    """A workflow was stopped before its end: it was asked to, or its caller has gone."""

    name: ClassVar[str] = "execution.cancelled"
    workflow: str
    channel: str
    execution_id: str
    request_id: str
    duration_s: float
    principal: str | None = None
    trace_id: str | None = None
    span_id: str | None = None


@dataclass(frozen=True, slots=True)
class IdempotencyRecorded(Event):
    """The answer of a run under an Idempotency-Key was written; its commit may still be to come."""

    name: ClassVar[str] = "idempotency.recorded"
    level: ClassVar[str] = "debug"


@dataclass(frozen=True, slots=True)
class IdempotencyReplayed(Event):
    """A request under a key that was used before got the answer of the first; `execution_id` is the first's."""

    name: ClassVar[str] = "idempotency.replayed"
    workflow: str
    channel: str
    execution_id: str
    request_id: str


@dataclass(frozen=True, slots=True)
class IdempotencyRefused(Event):
    """A key could not be served; `result` is `mismatch`, `in_flight`, or `unknown`, what became of an earlier run."""

    name: ClassVar[str] = "idempotency.refused"
    workflow: str
    channel: str
    request_id: str
    result: str


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
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


@dataclass(frozen=True, slots=True)
class NodeRetried(Event):
    """A node failed and is run again, as its declaration says; `attempt` is the one that failed."""

    name: ClassVar[str] = "node.retried"
    workflow: str
    node: str
    execution_id: str
    attempt: int
    code: str


@dataclass(frozen=True, slots=True)
class RequestStarted(Event):
    """A door has the head of a request."""

    name: ClassVar[str] = "request.started"
    level: ClassVar[str] = "debug"
    channel: str
    method: str


@dataclass(frozen=True, slots=True)
class RequestFinished(Event):
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


@dataclass(frozen=True, slots=True)
class RequestRejected(Event):
    """A request was refused before it had a route."""

    name: ClassVar[str] = "request.rejected"
    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class AuthLocked(Event):
    """Authentication is on, and there is neither a key nor an issuer of tokens: nobody gets in yet."""

    name: ClassVar[str] = "auth.locked"
    level: ClassVar[str] = "warning"
    hint: str = "nexusd keys create, or set NEXUSD_ADMIN_KEY, auth.api_keys or auth.jwt"


@dataclass(frozen=True, slots=True)
class AuthRefused(Event):
    """A request came without a credential that is good; `reason` is missing, unknown, expired and so on."""

    name: ClassVar[str] = "auth.refused"
    channel: str
    reason: str
    request_id: str
    client: str | None


@dataclass(frozen=True, slots=True)
class LimitExceeded(Event):
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


@dataclass(frozen=True, slots=True)
class JwksFailed(Event):
    """The keys of the tokens' issuer could not be fetched; those that are known stay good."""

    name: ClassVar[str] = "jwks.failed"
    level: ClassVar[str] = "warning"
    reason: str


@dataclass(frozen=True, slots=True)
class RequestShed(Event):
    """A request was refused because the server is at its limit."""

    name: ClassVar[str] = "request.shed"
    level: ClassVar[str] = "warning"
    channel: str
    reason: str


@dataclass(frozen=True, slots=True)
class ClientConnected(Event):
    """A client has opened a connection to a channel."""

    name: ClassVar[str] = "client.connected"
    level: ClassVar[str] = "debug"
    channel: str


@dataclass(frozen=True, slots=True)
class ClientLeft(Event):
    """A client's connection to a channel has ended, whoever closed it."""

    name: ClassVar[str] = "client.left"
    level: ClassVar[str] = "debug"
    channel: str


@dataclass(frozen=True, slots=True)
class SessionOpened(Event):
    """An MCP client of a protocol version with sessions has begun one."""

    name: ClassVar[str] = "session.opened"
    level: ClassVar[str] = "debug"
    principal: str | None


@dataclass(frozen=True, slots=True)
class SessionClosed(Event):
    """An MCP session has ended."""

    name: ClassVar[str] = "session.closed"
    level: ClassVar[str] = "debug"
    principal: str | None


@dataclass(frozen=True, slots=True)
class SubscriptionsChanged(Event):
    """MCP clients hear of `change` more resources or lists, or of fewer."""

    name: ClassVar[str] = "subscriptions.changed"
    level: ClassVar[str] = "debug"
    change: int


@dataclass(frozen=True, slots=True)
class ToolCalled(Event):
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


@dataclass(frozen=True, slots=True)
class DatabaseLost(Event):
    """The database stopped answering."""

    name: ClassVar[str] = "database.lost"
    level: ClassVar[str] = "warning"
    reason: str


@dataclass(frozen=True, slots=True)
class DatabaseRecovered(Event):
    """The database answers again."""

    name: ClassVar[str] = "database.recovered"
    duration_s: float


@dataclass(frozen=True, slots=True)
class ConnectionClosed(Event):
    """A pooled connection ended by itself; `reason` is `lost` (in use), `idle`, or `stuck` (did not become usable)."""

    name: ClassVar[str] = "connection.closed"
    level: ClassVar[str] = "debug"
    reason: str


@dataclass(frozen=True, slots=True)
class ConnectionAwaited(Event):
    """A statement had to wait for a connection."""

    name: ClassVar[str] = "connection.awaited"
    level: ClassVar[str] = "debug"
    wait_s: float


@dataclass(frozen=True, slots=True)
class PoolExhausted(Event):
    """A statement was refused because no connection became free in time; `waiting` others still wait."""

    name: ClassVar[str] = "pool.exhausted"
    level: ClassVar[str] = "warning"
    waiting: int


@dataclass(frozen=True, slots=True)
class TransactionBegun(Event):
    """A transaction of several statements has a connection."""

    name: ClassVar[str] = "transaction.begun"
    level: ClassVar[str] = "debug"


@dataclass(frozen=True, slots=True)
class TransactionCommitting(Event):
    """The COMMIT of a transaction is about to be sent."""

    name: ClassVar[str] = "transaction.committing"
    level: ClassVar[str] = "debug"


@dataclass(frozen=True, slots=True)
class TransactionCommitted(Event):
    """A transaction was kept; its caller does not know yet."""

    name: ClassVar[str] = "transaction.committed"
    level: ClassVar[str] = "debug"


@dataclass(frozen=True, slots=True)
class GroupSynced(Event):
    """A COMMIT that `size` writes shared has reached the disk; their callers do not know yet."""

    name: ClassVar[str] = "group.synced"
    level: ClassVar[str] = "debug"
    size: int


@dataclass(frozen=True, slots=True)
class StatementRetried(Event):
    """A statement is run again; `reason` is `lost`, `conflict` or `plan`."""

    name: ClassVar[str] = "statement.retried"
    level: ClassVar[str] = "debug"
    reason: str


@dataclass(frozen=True, slots=True)
class NodeCrashed(Event):
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


@dataclass(frozen=True, slots=True)
class ThreadAbandoned(Event):
    """A function went on in its thread after its run had ended; `abandoned` of `limit` threads are held so."""

    name: ClassVar[str] = "thread.abandoned"
    level: ClassVar[str] = "warning"
    workflow: str
    node: str
    abandoned: int
    limit: int


@dataclass(frozen=True, slots=True)
class TransactionReplayed(Event):
    """A transaction is run again from its start; `reason` is `lost` or `conflict`."""

    name: ClassVar[str] = "transaction.replayed"
    level: ClassVar[str] = "debug"
    reason: str


@dataclass(frozen=True, slots=True)
class ErrorUnexpected(Event):
    """A bug: something that is no NexusError reached an edge; `traceback` goes to the log only.

    `traceback` holds code positions and exception types, not messages: a message may hold a row value.
    """

    name: ClassVar[str] = "error.unexpected"
    level: ClassVar[str] = "error"
    where: str
    request_id: str
    error_type: str
    traceback: str


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
