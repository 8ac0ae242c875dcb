"""A figure drawn as an SVG image that needs nothing else: no font, no script, no request."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

from nexusd.planning.layout import Metrics, lay_out

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexusd.planning.figure import Card, Figure
    from nexusd.planning.layout import Box

_LABEL: Final = 40
"""Characters of a line at most."""

_EDGE: Final = 16
_PAD: Final = 12
_TITLE_PX: Final = 14
_TEXT_PX: Final = 12
_LINE_PX: Final = 17
_WIDTH_OF_CHARACTER: Final = 0.602
"""Of a monospaced one, as a part of its size."""

_CORNER: Final = 7
_HEAD: Final = 7
_METRICS: Final = Metrics(gap=28, lane_gap=18, lead=16, track=12, margin=14, per_row=10)

_STYLE: Final = """
  .page { fill: #ffffff } .box { fill: #f6f8fa; stroke: #57606a; stroke-width: 1.2 }
  .box.broken { stroke-dasharray: 5 3 } .title { fill: #1f2328; font-weight: 600 } .type { fill: #0550ae }
  .note { fill: #57606a } .line { fill: none; stroke: #57606a; stroke-width: 1.4 } .head { fill: #57606a }
  .line.error { stroke: #bc4c00; stroke-dasharray: 5 3 } .head.error { fill: #bc4c00 } .told { fill: #bc4c00 }
  @media (prefers-color-scheme: dark) {
    .page { fill: #0d1117 } .box { fill: #161b22; stroke: #8b949e } .title { fill: #e6edf3 } .type { fill: #79c0ff }
    .note { fill: #9198a1 } .line { stroke: #8b949e } .head { fill: #8b949e } .line.error { stroke: #f0883e }
    .head.error, .told { fill: #f0883e }
  }
"""


def draw_svg(figure: Figure) -> str:
    """The figure as an SVG document; light or dark as whoever looks at it prefers."""
    layout = lay_out({name: _size(card) for name, card in figure.cards.items()}, figure.edges, _METRICS)
    width, height = layout.width + 2 * _EDGE, layout.height + 2 * _EDGE
    name = escape(figure.name)
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
            f' role="img" aria-label="{name}" font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, monospace">'
        ),
        f"<title>{name}</title>",
        f"<style>{_STYLE}</style>",
        f'<rect class="page" width="{width}" height="{height}"/>',
        f'<g transform="translate({_EDGE} {_EDGE})">',
    ]
    for edge, corners in layout.lines.items():
        parts += _line(corners, is_error=figure.edges[edge])
    for each, box in layout.boxes.items():
        parts += _box(box, figure.cards[each])
    return "\n".join([*parts, "</g>", "</svg>", ""])


def _size(card: Card) -> tuple[int, int]:
    title, *rest = card.lines(_LABEL)
    widest = max(len(title) * _TITLE_PX, *(len(line) * _TEXT_PX for line in rest))
    # Even, so that the middle is a whole number.
    width = round((widest * _WIDTH_OF_CHARACTER + 2 * _PAD) / 2) * 2
    return width, (1 + len(rest)) * _LINE_PX + 2 * _PAD - 4


def _box(box: Box, card: Card) -> Iterator[str]:
    broken = " broken" if card.may_be_skipped else ""
    yield f'<rect class="box{broken}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="7"/>'
    y = box.y + _PAD + _TITLE_PX - 3
    title, *rest = card.lines(_LABEL)
    yield _text("title", box.middle, y, _TITLE_PX, title, anchor="middle")
    for i, line in enumerate(rest):
        y += _LINE_PX
        if i:
            yield _text("note", box.x + _PAD, y, _TEXT_PX, line)
        else:
            yield _text("type", box.middle, y, _TEXT_PX, line, anchor="middle")


def _text(kind: str, x: int, y: int, size: int, text: str, anchor: str = "start") -> str:
    return f'<text class="{kind}" x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}">{escape(text)}</text>'


def _line(corners: Sequence[tuple[int, int]], *, is_error: bool) -> Iterator[str]:
    """A line with round corners, and the head of an arrow at its end."""
    error = " error" if is_error else ""
    *before, (x, end) = corners
    yield f'<path class="line{error}" d="{_path([*before, (x, end - _HEAD)])}"/>'
    yield f'<path class="head{error}" d="M{x - 4} {end - _HEAD - 1}h8L{x} {end - 1}z"/>'
    if is_error:
        yield _text("told", x + 7, end - _HEAD - 4, 11, "on error")


def _path(points: Sequence[tuple[int, int]]) -> str:
    steps = [f"M{points[0][0]} {points[0][1]}"]
    for (x1, y1), (x2, y2), (x3, y3) in zip(points, points[1:], points[2:], strict=False):
        radius = min(_CORNER, (abs(x2 - x1) + abs(y2 - y1)) // 2, (abs(x3 - x2) + abs(y3 - y2)) // 2)
        steps.append(f"L{x2 - _towards(x1, x2) * radius} {y2 - _towards(y1, y2) * radius}")
        steps.append(f"Q{x2} {y2} {x2 + _towards(x2, x3) * radius} {y2 + _towards(y2, y3) * radius}")
    steps.append(f"L{points[-1][0]} {points[-1][1]}")
    return "".join(steps)


def _towards(start: int, end: int) -> int:
    return (end > start) - (end < start)
