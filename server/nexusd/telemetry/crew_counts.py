"""What workers have counted, as their parent keeps it: also of those that have ended, so that no count goes down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from nexusd.telemetry.families import FAMILIES
from nexusd.telemetry.series import Kind, Snapshot, merged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexusd.telemetry.metrics import Metrics

SUBJECT: Final = "metrics"
"""What processes of one server ask each other under."""


class Report(NamedTuple):
    """What a process has counted.

    Attributes:
        number: how many it has given; of two of one process the one with the larger number is the later.
    """

    pid: int
    number: int
    snapshot: Snapshot


_KEPT: Final = frozenset(name for name, family in FAMILIES.items() if family.kind is not Kind.GAUGE)


def read_report(message: object) -> Report:
    """A report as it came over a line."""
    return msgspec.convert(message, Report)


class CrewCounts:
    """Adds what the parent knows to a scrape that a worker answers.

    A worker counts from its first report to its end, also while it does not answer: while it is about to end, is stuck,
    or was killed a moment ago. Then what it has counted is added for good, once.

    Args:
        metrics: of the parent itself.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._latest: dict[int, Report] = {}
        self._ended: Snapshot = {}

    def enter(self, pid: int) -> None:
        """A worker has begun."""
        self._latest[pid] = Report(pid, 0, {})

    def note(self, report: Report) -> None:
        """Keep the latest numbers of a worker that has not ended; one that is killed has counted that much for sure."""
        known = self._latest.get(report.pid)
        if known is not None and report.number > known.number:
            self._latest[report.pid] = report

    def leave(self, pid: int) -> None:
        """A worker has ended: what it counted stays, what it was goes."""
        known = self._latest.pop(pid, None)
        if known is not None:
            self._ended = merged(FAMILIES, [self._ended, _counts(known.snapshot)])

    def answer(self, asked: object, reports: Iterable[object]) -> list[object]:
        """What a worker is told that has sent its own report: that of each other one, and what only the parent knows.

        Args:
            asked: the worker's own.
            reports: of those that have answered.
        """
        own = read_report(asked)
        given = [own, *map(read_report, reports)]
        for report in given:
            self.note(report)
        answering = {report.pid for report in given}
        others: list[Report] = [
            each if each.pid in answering else each._replace(snapshot=_counts(each.snapshot))
            for each in self._latest.values()
            if each.pid != own.pid
        ]
        return [*others, Report(0, 0, self._ended), Report(0, 0, self._metrics.snapshot())]


def _counts(snapshot: Snapshot) -> Snapshot:
    """What only goes up."""
    return {name: series for name, series in snapshot.items() if name in _KEPT}
