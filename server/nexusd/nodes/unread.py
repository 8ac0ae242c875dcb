"""A node of a type of which nothing is known, since what declares it cannot be read; such nodes are never run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING
from nexusd.errors import InternalError
from nexusd.nodes.binding import is_placeholder
from nexusd.nodes.node import Binding, Effects, Slot

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import Choice, FirstOf, NodeContext, ParamPath, Runner


class UnreadNode:
    """Takes everything and gives anything, so that nothing around it is blamed.

    Args:
        name: of the type.
        keys: that stand beside `params` in its nodes.
    """

    def __init__(self, name: str, keys: frozenset[str] = frozenset()) -> None:
        self.name = name
        self.keys = keys

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """None that are known."""
        return Effects()

    def bind(self, _node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """A slot for every template, which may be left out."""
        anything = Slot(ANYTHING, optional=True, droppable=True)
        places = (*_templates(params, ()), *((name,) for name in connected))
        return Binding(slots=dict.fromkeys(places, anything))

    def result(self, _node: Node) -> Shape:
        """Anything."""
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        """Nothing of a registry is run of which something cannot be read."""

        async def refuse(_params: Mapping[str, object], _context: NodeContext) -> object:
            message = f"what a {self.name} is could not be read"
            raise InternalError(message)

        return refuse


def _templates(value: object, path: ParamPath) -> Iterator[ParamPath]:
    if isinstance(value, dict):
        for name, item in value.items():
            yield from _templates(item, (*path, name))
    elif isinstance(value, list):
        for i, item in enumerate(value):
            yield from _templates(item, (*path, i))
    elif is_placeholder(value):
        yield path
