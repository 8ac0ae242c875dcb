"""What runs beside the server while metrics are on."""

from __future__ import annotations

import asyncio
import contextlib
import os
from functools import partial
from typing import TYPE_CHECKING, Final

from nexusd.errors import Overloaded
from nexusd.telemetry import families
from nexusd.telemetry.crew_counts import SUBJECT, read_report
from nexusd.telemetry.exposition import Scrape
from nexusd.telemetry.loop_lag import LoopLag

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Mapping

    from nexusd.engines.peers import Peers
    from nexusd.telemetry.logging import LogSink
    from nexusd.telemetry.metrics import Metrics
    from nexusd.telemetry.series import Snapshot

_STATES: Final = ("idle", "busy", "waiting")


class Monitoring:
    """The metrics of one process and what they are read from.

    Attributes:
        metrics: an observer.
    """

    def __init__(self, metrics: Metrics, log: LogSink) -> None:
        self.metrics = metrics
        self._reports = 0
        metrics.read(families.LINES_DROPPED, lambda: [((), log.dropped)])

    @contextlib.asynccontextmanager
    async def running(
        self, pool: Callable[[], Mapping[str, int]], channels: Callable[[], Iterable[tuple[str, str]]], peers: Peers
    ) -> AsyncIterator[Scrape]:
        """Watch the event loop, and answer scrapes for this process and those that serve with it.

        Args:
            pool: gives `idle`, `busy` and `waiting`.
            channels: gives each channel's state.
            peers: the others.
        """
        lag = LoopLag()
        self.metrics.read(families.LOOP_LAG, lag)
        self.metrics.read(families.POOL, lambda: [((state,), pool()[state]) for state in _STATES])
        self.metrics.read(families.CHANNEL_UP, lambda: [((name,), state == "ready") for name, state in channels()])
        peers.answer(SUBJECT, self._reported)
        watching = asyncio.create_task(lag.watch())
        try:
            yield Scrape(self.metrics, partial(self._others, peers))
        finally:
            watching.cancel()

    def report(self) -> list[object]:
        """What this process has counted, for its parent and for who serves with it."""
        self._reports += 1
        return [os.getpid(), self._reports, self.metrics.snapshot()]

    async def _reported(self, _question: object) -> object:
        return self.report()

    async def _others(self, peers: Peers) -> list[Snapshot]:
        """What the other processes have counted, and their parent, which answers for those that do not.

        Raises:
            Overloaded: it does not answer; without the others every count would go down.
        """
        told = await peers.ask_others(SUBJECT, self.report())
        if not told and peers.has_others:
            raise Overloaded("the other processes of this server cannot be asked now; try again later")
        return [read_report(each).snapshot for each in told]
