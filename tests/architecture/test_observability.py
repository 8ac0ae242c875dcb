"""docs/monitoring.md names every metric and event there is, and no other."""

from __future__ import annotations

import inspect
import re
from dataclasses import fields
from typing import Final

from nexusd import events
from nexusd.telemetry.families import FAMILIES
from nexusd.telemetry.series import BUCKETS, Across, Kind
from tests.support.tree import ROOT

TEXT: Final = (ROOT / "docs" / "monitoring.md").read_text("utf-8")
ACROSS: Final = {Across.SUM: "sum", Across.MOST: "largest", Across.LEAST: "smallest"}


def rows(heading: str) -> list[list[str]]:
    """The cells of the first table under a heading, without its head."""
    section = TEXT.partition(f"\n## {heading}\n")[2]
    table = re.search(r"(?:^\|.*\n)+", section, re.MULTILINE)
    assert table is not None
    return [[cell.strip() for cell in line.strip("|\n").split(" | ")] for line in table[0].splitlines()[2:]]


def names(cell: str) -> list[str]:
    return re.findall(r"`(\w+)`", cell)


def test_every_metric_is_described() -> None:
    described = {row[0].strip("` "): (row[1], names(row[2]), row[3], row[4].rstrip("| ")) for row in rows("Metrics")}

    assert described == {
        family.name + ("_total" if family.kind is Kind.COUNTER else ""): (
            family.kind.value,
            list(family.labels),
            ACROSS[family.across],
            family.text,
        )
        for family in FAMILIES.values()
    }


def test_buckets_are_described() -> None:
    told = re.search(r"have the buckets ([\d. ]+) s\.", TEXT)
    assert told is not None
    assert [float(text) for text in told[1].split()] == list(BUCKETS)


def test_every_event_is_described() -> None:
    described = {row[0].strip("` "): (row[1], names(row[2])) for row in rows("Log events")}

    kinds = [kind for _, kind in inspect.getmembers(events, inspect.isclass) if issubclass(kind, events.Event)]
    assert described == {
        kind.name: (kind.level, [field.name for field in fields(kind)]) for kind in kinds if kind is not events.Event
    }
