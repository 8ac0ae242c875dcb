"""What one endpoint offers: everything at `/mcp`, the workflows of one toolset at `/mcp/{toolset}`.

A view is rebuilt as a whole when the registry was loaded anew; the handlers look into it at each request, and each
request sees what its caller may run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.channels.mcp.tool import tool_of
from nexusd.definitions.model import Operation
from nexusd.nodes.function import FunctionNode

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp_types import Tool

    from nexusd.definitions.model import Model
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.prompt import Prompt
    from nexusd.definitions.resource import Resource
    from nexusd.planning.plan import Plan
    from nexusd.runtime import Runtime


class View:
    """What one endpoint offers now.

    Args:
        toolset: the one whose workflows are offered; None: all of them.

    Attributes:
        tools: by name, in order.
        uninterrupted: names of the tools that neither report nor ask anything while they run.
    """

    def __init__(self, runtime: Runtime, toolset: str | None = None) -> None:
        self._runtime = runtime
        self._toolset = toolset
        self.rebuild()

    def rebuild(self) -> None:
        """Offer what the runtime holds now."""
        registry = self.registry = self._runtime.served.registry
        members = None if self._toolset is None else frozenset(registry.toolsets.get(self._toolset, ()))
        plans = self._runtime.plans
        self._plans = {name: plans[name] for name in sorted(plans) if members is None or name in members}
        self.uninterrupted = frozenset(name for name, plan in self._plans.items() if is_uninterrupted(plan))
        self.tools: Mapping[str, Tool] = {name: tool_of(plan) for name, plan in self._plans.items()}

    def plans(self, principal: Principal) -> list[Plan]:
        """The workflows that are offered to a caller, by name."""
        return [plan for plan in self._plans.values() if self._runtime.allows(principal, plan)]

    def plan(self, name: str, principal: Principal) -> Plan | None:
        """The workflow of that name, if it is offered to the caller."""
        plan = self._plans.get(name)
        return plan if plan is not None and self._runtime.allows(principal, plan) else None

    def nodes(self, name: str) -> int:
        """How many nodes a workflow has; one where there is no such workflow."""
        plan = self._plans.get(name)
        return 1 if plan is None else len(plan.nodes)

    def shows_blocks(self, name: str) -> bool:
        """Whether a tool answers with content blocks."""
        tool = self.tools.get(name)
        return tool is not None and tool.output_schema is None

    def hides(self, name: str) -> bool:
        """Whether there is such a workflow, but not here."""
        return name not in self._plans and name in self._runtime.plans

    def models(self, principal: Principal) -> Mapping[str, Model]:
        """The models that workflows work on which are offered to the caller."""
        used = {node.type for plan in self.plans(principal) for node in plan.nodes}
        return {
            name: model
            for name, model in sorted(self.registry.models.items())
            if any(model.node_type(operation) in used for operation in Operation)
        }

    def prompts(self) -> list[Prompt]:
        """The prompts, by name."""
        return [prompt for _, prompt in sorted(self.registry.prompts.items())]

    def resources(self, principal: Principal) -> list[Resource]:
        """The resources of the registry that a caller may read, by URI."""
        return [
            resource
            for _, resource in sorted(self.registry.resources.items())
            if resource.workflow is None or self.plan(resource.workflow, principal) is not None
        ]


def is_uninterrupted(plan: Plan) -> bool:
    """Whether a workflow neither reports nor asks anything while it runs: it runs no function."""
    seen = {plan.name: plan}
    left = [plan]
    while left:
        each = left.pop()
        if any(node.type == FunctionNode.name for node in each.nodes):
            return False
        left += [callee for name, callee in each.callees.items() if name not in seen]
        seen |= each.callees
    return True
