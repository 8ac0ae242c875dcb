"""A figure drawn with characters, for a terminal."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from nexusd.planning.layout import Layout, Metrics, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.planning.figure import Figure

_LABEL_WIDTHS: Final = (34, 26, 18, 12)
"""How long the lines of a box may be; the longest with which the figure is narrow enough."""

_UP, _DOWN, _LEFT, _RIGHT = 1, 2, 4, 8
_SIGNS: Final = {
    _UP | _DOWN: "│", _LEFT | _RIGHT: "─", _UP | _RIGHT: "╰", _UP | _LEFT: "╯", _DOWN | _RIGHT: "╭",
    _DOWN | _LEFT: "╮", _UP | _DOWN | _RIGHT: "├", _UP | _DOWN | _LEFT: "┤", _LEFT | _RIGHT | _DOWN: "┬",
    _LEFT | _RIGHT | _UP: "┴", _UP | _DOWN | _LEFT | _RIGHT: "┼",
}  # fmt: skip
_BROKEN: Final = {"│": "╎", "─": "╌"}
_LEGEND: Final = ("╎ taken when the node above failed", "╌ a box that may be skipped")


def draw_text(figure: Figure, width: int) -> str:
    """The figure in lines of at most `width` columns, where that can be done."""
    layout, label_width = _fitting(figure, width)
    canvas = _Canvas(layout)
    for name, box in layout.boxes.items():
        card = figure.cards[name]
        canvas.box(box.x, box.y, box.width, card.lines(label_width), broken=card.may_be_skipped)
    for edge, corners in layout.lines.items():
        canvas.line(edge[0], corners, broken=figure.edges[edge])
    lines = list(canvas.lines())
    legend = [
        text
        for text, needed in zip(
            _LEGEND,
            (any(figure.edges.values()), any(card.may_be_skipped for card in figure.cards.values())),
            strict=True,
        )
        if needed
    ]
    return "\n".join([*lines, *(["", *legend] if legend else [])])


def _fitting(figure: Figure, width: int) -> tuple[Layout, int]:
    """The first layout that is narrow enough: shorter labels before fewer boxes in a row; else the narrowest."""
    found: list[tuple[Layout, int]] = []
    for per_row in sorted({len(figure.cards), 8, 6, 5, 4, 3, 2, 1}, reverse=True):
        for label_width in _LABEL_WIDTHS:
            sizes = {}
            for name, card in figure.cards.items():
                lines = card.lines(label_width)
                sizes[name] = (max(map(len, lines)) + 4, len(lines) + 2)
            layout = lay_out(
                sizes, figure.edges, Metrics(gap=3, lane_gap=2, lead=0, track=1, margin=2, per_row=per_row)
            )
            if layout.width <= width:
                return layout, label_width
            found.append((layout, label_width))
    return min(found, key=lambda each: each[0].width)


class _Canvas:
    """Characters in rows and columns."""

    def __init__(self, layout: Layout) -> None:
        self._signs = [[" "] * layout.width for _ in range(layout.height)]
        self._lines: dict[tuple[int, int], dict[str, int]] = {}
        self._broken: dict[tuple[int, int], bool] = {}
        self._heads: set[tuple[int, int]] = set()

    def box(self, x: int, y: int, width: int, lines: list[str], *, broken: bool) -> None:
        """A box with its lines of text, the first in the middle of it."""
        flat, upright = ("╌", "╎") if broken else ("─", "│")
        rows = [f"┌{flat * (width - 2)}┐"]
        rows += [f"{upright} {line:{'^' if i < 1 else ''}{width - 4}} {upright}" for i, line in enumerate(lines)]
        rows.append(f"└{flat * (width - 2)}┘")
        for i, row in enumerate(rows):
            self._signs[y + i][x : x + width] = row

    def line(self, net: str, corners: tuple[tuple[int, int], ...], *, broken: bool) -> None:
        """A line that ends in a head; lines of one net are joined where they meet, others cross."""
        *_, (x, end) = corners
        points = [*corners[:-1], (x, end - 1)]
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            if y1 == y2:
                left, right = sorted((x1, x2))
                for column in range(left, right + 1):
                    bits = (_LEFT if column > left else 0) | (_RIGHT if column < right else 0)
                    self._mark((column, y1), net, bits, broken=broken)
            else:
                for row in range(y1, y2 + 1):
                    bits = (_UP if row > y1 or (x1, y1) == points[0] else 0) | (_DOWN if row < y2 else 0)
                    self._mark((x1, row), net, bits, broken=broken)
        self._mark(points[0], net, _UP, broken=broken)
        self._mark(points[-1], net, _DOWN, broken=broken)
        self._heads.add(points[-1])

    def _mark(self, place: tuple[int, int], net: str, bits: int, *, broken: bool) -> None:
        nets = self._lines.setdefault(place, {})
        nets[net] = nets.get(net, 0) | bits
        self._broken[place] = self._broken.get(place, True) and broken

    def lines(self) -> Iterator[str]:
        """The rows, without blanks at their ends."""
        for place, nets in self._lines.items():
            x, y = place
            sign = "▼" if place in self._heads else _sign(nets)
            self._signs[y][x] = _BROKEN.get(sign, sign) if self._broken[place] else sign
        for row in self._signs:
            yield "".join(row).rstrip()


def _sign(nets: dict[str, int]) -> str:
    """The character of a place where lines of some nets are."""
    kinds = set(nets.values())
    # Two that only pass each other: the one goes on below the other.
    if kinds == {_UP | _DOWN, _LEFT | _RIGHT}:
        return "│"
    union = 0
    for each in kinds:
        union |= each
    return _SIGNS.get(union, "│")
