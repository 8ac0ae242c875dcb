"""A workflow as a figure: what its boxes say, and which lines lead where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.planning.control import CONTINUE, FAIL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.workflow import Node
    from nexusd.planning.plan import Plan

SHORTENED: Final = "…"


@dataclass(frozen=True, slots=True)
class Card:
    """What the box of a node says.

    Attributes:
        notes: a line for each control key.
        may_be_skipped: it is drawn with a broken border.
    """

    title: str
    type: str
    notes: tuple[str, ...]
    may_be_skipped: bool

    def lines(self, width: int) -> list[str]:
        """All lines, each of at most so many characters."""
        return [shorten(line, width) for line in (self.title, self.type, *self.notes)]


@dataclass(frozen=True, slots=True)
class Figure:
    """A workflow to be drawn.

    Attributes:
        cards: by node, in an order in which every node stands behind those it needs.
        edges: from and to, and whether the line is only taken when the first one failed.
    """

    name: str
    cards: Mapping[str, Card]
    edges: Mapping[tuple[str, str], bool]


def figure_of(plan: Plan) -> Figure:
    """The figure of a plan."""
    declared = {node.id: node for node in plan.workflow.nodes}
    skipped = {
        node.id for node in plan.nodes if node.when is not None or node.rescues or declared[node.id].on_error != FAIL
    }
    cards: dict[str, Card] = {}
    edges: dict[tuple[str, str], bool] = {}
    for node in plan.nodes:
        if node.waits_for & skipped and not node.gathers:
            skipped.add(node.id)
        is_skipped = node.when is not None or bool(node.rescues) or bool(node.waits_for & skipped)
        cards[node.id] = Card(node.id, node.type, tuple(_notes(declared[node.id])), is_skipped and not node.gathers)
        for index in node.needs:
            source = plan.nodes[index].id
            edges[source, node.id] = source in node.rescues
    return Figure(plan.name, cards, edges)


def _notes(node: Node) -> Iterator[str]:
    if node.when is not None:
        yield f"when {node.when}"
    if node.foreach is not None:
        what = f"{len(node.foreach)} items" if isinstance(node.foreach, list) else str(node.foreach).strip(" {}")
        yield f"foreach {what}" + (f", {node.concurrency} at a time" if node.concurrency else "")
    cases = node.options.get("cases")
    if isinstance(cases, dict):
        yield from (f"{name}: {condition}" for name, condition in cases.items())
        if node.options.get("default") is not None:
            yield f"else: {node.options['default']}"
    for key in ("workflow", "call"):
        if key in node.options:
            yield f"{key} {node.options[key]}"
    if node.retry is not None:
        yield f"{node.retry.attempts} attempts"
    if node.timeout_s is not None:
        yield f"at most {node.timeout_s:g} s"
    if node.on_error == CONTINUE:
        yield "continue on error"


def shorten(text: str, width: int) -> str:
    """A text of at most so many characters, on one line."""
    text = " ".join(text.split())
    return text if len(text) <= width else text[: width - 1] + SHORTENED
