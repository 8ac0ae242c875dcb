"""How large a shape is, written out as a JSON Schema; told without writing it out.

Parts are shared: a workflow that runs another ten times holds its outputs once, and shows them ten times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.definitions.shape import ListOf, MapOf, OrNull, Record
from nexusd.planning.intersection import AllOf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.definitions.shape import Shape
    from nexusd.planning.control import Report

MAX_PARTS: Final = 20_000
"""Schemas inside the schema of what a workflow takes or gives."""

MAX_DEPTH: Final = 128
"""How deep they may stand in each other."""


@dataclass(slots=True)
class Extents:
    """Measures shapes, each once."""

    _known: dict[int, tuple[int, int]] = field(default_factory=dict)
    _kept: list[Shape] = field(default_factory=list)

    def of(self, shape: Shape) -> tuple[int, int]:
        """How many parts it has, itself included, and how deep they stand in each other."""
        left = [shape]
        while left:
            each = left[-1]
            inside = _inside(each)
            unknown = [part for part in inside if id(part) not in self._known]
            if unknown:
                left += unknown
                continue
            left.pop()
            found = [self._known[id(part)] for part in inside]
            parts = 1 + sum(count for count, _ in found)
            self._known[id(each)] = parts, 1 + max((depth for _, depth in found), default=0)
            # What is kept keeps its id.
            self._kept.append(each)
        return self._known[id(shape)]

    def check(self, shape: Shape, what: str, report: Report) -> bool:
        """Whether a shape is not too large; `what` names it, and is the key that declares it."""
        parts, depth = self.of(shape)
        if parts > MAX_PARTS:
            hint = "declare outputs: only what a caller needs" if what == "outputs" else ""
            report((what,), f"the {what} have {parts} parts; at most {MAX_PARTS} can be shown", hint)
        elif depth > MAX_DEPTH:
            report((what,), f"the {what} have parts {depth} levels deep; at most {MAX_DEPTH} can be shown", "")
        return parts <= MAX_PARTS and depth <= MAX_DEPTH


def _inside(shape: Shape) -> Sequence[Shape]:
    """The shapes that a shape shows."""
    if isinstance(shape, Record):
        return tuple(shape.properties.values())
    if isinstance(shape, AllOf):
        return shape.shapes
    if isinstance(shape, ListOf):
        return (shape.items,)
    if isinstance(shape, MapOf):
        return (shape.values,)
    return (shape.shape,) if isinstance(shape, OrNull) else ()
