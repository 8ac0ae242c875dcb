"""What the first words of a template's path mean in one workflow (docs/reference.md, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from nexusd.definitions.shape import pointer_of

if TYPE_CHECKING:
    from nexusd.definitions.condition import Reference
    from nexusd.definitions.template import Expression


class Root(Enum):
    """Where a path begins."""

    INPUT = "input"
    NODE = "node"
    CONNECTED = "connected"
    ITEM = "item"
    NOW = "now"
    UUID = "uuid"


@dataclass(frozen=True, slots=True)
class Resolved:
    """A path whose beginning is known.

    Attributes:
        name: of the input or node; empty for the other roots.
        steps: what follows.
        is_explicit: it was written with `inputs.` or `nodes.`.
    """

    root: Root
    name: str
    steps: tuple[str | int, ...]
    is_explicit: bool = False

    @property
    def pointer(self) -> str | None:
        """Of the input that it leads to, as an UnfitInput gives it; None where it leads to none."""
        if self.root is Root.INPUT:
            return f"/inputs{pointer_of((self.name, *self.steps))}"
        return f"*{pointer_of(self.steps)}" if self.root is Root.ITEM else None


class UnresolvedName(ValueError):
    """A path that means nothing or two things."""


@dataclass(frozen=True, slots=True)
class Names:
    """The names of one workflow.

    Attributes:
        has_item: they are read in a node with `foreach`.
    """

    nodes: frozenset[str]
    inputs: frozenset[str]
    has_item: bool = False

    def resolve(self, expression: Expression | Reference) -> Resolved:
        """What an expression's path begins with.

        Raises:
            UnresolvedName: the name is ambiguous, or the root needs a name behind it.
        """
        first, *rest = expression.path
        name = str(first)
        if name in ("inputs", "nodes"):
            return self._explicit(name, rest, expression)
        if name == "input":
            return Resolved(Root.CONNECTED, "", tuple(rest))
        if name == "item" and self.has_item:
            return Resolved(Root.ITEM, "", tuple(rest))
        if name == "item":
            message = "item means something only in a node with foreach"
            raise UnresolvedName(message)
        if name in ("now", "uuid"):
            if rest:
                message = f"{name} has no parts; an input or node of this name is inputs.{name} or nodes.{name}"
                raise UnresolvedName(message)
            return Resolved(Root.NOW if name == "now" else Root.UUID, "", ())
        if name in self.nodes and name in self.inputs:
            message = f"{name!r} is both an input and a node; write inputs.{name} or nodes.{name}"
            raise UnresolvedName(message)
        return Resolved(Root.NODE if name in self.nodes else Root.INPUT, name, tuple(rest))

    def _explicit(self, root: str, rest: list[str | int], expression: Expression | Reference) -> Resolved:
        if not rest or not isinstance(rest[0], str):
            message = f"{expression.text}: a name must follow {root}"
            raise UnresolvedName(message)
        if root == "inputs":
            return Resolved(Root.INPUT, rest[0], tuple(rest[1:]), is_explicit=True)
        if rest[0] not in self.nodes:
            message = f"there is no node {rest[0]!r}"
            raise UnresolvedName(message)
        return Resolved(Root.NODE, rest[0], tuple(rest[1:]), is_explicit=True)
