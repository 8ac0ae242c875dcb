"""The inline engine: a run lives in the task that asked for it and is gone when that ends."""

from __future__ import annotations

import asyncio
import random
import uuid
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.errors import (
    ConnectionLost,
    DatabaseError,
    DeadlineExceeded,
    Fault,
    NexusError,
    SerializationConflict,
)
from nexusd.nodes.node import NodeContext
from nexusd.planning.plan import Plan, PlannedNode, Scope, Strategy

if TYPE_CHECKING:
    from nexusd.databases.database import Session
    from nexusd.engines.engine import Run

REPLAYS: Final = 3
"""How often a transaction that lost against another one is run again (docs/reference.md, section 8)."""

GRACE_S: Final = 0.1
"""How much later than the database a run is cut off: the database then says itself what became of a statement."""

_NAMESPACE: Final = uuid.UUID("6f9b1f5e-6f0c-5d9e-9a67-5b1f3f6a2f11")
_FIRST_PAUSE_S: Final = 0.005


class InlineEngine:
    """Runs plans by direct awaits."""

    async def run(self, run: Run) -> dict[str, object]:
        """Run to the end; see Engine."""
        try:
            async with asyncio.timeout_at(run.deadline + GRACE_S):
                return await self._attempts(run)
        except TimeoutError as error:
            raise DeadlineExceeded from error

    async def _attempts(self, run: Run) -> dict[str, object]:
        """Run; a transaction of database nodes alone that lost against another, or its connection, is run again."""
        replayable = run.plan.transaction and all(node.effects.database for node in run.plan.nodes)
        conflicts = losses = 0
        while True:
            try:
                return await self._attempt(run)
            except SerializationConflict:
                conflicts += 1
                if not replayable or conflicts > REPLAYS:
                    raise
                # Equal pauses would let the same two transactions meet again.
                await asyncio.sleep(_FIRST_PAUSE_S * 2**conflicts * (0.5 + random.random()))  # noqa: S311
            except ConnectionLost:
                losses += 1
                if not replayable or losses > 1:
                    raise

    async def _attempt(self, run: Run) -> dict[str, object]:
        plan = run.plan
        scope = _scope(run)
        if plan.transaction or run.invocation.dry_run:
            read_only = plan.read_only
            keep = not run.invocation.dry_run
            async with run.database.transaction(run.deadline, read_only=read_only, keep=keep) as session:
                await _in_order(run, scope, session)
                return _outputs(plan, scope)
        session = run.database.session(run.deadline)
        if plan.strategy is Strategy.LINEAR:
            await _in_order(run, scope, session)
        else:
            await _concurrently(run, scope, session)
        return _outputs(plan, scope)


def _scope(run: Run) -> Scope:
    # The same place in the same run gives the same id, so that a replay agrees with what it replays.
    return Scope(run.inputs, {}, run.now, lambda place: str(uuid.uuid5(_NAMESPACE, f"{run.id}/{place}")))


def _outputs(plan: Plan, scope: Scope) -> dict[str, object]:
    if plan.render_outputs is not None:
        return plan.render_outputs(scope)
    return {node.id: scope.nodes[node.id] for node in plan.workflow.nodes}


async def _in_order(run: Run, scope: Scope, session: Session) -> None:
    for node in run.plan.nodes:
        scope.nodes[node.id] = await _one(run, scope, session, node)


async def _concurrently(run: Run, scope: Scope, session: Session) -> None:
    """Start each node when all it needs is there; the first failure cancels the rest.

    Of several failures the one of the node that stands first in the plan's order is raised.
    """
    waiting = {node.index: set(node.needs) for node in run.plan.nodes}
    running: dict[asyncio.Task[object], PlannedNode] = {}
    failures: dict[int, BaseException] = {}
    try:
        while (waiting or running) and not failures:
            for node in run.plan.nodes:
                if node.index in waiting and not waiting[node.index]:
                    del waiting[node.index]
                    running[asyncio.create_task(_one(run, scope, session, node))] = node
            done, _ = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                _settle(task, running.pop(task), scope, waiting, failures)
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
    if failures:
        raise failures[min(failures)]


def _settle(
    task: asyncio.Task[object],
    node: PlannedNode,
    scope: Scope,
    waiting: dict[int, set[int]],
    failures: dict[int, BaseException],
) -> None:
    """Note what came of a node."""
    error = task.exception()
    if error is not None:
        failures[node.index] = error
        return
    scope.nodes[node.id] = task.result()
    for needed in waiting.values():
        needed.discard(node.index)


async def _one(run: Run, scope: Scope, session: Session, node: PlannedNode) -> object:
    """Render a node's params and run it; what goes wrong carries the node's id and the inputs' pointers."""
    deadline = run.deadline
    if node.timeout_s is not None:
        deadline = min(deadline, asyncio.get_running_loop().time() + node.timeout_s)
    try:
        local = scope
        if node.connections:
            local = replace(scope, input=_connected(node, scope))
        params = node.render(local)
        for name, deliver in node.connections.items():
            if name != "input":
                params[name] = deliver(scope)
        context = NodeContext(
            session=session,
            database=run.database,
            invocation=run.invocation,
            execution_id=run.id,
            node=node.id,
            now=run.now,
            deadline=deadline,
            observe=run.observe,
            input=local.input,
            pointers=node.pointers,
        )
        if node.timeout_s is None:
            return await node.run(params, context)
        return await _bounded(node, params, context)
    except NexusError as error:
        if error.node is None:
            error.node = node.id
            error.faults = _at_inputs(error, node)
        raise


async def _bounded(node: PlannedNode, params: dict[str, object], context: NodeContext) -> object:
    try:
        async with asyncio.timeout_at(context.deadline + GRACE_S):
            return await node.run(params, context)
    except TimeoutError as error:
        message = f"the node took longer than its {node.timeout_s:g} s"
        raise DeadlineExceeded(message) from error


def _connected(node: PlannedNode, scope: Scope) -> object:
    deliver = node.connections.get("input")
    return None if deliver is None else deliver(scope)


def _at_inputs(error: NexusError, node: PlannedNode) -> tuple[Fault, ...]:
    """The faults with pointers to the inputs, where an input is what stands at that place of the node's params."""
    if isinstance(error, DatabaseError) and not error.faults:
        by_field = {pointer.rpartition("/")[2]: target for pointer, target in node.pointers.items()}
        return tuple(Fault(by_field[name], error.code.value, error.detail) for name in error.fields if name in by_field)
    return tuple(Fault(_input_pointer(fault.pointer, node), fault.code, fault.detail) for fault in error.faults)


def _input_pointer(pointer: str, node: PlannedNode) -> str:
    prefix = pointer
    while prefix:
        target = node.pointers.get(prefix)
        if target is not None:
            return target + pointer[len(prefix) :]
        prefix = prefix.rpartition("/")[0]
    return f"/nodes/{node.id}/params{pointer}"
