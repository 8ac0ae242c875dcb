"""WorkflowNode: another workflow as a part of this run (docs/reference.md, section 8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING
from nexusd.documents import did_you_mean
from nexusd.errors import InternalError
from nexusd.nodes.binding import Binder, Purpose, is_placeholder
from nexusd.nodes.node import Effects, ParamProblem, Slot

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Record, Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import Binding, Choice, FirstOf, NodeContext, Runner


@dataclass(frozen=True, slots=True)
class Callee:
    """What a caller knows of a workflow.

    Attributes:
        effects: of all its nodes together.
    """

    inputs: Record
    outputs: Record
    effects: Effects


class WorkflowNode:
    """Runs one of the workflows it knows; the planner adds to them in the order of calls."""

    name = "WorkflowNode"
    keys = frozenset({"workflow"})

    def __init__(self, callees: Mapping[str, Callee]) -> None:
        self._callees = callees

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, node: Node) -> Effects:
        """Those of the workflow."""
        callee = self._callee(node)
        return Effects() if callee is None else callee.effects

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """The params are the workflow's inputs."""
        binder = Binder()
        callee = self._callee(node)
        if callee is None:
            name = str(node.options.get("workflow", ""))
            message = f"there is no workflow {name!r}" if name else "a WorkflowNode needs workflow, a name"
            path = ("workflow",) if "workflow" in node.options else ()
            binder.binding.problems.append(ParamProblem(path, message, did_you_mean(name, self._callees)))
            return binder.binding
        inputs = callee.inputs
        for name in inputs.properties:
            if name in inputs.required and name not in params and name not in connected:
                binder.problem((), f"the input {name!r} of {node.options['workflow']} is missing")
        for name in (*params, *sorted(connected - {"input"})):
            shape = inputs.at(name)
            if shape is None:
                binder.unknown("input", (name,), inputs.properties)
            elif name not in params or is_placeholder(params[name]):
                if name in params:
                    binder.check_text(shape, params[name], (name,))
                binder.binding.slots[name,] = Slot(shape, optional=name not in inputs.required)
            else:
                binder.bind(shape, params[name], (name,), Purpose.NEED, Purpose.NEED)
        return binder.binding

    def result(self, node: Node) -> Shape:
        """The workflow's outputs."""
        callee = self._callee(node)
        return ANYTHING if callee is None else callee.outputs

    def build(self, node: Node) -> Runner:
        """Ask the engine."""
        name = str(node.options["workflow"])

        async def call(params: Mapping[str, object], context: NodeContext) -> object:
            if context.run_workflow is None:
                message = "the engine runs no workflows inside of others"
                raise InternalError(message)
            return await context.run_workflow(name, params)

        return call

    def _callee(self, node: Node) -> Callee | None:
        name = node.options.get("workflow")
        return self._callees.get(name) if isinstance(name, str) else None
