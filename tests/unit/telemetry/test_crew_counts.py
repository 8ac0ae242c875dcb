from __future__ import annotations

from itertools import count

from nexusd.telemetry.crew_counts import CrewCounts, read_report
from nexusd.telemetry.families import CONNECTIONS, EXECUTIONS, FAMILIES
from nexusd.telemetry.metrics import Metrics
from nexusd.telemetry.series import merged

LABELS = ["w", "http", "completed"]
NUMBERS = count(1)


def report(pid: int, executions: int, connections: int) -> object:
    """A report that is later than all before."""
    snapshot = {EXECUTIONS.name: [[LABELS, [executions]]], CONNECTIONS.name: [[["http"], [connections]]]}
    return [pid, next(NUMBERS), snapshot]


def crew(*pids: int) -> CrewCounts:
    """The counts of workers that have begun."""
    counts = CrewCounts(Metrics("1", "inline", 0.0))
    for pid in pids:
        counts.enter(pid)
    return counts


def total(counts: CrewCounts, asked: object, others: list[object]) -> tuple[float, float]:
    """Executions and connections of one scrape."""
    told = counts.answer(asked, others)
    whole = merged(FAMILIES, [read_report(each).snapshot for each in (asked, *told)])
    return whole[EXECUTIONS.name][0][1][0], whole[CONNECTIONS.name][0][1][0]


def test_counts_of_an_ended_worker_stay_and_its_gauges_go() -> None:
    counts = crew(1, 2)
    assert total(counts, report(1, 5, 2), [report(2, 7, 3)]) == (12, 5)

    counts.note(read_report(report(2, 9, 0)))
    counts.leave(2)
    counts.enter(3)
    assert total(counts, report(1, 5, 2), [report(3, 0, 1)]) == (14, 3)


def test_worker_that_is_killed_has_counted_what_the_last_scrape_saw() -> None:
    counts = crew(1, 2)
    total(counts, report(1, 5, 2), [report(2, 7, 3)])
    counts.leave(2)
    counts.leave(2)

    assert total(counts, report(1, 6, 2), []) == (13, 2)


def test_worker_that_does_not_answer_has_still_counted_and_counts_once_when_it_has_ended() -> None:
    counts = crew(1, 2)
    total(counts, report(1, 5, 2), [report(2, 7, 3)])
    counts.note(read_report(report(2, 9, 1)))

    assert total(counts, report(1, 5, 2), []) == (14, 2)
    counts.leave(2)
    assert total(counts, report(1, 5, 2), []) == (14, 2)


def test_what_any_worker_has_told_a_scrape_is_known_to_those_that_others_answer() -> None:
    counts = crew(1, 2)
    total(counts, report(2, 7, 3), [])

    assert total(counts, report(1, 5, 2), []) == (12, 2)


def test_answer_of_a_worker_that_has_ended_meanwhile_is_not_added_again() -> None:
    counts = crew(1, 2)
    late = report(2, 7, 3)
    counts.note(read_report(report(2, 9, 0)))
    counts.leave(2)

    assert total(counts, report(1, 5, 2), [late]) == (14, 2)
    assert total(counts, report(1, 5, 2), []) == (14, 2)


def test_answer_that_a_later_one_has_overtaken_is_passed_over() -> None:
    counts = crew(1, 2)
    slow, own = report(2, 7, 3), report(1, 5, 2)
    total(counts, report(1, 6, 2), [report(2, 9, 1)])

    assert total(counts, own, [slow]) == (14, 3)
    counts.leave(1)
    assert total(counts, report(2, 9, 1), []) == (15, 1)
