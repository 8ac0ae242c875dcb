from __future__ import annotations

from nexusd.telemetry.crew_counts import CrewCounts, read_report
from nexusd.telemetry.families import CONNECTIONS, EXECUTIONS, FAMILIES
from nexusd.telemetry.metrics import Metrics
from nexusd.telemetry.series import merged

LABELS = ["w", "http", "completed"]


def report(pid: int, executions: int, connections: int) -> object:
    return [pid, {EXECUTIONS.name: [[LABELS, [executions]]], CONNECTIONS.name: [[["http"], [connections]]]}]


def total(counts: CrewCounts, asked: object, others: list[object]) -> tuple[float, float]:
    """Executions and connections of one scrape."""
    told = counts.answer(asked, others)
    whole = merged(FAMILIES, [read_report(each)[1] for each in (asked, *told)])
    return whole[EXECUTIONS.name][0][1][0], whole[CONNECTIONS.name][0][1][0]


def test_counts_of_an_ended_worker_stay_and_its_gauges_go() -> None:
    counts = CrewCounts(Metrics("1", "inline", 0.0))
    assert total(counts, report(1, 5, 2), [report(2, 7, 3)]) == (12, 5)

    counts.note(report(2, 9, 0))
    counts.leave(2)
    assert total(counts, report(1, 5, 2), [report(3, 0, 1)]) == (14, 3)


def test_worker_that_is_killed_has_counted_what_the_last_scrape_saw() -> None:
    counts = CrewCounts(Metrics("1", "inline", 0.0))
    total(counts, report(1, 5, 2), [report(2, 7, 3)])
    counts.leave(2)
    counts.leave(2)

    assert total(counts, report(1, 6, 2), []) == (13, 2)
