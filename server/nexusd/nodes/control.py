"""The node types that steer a run: SwitchNode, MergeNode and TransformNode (docs/reference.md, section 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, cast

from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.shape import ANYTHING, ListOf, OrNull, Record, Scalar, any_of
from nexusd.nodes.binding import is_placeholder
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, ParamProblem
from nexusd.nodes.shapes import one_of

if TYPE_CHECKING:
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import NodeContext, NodeType, Placeholder, Runner

_PURE: Final = Effects(idempotent=True)
_CASE: Final = "case"
_FOUND: Final = "found"
_SCALARS: Final[Mapping[type, Shape]] = {
    bool: Scalar(Field(name="flag", type=FieldType.BOOL)),
    int: Scalar(Field(name="number", type=FieldType.INT), stored=True),
    float: Scalar(Field(name="number", type=FieldType.FLOAT)),
    str: Scalar(Field(name="text", type=FieldType.STR), stored=True),
}
"""The shapes of literals."""


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
        """One of several, of any shape; what the planner knows of the sources says more."""
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
        """The params; of one that a template gives nothing is known, and it goes where its input was left out."""
        return _of_literal(node.params)

    def build(self, _node: Node) -> Runner:
        """The params themselves."""
        return _params


def control_node_types() -> tuple[NodeType, ...]:
    """One of each."""
    return (SwitchNode(), MergeNode(), TransformNode())


def _of_literal(value: object) -> Shape:
    """The shape of a value that stands in the registry, with templates in it."""
    if isinstance(value, Mapping):
        return Record({name: _of_literal(item) for name, item in value.items()})
    if isinstance(value, list):
        return ListOf(any_of(_of_literal(item) for item in value) or ANYTHING)
    if is_placeholder(value):
        return ANYTHING if cast("Placeholder", value).is_whole else _SCALARS[str]
    return _SCALARS.get(type(value), ANYTHING)


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
    problems += [
        ParamProblem(("params", each), f"a {name} has no param {each!r}") for each in sorted(connected - {"input"})
    ]
    return Binding(problems=problems)
