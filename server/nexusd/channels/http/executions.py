"""`/executions`: what is running and how it ended, to look at, to follow and to cancel."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from functools import partial
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl

import msgspec

from nexusd.channels.http.sightings import Sighting, Sightings
from nexusd.definitions.wire import write_json
from nexusd.engines.history import Status
from nexusd.errors import ExecutionNotFound, Fault, InvalidInput, MalformedBody, NotSupported

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator, Mapping

    from nexusd.channels.http.exchange import Exchange
    from nexusd.channels.http.router import Router
    from nexusd.engines.history import History
    from nexusd.engines.peers import Peers

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
KEEP_ALIVE_S: Final = 15.0
MAX_BODY_BYTES: Final = 1024

_ID: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_EVENT_STREAM: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy that collects a stream before it passes it on would stop it
]


class Executions:
    """The routes over the executions of all processes.

    Attributes:
        draining: set when streams are to end.
    """

    def __init__(self, history: History, peers: Peers) -> None:
        self._history = history
        self._sightings = Sightings(history, peers)
        self.draining = asyncio.Event()

    def add_routes(self, router: Router) -> None:
        """Register them."""
        router.add("GET", "/executions", self.list)
        router.add("GET", "/executions/{id}", self.show)
        router.add("GET", "/executions/{id}/events", self.events)
        router.add("POST", "/executions/{id}/cancel", self.cancel)
        router.add("POST", "/executions/{id}/resume", self.not_here)
        router.add("POST", "/executions/{id}/signal", self.not_here)

    async def list(self, exchange: Exchange) -> None:
        """The latest first; `workflow`, `status`, `limit` and `cursor` narrow it."""
        query = _Query(exchange.scope["query_string"])
        seen: Iterator[Sighting] = map(Sighting.of, self._history.newest_first(exchange.principal))
        if others := await self._sightings.elsewhere(exchange.principal):
            seen = iter(sorted((*seen, *others), key=lambda each: each.started_at, reverse=True))
        wanted = query.select(sighting.shortened() for sighting in seen)
        found = list(islice(wanted, query.limit))
        more = next(wanted, None) is not None
        cursor = _text(found[-1], "execution_id") if more else None
        document = {"executions": found, "count": len(found), "limit": query.limit, "next_cursor": cursor}
        await exchange.json(200, document)

    async def show(self, exchange: Exchange, execution_id: str) -> None:
        """One execution."""
        sighting = await self._sightings.look(execution_id, exchange.principal)
        await exchange.json(200, sighting.view)

    async def cancel(self, exchange: Exchange, execution_id: str) -> None:
        """Stop it; one that has ended stays as it is."""
        await _no_body(exchange)
        sighting = await self._sightings.cancel(execution_id, exchange.principal)
        await exchange.json(200 if sighting.ended else 202, sighting.view)

    async def not_here(self, exchange: Exchange, execution_id: str) -> None:
        """What only a durable execution can do."""
        await _no_body(exchange)
        await self._sightings.look(execution_id, exchange.principal)
        raise NotSupported("executions of this engine cannot be resumed or signalled: it keeps no steps")

    async def events(self, exchange: Exchange, execution_id: str) -> None:
        """Follow it as server-sent events, from behind `Last-Event-ID`, to its end."""
        sighting = await self._sightings.look(execution_id, exchange.principal)
        last = exchange.headers.get(b"last-event-id", b"0")
        seen = int(last) if last.isdigit() and len(last) < 10 else 0  # noqa: PLR2004 - more digits are no id of ours
        if sighting.ended and seen >= len(_events(sighting)):
            await exchange.answer(204, [], b"")  # tells an EventSource not to come back
            return
        await exchange.send({"type": "http.response.start", "status": 200, "headers": _EVENT_STREAM})
        if exchange.method == "HEAD":
            await exchange.send({"type": "http.response.body", "body": b""})
            return
        look = partial(self._sightings.wait, execution_id, exchange.principal)
        async with aclosing(self._follow(sighting, seen, look)) as chunks:
            async for chunk in chunks:
                if not await exchange.is_known():
                    break
                await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _follow(
        self, sighting: Sighting, seen: int, look: Callable[[], Coroutine[Any, Any, Sighting]]
    ) -> AsyncGenerator[bytes]:
        """What happens from the first sighting on; `look` waits for something new, but not for long."""
        loop = asyncio.get_running_loop()
        drains = asyncio.create_task(self.draining.wait())
        looks = asyncio.create_task(look())
        told = loop.time()
        try:
            while True:
                events = _events(sighting)
                for number, event in enumerate(events[seen:], seen + 1):
                    yield b"id: %d\n%b" % (number, event)
                    told = loop.time()
                seen = max(seen, len(events))
                if sighting.ended:
                    return
                await asyncio.wait([looks, drains], return_when=asyncio.FIRST_COMPLETED)
                if not looks.done():
                    yield b"event: server.draining\ndata: {}\n\n"
                    return
                try:
                    sighting = looks.result()
                except ExecutionNotFound:
                    return  # the process that had it was killed
                looks = asyncio.create_task(look())
                if loop.time() >= told + KEEP_ALIVE_S:
                    yield b":\n\n"
                    told = loop.time()
        finally:
            looks.cancel()
            drains.cancel()


class _Query:
    """The query string of a list.

    Raises:
        InvalidInput: with every fault.
    """

    def __init__(self, query_string: bytes) -> None:
        self.limit = DEFAULT_LIMIT
        self._workflow: str | None = None
        self._status: str | None = None
        self._cursor: str | None = None
        faults = [
            fault
            for name, value in parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
            for fault in self._take(name, value)
        ]
        if faults:
            raise InvalidInput("; ".join(f"{fault.pointer} {fault.detail}" for fault in faults), faults=faults)

    def _take(self, name: str, value: str) -> Iterator[Fault]:
        match name:
            case "workflow":
                self._workflow = value
            case "status" if value in set(Status):
                self._status = value
            case "status":
                yield Fault("/query/status", "not_allowed", f"must be one of {', '.join(Status)}")
            case "limit" if value.isdigit() and value.isascii() and 1 <= int(value[:9]) <= MAX_LIMIT:
                self.limit = int(value)
            case "limit":
                yield Fault("/query/limit", "out_of_range", f"must be a number from 1 to {MAX_LIMIT}")
            case "cursor" if _ID.fullmatch(value):
                self._cursor = value
            case "cursor":
                yield Fault("/query/cursor", "format", "was not made by this server")
            case _:
                yield Fault(f"/query/{name[:64]}", "unknown", "is not known; there are workflow, status, limit, cursor")

    def select(self, views: Iterator[Mapping[str, object]]) -> Iterator[Mapping[str, object]]:
        """Those that belong to the list; none behind a cursor whose execution was dropped meanwhile."""
        if self._cursor is not None:
            views = dropwhile(lambda view: _text(view, "execution_id") != self._cursor, views)
            next(views, None)
        for view in views:
            if self._workflow in {None, _text(view, "workflow")} and self._status in {None, _text(view, "status")}:
                yield view


async def _no_body(exchange: Exchange) -> None:
    if await exchange.json_body(MAX_BODY_BYTES) not in {b"", b"{}"}:
        raise MalformedBody("this route takes no body")


def _text(view: Mapping[str, object], name: str) -> str:
    """A text of a view, which may be JSON text as another process has told it."""
    value = view[name]
    return msgspec.json.decode(value, type=str) if isinstance(value, msgspec.Raw) else str(value)


def _events(sighting: Sighting) -> list[bytes]:
    """What has happened so far, each as it goes on the wire behind its id."""
    begun = {name: sighting.view[name] for name in ("execution_id", "workflow", "started_at")}
    events = [_event("execution.started", begun)]
    if sighting.ended:
        events.append(_event(f"execution.{sighting.status}", dict(sighting.view)))
    return events


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), write_json(data))
