"""`/executions`: what is running and how it ended, to look at, to follow and to cancel."""

from __future__ import annotations

import asyncio
import re
from contextlib import aclosing
from itertools import dropwhile, islice
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from nexusd.channels.channel import execution_view, problem_document
from nexusd.channels.http.problems import STATUS
from nexusd.definitions.wire import write_json
from nexusd.engines.history import Status
from nexusd.errors import Fault, InvalidInput, MalformedBody, NotSupported

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from nexusd.channels.http.exchange import Exchange
    from nexusd.channels.http.router import Router
    from nexusd.engines.history import History, Record

DEFAULT_LIMIT: Final = 50
MAX_LIMIT: Final = 1000
KEEP_ALIVE_S: Final = 15.0
CANCEL_S: Final = 1.0
MAX_BODY_BYTES: Final = 1024

_ID: Final = re.compile(r"[0-9a-f-]{36}", re.ASCII)
_EVENT_STREAM: Final = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # a proxy that collects a stream before it passes it on would stop it
]


class Executions:
    """The routes over a history.

    Attributes:
        draining: set when streams are to end.
    """

    def __init__(self, history: History) -> None:
        self._history = history
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
        wanted = query.select(self._history.newest_first(exchange.principal))
        found = list(islice(wanted, query.limit))
        more = next(wanted, None) is not None
        await exchange.json(
            200,
            {
                "executions": [_shown(record, with_outputs=False) for record in found],
                "count": len(found),
                "limit": query.limit,
                "next_cursor": found[-1].id if more else None,
            },
        )

    async def show(self, exchange: Exchange, execution_id: str) -> None:
        """One execution."""
        await exchange.json(200, _shown(self._history.get(execution_id, exchange.principal)))

    async def cancel(self, exchange: Exchange, execution_id: str) -> None:
        """Stop it; one that has ended stays as it is."""
        await _no_body(exchange)
        record = self._history.get(execution_id, exchange.principal)
        record.cancel()
        try:
            async with asyncio.timeout(CANCEL_S):
                await record.wait()
        except TimeoutError:
            await exchange.json(202, _shown(record))
        else:
            await exchange.json(200, _shown(record))

    async def not_here(self, exchange: Exchange, execution_id: str) -> None:
        """What only a durable execution can do."""
        await _no_body(exchange)
        self._history.get(execution_id, exchange.principal)
        raise NotSupported("executions of this engine cannot be resumed or signalled: it keeps no steps")

    async def events(self, exchange: Exchange, execution_id: str) -> None:
        """Follow it as server-sent events, from behind `Last-Event-ID`, to its end."""
        record = self._history.get(execution_id, exchange.principal)
        last = exchange.headers.get(b"last-event-id", b"0")
        seen = int(last) if last.isdigit() and len(last) < 10 else 0  # noqa: PLR2004 - more digits are no id of ours
        events = _events(record)
        if record.task is None and seen >= len(events):
            await exchange.answer(204, [], b"")  # tells an EventSource not to come back
            return
        await exchange.send({"type": "http.response.start", "status": 200, "headers": _EVENT_STREAM})
        if exchange.method == "HEAD":
            await exchange.send({"type": "http.response.body", "body": b""})
            return
        async with aclosing(self._follow(record, seen)) as chunks:
            async for chunk in chunks:
                await exchange.send({"type": "http.response.body", "body": chunk, "more_body": True})
        await exchange.send({"type": "http.response.body", "body": b""})

    async def _follow(self, record: Record, seen: int) -> AsyncGenerator[bytes]:
        ends = asyncio.create_task(record.wait())
        drains = asyncio.create_task(self.draining.wait())
        try:
            while True:
                events = _events(record)
                for number, event in enumerate(events[seen:], seen + 1):
                    yield b"id: %d\n%b" % (number, event)
                seen = max(seen, len(events))
                if record.task is None:
                    return
                await asyncio.wait({ends, drains}, timeout=KEEP_ALIVE_S, return_when=asyncio.FIRST_COMPLETED)
                if drains.done() and not ends.done():
                    yield b"event: server.draining\ndata: {}\n\n"
                    return
                if not ends.done():
                    yield b":\n\n"
        finally:
            ends.cancel()
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

    def select(self, records: Iterator[Record]) -> Iterator[Record]:
        """Those of `records` that belong to the list; none behind a cursor whose record was dropped meanwhile."""
        if self._cursor is not None:
            records = dropwhile(lambda record: record.id != self._cursor, records)
            next(records, None)
        for record in records:
            if self._workflow in {None, record.workflow} and self._status in {None, record.status}:
                yield record


async def _no_body(exchange: Exchange) -> None:
    if await exchange.json_body(MAX_BODY_BYTES) not in {b"", b"{}"}:
        raise MalformedBody("this route takes no body")


def _shown(record: Record, *, with_outputs: bool = True) -> dict[str, object]:
    view = execution_view(record)
    if not with_outputs:
        view.pop("outputs", None)
    if record.failure is not None:
        view["error"] = problem_document(
            record.failure, status=STATUS[record.failure.code], request_id=record.request_id
        )
    return view


def _events(record: Record) -> list[bytes]:
    """What has happened so far, each as it goes on the wire behind its id."""
    begun = {"execution_id": record.id, "workflow": record.workflow, "started_at": record.started_at}
    events = [_event("execution.started", begun)]
    if record.task is None:
        events.append(_event(f"execution.{record.status.value}", _shown(record)))
    return events


def _event(name: str, data: object) -> bytes:
    return b"event: %b\ndata: %b\n\n" % (name.encode(), write_json(data))
