"""A run under an Idempotency-Key: its answer is kept with what it wrote, or not at all.

Where all that a run does is on the database, the answer is a row of the run's own transaction. What another process
does meanwhile under the same key shows in one of three ways: PostgreSQL's lock is taken; a row is there; or, if it came
after both were looked at, the row that is to hold our answer is taken, which undoes all of ours.

A run that a transaction cannot hold claims the key first. A claim without an answer, whose run is no more, says that
nobody knows what became of it.
"""

from __future__ import annotations

import asyncio
import math
import random
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.databases.database import Bound, Dialect
from nexusd.databases.idempotency import KEY_STATEMENTS, arguments, stored
from nexusd.definitions.workflow import TransactionMode
from nexusd.engines.liveness import identity
from nexusd.errors import (
    Cancelled,
    ConnectionLost,
    DatabaseUnavailable,
    DeadlineExceeded,
    IdempotencyInFlight,
    NexusError,
    SerializationConflict,
    UnknownOutcome,
)
from nexusd.events import IdempotencyRecorded, TransactionReplayed

if TYPE_CHECKING:
    from nexusd.databases.database import Session, Statement
    from nexusd.engines.engine import Run
    from nexusd.engines.keys import Answer, Keyed
    from nexusd.planning.plan import Plan

CONFLICTS: Final = 3
LOSSES: Final = 2
"""How often a run is begun again after its connection was lost; what was lost is looked for first."""

_FIRST_PAUSE_S: Final = 0.005
_ENDING_S: Final = 0.05
"""Pause between looks at a transaction whose connection was lost while it ends on the server."""

_CUT_OFF: Final = (Cancelled, DeadlineExceeded, UnknownOutcome)
"""Failures after which nobody knows how far a run without a transaction came."""


class _KeyTaken(DatabaseUnavailable):
    """Somebody else has kept an answer under the key; nothing of ours was."""


def claims_first(plan: Plan) -> bool:
    """Whether a transaction cannot hold all that a run does."""
    if plan.transaction:
        return False
    return plan.workflow.transaction is TransactionMode.NONE or any(node.effects.outside for node in plan.nodes)


class Work(Protocol):
    """Runs the nodes of a run and gives the outputs."""

    async def __call__(self, run: Run, session: Session, *, shared: bool) -> dict[str, object]:
        """In a session that is one transaction (`shared`) or none."""


class KeyedRun:
    """One run under a key.

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
        """Run to the end, or find the answer of an earlier request; `keyed` has the answer then.

        Raises:
            NexusError: as a run without a key, IdempotencyMismatch and IdempotencyInFlight besides.
        """
        return await (self._claimed() if claims_first(self._run.plan) else self._transacted())

    # In a transaction

    async def _transacted(self) -> dict[str, object]:
        while True:
            try:
                return await self._attempt()
            except NexusError as error:
                failure = self._judge(error)
                if failure is error and await self._was_answered():
                    return self._found()
                if failure is error:
                    raise
                if failure is not None:
                    raise failure from error
            await asyncio.sleep(self._pause_s)

    async def _attempt(self) -> dict[str, object]:
        run, keyed = self._run, self._keyed
        database = run.database
        # A look costs SQLite next to nothing outside of a transaction, and a turn of the writing thread inside.
        if database.dialect is Dialect.SQLITE and await keyed.look(database.session(run.deadline)):
            return self._found()
        async with database.transaction(run.deadline, read_only=False) as session:
            if self._statements.lock is not None and await self._lock(session, self._statements.lock):
                return self._found()
            # Whatever an earlier attempt did is undone, or it would have been found.
            self._unknown = None
            outputs = await self._work(run, session, shared=True)
            answer = keyed.answered(outputs)
            await self._keep(session, answer)
        keyed.answer = answer
        return outputs

    def _found(self) -> dict[str, object]:
        answer = self._keyed.answer
        return {} if answer is None else answer.members

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

    async def _was_answered(self) -> bool:
        """Whether the failure only shows that another process has served the key meanwhile."""
        if self._keyed.refused:
            return False
        try:
            return await self._keyed.look(self._run.database.session(self._run.deadline))
        except NexusError:
            if self._keyed.refused:
                raise
            return False

    # With a claim

    async def _claimed(self) -> dict[str, object]:
        run, keyed = self._run, self._keyed
        session = run.database.session(run.deadline)
        if await self._claim(session):
            return self._found()
        try:
            outputs = await self._work(run, session, shared=False)
        except NexusError as error:
            if run.plan.read_only or not isinstance(error, _CUT_OFF):
                await self._persist(session, self._statements.release, (*arguments(keyed.key), keyed.execution_id))
            raise
        answer = keyed.answered(outputs)
        await self._persist(session, self._statements.settle, (answer.text, *arguments(keyed.key), keyed.execution_id))
        run.observe(IdempotencyRecorded())
        keyed.answer = answer
        return outputs

    async def _claim(self, session: Session) -> bool:
        """Claim the key; True: it has its answer."""
        run, keyed = self._run, self._keyed
        left_s = math.ceil(run.deadline - self._loop.time()) + 1
        values = (*arguments(keyed.key), keyed.key.fingerprint, keyed.execution_id, identity(), left_s)
        for attempt in range(LOSSES + 1):
            try:
                # Our own claim, kept by an attempt whose connection was lost, is ours again.
                if (await session.run(Bound(self._statements.claim, values))).affected:
                    return False
                if await keyed.look(session):
                    return True
            except (ConnectionLost, UnknownOutcome):
                if keyed.refused or attempt == LOSSES:
                    raise
        raise keyed.in_flight()

    async def _persist(self, session: Session, statement: Statement, values: tuple[object, ...]) -> None:
        """Run a statement that may be run twice; what cannot be kept leaves the claim as it is."""
        for _ in range(LOSSES):
            try:
                await session.run(Bound(statement, values))
            except NexusError:
                continue
            return
