"""A layered drawing of a graph: boxes in rows from top to bottom, and for each edge the corners of its line.

Each node stands below all it needs. A line that passes rows gets a lane through them; lines out of one node share
lane and track until they part. The same graph gives the same drawing. Units are those of the sizes that come in:
characters for a terminal, pixels for an image (after Sugiyama, Tagawa and Toda, 1981).
"""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_SWEEPS: Final = 6
"""How often the rows are ordered by their neighbours."""

_MOVES: Final = 12
_MOST_MOVES: Final = 400
"""How often they are moved towards them: more often the more rows there are, within reason."""

_FAR: Final = 1_000_000

_LANE_WEIGHT: Final = 8.0
"""How much more a straight lane counts than a box that stands just below its neighbour."""


@dataclass(frozen=True, slots=True)
class Metrics:
    """Distances.

    Attributes:
        gap: between boxes; `lane_gap` beside a lane.
        lead: from a box down to the first horizontal line; `track` from one such line to the next.
        margin: what stays free above a box for the head of an arrow.
        per_row: how many boxes a row has at most.
    """

    gap: int
    lane_gap: int
    lead: int
    track: int
    margin: int
    per_row: int


@dataclass(frozen=True, slots=True)
class Box:
    """Where a node stands."""

    x: int
    y: int
    width: int
    height: int

    @property
    def middle(self) -> int:
        """The column in which lines leave and arrive."""
        return self.x + self.width // 2


@dataclass(frozen=True, slots=True)
class Layout:
    """A drawing.

    Attributes:
        lines: by edge, the corners from the bottom of one box to the top of another.
    """

    width: int
    height: int
    boxes: Mapping[str, Box]
    lines: Mapping[tuple[str, str], tuple[tuple[int, int], ...]]


@dataclass(slots=True, eq=False)
class _Spot:
    """A node in a row, or the lane of what comes from `name` and passes it."""

    name: str
    row: int
    width: int
    height: int
    is_lane: bool = False
    at: float = 0.0
    x: int = 0
    above: list[_Spot] = field(default_factory=list)
    below: list[_Spot] = field(default_factory=list)


@dataclass(frozen=True, slots=True, eq=False)
class _Bundle:
    """Spots whose lines turn together, since they lead to the same places."""

    spots: tuple[_Spot, ...]

    @property
    def span(self) -> tuple[int, int]:
        columns = [each.x for each in (*self.spots, *self.spots[0].below)]
        return min(columns), max(columns)

    def touches(self, other: _Bundle) -> bool:
        """Whether the two cannot share a track."""
        return self.span[0] <= other.span[1] and other.span[0] <= self.span[1]

    def blocks(self, other: _Bundle) -> bool:
        """Whether it comes down where the other one turns into the same column, so that it must turn first."""
        arriving = {each.x for each in other.spots[0].below}
        ours = {each.x for each in self.spots[0].below}
        return any(spot.x in arriving - ours for spot in self.spots)


def lay_out(sizes: Mapping[str, tuple[int, int]], edges: Iterable[tuple[str, str]], metrics: Metrics) -> Layout:
    """Draw a graph.

    Args:
        sizes: width and height of each node, in an order in which every node stands behind those it needs.
        edges: from and to.
        metrics: the distances.
    """
    return _Drawing(sizes, sorted(set(edges)), metrics).draw()


class _Drawing:
    def __init__(
        self, sizes: Mapping[str, tuple[int, int]], edges: Sequence[tuple[str, str]], metrics: Metrics
    ) -> None:
        self._metrics = metrics
        self._edges = edges
        self._rows: list[list[_Spot]] = []
        self._nodes: dict[str, _Spot] = {}
        self._steps: dict[tuple[str, str], list[_Spot]] = {}
        self._place(sizes)
        self._connect()

    def draw(self) -> Layout:
        for sweep in range(_SWEEPS):
            self._order(down=sweep % 2 == 0)
        self._spread()
        tracks = [self._tracks(row) for row in self._rows]
        tops, ends = self._heights(tracks)
        boxes = {
            name: Box(spot.x - spot.width // 2, tops[spot.row], spot.width, spot.height)
            for name, spot in self._nodes.items()
        }
        lines = {edge: self._line(edge, boxes, tracks, ends) for edge in self._edges}
        width = max((x for line in lines.values() for x, _ in line), default=0) + 1
        return Layout(
            max(width, max((box.x + box.width for box in boxes.values()), default=0)),
            max((box.y + box.height for box in boxes.values()), default=0),
            boxes,
            lines,
        )

    # Rows

    def _place(self, sizes: Mapping[str, tuple[int, int]]) -> None:
        """Give each node the first row below what it needs that is not full."""
        needs: dict[str, list[str]] = {name: [] for name in sizes}
        for source, target in self._edges:
            needs[target].append(source)
        for name, (width, height) in sizes.items():
            row = max((self._nodes[each].row + 1 for each in needs[name]), default=0)
            while row < len(self._rows) and len(self._rows[row]) >= self._metrics.per_row:
                row += 1
            while len(self._rows) <= row:
                self._rows.append([])
            spot = _Spot(name, row, width, height)
            self._nodes[name] = spot
            self._rows[row].append(spot)

    def _connect(self) -> None:
        """Lead each edge through a spot in every row between its ends."""
        leaving = Counter(source for source, _ in self._edges)
        lanes: dict[tuple[str, str, int], _Spot] = {}
        for source, target in self._edges:
            first, last = self._nodes[source], self._nodes[target]
            steps = [first]
            # What leaves one node goes together until it parts; what only arrives at one comes together.
            shared = (source, "") if leaving[source] > 1 else ("", target)
            for row in range(first.row + 1, last.row):
                lane = lanes.get((*shared, row))
                if lane is None:
                    lane = lanes[*shared, row] = _Spot("".join(shared), row, 1, 0, is_lane=True)
                    self._rows[row].append(lane)
                steps.append(lane)
            steps.append(last)
            self._steps[source, target] = steps
            for upper, lower in itertools.pairwise(steps):
                if lower not in upper.below:
                    upper.below.append(lower)
                    lower.above.append(upper)

    def _order(self, *, down: bool) -> None:
        """Order each row by where its neighbours stand in the one before it."""
        for row in self._rows if down else reversed(self._rows):
            places = {id(spot): i for each in self._rows for i, spot in enumerate(each)}
            wanted: dict[int, float] = {}
            for i, spot in enumerate(row):
                beside = spot.above if down else spot.below
                wanted[id(spot)] = sum(places[id(each)] for each in beside) / len(beside) if beside else i
            row.sort(key=lambda spot: wanted[id(spot)])

    # Columns

    def _spread(self) -> None:
        """Move the boxes of each row as near to their neighbours as their order allows."""
        for row in self._rows:
            self._align(row, [0.0] * len(row))
        moves = min(_MOST_MOVES, max(_MOVES, len(self._rows) ** 2 * 2))
        for move in range(moves):
            down = move % 2 == 0
            for row in self._rows if down else reversed(self._rows):
                # First from one end to the other; then both sides count, so that what stands between does not wander.
                beside = [
                    (spot.above + spot.below if move >= _MOVES else spot.above if down else spot.below) for spot in row
                ]
                self._align(row, [_pull(spot, some) for spot, some in zip(row, beside, strict=True)])
        left = min((spot.at - spot.width // 2 for row in self._rows for spot in row), default=0.0)
        for row in self._rows:
            offsets = self._offsets(row)
            least = 0
            for spot, offset in zip(row, offsets, strict=True):
                spot.x = max(round(spot.at - left), least + offset)
                least = spot.x - offset

        self._straighten()
        self._snap()

    def _snap(self) -> None:
        """Put a box right below a neighbour that it misses only just."""
        for row in self._rows:
            for spot in row:
                near = [each.x for each in spot.above if abs(each.x - spot.x) <= self._metrics.gap // 2]
                low, high = self._room(spot)
                if near and not spot.is_lane and low <= near[0] <= high:
                    spot.x = near[0]

    def _straighten(self) -> None:
        """Give the lanes of one line the same column, where nothing stands in the way."""
        following = {id(lower) for row in self._rows for spot in row if spot.is_lane for lower in spot.below}
        for start in (spot for row in self._rows for spot in row if spot.is_lane and id(spot) not in following):
            lanes = [start]
            while (lower := next((each for each in lanes[-1].below if each.is_lane), None)) is not None:
                lanes.append(lower)
            columns = sorted(lane.x for lane in lanes)
            room = [self._room(lane) for lane in lanes]
            least, most = max(low for low, _ in room), min(high for _, high in room)
            if least <= most:
                for lane in lanes:
                    lane.x = min(max(columns[len(columns) // 2], least), most)

    def _room(self, spot: _Spot) -> tuple[int, int]:
        """The first and the last column where a spot could stand between its neighbours."""
        row = self._rows[spot.row]
        i, offsets = row.index(spot), self._offsets(row)
        low = row[i - 1].x + offsets[i] - offsets[i - 1] if i else spot.width // 2
        high = row[i + 1].x - offsets[i + 1] + offsets[i] if i + 1 < len(row) else max(spot.x, low) + _FAR
        return low, high

    def _offsets(self, row: Sequence[_Spot]) -> list[int]:
        """How far right of the first spot of a row each other stands at least."""
        offsets = [0]
        for left, right in itertools.pairwise(row):
            gap = self._metrics.lane_gap if left.is_lane or right.is_lane else self._metrics.gap
            offsets.append(offsets[-1] + left.width - left.width // 2 + gap + right.width // 2)
        return offsets

    def _align(self, row: Sequence[_Spot], wanted: Sequence[float]) -> None:
        """The columns nearest to those wanted (least squares) in which nothing overlaps; lanes weigh more."""
        offsets = self._offsets(row)
        # Without the offsets the columns must not descend: groups that would are joined and take their mean.
        groups: list[tuple[float, float, int]] = []
        for spot, want, offset in zip(row, wanted, offsets, strict=True):
            weight = _LANE_WEIGHT if spot.is_lane else 1.0
            total, weights, count = weight * (want - offset), weight, 1
            while groups and groups[-1][0] / groups[-1][1] >= total / weights:
                before, heavy, several = groups.pop()
                total, weights, count = total + before, weights + heavy, count + several
            groups.append((total, weights, count))
        means = [total / weights for total, weights, count in groups for _ in range(count)]
        for spot, mean, offset in zip(row, means, offsets, strict=True):
            spot.at = mean + offset

    # Lines

    def _tracks(self, row: Sequence[_Spot]) -> dict[int, int]:
        """For each spot whose line turns below this row the number of its track, 0 being the highest."""
        bundles: dict[tuple[int, ...], list[_Spot]] = {}
        for spot in row:
            if any(each.x != spot.x for each in spot.below):
                bundles.setdefault(tuple(id(each) for each in spot.below), []).append(spot)
        left = [_Bundle(tuple(spots)) for spots in bundles.values()]
        done: list[tuple[_Bundle, int]] = []
        while left:
            # A line that comes down onto a column must turn off before another one turns into it.
            bundle = next((b for b in left if not any(each.blocks(b) for each in left if each is not b)), left[0])
            left.remove(bundle)
            track = max((number + 1 for each, number in done if each.blocks(bundle)), default=0)
            while any(number == track and each.touches(bundle) for each, number in done):
                track += 1
            done.append((bundle, track))
        return {id(spot): track for bundle, track in done for spot in bundle.spots}

    def _heights(self, tracks: Sequence[Mapping[int, int]]) -> tuple[list[int], list[int]]:
        """The top of each row, and the end of its boxes."""
        tops, ends, y = [], [], 0
        for row, turns in zip(self._rows, tracks, strict=True):
            tops.append(y)
            y += max((spot.height for spot in row), default=0)
            ends.append(y)
            y += self._metrics.lead + (max(turns.values(), default=-1) + 1) * self._metrics.track + self._metrics.margin
        return tops, ends

    def _line(
        self,
        edge: tuple[str, str],
        boxes: Mapping[str, Box],
        tracks: Sequence[Mapping[int, int]],
        ends: Sequence[int],
    ) -> tuple[tuple[int, int], ...]:
        steps = self._steps[edge]
        source, target = boxes[edge[0]], boxes[edge[1]]
        points = [(source.middle, source.y + source.height)]
        for upper, lower in itertools.pairwise(steps):
            if upper.x != lower.x:
                y = ends[upper.row] + self._metrics.lead + tracks[upper.row][id(upper)] * self._metrics.track
                points += [(upper.x, y), (lower.x, y)]
        points.append((target.middle, target.y))
        return tuple(dict.fromkeys(points))


def _pull(spot: _Spot, beside: Sequence[_Spot]) -> float:
    """The column where a spot wants to be."""
    if not beside:
        return spot.at
    weights = [_LANE_WEIGHT if spot.is_lane and each.is_lane else 1.0 for each in beside]
    return sum(weight * each.at for weight, each in zip(weights, beside, strict=True)) / sum(weights)
