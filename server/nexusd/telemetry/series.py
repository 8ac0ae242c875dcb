"""Counters and histograms as plain dicts of numbers: a fifth of a microsecond each, and easy to add up over processes.

prometheus-client's own take ten times as long; it is used where they are written out (`exposition.py`).
"""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

BUCKETS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0)
"""Upper bounds of every histogram, in seconds; one more bucket holds what is above them."""

Labels: TypeAlias = tuple[str, ...]


class Kind(StrEnum):
    """What a number means."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class Across(StrEnum):
    """What a number is over several processes."""

    SUM = "sum"
    MOST = "most"
    LEAST = "least"


@dataclass(frozen=True, slots=True)
class Family:
    """A metric.

    Attributes:
        name: as scraped, without the suffixes of a histogram.
        labels: their names.
        across: how the numbers of several processes become one.
    """

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    across: Across = Across.SUM


Numbers: TypeAlias = list[float]
"""One number; of a histogram the count of each bucket, not added up, then the sum of all values."""

Snapshot: TypeAlias = dict[str, list[tuple[list[str], Numbers]]]
"""Each family's series by its name: values of the labels, and numbers. Can be written as JSON."""


class Counter:
    """A family that is counted up."""

    __slots__ = ("family", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.values: dict[Labels, float] = {}

    def add(self, labels: Labels = (), amount: float = 1) -> None:
        """Count."""
        self.values[labels] = self.values.get(labels, 0) + amount

    def begin(self, *series: Labels) -> None:
        """Let series be there before anything was counted, so that their first increase is seen."""
        for labels in series:
            self.add(labels, 0)

    def series(self) -> list[tuple[list[str], Numbers]]:
        """What was counted."""
        return [(list(labels), [value]) for labels, value in tuple(self.values.items())]


class Gauge(Counter):
    """A family whose numbers go up and down."""

    __slots__ = ()

    def set(self, labels: Labels, value: float) -> None:
        """Replace a number."""
        self.values[labels] = value


class Histogram:
    """A family of durations."""

    __slots__ = ("family", "values")

    def __init__(self, family: Family) -> None:
        self.family = family
        self.values: dict[Labels, Numbers] = {}

    def begin(self, labels: Labels = ()) -> Numbers:
        """Let a series be there before anything was counted, so that its first increase is seen."""
        numbers = self.values[labels] = [0.0] * (len(BUCKETS) + 2)
        return numbers

    def add(self, labels: Labels, duration_s: float) -> None:
        """Count one duration."""
        numbers = self.values.get(labels) or self.begin(labels)
        numbers[bisect_left(BUCKETS, duration_s)] += 1
        numbers[-1] += duration_s

    def series(self) -> list[tuple[list[str], Numbers]]:
        """What was counted."""
        return [(list(labels), [*numbers]) for labels, numbers in tuple(self.values.items())]


class Total:
    """A family that says how many durations a histogram has counted."""

    __slots__ = ("_of", "family")

    def __init__(self, family: Family, of: Histogram) -> None:
        self.family = family
        self._of = of

    def series(self) -> list[tuple[list[str], Numbers]]:
        """What was counted."""
        return [(list(labels), [sum(numbers[:-1])]) for labels, numbers in tuple(self._of.values.items())]


def merged(families: Mapping[str, Family], snapshots: Iterable[Snapshot]) -> Snapshot:
    """One snapshot of several processes; of a family that is not known, which another version may have, nothing."""
    found: dict[str, dict[Labels, Numbers]] = {name: {} for name in families}
    for snapshot in snapshots:
        for name, series in snapshot.items():
            together = found.get(name)
            if together is None:
                continue
            for labels, numbers in series:
                key = tuple(labels)
                earlier = together.get(key)
                together[key] = numbers if earlier is None else _joined(families[name].across, earlier, numbers)
    return {name: [(list(labels), numbers) for labels, numbers in series.items()] for name, series in found.items()}


def _joined(across: Across, first: Numbers, second: Numbers) -> Numbers:
    pairs = zip(first, second, strict=True)
    if across is Across.SUM:
        return [a + b for a, b in pairs]
    return [max(pair) if across is Across.MOST else min(pair) for pair in pairs]
