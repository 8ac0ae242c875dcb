"""A run that no transaction can hold: its Idempotency-Key is claimed first, and answered when the run has ended.

A claim without an answer whose run is no more says that nobody knows what became of it.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound
from nexusd.databases.idempotency import KEY_STATEMENTS, arguments
from nexusd.engines.liveness import identity
from nexusd.errors import Cancelled, ConnectionLost, DeadlineExceeded, NexusError, UnknownOutcome
from nexusd.events import IdempotencyRecorded

if TYPE_CHECKING:
    from nexusd.databases.database import Session, Statement
    from nexusd.engines.engine import Run, Work
    from nexusd.engines.keys import Keyed

LOSSES: Final = 2
"""How often what is known of a key is written again after its connection was lost."""

_CUT_OFF: Final = (Cancelled, DeadlineExceeded, UnknownOutcome)
"""Failures after which nobody knows how far the run came."""


class ClaimedRun:
    """One run under a key that it claims.

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

    async def go(self) -> dict[str, object]:
        """As `run_keyed`."""
        run, keyed = self._run, self._keyed
        session = run.database.session(run.deadline)
        if await self._claim(session):
            return keyed.found
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
        left_s = math.ceil(run.deadline - asyncio.get_running_loop().time()) + 1
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
