"""A scrape: the numbers of all processes, added up and written out by prometheus-client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from itertools import accumulate
from typing import TYPE_CHECKING, Final, TypeAlias

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.openmetrics import exposition as openmetrics
from prometheus_client.registry import Collector

from nexusd.telemetry.families import FAMILIES
from nexusd.telemetry.series import BUCKETS, Kind, Snapshot, merged

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.telemetry.metrics import Metrics
    from nexusd.telemetry.series import Family, Numbers

Others: TypeAlias = Callable[[], Awaitable[Iterable[Snapshot]]]
"""Asks the other processes of the server for their numbers."""

OPENMETRICS: Final = "application/openmetrics-text"
TEXT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS: Final = (*(repr(bound) for bound in BUCKETS), "+Inf")


class SnapshotCollector(Collector):
    """Gives prometheus-client the numbers of a snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def collect(self) -> Iterator[Metric]:
        """Every family, also one without any number yet."""
        for name, family in FAMILIES.items():
            metric = _metric(family)
            for labels, numbers in self._snapshot.get(name, ()):
                _add(metric, labels, numbers)
            yield metric


class Scrape:
    """Answers scrapes.

    Args:
        metrics: of this process.
        others: asks the others.
    """

    def __init__(self, metrics: Metrics, others: Others) -> None:
        self._metrics = metrics
        self._others = others

    async def __call__(self, accept: str) -> tuple[str, bytes]:
        """Content type and text for an `Accept` header."""
        snapshots = [self._metrics.snapshot(), *await self._others()]
        # Writing thousands of series takes a while, during which requests go on.
        return await asyncio.to_thread(expose, merged(FAMILIES, snapshots), accept)


def expose(snapshot: Snapshot, accept: str) -> tuple[str, bytes]:
    """Content type and text: OpenMetrics where the `Accept` header names it, else Prometheus's own format."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(SnapshotCollector(snapshot))
    if OPENMETRICS in accept:
        return openmetrics.CONTENT_TYPE_LATEST, openmetrics.generate_latest(registry)  # type: ignore[no-untyped-call] # ships half its types
    return TEXT_TYPE, generate_latest(registry)


def _metric(family: Family) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    if family.kind is Kind.COUNTER:
        return CounterMetricFamily(family.name, family.text, labels=family.labels)
    if family.kind is Kind.GAUGE:
        return GaugeMetricFamily(family.name, family.text, labels=family.labels)
    return HistogramMetricFamily(family.name, family.text, labels=family.labels)


def _add(
    metric: CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily, labels: list[str], numbers: Numbers
) -> None:
    if isinstance(metric, HistogramMetricFamily):
        *counts, total = numbers
        buckets = list(zip(_BOUNDS, accumulate(counts), strict=True))
        metric.add_metric(labels, buckets=buckets, sum_value=total)
    else:
        metric.add_metric(labels, numbers[0])
