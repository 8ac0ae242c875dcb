"""The inline engine: a run lives in the task that asked for it and is gone when that ends."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING, Final

from nexusd.engines.deadlines import Deadlines
from nexusd.engines.frame import GRACE_S, Frame, run_frame
from nexusd.engines.keyed import run_keyed
from nexusd.errors import ConnectionLost, NotSupported, SerializationConflict
from nexusd.events import TransactionReplayed
from nexusd.planning.plan import Scope

if TYPE_CHECKING:
    from nexusd.databases.database import Session
    from nexusd.engines.engine import Run

REPLAYS: Final = 3
"""How often a transaction that lost against another one is run again (docs/reference.md, section 8)."""

_NAMESPACE: Final = uuid.UUID("6f9b1f5e-6f0c-5d9e-9a67-5b1f3f6a2f11")
_FIRST_PAUSE_S: Final = 0.005


class InlineEngine:
    """Runs plans in the caller's task."""

    def __init__(self) -> None:
        self._deadlines = Deadlines()

    async def run(self, run: Run) -> dict[str, object]:
        """Run to the end; see Engine."""
        with self._deadlines.at(run.deadline + GRACE_S):
            if run.keyed is not None:
                return await run_keyed(run, run.keyed, _work)
            if run.plan.transaction or run.invocation.dry_run:
                return await self._attempts(run)
            return await run_frame(_frame(run, run.database.session(run.deadline), shared=False))

    async def _attempts(self, run: Run) -> dict[str, object]:
        """Run; a transaction of database nodes alone that lost against another, or its connection, is run again."""
        replayable = run.plan.transaction and not any(node.effects.outside for node in run.plan.nodes)
        conflicts = losses = 0
        while True:
            try:
                return await self._attempt(run)
            except SerializationConflict:
                conflicts += 1
                if not replayable or conflicts > REPLAYS:
                    raise
                run.observe(TransactionReplayed("conflict"))
                # Equal pauses would let the same two transactions meet again.
                await asyncio.sleep(_FIRST_PAUSE_S * 2**conflicts * (0.5 + random.random()))  # noqa: S311
            except ConnectionLost:
                losses += 1
                if not replayable or losses > 1:
                    raise
                run.observe(TransactionReplayed("lost"))

    async def _attempt(self, run: Run) -> dict[str, object]:
        plan = run.plan
        if run.invocation.dry_run and not all(node.effects.rehearsable for node in plan.nodes):
            raise NotSupported("the workflow has a node whose work outside a dry run could not undo")
        read_only = not any(node.effects.database and node.effects.writes for node in plan.nodes)
        keep = not run.invocation.dry_run
        async with run.database.transaction(run.deadline, read_only=read_only, keep=keep) as session:
            return await run_frame(_frame(run, session, shared=True))


async def _work(run: Run, session: Session, *, shared: bool) -> dict[str, object]:
    return await run_frame(_frame(run, session, shared=shared))


def _frame(run: Run, session: Session, *, shared: bool) -> Frame:
    # The same place in the same run gives the same id, so that a replay agrees with what it replays.
    scope = Scope(run.inputs, {}, run.now, lambda place: str(uuid.uuid5(_NAMESPACE, f"{run.id}/{place}")))
    return Frame(run, run.plan, scope, session, shared, run.deadline, span=run.span, caller=run.invocation.conversation)
