"""A run under an Idempotency-Key: its answer is kept with what it wrote, or not at all.

Where all that a run does is on the database, the answer is a row of the run's own transaction. What another process
does meanwhile under the same key shows in one of three ways: PostgreSQL's lock is taken; a row is there; or, if it came
after both were looked at, the row that is to hold our answer is taken, which undoes all of ours. A run of one insert
does all of that in one statement.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound, Dialect
from nexusd.databases.idempotency import KEY_STATEMENTS, Once, arguments, stored
from nexusd.definitions.wire import write_json
from nexusd.definitions.workflow import TransactionMode
from nexusd.engines.claimed import LOSSES, ClaimedRun
from nexusd.engines.keys import Answer
from nexusd.errors import (
    ConnectionLost,
    DatabaseUnavailable,
    DeadlineExceeded,
    IdempotencyInFlight,
    NexusError,
    Overloaded,
    SerializationConflict,
    UniqueViolation,
    UnknownOutcome,
)
from nexusd.events import IdempotencyRecorded, TransactionReplayed

if TYPE_CHECKING:
    from nexusd.databases.database import Session, Statement
    from nexusd.engines.engine import Run, Work
    from nexusd.engines.keys import Keyed
    from nexusd.planning.plan import Plan

CONFLICTS: Final = 3
_FIRST_PAUSE_S: Final = 0.005
_ENDING_S: Final = 0.05
"""Pause between looks at a transaction whose connection was lost while it ends on the server."""


_FRUITLESS: Final = (DatabaseUnavailable, DeadlineExceeded, Overloaded)
"""Failures that say nothing of the records, and after which another look would only be another wait."""


class _KeyTaken(DatabaseUnavailable):
    """Somebody else has kept an answer under the key; nothing of ours was."""


def claims_first(plan: Plan) -> bool:
    """Whether a transaction cannot hold all that a run does."""
    if plan.transaction:
        return False
    return plan.workflow.transaction is TransactionMode.NONE or any(node.effects.outside for node in plan.nodes)


async def run_keyed(run: Run, keyed: Keyed, work: Work) -> dict[str, object]:
    """Run to the end, or find the answer of an earlier request; `keyed` has the answer then.

    Raises:
        NexusError: as a run without a key, IdempotencyMismatch and IdempotencyInFlight besides.
    """
    kind = ClaimedRun if claims_first(run.plan) else KeyedRun
    return await kind(run, keyed, work).go()


class KeyedRun:
    """One run under a key that a transaction holds, with all that it does.

    Args:
        run: the run.
        keyed: its key.
        work: runs its nodes.
    """

    def __init__(self, run: Run, keyed: Keyed, work: Work) -> None:
        self._run = run
        self._keyed = keyed
        self._work = work
        self._statements = KEY_STATEMENTS[run.database.dialect]
        self._repeatable = not any(node.effects.outside for node in run.plan.nodes)
        self._loop = asyncio.get_running_loop()
        self._unknown: UnknownOutcome | None = None
        self._conflicts = self._losses = 0
        self._pause_s = 0.0

    async def go(self) -> dict[str, object]:
        """As `run_keyed`."""
        if self._keeps_itself():
            outputs = await self._in_one_statement()
            if outputs is not None:
                return outputs
        while True:
            try:
                return await self._attempt()
            except NexusError as error:
                failure = self._judge(error)
                if failure is error and await self._was_answered(error):
                    return self._keyed.found
                if failure is error:
                    raise
                if failure is not None:
                    raise failure from error
            await asyncio.sleep(self._pause_s)

    def _keeps_itself(self) -> bool:
        """Whether the run's one statement can keep the answer with what it writes: a third of the cost."""
        plan = self._run.plan
        if self._statements.lock is None or plan.transaction or plan.render_outputs is not None or len(plan.nodes) > 1:
            return False
        return plan.nodes[0].effects.keeps_answer and plan.nodes[0].is_plain

    async def _in_one_statement(self) -> dict[str, object] | None:
        """The outputs, kept; None: the key is in use, or something came between, and a transaction must find out."""
        run, keyed = self._run, self._keyed
        once = keyed.once = Once(keyed.key, keyed.execution_id, keyed.lock_number, keyed.started)
        try:
            outputs = await self._work(run, run.database.session(run.deadline), shared=False)
        except NexusError as error:
            if isinstance(error, (ConnectionLost, UnknownOutcome)):
                self._note_loss(error)
                return None
            if await self._was_answered(error):
                return self._keyed.found
            if isinstance(error, UniqueViolation) and not error.fields:
                return None  # of the key, whose row has gone meanwhile
            raise
        finally:
            keyed.once = None
        if once.duration_ms is None:
            return self._keyed.found if once.is_tried and await self._was_answered() else None
        keyed.answer = Answer(keyed.execution_id, once.duration_ms, write_json(outputs))
        run.observe(IdempotencyRecorded())
        return outputs

    def _note_loss(self, error: NexusError) -> None:
        if isinstance(error, UnknownOutcome):
            self._unknown = error
        self._losses += 1
        self._run.observe(TransactionReplayed("lost"))

    async def _attempt(self) -> dict[str, object]:
        run, keyed = self._run, self._keyed
        database = run.database
        # A look costs SQLite next to nothing outside of a transaction, and a turn of the writing thread inside.
        if database.dialect is Dialect.SQLITE and await keyed.look(database.session(run.deadline)):
            return self._keyed.found
        async with database.transaction(run.deadline, read_only=False) as session:
            if self._statements.lock is not None and await self._lock(session, self._statements.lock):
                return self._keyed.found
            # Whatever an earlier attempt did is undone, or it would have been found.
            self._unknown = None
            outputs = await self._work(run, session, shared=True)
            answer = keyed.answered(outputs)
            await self._keep(session, answer)
        keyed.answer = answer
        return outputs

    async def _lock(self, session: Session, lock: Statement) -> bool:
        keyed = self._keyed
        row = (await session.run(Bound(lock, (*arguments(keyed.key), keyed.lock_number)))).rows[0]
        found = stored(row)
        if found is not None:
            return keyed.take(found, session.dialect)
        if not row["locked"]:
            raise IdempotencyInFlight
        return False

    async def _keep(self, session: Session, answer: Answer) -> None:
        key = self._keyed.key
        values = (*arguments(key), key.fingerprint, answer.execution_id, answer.text)
        if not (await session.run(Bound(self._statements.record, values))).affected:
            raise _KeyTaken
        self._run.observe(IdempotencyRecorded())

    def _judge(self, error: NexusError) -> NexusError | None:
        """What to raise after an attempt that failed; None: begin again after `_pause_s`."""
        self._pause_s = 0.0
        if self._keyed.refused:
            return error
        if isinstance(error, IdempotencyInFlight):
            # Perhaps it is our own lost transaction that still holds the key.
            self._pause_s = _ENDING_S
            again = self._unknown is not None
        elif isinstance(error, SerializationConflict):
            self._conflicts += 1
            self._pause_s = _FIRST_PAUSE_S * 2**self._conflicts * (0.5 + random.random())  # noqa: S311
            again = self._repeatable and self._conflicts <= CONFLICTS
        elif isinstance(error, (_KeyTaken, ConnectionLost, UnknownOutcome)):
            if isinstance(error, UnknownOutcome):
                self._unknown = error
            self._losses += 1
            again = self._repeatable and self._losses <= LOSSES
        else:
            again = False
        if again and self._loop.time() + self._pause_s < self._run.deadline:
            self._run.observe(TransactionReplayed("conflict" if isinstance(error, SerializationConflict) else "lost"))
            return None
        return self._failure(error)

    def _failure(self, error: NexusError) -> NexusError:
        if self._unknown is not None:
            return self._unknown
        return self._keyed.in_flight() if isinstance(error, IdempotencyInFlight) else error

    async def _was_answered(self, error: NexusError | None = None) -> bool:
        """Whether the failure only shows that another process has served the key meanwhile."""
        if self._keyed.refused or (isinstance(error, _FRUITLESS) and not isinstance(error, _KeyTaken)):
            return False
        try:
            return await self._keyed.look(self._run.database.session(self._run.deadline))
        except NexusError:
            if self._keyed.refused:
                raise
            return False
