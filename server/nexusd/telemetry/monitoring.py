"""What runs beside the server while metrics are on."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Final

from nexusd.telemetry import families
from nexusd.telemetry.exposition import Scrape
from nexusd.telemetry.loop_lag import LoopLag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from nexusd.telemetry.logging import LogSink
    from nexusd.telemetry.metrics import Metrics

_STATES: Final = ("idle", "busy", "waiting")


class Monitoring:
    """The metrics of one process and what they are read from.

    Attributes:
        metrics: an observer.
    """

    def __init__(self, metrics: Metrics, log: LogSink) -> None:
        self.metrics = metrics
        metrics.read(families.LINES_DROPPED, lambda: [((), log.dropped)])

    @contextlib.asynccontextmanager
    async def running(
        self, pool: Callable[[], Mapping[str, int]], channels: Callable[[], Iterable[tuple[str, str]]]
    ) -> AsyncIterator[Scrape]:
        """Watch the event loop, and answer scrapes.

        Args:
            pool: gives `idle`, `busy` and `waiting`.
            channels: gives each channel's state.
        """
        lag = LoopLag()
        self.metrics.read(families.LOOP_LAG, lag)
        self.metrics.read(families.POOL, lambda: [((state,), pool()[state]) for state in _STATES])
        self.metrics.read(families.CHANNEL_UP, lambda: [((name,), state == "ready") for name, state in channels()])
        watching = asyncio.create_task(lag.watch())
        try:
            yield Scrape(self.metrics)
        finally:
            watching.cancel()
