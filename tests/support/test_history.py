"""The checker finds what is planted."""

from __future__ import annotations

import pytest

from tests.support.history import Attempt, Line, Outcome, faults


def write(mark: str, version: int, t0: float, t1: float, outcome: Outcome = Outcome.OK, answer: str = "a") -> Attempt:
    return Attempt(
        client=0,
        op="write",
        key=mark,
        row="r",
        mark=mark,
        t0=t0,
        t1=t1,
        outcome=outcome,
        answer=answer,
        version=version,
    )


def read(version: int, t0: float, t1: float) -> Attempt:
    return Attempt(client=0, op="read", key=None, row="r", mark="", t0=t0, t1=t1, outcome=Outcome.OK, version=version)


A, B = write("a", 2, 0, 1), write("b", 3, 2, 3)
JOURNAL = [Line("a", "r", 2), Line("b", "r", 3)]


def words(attempts: list[Attempt], journal: list[Line], version: int = 3) -> list[str]:
    return [fault.partition(":")[0] for fault in faults(attempts, journal, {"r": version})]


def test_what_fits_has_no_fault() -> None:
    concurrent = write("c", 5, 4, 9), write("d", 4, 5, 8)
    journal = [*JOURNAL, Line("c", "r", 5), Line("d", "r", 4), Line("e", "s", 0)]
    append = Attempt(client=1, op="append", key="e", row="s", mark="e", t0=0, t1=1, outcome=Outcome.OK)
    unknown = [write("f", 0, 0, 1, Outcome.UNKNOWN), write("g", 0, 0, 1, Outcome.FAIL)]
    reads = [read(3, 3.5, 4), read(5, 4.5, 9), read(5, 9.5, 10), read(4, 5, 6)]
    assert words([A, B, *concurrent, append, *unknown, *reads, A], journal, 5) == []
    assert words([A, B, write("f", 0, 5, 6, Outcome.UNKNOWN)], [*JOURNAL, Line("f", "r", 4)], 4) == []


@pytest.mark.parametrize(
    ("attempts", "journal", "version", "found"),
    [
        ([A, B], JOURNAL[:1], 2, ["lost"]),
        ([A, B], [*JOURNAL, Line("a", "r", 4)], 4, ["double"]),
        ([A, B, write("f", 0, 4, 5, Outcome.UNKNOWN)], [*JOURNAL, Line("f", "r", 4), Line("f", "r", 5)], 5, ["double"]),
        ([A, B, write("c", 0, 4, 5, Outcome.FAIL)], [*JOURNAL, Line("c", "r", 4)], 4, ["unexpected"]),
        ([A], JOURNAL, 3, ["unexpected"]),
        ([A, B], JOURNAL, 4, ["gap"]),
        ([A, B, write("c", 3, 2, 4)], [*JOURNAL, Line("c", "r", 3)], 3, ["gap"]),
        ([A, B, write("b", 3, 4, 5, answer="b")], JOURNAL, 3, ["changed"]),
        ([A, write("b", 4, 2, 3)], JOURNAL, 3, ["wrong"]),
        ([write("a", 3, 0, 1), write("b", 2, 2, 3)], [Line("a", "r", 3), Line("b", "r", 2)], 3, ["reordered"]),
        ([A, B, read(2, 4, 5)], JOURNAL, 3, ["stale"]),
        ([A, B, read(3, 2.5, 2.6), read(2, 2.7, 2.8)], JOURNAL, 3, ["stale"]),
    ],
)
def test_what_does_not_fit_is_found(
    attempts: list[Attempt], journal: list[Line], version: int, found: list[str]
) -> None:
    assert words(attempts, journal, version) == found
