"""docs/monitoring.md names every metric and event there is, and no other."""

from __future__ import annotations

import inspect
import json
import re
from typing import Final

import yaml

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
        kind.name: (kind.level, list(kind.__struct_fields__)) for kind in kinds if "name" in vars(kind)
    }


def expressions() -> dict[str, str]:
    """What each panel of the dashboard and each alert asks Prometheus, by its title."""
    dashboard = json.loads((ROOT / "deploy" / "grafana" / "nexusd.json").read_text("utf-8"))
    found = {
        f"{panel['title']} {target['refId']}": target["expr"]
        for panel in dashboard["panels"]
        for target in panel.get("targets", ())
    }
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))
    return found | {rule["alert"]: rule["expr"] for group in alerts["groups"] for rule in group["rules"]}


def series() -> dict[str, set[str]]:
    """The labels of everything that a scrape has, by its name."""
    suffixes = {Kind.COUNTER: ("_total",), Kind.GAUGE: ("",), Kind.HISTOGRAM: ("_bucket", "_count", "_sum")}
    return {
        family.name + suffix: {*family.labels, *(["le"] if suffix == "_bucket" else [])}
        for family in FAMILIES.values()
        for suffix in suffixes[family.kind]
    }


def test_panels_and_alerts_ask_for_what_there_is() -> None:
    known, wrong = series(), []
    from_prometheus = {"job", "instance"}
    for title, expression in expressions().items():
        asked = set(re.findall(r"\b(?:nexusd|http_server)_\w+", expression))
        wrong += [f"{title}: no {name}" for name in sorted(asked - known.keys())] or [
            f"{title}: {label}"
            for name, selector in re.findall(r"(\w+)\{([^}]*)\}", expression)
            for label in set(re.findall(r"(\w+)(?:=~|!=|!~|=)", selector)) - known[name] - from_prometheus
        ]
        grouped = {label.strip() for labels in re.findall(r"by \(([^)]*)\)", expression) for label in labels.split(",")}
        wrong += [
            f"{title}: {label}" for label in grouped if not any(label in {*known[n], *from_prometheus} for n in asked)
        ]
        assert asked, title
    assert wrong == []


def test_every_metric_is_on_the_dashboard() -> None:
    text = (ROOT / "deploy" / "grafana" / "nexusd.json").read_text("utf-8")
    assert [name for name in FAMILIES if name not in text] == []
