"""The node types that steer a run: SwitchNode, MergeNode and TransformNode (docs/reference.md, section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.shape import ANYTHING, OrNull, Record
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, ParamProblem
from nexusd.nodes.shapes import one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import NodeContext, NodeType, Runner

_PURE: Final = Effects(idempotent=True)
_CASE: Final = "case"
_FOUND: Final = "found"


class SwitchNode:
    """Names the first of its cases whose condition holds."""

    name = "SwitchNode"
    keys = frozenset({"cases", "default"})

    def derived(self, node: Node) -> Mapping[str, Choice | FirstOf]:
        """The case."""
        default = node.options.get("default")
        return {_CASE: Choice(_cases(node), default if isinstance(default, str) else None)}

    def effects(self, _node: Node) -> Effects:
        """None."""
        return _PURE

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """Cases and a default are names; params there are none."""
        binding = _without_params(self.name, params, connected)
        cases = node.options.get("cases")
        if not isinstance(cases, dict) or not cases or len(_cases(node)) != len(cases):
            message = "a SwitchNode needs cases, a mapping of names to conditions"
            binding.problems.append(ParamProblem(("cases",) if "cases" in node.options else (), message))
        if not isinstance(node.options.get("default", ""), str):
            binding.problems.append(ParamProblem(("default",), "the default is the name of a case"))
        return binding

    def result(self, node: Node) -> Shape:
        """The name; null where no case holds and there is no default."""
        names = list(_cases(node))
        default = node.options.get("default")
        if isinstance(default, str):
            names.append(default)
        case = one_of(_CASE, *dict.fromkeys(names))
        return Record({_CASE: case if isinstance(default, str) else OrNull(case)}, frozenset({_CASE}))

    def build(self, _node: Node) -> Runner:
        """What the planner made of the cases."""
        return _params


class MergeNode:
    """Passes on the first result there is, of nodes of which some were skipped."""

    name = "MergeNode"
    keys = frozenset({"from"})

    def derived(self, node: Node) -> Mapping[str, Choice | FirstOf]:
        """The result."""
        return {_FOUND: FirstOf(tuple(_sources(node)))}

    def effects(self, _node: Node) -> Effects:
        """None."""
        return _PURE

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """`from` lists ids; params there are none."""
        binding = _without_params(self.name, params, connected)
        declared = node.options.get("from")
        if not isinstance(declared, list) or not declared or len(_sources(node)) != len(declared):
            message = "a MergeNode needs from, a list of node ids"
            binding.problems.append(ParamProblem(("from",) if "from" in node.options else (), message))
        return binding

    def result(self, _node: Node) -> Shape:
        """One of several, of any shape."""
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        """What the planner found."""

        async def merge(params: Mapping[str, object], _context: NodeContext) -> object:
            return params[_FOUND]

        return merge


class TransformNode:
    """Gives its params, rendered."""

    name = "TransformNode"
    keys: frozenset[str] = frozenset()

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """None."""
        return _PURE

    def bind(self, _node: Node, _params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        """Anything may stand anywhere."""
        return Binding()

    def result(self, node: Node) -> Shape:
        """The params; connections may add some."""
        return Record(dict.fromkeys(node.params, ANYTHING), closed=False)

    def build(self, _node: Node) -> Runner:
        """The params themselves."""
        return _params


def control_node_types() -> tuple[NodeType, ...]:
    """One of each."""
    return (SwitchNode(), MergeNode(), TransformNode())


async def _params(params: Mapping[str, object], _context: NodeContext) -> object:
    return params


def _cases(node: Node) -> dict[str, str]:
    cases = node.options.get("cases")
    if not isinstance(cases, dict):
        return {}
    return {name: text for name, text in cases.items() if isinstance(name, str) and isinstance(text, str)}


def _sources(node: Node) -> list[str]:
    declared = node.options.get("from")
    return [name for name in declared if isinstance(name, str)] if isinstance(declared, list) else []


def _without_params(name: str, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
    problems = [ParamProblem(("params", each), f"a {name} has no params") for each in params]
    problems += [ParamProblem((), f"a {name} has no param {each!r}") for each in sorted(connected - {"input"})]
    return Binding(problems=problems)
