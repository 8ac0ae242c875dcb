"""What workers have counted, as their parent keeps it: also of those that have ended, so that no count goes down."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from nexusd.telemetry.families import FAMILIES
from nexusd.telemetry.series import Kind, Snapshot, merged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexusd.telemetry.metrics import Metrics

SUBJECT: Final = "metrics"
"""What processes of one server ask each other under."""

Report: TypeAlias = tuple[int, Snapshot]
"""A process's id and its numbers."""

_KEPT: Final = frozenset(name for name, family in FAMILIES.items() if family.kind is not Kind.GAUGE)


def read_report(message: object) -> Report:
    """A report as it came over a line."""
    report: Report = msgspec.convert(message, Report)
    return report


class CrewCounts:
    """Adds what the parent knows to a scrape that a worker answers.

    Args:
        metrics: of the parent itself.
    """

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._latest: dict[int, Snapshot] = {}
        self._ended: Snapshot = {}

    def note(self, report: object) -> None:
        """Keep the latest numbers of a worker; one that is killed has counted that much for sure."""
        pid, snapshot = read_report(report)
        self._latest[pid] = snapshot

    def leave(self, pid: int) -> None:
        """A worker has ended: what it counted stays, what it was goes."""
        snapshot = self._latest.pop(pid, {})
        counts = {name: series for name, series in snapshot.items() if name in _KEPT}
        self._ended = merged(FAMILIES, [self._ended, counts])

    def answer(self, asked: object, reports: Iterable[object]) -> list[object]:
        """What a worker is told that has sent its own report, and that of each other one."""
        told = [*reports]
        for report in (asked, *told):
            self.note(report)
        return [*told, [0, self._ended], [0, self._metrics.snapshot()]]
