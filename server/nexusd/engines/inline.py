"""The inline engine: a run lives in the task that asked for it and is gone when that ends."""

from __future__ import annotations

import asyncio
import random
import uuid
from typing import TYPE_CHECKING, Final

from nexusd.engines.frame import GRACE_S, Frame, run_frame
from nexusd.engines.keyed import run_keyed
from nexusd.errors import ConnectionLost, DeadlineExceeded, NotSupported, SerializationConflict
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

    async def run(self, run: Run) -> dict[str, object]:
        """Run to the end; see Engine."""
        try:
            async with asyncio.timeout_at(run.deadline + GRACE_S):
                if run.keyed is not None:
                    return await run_keyed(run, run.keyed, _work)
                return await self._attempts(run)
        except TimeoutError as error:
            raise DeadlineExceeded from error

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
        if plan.transaction or run.invocation.dry_run:
            read_only = not any(node.effects.database and node.effects.writes for node in plan.nodes)
            keep = not run.invocation.dry_run
            async with run.database.transaction(run.deadline, read_only=read_only, keep=keep) as session:
                return await _work(run, session, shared=True)
        return await _work(run, run.database.session(run.deadline), shared=False)


async def _work(run: Run, session: Session, *, shared: bool) -> dict[str, object]:
    frame = Frame(run, run.plan, _scope(run), session, shared=shared, deadline=run.deadline, span=run.span)
    return await run_frame(frame)


def _scope(run: Run) -> Scope:
    # The same place in the same run gives the same id, so that a replay agrees with what it replays.
    return Scope(run.inputs, {}, run.now, lambda place: str(uuid.uuid5(_NAMESPACE, f"{run.id}/{place}")))
