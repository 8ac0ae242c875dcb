"""From the registry to plans: workflows that others run come first, so that a caller knows what it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import Operation, node_type_name
from nexusd.definitions.registry import NOTHING_UNREAD
from nexusd.definitions.shape import Record
from nexusd.errors import ConfigurationError, Problem
from nexusd.nodes.node import Effects
from nexusd.nodes.unread import UnreadNode
from nexusd.nodes.workflow_node import Callee, WorkflowNode
from nexusd.planning.compile import compile_workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.registry import Registry, RegistryPath, Unread
    from nexusd.definitions.resource import Resource
    from nexusd.definitions.workflow import Workflow
    from nexusd.nodes.node import NodeType
    from nexusd.planning.plan import Plan

MAX_DEPTH: Final = 8
"""How deep workflows may run each other."""

_ASKING: Final = "HttpRequestNode"
"""The type whose nodes are judged by `http_allow`."""

_UNKNOWN: Final = Callee(Record({}, closed=False), Record({}, closed=False), Effects())
"""What is assumed of a workflow that has problems of its own."""


def compile_registry(
    registry: Registry, node_types: Mapping[str, NodeType], unread: Unread = NOTHING_UNREAD
) -> dict[str, Plan]:
    """A plan for every workflow, by name in order.

    Args:
        registry: as far as it could be read.
        node_types: by name.
        unread: what of the registry could not be read; whatever depends on it is not judged by it.

    Raises:
        ConfigurationError: with every problem of every workflow, and those of what could not be read.
    """
    if unread.everything:
        raise ConfigurationError(unread.problems)
    compiler = _RegistryCompiler(registry, node_types, unread)
    compiler.check_type_names()
    for name in sorted(registry.workflows):
        compiler.visit(name, ())
    for resource in registry.resources.values():
        compiler.check_resource(resource)
    if unread.problems or compiler.problems:
        raise ConfigurationError([*unread.problems, *compiler.problems])
    return {name: compiler.plans[name] for name in sorted(compiler.plans)}


class _RegistryCompiler:
    def __init__(self, registry: Registry, node_types: Mapping[str, NodeType], unread: Unread) -> None:
        self.problems: list[Problem] = []
        self.plans: dict[str, Plan] = {}
        self._registry = registry
        self._callees: dict[str, Callee] = dict.fromkeys(unread.workflows, _UNKNOWN)
        self._depths: dict[str, int] = {}
        caller = WorkflowNode(self._callees)
        self._types = {**node_types, caller.name: caller, **_unread_types(node_types, unread)}

    def check_type_names(self) -> None:
        """Tell which models would have node types of one name: ContactBulk's Create, and Contact's BulkCreate."""
        for name in self._registry.models:
            if f"{name}Bulk" in self._registry.models:
                message = f"the models {name} and {name}Bulk would both have a {name}BulkCreateNode"
                place = ("models", f"{name}Bulk")
                self.problems.append(self._registry.sources.problem(place, message, "rename one of them"))

    def visit(self, name: str, above: tuple[str, ...]) -> None:
        """Compile a workflow after those that it runs."""
        if name in self._callees:
            return
        workflow = self._registry.workflows[name]
        depth = 1
        for path, called in _calls(workflow):
            if called in (*above, name):
                self._report(name, path, f"{' runs '.join((*above, name, called))}: a workflow cannot run itself")
                self._callees.setdefault(name, _UNKNOWN)
                return
            if called in self._registry.workflows:
                self.visit(called, (*above, name))
                depth = max(depth, 1 + self._depths.get(called, 1))
                if depth == MAX_DEPTH + 1:
                    self._report(name, path, f"workflows run each other at most {MAX_DEPTH} deep")
        self._depths[name] = depth
        if name not in self._callees:
            self._compile(workflow)

    def check_resource(self, resource: Resource) -> None:
        """Note why a workflow cannot be what a resource is read from; one that is broken itself is not judged."""
        plan = self.plans.get(resource.workflow or "")
        if plan is None:
            return
        place = ("resources", resource.uri.text, "workflow")
        given, inputs = set(resource.uri.variables), plan.inputs
        messages = [f"{plan.name} has no input {name!r}" for name in sorted(given - set(inputs.properties))]
        messages += [
            f"{plan.name} needs {name!r}: put {{{name}}} into the URI" for name in sorted(inputs.required - given)
        ]
        if not plan.read_only:
            messages.append(f"{plan.name} writes; reading a resource must not change anything")
        self.problems += [self._registry.sources.problem(place, message) for message in messages]

    def _compile(self, workflow: Workflow) -> None:
        name = workflow.name

        def report(path: RegistryPath, message: str, hint: str = "") -> None:
            self._report(name, path, message, hint)

        def locate(path: RegistryPath) -> str:
            return self._registry.sources.where(("workflows", name, *path))

        plan = compile_workflow(workflow, self._types, self.plans, report, locate)
        self._callees[name] = _UNKNOWN if plan is None else _callee(plan)
        if plan is not None:
            self.plans[name] = plan

    def _report(self, name: str, path: RegistryPath, message: str, hint: str = "") -> None:
        self.problems.append(self._registry.sources.problem(("workflows", name, *path), message, hint))


def _unread_types(node_types: Mapping[str, NodeType], unread: Unread) -> dict[str, NodeType]:
    """Types that stand for those of which nothing is known."""
    names = {node_type_name(model, operation): frozenset[str]() for model in unread.models for operation in Operation}
    if unread.hosts and _ASKING in node_types:
        names[_ASKING] = node_types[_ASKING].keys
    return {name: UnreadNode(name, keys) for name, keys in names.items()}


def _calls(workflow: Workflow) -> list[tuple[RegistryPath, str]]:
    """The workflows that its nodes run, each with its place."""
    return [
        (("nodes", node.id, "workflow"), name)
        for node in workflow.nodes
        if node.type == WorkflowNode.name and isinstance(name := node.options.get("workflow"), str)
    ]


def _callee(plan: Plan) -> Callee:
    effects = [node.effects for node in plan.nodes]
    together = Effects(
        database=any(effect.database for effect in effects),
        writes=any(effect.writes for effect in effects),
        destructive=any(effect.destructive for effect in effects),
        idempotent=all(effect.idempotent for effect in effects),
        outside=any(effect.outside for effect in effects),
        rehearsable=all(effect.rehearsable for effect in effects),
    )
    return Callee(plan.inputs, plan.outputs, together)
