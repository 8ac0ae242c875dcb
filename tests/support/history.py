"""What clients of a fault test saw, and whether it can be reconciled with what the database holds in the end.

Each write leaves a line in a journal, in the transaction of what it writes: a mark that no other write has, the row
that it changed and the version that this gave the row. So every effect can be counted, and the order of the changes of
a row is their versions.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


class Outcome(StrEnum):
    """What a client was told: it is done, it is surely not, or nobody knows."""

    OK = "ok"
    FAIL = "fail"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One request.

    Attributes:
        op: `write`, `append` (a write of a journal line alone) or `read`.
        key: its Idempotency-Key.
        row: what it reads or changes.
        mark: what it writes.
        answer: the whole answer, where it is done.
        version: of the row, as it was told.
        t0: when it was sent, by a clock that all clients share.
        t1: when its outcome was known.
        code: what a problem document said.
    """

    client: int
    op: str
    key: str | None
    row: str
    mark: str
    t0: float
    t1: float
    outcome: Outcome
    answer: str = ""
    version: int = 0
    code: str = ""


class Line(NamedTuple):
    """One line of the journal; `version` is 0 where no row was changed."""

    mark: str
    row: str
    version: int


@dataclass
class History:
    """All attempts of all clients."""

    attempts: list[Attempt] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, attempt: Attempt) -> None:
        """Note one."""
        with self._lock:
            self.attempts.append(attempt)

    def count(self, outcome: Outcome, op: str = "") -> int:
        """How many ended so."""
        return sum(each.outcome is outcome and op in {"", each.op} for each in self.attempts)


def faults(attempts: Iterable[Attempt], journal: Iterable[Line], versions: Mapping[str, int]) -> list[str]:
    """Everything that breaks a promise, in words; none is what a test hopes for.

    Args:
        attempts: what clients saw.
        journal: the lines that are there in the end.
        versions: of each row in the end; a row begins with version 1.
    """
    seen = list(attempts)
    lines: dict[str, list[Line]] = defaultdict(list)
    for line in journal:
        lines[line.mark].append(line)
    return [*_effects(seen, lines), *_answers(seen), *_versions(lines, versions), *_order(seen), *_reads(seen)]


def _effects(attempts: list[Attempt], lines: Mapping[str, list[Line]]) -> Iterator[str]:
    """`ok` is there once, `fail` nowhere, `unknown` once at most; and nothing is there that nobody wrote."""
    told: dict[str, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.op != "read":
            told[attempt.mark].append(attempt)
    for mark, of_mark in told.items():
        outcomes = {attempt.outcome for attempt in of_mark}
        found = lines.get(mark, [])
        if len(found) > 1:
            yield f"double: {mark} is there {len(found)} times"
        if Outcome.OK in outcomes and not found:
            yield f"lost: {mark} was acknowledged and is not there"
        if outcomes == {Outcome.FAIL} and found:
            yield f"unexpected: {mark} was refused and is there"
        for attempt in of_mark:
            if attempt.outcome is Outcome.OK and found and attempt.version != found[0].version:
                yield f"wrong: {mark} was told version {attempt.version} and has {found[0].version}"
    for mark in lines.keys() - told.keys():
        yield f"unexpected: nobody wrote {mark}"


def _answers(attempts: list[Attempt]) -> Iterator[str]:
    """One answer for each key."""
    answers: dict[str, set[str]] = defaultdict(set)
    for attempt in attempts:
        if attempt.key is not None and attempt.outcome is Outcome.OK:
            answers[attempt.key].add(attempt.answer)
    for key, told in answers.items():
        if len(told) > 1:
            yield f"changed: {key} was answered in {len(told)} ways"


def _versions(lines: Mapping[str, list[Line]], versions: Mapping[str, int]) -> Iterator[str]:
    """Each version of a row was made by one write, from 2 to the last."""
    made: dict[str, list[int]] = defaultdict(list)
    for of_mark in lines.values():
        for line in of_mark:
            if line.version:
                made[line.row].append(line.version)
    for row, last in versions.items():
        if sorted(made[row]) != list(range(2, last + 1)):
            yield f"gap: {row} has version {last} and writes for {sorted(made[row])}"


def _order(attempts: list[Attempt]) -> Iterator[str]:
    """A write that began after another had ended has the higher version."""
    done = [each for each in attempts if each.op == "write" and each.outcome is Outcome.OK]
    first: dict[str, Attempt] = {}
    for attempt in sorted(done, key=lambda each: each.t1):
        first.setdefault(attempt.mark, attempt)
    # A mark's effect lies between its first sending and its first acknowledgement.
    sent: dict[str, float] = {}
    for attempt in attempts:
        sent[attempt.mark] = min(attempt.t0, sent.get(attempt.mark, attempt.t0))
    by_row: dict[str, list[tuple[float, float, int, str]]] = defaultdict(list)
    for mark, attempt in first.items():
        by_row[attempt.row].append((sent[mark], attempt.t1, attempt.version, mark))
    for row, writes in by_row.items():
        yield from _inversions(row, writes)


def _inversions(row: str, writes: list[tuple[float, float, int, str]]) -> Iterator[str]:
    ended = sorted(writes, key=lambda write: write[1])
    newest, position = 0, 0
    for begun, _, version, mark in sorted(writes):
        while ended[position][1] < begun:
            newest = max(newest, ended[position][2])
            position += 1
        if version <= newest:
            yield f"reordered: {mark} made version {version} of {row} after {newest} had been acknowledged"


def _reads(attempts: list[Attempt]) -> Iterator[str]:
    """No read is older than what was acknowledged before it began."""
    writes: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for attempt in attempts:
        if attempt.op in {"write", "read"} and attempt.outcome is Outcome.OK:
            writes[attempt.row].append((attempt.t1, attempt.version))
    for read in attempts:
        if read.op == "read" and read.outcome is Outcome.OK:
            newest = max((version for t1, version in writes[read.row] if t1 < read.t0), default=0)
            if read.version < newest:
                yield f"stale: {read.row} was read as {read.version} after {newest} had been seen"
