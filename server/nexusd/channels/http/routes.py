"""What is served beside the hot path: which workflows there are, how the server is, and the table of all routes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd import __version__
from nexusd.channels.channel import graph_view, workflow_view
from nexusd.errors import RouteNotFound

if TYPE_CHECKING:
    from nexusd.channels.channel import Health, Scrape
    from nexusd.channels.http.exchange import Exchange
    from nexusd.channels.http.router import Router
    from nexusd.runtime import Runtime

PROBES: Final = frozenset({"/health", "/health/live", "/health/ready"})
"""Routes that answer under any Host: probes use addresses."""

_FRESH: Final = (b"cache-control", b"no-store")


class Workflows:
    """What there is to execute."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime

    def add_routes(self, router: Router) -> None:
        """Register them."""
        router.add("GET", "/workflows", self.list)
        router.add("GET", "/workflows/{name}", self.show)

    async def list(self, exchange: Exchange) -> None:
        """Every workflow that the caller may run, by name."""
        plans = self._runtime.allowed(exchange.principal)
        await exchange.json(200, {"workflows": [workflow_view(plan) for plan in plans]})

    async def show(self, exchange: Exchange, name: str) -> None:
        """One workflow with its graph."""
        await exchange.json(200, graph_view(self._runtime.admit(exchange.principal, name)))


class HealthRoutes:
    """How the server is."""

    def __init__(self, health: Health) -> None:
        self._health = health

    def add_routes(self, router: Router) -> None:
        """Register them."""
        router.add("GET", "/health/live", self.live)
        router.add("GET", "/health/ready", self.ready)
        router.add("GET", "/health", self.summary)

    async def live(self, exchange: Exchange) -> None:
        """The process answers."""
        await exchange.json(200, {"status": "ok"}, _FRESH)

    async def ready(self, exchange: Exchange) -> None:
        """Whether requests should be sent here."""
        await self._state(exchange, {})

    async def summary(self, exchange: Exchange) -> None:
        """The same with the state of each part."""
        await self._state(exchange, {"checks": self._health.checks(), "version": __version__})

    async def _state(self, exchange: Exchange, more: dict[str, object]) -> None:
        ready = self._health.ready
        document = {"status": "ok" if ready else "unavailable", **more}
        await exchange.json(200 if ready else 503, document, _FRESH)


class MetricsRoute:
    """What a scraper reads."""

    def __init__(self, scrape: Scrape | None) -> None:
        self._scrape = scrape

    def add_routes(self, router: Router) -> None:
        """Register it."""
        router.add("GET", "/metrics", self.show)

    async def show(self, exchange: Exchange) -> None:
        """All metrics.

        Raises:
            RouteNotFound: metrics are off.
        """
        if self._scrape is None:
            raise RouteNotFound("metrics are off; set monitoring.enabled: true")
        content_type, body = await self._scrape(exchange.headers.get(b"accept", b"").decode("latin-1"))
        await exchange.answer(200, [(b"content-type", content_type.encode()), _FRESH], body)
