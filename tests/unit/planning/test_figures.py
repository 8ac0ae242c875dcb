from __future__ import annotations

import itertools
import re
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusd.planning.figure import Card, Figure, figure_of
from nexusd.planning.figure_svg import draw_svg
from nexusd.planning.figure_text import draw_text
from nexusd.planning.layout import Layout, Metrics, lay_out
from tests.support.plans import plan

Sizes = dict[str, tuple[int, int]]
Edges = list[tuple[str, str]]

TEXT = Metrics(gap=3, lane_gap=2, lead=0, track=1, margin=2, per_row=4)
PIXELS = Metrics(gap=28, lane_gap=18, lead=16, track=12, margin=14, per_row=10)

STEERED = """\
      find: {type: ContactReadNode, params: {where: {email: "{{email}}"}, required: false}}
      size: {type: SwitchNode, cases: {old: "find.age > 60"}, default: young}
      old: {type: TransformNode, params: {x: 1}, when: "size.case == 'old'", on_error: rescue}
      rescue: {type: TransformNode, params: {x: "{{input.code}}"}}
      each:
        type: ContactCreateNode
        foreach: "{{people}}"
        on_error: continue
        retry: {attempts: 2}
        params: {name: "{{item.name}}", email: "{{item.email}}", company: "{{find.company}}"}
      end: {type: MergeNode, from: [old, rescue]}
"""


pytestmark = pytest.mark.usefixtures("in_folder")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[Sizes, Edges]:
    """Nodes of some sizes, and edges from earlier to later ones."""
    names = [f"n{i}" for i in range(draw(st.integers(1, 12)))]
    sizes = {name: (draw(st.integers(5, 20)) * 2, draw(st.integers(3, 6))) for name in names}
    pairs = list(itertools.combinations(names, 2))
    return sizes, draw(st.lists(st.sampled_from(pairs), unique=True, max_size=20)) if pairs else []


def check(layout: Layout, sizes: Sizes, edges: Edges) -> None:
    boxes = layout.boxes
    assert boxes.keys() == sizes.keys()
    for name, box in boxes.items():
        assert (box.width, box.height) == sizes[name]
        assert box.x >= 0
        assert box.x + box.width <= layout.width
        assert box.y + box.height <= layout.height
    for one, other in itertools.combinations(boxes.values(), 2):
        apart = one.x + one.width < other.x or other.x + other.width < one.x
        assert apart or one.y + one.height < other.y or other.y + other.height < one.y
    assert layout.lines.keys() == set(edges)
    for (source, target), corners in layout.lines.items():
        assert corners[0] == (boxes[source].middle, boxes[source].y + boxes[source].height)
        assert corners[-1] == (boxes[target].middle, boxes[target].y)
        for (x1, y1), (x2, y2) in itertools.pairwise(corners):
            assert x1 == x2 or y1 == y2
            assert y1 <= y2
            for box in boxes.values():
                beside = max(x1, x2) < box.x or min(x1, x2) >= box.x + box.width
                assert beside or max(y1, y2) <= box.y or min(y1, y2) >= box.y + box.height


@given(graphs(), st.sampled_from([TEXT, PIXELS]))
def test_boxes_stand_apart_and_each_edge_is_a_line_around_them(graph: tuple[Sizes, Edges], metrics: Metrics) -> None:
    sizes, edges = graph
    layout = lay_out(sizes, edges, metrics)

    check(layout, sizes, edges)
    assert layout == lay_out(sizes, list(reversed(edges)), metrics)


@given(graphs(), st.integers(30, 120))
def test_text_has_every_box_whole_and_a_head_for_every_node_that_waits(graph: tuple[Sizes, Edges], width: int) -> None:
    sizes, edges = graph
    cards = {name: Card(name, "Type", (), may_be_skipped=False) for name in sizes}
    drawn = draw_text(Figure("w", cards, dict.fromkeys(edges, False)), width)

    words = re.findall(r"│ +(n\d+) +│", drawn)
    assert sorted(words) == sorted(sizes)
    assert drawn.count("┌") == drawn.count("┘") == len(sizes)
    assert drawn.count("▼") == len({target for _, target in edges})
    assert draw_text(Figure("w", cards, dict.fromkeys(edges, False)), 10_000).count("┌") == len(sizes)


def test_a_steered_workflow_is_drawn_with_what_steers_it() -> None:
    drawn = draw_text(figure_of(plan(STEERED)), 100)

    assert max(map(len, drawn.split("\n"))) <= 100
    for word in ("old: find.age > 60", "else: young", "when size.case == 'old'", "foreach people", "2 attempts",
                 "continue on error", "╎ taken when the node above failed", "╌ a box that may be skipped"):  # fmt: skip
        assert word in drawn


def test_a_narrow_terminal_gets_a_narrow_drawing() -> None:
    cards = {f"m{i}": Card(f"m{i}", "AVeryLongNameOfATypeNode", (), may_be_skipped=False) for i in range(12)}
    figure = Figure("w", {**cards, "z": cards["m0"]}, {(name, "z"): False for name in cards})

    for width in (200, 80, 50):
        assert max(map(len, draw_text(figure, width).split("\n"))) <= width


def test_chain_is_drawn_as_it_is() -> None:
    chain = """\
      create: {type: ContactCreateNode, params: {name: "{{name}}", email: "{{email}}"}}
      search: {type: ContactListNode, params: {filter: {company: "{{create.company}}"}}}
"""
    assert (
        draw_text(figure_of(plan(chain)), 80)
        == """\
┌───────────────────┐
│      create       │
│ ContactCreateNode │
└───────────────────┘
          │
          ▼
 ┌─────────────────┐
 │     search      │
 │ ContactListNode │
 └─────────────────┘"""
    )


def test_image_is_valid_has_everything_and_asks_for_nothing() -> None:
    figure = figure_of(plan(STEERED))
    image = draw_svg(figure)
    root = ET.fromstring(image)  # noqa: S314 - drawn a moment ago
    named = "{http://www.w3.org/2000/svg}"

    assert len(root.findall(f".//{named}rect[@class]")) == 1 + len(figure.cards)
    assert len(root.findall(f".//{named}path")) == 2 * len(figure.edges)
    assert {text.text for text in root.iter(f"{named}text")} >= {*figure.cards, "on error", "foreach people"}
    assert "href" not in image
    assert "<script" not in image
    assert image == draw_svg(figure)
