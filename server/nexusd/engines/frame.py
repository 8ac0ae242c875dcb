"""One plan on its way through its nodes: the run's own, or that of a workflow inside it."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Final

import msgspec
from msgspec.structs import replace

from nexusd import events
from nexusd.definitions.wire import write_json
from nexusd.engines.branches import run_branches, run_items
from nexusd.engines.pace import Pace
from nexusd.engines.traced import TracedSession
from nexusd.errors import (
    Cancelled,
    Code,
    DatabaseError,
    DatabaseUnavailable,
    DeadlineExceeded,
    Fault,
    InputRequired,
    InternalError,
    InvalidInput,
    NexusError,
    NodeFailed,
    NotSupported,
    Overloaded,
    QuestionsPending,
    SerializationConflict,
    UnfitInput,
    UnknownOutcome,
)
from nexusd.nodes.node import NodeContext
from nexusd.planning.control import FAIL, MAX_ITEMS
from nexusd.planning.plan import Plan, PlannedNode, Scope, Strategy

if TYPE_CHECKING:
    from collections.abc import Awaitable, Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.conversation import Conversation
    from nexusd.definitions.trace import Span
    from nexusd.engines.engine import Run

GRACE_S: Final = 0.1
"""How much later than the database a run is cut off: the database then says itself what became of a statement."""

MANY_NODES: Final = 16
"""How many nodes are too few to keep others waiting by their number."""

MAX_TEXT: Final = 64 * 2**20
"""Characters of text that one foreach may make: its templates may repeat a large input for each item."""

_PASSED_ON: Final = (
    DeadlineExceeded,
    Cancelled,
    InputRequired,
    Overloaded,
    SerializationConflict,
    DatabaseUnavailable,
    UnknownOutcome,
)
"""Failures of a workflow inside another that are the run's own: they say what became of all of it."""
_UNTYPED: Final = {asyncio.CancelledError: Code.CANCELLED, TimeoutError: Code.TIMEOUT}
_LASTING: Final = (InvalidInput, InputRequired, NotSupported, InternalError, Cancelled, UnknownOutcome)
"""Failures that another attempt would only repeat, or must not."""


class Frame(msgspec.Struct, eq=False):
    """What the nodes of one plan share while it runs.

    Attributes:
        session: where statements run.
        shared: whether that is one transaction, in which nodes take turns.
        deadline: `loop.time()` at which it is cut off.
        prefix: ids of the nodes around it, each with a point.
        span: what its nodes are parts of, where the run is recorded.
        caller: who is told after each node.
        done: how many nodes have ended, where somebody is told.
    """

    run: Run
    plan: Plan
    scope: Scope
    session: Session
    shared: bool
    deadline: float
    prefix: str = ""
    span: Span | None = None
    caller: Conversation | None = None
    done: int = 0


async def run_frame(frame: Frame) -> dict[str, object]:
    """Run the nodes and give the outputs."""
    plan = frame.plan
    if frame.shared or plan.strategy is Strategy.LINEAR:
        pace = Pace() if len(plan.nodes) > MANY_NODES else None
        for node in plan.nodes:
            await _attend(frame, node)
            if pace is not None:
                await pace.keep()
    else:
        await run_branches(plan.nodes, partial(_attend, frame))
    if plan.render_outputs is not None:
        return plan.render_outputs(frame.scope)
    return {node.id: frame.scope.nodes[node.id] for node in plan.workflow.nodes}


async def _attend(frame: Frame, node: PlannedNode) -> None:
    """Run a node if it is its turn, note what came of it, and tell who waits for the run how far it has come."""
    scope = frame.scope
    if node.is_plain and not scope.absent:
        scope.nodes[node.id] = await _once(frame, node, scope, frame.session, node.id)
    else:
        await _attend_under_control(frame, node)
    if frame.caller is not None:
        frame.done += 1
        await frame.caller.step(frame.done, len(frame.plan.nodes), node.id)


async def _attend_under_control(frame: Frame, node: PlannedNode) -> None:
    scope = frame.scope
    try:
        if _has_what_it_needs(node, scope):
            inner = _with_input(node, scope)
            if node.when is None or node.when(inner):
                scope.nodes[node.id] = await _guarded(frame, node, inner)
                return
    except NexusError as error:
        _locate(error, frame, node)
        if node.on_error == FAIL or not _is_survivable(error, frame):
            raise
        scope.failed[node.id] = {"node": error.node, "code": error.code.value, "detail": error.detail}
    scope.absent.add(node.id)
    scope.nodes[node.id] = None


def _has_what_it_needs(node: PlannedNode, scope: Scope) -> bool:
    if scope.absent and not node.waits_for.isdisjoint(scope.absent):
        return False
    if node.rescues and node.rescues.isdisjoint(scope.failed):
        return False
    return not (node.gathers and node.gathers <= scope.absent)


def _with_input(node: PlannedNode, scope: Scope) -> Scope:
    """The scope with what a connection delivers to the node, or with the failure for which it takes over."""
    if "input" in node.connections:
        return replace(scope, input=node.connections["input"](scope))
    if node.rescues:
        failed = next(scope.failed[name] for name in sorted(node.rescues) if name in scope.failed)
        return replace(scope, input=failed)
    return scope


def _is_survivable(error: NexusError, frame: Frame) -> bool:
    """Whether the run can go on: its transaction is still there, and so is its time."""
    if isinstance(error, (Cancelled, InputRequired, SerializationConflict, UnknownOutcome)):
        return False
    if frame.shared and isinstance(error, DatabaseUnavailable):
        return False
    return asyncio.get_running_loop().time() < frame.deadline


async def _guarded(frame: Frame, node: PlannedNode, scope: Scope) -> object:
    """Run a node so that exactly its work can be undone, where the run would go on without it."""
    effects = node.effects
    is_whole = not frame.shared and (node.foreach is None or not effects.database or effects.outside)
    if node.on_error == FAIL or is_whole:
        return await _each(frame, node, scope, frame.session)
    async with frame.session.atomic() as session:
        return await _each(replace(frame, session=session, shared=True), node, scope, session)


async def _each(frame: Frame, node: PlannedNode, scope: Scope, session: Session) -> object:
    """Run a node once, or once for each item."""
    if node.foreach is None:
        return await _persistently(frame, node, scope, session, node.id)
    items = node.foreach(scope)
    if not isinstance(items, list):
        raise InvalidInput("foreach takes a list")
    if len(items) > MAX_ITEMS:
        message = f"foreach takes at most {MAX_ITEMS} items"
        raise InvalidInput(message)

    pace = Pace()
    effects = node.effects
    size = 0

    async def one(i: int) -> object:
        nonlocal size
        place = f"{node.id}[{i}]"
        inner = replace(scope, item=items[i], uuid=lambda at: scope.uuid(f"{at}[{i}]"))
        result = await _persistently(frame, _at_item(node, i), inner, session, place)
        if not effects.database and not effects.outside:
            size += _text_size(result)
        if size > MAX_TEXT:
            message = f"foreach makes at most {MAX_TEXT // 2**20} MiB of text"
            raise InvalidInput(message)
        await pace.keep()
        return result

    if frame.shared or node.concurrency == 1:
        return [await one(i) for i in range(len(items))]
    return await run_items(one, len(items), node.concurrency)


def _text_size(result: object) -> int:
    """Characters of the texts that stand in a result itself: those that a template may have made."""
    if not isinstance(result, dict):
        return 0
    return sum(len(value) for value in result.values() if isinstance(value, str))


def _at_item(node: PlannedNode, i: int) -> PlannedNode:
    """The node for one item: its pointers say which."""
    if not any("/*" in pointer for pointer in node.pointers.values()):
        return node
    return replace(node, pointers={at: pointer.replace("/*", f"/{i}", 1) for at, pointer in node.pointers.items()})


async def _persistently(frame: Frame, node: PlannedNode, scope: Scope, session: Session, place: str) -> object:
    """Run a node, and again where it fails and is declared so."""
    retry = node.retry
    if retry is None:
        return await _once(frame, node, scope, session, place)
    for attempt in itertools.count(1):
        try:
            if not frame.shared:
                return await _once(frame, node, scope, session, place)
            async with session.atomic() as inner:
                return await _once(frame, node, scope, inner, place)
        except NexusError as error:
            if attempt >= retry.attempts or isinstance(error, _LASTING) or not _is_survivable(error, frame):
                raise
            spread = 1 + retry.jitter * (2 * random.random() - 1)  # noqa: S311 - not a secret
            pause_s = max(0.0, retry.backoff_s * retry.factor ** (attempt - 1) * spread)
            if asyncio.get_running_loop().time() + pause_s >= frame.deadline:
                raise
            frame.run.observe(events.NodeRetried(frame.plan.name, node.id, frame.run.id, attempt, error.code.value))
            await asyncio.sleep(pause_s)
    raise AssertionError


async def _once(frame: Frame, node: PlannedNode, scope: Scope, session: Session, place: str) -> object:
    """Run a node; what goes wrong carries its id, and how long it took is told."""
    run = frame.run
    started = time.perf_counter()
    try:
        if frame.span is None:
            result = await _begun(frame, node, scope, session, place, None)
        else:
            with frame.span.child(f"node {node.id}", {"nexusd.node.type": node.type}) as span:
                result = await _begun(frame, node, scope, TracedSession(session, span), place, span)
    except BaseException as error:
        if isinstance(error, NexusError):
            _locate(error, frame, node)
            code = error.code
            if isinstance(error, InternalError) and not error.is_logged:
                # The run may go on without the node, or tell its failure in other words.
                run.observe(events.unexpected("engine", run.invocation.request_id, error))
        else:
            code = _UNTYPED.get(type(error), Code.INTERNAL)
        if not isinstance(error, QuestionsPending):
            duration_s = time.perf_counter() - started
            run.observe(events.NodeFinished(frame.plan.name, node.id, node.type, run.id, duration_s, code.value))
        raise
    run.observe(events.NodeFinished(frame.plan.name, node.id, node.type, run.id, time.perf_counter() - started))
    return result


def _begun(
    frame: Frame, node: PlannedNode, scope: Scope, session: Session, place: str, span: Span | None
) -> Awaitable[object]:
    """Render a node's params and begin to run it; to be awaited at once."""
    run = frame.run
    if node.connections:
        params, scope = _connected(node, scope)
    else:
        params = node.render(scope)
    deadline = frame.deadline
    if node.timeout_s is not None:
        deadline = min(deadline, asyncio.get_running_loop().time() + node.timeout_s)
    context = NodeContext(
        session=session,
        database=run.database,
        invocation=run.invocation,
        execution_id=run.id,
        node=frame.prefix + node.id,
        now=run.now,
        deadline=deadline,
        observe=run.observe,
        input=scope.input,
        pointers=node.pointers,
        place=frame.prefix + place,
        span=span,
        once=None if run.keyed is None else run.keyed.once,
    )
    if frame.plan.callees:
        inner = replace(frame, span=span or frame.span, deadline=deadline)
        context.run_workflow = partial(_run_workflow, inner, session, place)
    return node.run(params, context) if node.timeout_s is None else _bounded(node, params, context)


def _connected(node: PlannedNode, scope: Scope) -> tuple[dict[str, object], Scope]:
    """A node's params with what connections deliver to them, and the scope with what they deliver to `input`."""
    if "input" in node.connections:
        scope = replace(scope, input=node.connections["input"](scope))
    params = node.render(scope)
    for name, deliver in node.connections.items():
        if name != "input":
            params[name] = deliver(scope)
    return params, scope


async def _bounded(node: PlannedNode, params: dict[str, object], context: NodeContext) -> object:
    """Run a node that has a time limit of its own."""
    try:
        async with asyncio.timeout_at(context.deadline + GRACE_S):
            return await node.run(params, context)
    except TimeoutError as error:
        message = f"the node took longer than its {node.timeout_s:g} s"
        raise DeadlineExceeded(message) from error


async def _run_workflow(
    frame: Frame, session: Session, place: str, name: str, inputs: Mapping[str, object]
) -> Mapping[str, object]:
    """Run one of the plan's callees as a part of the run."""
    plan = frame.plan.callees[name]
    own = asyncio.get_running_loop().time() + plan.workflow.timeout_s
    deadline = min(frame.deadline, own)
    uuid = frame.scope.uuid
    prefix = f"{frame.prefix}{place}."
    try:
        scope = Scope(plan.decode(write_json(inputs)), {}, frame.run.now, lambda at: uuid(f"{prefix}{at}"))
        inner = Frame(frame.run, plan, scope, session, frame.shared, deadline, prefix, frame.span)
        # Where the limit is that of the node or the run, they say so.
        async with asyncio.timeout_at(own + GRACE_S if own < frame.deadline else None):
            if frame.shared or not plan.transaction:
                return await run_frame(inner)
            async with session.atomic() as transaction:
                inner.session, inner.shared = transaction, True
                return await run_frame(inner)
    except TimeoutError as error:
        message = f"the workflow {name} took longer than its {plan.workflow.timeout_s:g} s"
        raise DeadlineExceeded(message) from error
    except _PASSED_ON:
        raise
    except NexusError as error:
        failed = NodeFailed(f"the workflow {name} failed: {error.detail}")
        failed.node = error.node
        raise failed from error


def _locate(error: NexusError, frame: Frame, node: PlannedNode) -> None:
    """Say where an error comes from, unless a node further in has said it."""
    if error.node is None:
        error.node = frame.prefix + node.id
        error.faults = _at_inputs(error, node)


def _at_inputs(error: NexusError, node: PlannedNode) -> tuple[Fault, ...]:
    """The faults with pointers to the inputs, where an input is what stands at that place of the node's params."""
    if isinstance(error, DatabaseError) and not error.faults:
        by_field = {pointer.rpartition("/")[2]: target for pointer, target in node.pointers.items()}
        return tuple(Fault(by_field[name], error.code.value, error.detail) for name in error.fields if name in by_field)
    if isinstance(error, UnfitInput):
        return tuple(
            _of_input(fault, node) for fault in error.faults if fault.pointer[0] == "/" or "*" in node.pointers
        )
    return tuple(Fault(_input_pointer(fault.pointer, node), fault.code, fault.detail) for fault in error.faults)


def _of_input(fault: Fault, node: PlannedNode) -> Fault:
    """The fault with the pointer of the item that it is about, if it is about one."""
    if fault.pointer.startswith("/"):
        return fault
    return Fault(node.pointers["*"] + fault.pointer[1:], fault.code, fault.detail)


def _input_pointer(pointer: str, node: PlannedNode) -> str:
    prefix = pointer
    while prefix:
        target = node.pointers.get(prefix)
        if target is not None:
            return target + pointer[len(prefix) :]
        prefix = prefix.rpartition("/")[0]
    return f"/nodes/{node.id}/params{pointer}"
