"""The requests under an Idempotency-Key that this process serves, and the end of what is kept of them."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from nexusd.databases.idempotency import PURGE_ROWS, purge
from nexusd.definitions.idempotency import Key, check_key, fingerprint, scope_of
from nexusd.engines.history import Record, Status
from nexusd.engines.keys import IN_FLIGHT, Keyed
from nexusd.errors import IdempotencyInFlight, NexusError, NotSupported
from nexusd.events import IdempotencyRefused, IdempotencyReplayed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.databases.database import Database
    from nexusd.definitions.execution import Invocation
    from nexusd.engines.history import History
    from nexusd.events import Observer
    from nexusd.planning.plan import Plan

LOOK_S: Final = 5.0
"""How long it may take to find out whether an asynchronous request has been served before."""

PURGE_S: Final = 600.0
PURGE_STATEMENT_S: Final = 10.0


class KeyedRequests:
    """Serves each key once at a time; other processes are the database's to tell.

    Args:
        history: the process's.
        observe: told of replays and refusals.
        kept: whether the database has the table for keys.
    """

    def __init__(self, history: History, observe: Observer, *, kept: bool) -> None:
        self._history = history
        self._observe = observe
        self._kept = kept
        self._serving: dict[tuple[str, str], Keyed] = {}

    def check(self, text: str) -> None:
        """Refuse what is no key, or cannot be honoured.

        Raises:
            BadRequest: it is no key.
            NotSupported: the database cannot keep it.
        """
        check_key(text)
        if not self._kept:
            raise NotSupported("the database has no table for Idempotency-Keys; `nexusd migrate apply` makes it")

    @contextlib.contextmanager
    def serving(self, plan: Plan, invocation: Invocation) -> Iterator[Keyed]:
        """Serve a request whose caller waits.

        Raises:
            NexusError: the inputs are not valid, or the key is being served.
        """
        keyed = self._enter(self._read(plan, invocation), invocation)
        try:
            yield keyed
        except BaseException:
            self._conclude(keyed, invocation)
            raise
        else:
            self._conclude(keyed, invocation)
        finally:
            self.end(keyed)

    async def begin(self, plan: Plan, invocation: Invocation, database: Database) -> Keyed:
        """Take a request that nobody waits for; with a `record` an earlier one under the key has begun it.

        Without one it is served until `end`.

        Raises:
            NexusError: the inputs are not valid, the key is being served, or the database cannot be asked.
        """
        keyed = self._read(plan, invocation)
        keyed.is_attended = False
        other = self._serving.get(_name(keyed.key))
        if other is not None and other.key == keyed.key and not other.is_attended and other.record is not None:
            self._tell_replay(other.record, invocation)
            return other
        self._enter(keyed, invocation)
        try:
            await keyed.look(database.session(asyncio.get_running_loop().time() + LOOK_S))
        except BaseException:
            self._conclude(keyed, invocation)
            self.end(keyed)
            raise
        if keyed.is_replay:
            self.end(keyed)
            keyed.record = self._remembered(keyed, invocation)
            self._tell_replay(keyed.record, invocation)
        return keyed

    def end(self, keyed: Keyed) -> None:
        """The request has been served."""
        del self._serving[_name(keyed.key)]

    def _read(self, plan: Plan, invocation: Invocation) -> Keyed:
        inputs = plan.decode(invocation.inputs)
        scope = scope_of(plan.name, invocation.principal)
        return Keyed(Key(scope, invocation.idempotency_key or "", fingerprint(inputs)), inputs)

    def _enter(self, keyed: Keyed, invocation: Invocation) -> Keyed:
        # With other inputs too: until the first has ended nothing is kept that these could differ from.
        if self._serving.setdefault(_name(keyed.key), keyed) is not keyed:
            self._tell_refusal(invocation, IN_FLIGHT)
            raise IdempotencyInFlight
        return keyed

    def _conclude(self, keyed: Keyed, invocation: Invocation) -> None:
        """A request that began nothing of its own leaves no trace among the executions."""
        if keyed.record is not None and (keyed.is_replay or keyed.refused):
            self._history.drop(keyed.record)
        if keyed.refused:
            self._tell_refusal(invocation, keyed.refused)
        elif keyed.is_replay and keyed.answer is not None:
            self._observe(_replayed(keyed.answer.execution_id, invocation))

    def _remembered(self, keyed: Keyed, invocation: Invocation) -> Record:
        """The execution that was answered, made anew where it is not remembered any more."""
        answer = keyed.answer
        if answer is None:
            raise AssertionError("a replay has an answer")
        record = self._history.find(answer.execution_id)
        if record is None:
            # The first 48 bits of the id are the milliseconds of its begin (RFC 9562, section 5.7).
            begun = datetime.fromtimestamp(int(answer.execution_id.replace("-", "")[:12], 16) / 1000, UTC)
            record = Record(
                answer.execution_id,
                invocation.workflow,
                invocation.channel,
                invocation.principal.id,
                invocation.request_id,
                begun.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
                None,
            )
            record.end(Status.COMPLETED, answer.duration_ms)
            self._history.add(record)
        if record.outputs is None:
            self._history.keep_outputs(record, answer.outputs)
        return record

    def _tell_replay(self, record: Record, invocation: Invocation) -> None:
        self._observe(_replayed(record.id, invocation))

    def _tell_refusal(self, invocation: Invocation, result: str) -> None:
        self._observe(IdempotencyRefused(invocation.workflow, invocation.channel, invocation.request_id, result))


def _replayed(execution_id: str, invocation: Invocation) -> IdempotencyReplayed:
    return IdempotencyReplayed(invocation.workflow, invocation.channel, execution_id, invocation.request_id)


def _name(key: Key) -> tuple[str, str]:
    return key.scope, key.text


async def purge_keys(database: Database) -> None:
    """Remove what is kept of keys for longer than promised, a little at a time.

    Raises:
        NexusError: the database does not let it.
    """
    removed = PURGE_ROWS
    while removed == PURGE_ROWS:
        deadline = asyncio.get_running_loop().time() + PURGE_STATEMENT_S
        removed = (await database.session(deadline).run(purge(database.dialect))).affected


async def keep_purging(database: Database) -> None:
    """Do so now and then, for ever; a database that is away has it done later."""
    while True:
        with contextlib.suppress(NexusError):
            await purge_keys(database)
        await asyncio.sleep(PURGE_S)
