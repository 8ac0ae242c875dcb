"""A plan with some of its nodes replaced: what a case of `nexusd test` runs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from msgspec.structs import replace

from nexusd.errors import Code, ExecutionError, InternalError, NotSupported
from nexusd.nodes.node import Effects

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.planning.plan import Plan, PlannedNode, Scope


@dataclass(frozen=True, slots=True)
class Mock:
    """What stands for a node: a result, or an error.

    Attributes:
        code: of the error; None: there is none.
        detail: the error's text; empty: the usual one.
    """

    result: object = None
    code: Code | None = None
    detail: str = ""


def _errors(kind: type[ExecutionError]) -> Iterator[type[ExecutionError]]:
    yield kind
    for below in kind.__subclasses__():
        yield from _errors(below)


ERRORS: Final[Mapping[Code, type[ExecutionError | InternalError]]] = {
    # Of several errors with one code the first of the tree stands for it.
    **{each.code: each for each in reversed(list(_errors(ExecutionError)))},
    Code.INTERNAL: InternalError,
}
"""What a mock can raise."""


def with_mocks(plan: Plan, mocks: Mapping[str, Mock]) -> Plan:
    """The plan with mocks in the place of nodes; those of a workflow inside it are named `billing.invoice`.

    A node that calls something outside and has no mock is told that this is a dry run; one that could not be undone
    refuses to run.
    """
    return _with(plan, mocks, {})


def _with(plan: Plan, mocks: Mapping[str, Mock], unmocked: dict[str, Plan]) -> Plan:
    """The same; `unmocked` are the workflows inside that have no mocks, each made once however often it is run."""
    below: dict[str, dict[str, Mock]] = {}
    for place, mock in mocks.items():
        name, point, rest = place.partition(".")
        if point:
            below.setdefault(name, {})[rest] = mock
    nodes = tuple(_replaced(node, mocks.get(node.id)) for node in plan.nodes)
    called = {node.id: str(node.options.get("workflow", "")) for node in plan.workflow.nodes}
    inside: dict[str, dict[str, Mock]] = {}
    for name, each in below.items():
        inside.setdefault(called[name], {}).update(each)
    callees: dict[str, Plan] = {}
    for name, callee in plan.callees.items():
        if name in inside:
            callees[name] = _with(callee, inside[name], unmocked)
            continue
        if name not in unmocked:
            unmocked[name] = _with(callee, {}, unmocked)
        callees[name] = unmocked[name]
    return replace(plan, nodes=nodes, callees=callees)


def missing_nodes(plan: Plan, mocks: Mapping[str, Mock]) -> list[str]:
    """The places that no node of the plan has."""
    return [place for place in mocks if not _has(plan, place)]


def _has(plan: Plan, place: str) -> bool:
    name, point, rest = place.partition(".")
    node = next((node for node in plan.workflow.nodes if node.id == name), None)
    if node is None or not point:
        return node is not None
    callee = plan.callees.get(str(node.options.get("workflow", "")))
    return callee is not None and _has(callee, rest)


def _replaced(node: PlannedNode, mock: Mock | None) -> PlannedNode:
    if mock is None:
        # What a workflow inside does is looked at there.
        return replace(node, run=_rehearsed(node)) if node.effects.outside and node.type != "WorkflowNode" else node
    if node.foreach is not None:
        # The mock stands for all items together.
        node = replace(node, foreach=None, render=_nothing)
    return replace(node, run=_answering(mock), effects=Effects())


def _nothing(_scope: Scope) -> dict[str, object]:
    return {}


def _answering(mock: Mock) -> Runner:
    async def answer(_params: Mapping[str, object], _context: NodeContext) -> object:
        if mock.code is not None:
            raise ERRORS[mock.code](mock.detail)
        return mock.result

    return answer


def _rehearsed(node: PlannedNode) -> Runner:
    run = node.run

    async def rehearse(params: Mapping[str, object], context: NodeContext) -> object:
        if not node.effects.rehearsable:
            raise NotSupported(f"the node {node.id} acts outside; give it a mock")
        context.invocation = replace(context.invocation, dry_run=True)
        return await run(params, context)

    return rehearse
