"""The metrics of one process: an observer that counts."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar, cast

from nexusd.events import (
    AuthRefused,
    ChannelStarted,
    ClientConnected,
    ClientLeft,
    ConnectionAwaited,
    ConnectionClosed,
    Event,
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionFinished,
    ExecutionSuspended,
    IdempotencyRecorded,
    IdempotencyRefused,
    IdempotencyReplayed,
    LimitExceeded,
    MigrationApplied,
    MigrationStepDone,
    NodeFinished,
    RegistryLoaded,
    RequestFinished,
    RequestRejected,
    RequestShed,
    RequestStarted,
    ServerReady,
    SessionClosed,
    SessionOpened,
    StatementRetried,
    SubscriptionsChanged,
    ToolCalled,
    TransactionReplayed,
)
from nexusd.telemetry import families
from nexusd.telemetry.series import Counter, Family, Gauge, Histogram, Labels, Snapshot, Total

if TYPE_CHECKING:
    from nexusd.events import Observer

METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
OTHER_METHOD: Final = "_OTHER"
"""What OpenTelemetry's conventions call a method that is none of HTTP's: a client could make up any number of them."""

REJECTIONS: Final = ("bad_request", "request_timeout", "headers_too_large")
"""With what a connection refuses a request by itself."""

Reading: TypeAlias = Callable[[], Iterable[tuple[Labels, float]]]
"""Gives the numbers of a gauge at the moment of a scrape."""

Ended: TypeAlias = ExecutionFinished | ExecutionFailed | ExecutionCancelled | ExecutionSuspended

E = TypeVar("E", bound=Event)


class Metrics:
    """Counts what happens.

    Args:
        version: of the program.
        engine: that runs plans.
        started: `time.perf_counter()` when the process began to start.
    """

    def __init__(self, version: str, engine: str, started: float) -> None:
        self._started = started
        self._ready = False
        self._readings: list[tuple[Family, Reading]] = []
        self._handlers: dict[type[Event], Observer] = {}
        self._series: list[Counter | Histogram | Total] = []
        self._startup = self._gauge(families.STARTUP)
        self._gauge(families.BUILD).set((version, platform.python_version(), engine), 1)
        self._count_requests()
        self._count_mcp()
        self._count_runs()
        self._count_database()
        self._time_start()

    def __call__(self, event: Event) -> None:
        """Count an event, if anything is counted by it."""
        handler = self._handlers.get(type(event))
        if handler is not None:
            handler(event)

    def handler(self, kind: type[Event]) -> Observer | None:
        """What counts events of this kind."""
        return self._handlers.get(kind)

    def read(self, family: Family, reading: Reading) -> None:
        """Have a gauge read at each scrape."""
        self._readings.append((family, reading))

    def snapshot(self) -> Snapshot:
        """All numbers of this process; called in the thread of the event loop."""
        found = {series.family.name: series.series() for series in self._series}
        for family, reading in self._readings:
            found[family.name] = [(list(labels), [float(value)]) for labels, value in reading()]
        return found

    def _counter(self, family: Family) -> Counter:
        counter = Counter(family)
        self._series.append(counter)
        return counter

    def _gauge(self, family: Family) -> Gauge:
        gauge = Gauge(family)
        self._series.append(gauge)
        return gauge

    def _histogram(self, family: Family) -> Histogram:
        histogram = Histogram(family)
        self._series.append(histogram)
        return histogram

    def _on(self, kind: type[E], handler: Callable[[E], None]) -> None:
        self._handlers[kind] = cast("Observer", handler)

    def _count_requests(self) -> None:
        active = self._gauge(families.ACTIVE)
        duration = self._histogram(families.REQUESTS)
        connections = self._gauge(families.CONNECTIONS)
        shed, rejected = self._counter(families.SHED), self._counter(families.REJECTED)
        refused, limited = self._counter(families.AUTH_FAILURES), self._counter(families.RATE_LIMITED)
        shed.begin(("http", "max_in_flight"))
        rejected.begin(*((channel, reason) for channel in ("http", "mcp") for reason in REJECTIONS))

        def started(event: RequestStarted) -> None:
            active.add((event.method if event.method in METHODS else OTHER_METHOD,))

        def finished(event: RequestFinished) -> None:
            method = event.method if event.method in METHODS else OTHER_METHOD
            active.add((method,), -1)
            duration.add((method, event.route, str(event.status)), event.duration_s)

        self._on(RequestStarted, started)
        self._on(RequestFinished, finished)
        self._on(ClientConnected, lambda event: connections.add((event.channel,)))
        self._on(ClientLeft, lambda event: connections.add((event.channel,), -1))
        self._on(RequestShed, lambda event: shed.add((event.channel, event.reason)))
        self._on(RequestRejected, lambda event: rejected.add((event.channel, event.reason)))
        limited.begin(("http",), ("mcp",))
        self._on(AuthRefused, lambda event: refused.add((event.channel, event.reason)))
        self._on(LimitExceeded, lambda event: limited.add((event.channel,)))

    def _count_mcp(self) -> None:
        calls = self._counter(families.TOOL_CALLS)
        sessions, subscriptions = self._gauge(families.SESSIONS), self._gauge(families.SUBSCRIPTIONS)
        sessions.begin(())
        subscriptions.begin(())
        self._on(ToolCalled, lambda event: calls.add((event.tool, event.era, event.path, event.status)))
        self._on(SessionOpened, lambda _event: sessions.add(()))
        self._on(SessionClosed, lambda _event: sessions.add((), -1))
        self._on(SubscriptionsChanged, lambda event: subscriptions.add((), event.change))

    def _count_runs(self) -> None:
        duration = self._histogram(families.EXECUTION_TIME)
        self._series.append(Total(families.EXECUTIONS, duration))
        nodes = self._histogram(families.NODE_TIME)

        def ended(status: str) -> Callable[[Ended], None]:
            return lambda event: duration.add((event.workflow, event.channel, status), event.duration_s)

        def node_ended(event: NodeFinished) -> None:
            status = "completed" if event.code is None else "failed"
            nodes.add((event.workflow, event.node, event.type, status), event.duration_s)

        keys = self._counter(families.IDEMPOTENCY)
        keys.begin(*((result,) for result in ("recorded", "replayed", "mismatch", "in_flight", "unknown")))
        self._on(IdempotencyRecorded, lambda _event: keys.add(("recorded",)))
        self._on(IdempotencyReplayed, lambda _event: keys.add(("replayed",)))
        self._on(IdempotencyRefused, lambda event: keys.add((event.result,)))
        self._on(ExecutionFinished, ended("completed"))
        self._on(ExecutionFailed, ended("failed"))
        self._on(ExecutionCancelled, ended("cancelled"))
        self._on(ExecutionSuspended, ended("suspended"))
        self._on(NodeFinished, node_ended)

    def _count_database(self) -> None:
        wait = self._histogram(families.POOL_WAIT)
        retries, lost = self._counter(families.RETRIES), self._counter(families.CONNECTIONS_LOST)
        pending = self._gauge(families.MIGRATIONS_PENDING)
        pending.begin(())
        wait.begin()
        retries.begin(("lost",), ("conflict",), ("plan",))
        lost.begin(("lost",), ("idle",), ("stuck",))
        self._on(ConnectionAwaited, lambda event: wait.add((), event.wait_s))
        self._on(ConnectionClosed, lambda event: lost.add((event.reason,)))
        self._on(StatementRetried, lambda event: retries.add((event.reason,)))
        self._on(TransactionReplayed, lambda event: retries.add((event.reason,)))
        self._on(MigrationApplied, lambda event: pending.set((), event.deferred))
        self._on(MigrationStepDone, lambda _event: pending.add((), -1))

    def _time_start(self) -> None:
        def reached(phase: str) -> None:
            # What happens again later, such as a reload of the registry, is no part of the start.
            if not self._ready:
                self._startup.set((phase,), round(time.perf_counter() - self._started, 4))

        def ready(_event: ServerReady) -> None:
            reached("ready")
            self._ready = True

        self._on(RegistryLoaded, lambda _event: reached("registry"))
        self._on(ChannelStarted, lambda event: reached(event.channel))
        self._on(ServerReady, ready)
        counted = self._handlers[MigrationApplied]

        def migrated(event: MigrationApplied) -> None:
            counted(event)
            reached("migrations")

        self._on(MigrationApplied, migrated)
