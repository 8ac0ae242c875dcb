"""Constant load from a process of its own: `python -m tests.support.load HTTP_URL MCP_URL`, until its input ends.

Clients of four kinds: busy on kept connections, busy with a connection for each request, mostly idle on a kept
connection, and MCP with a standing stream. Each says on every request whether it was answered as it must be. A line of
JSON with what was seen so far comes out each 100 ms, the last one when all clients have ended.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self
from urllib.parse import urlsplit

import httpx

from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

BUSY: Final = 16
ONE_SHOT: Final = 4
IDLE: Final = 8
IDLE_S: Final = 1.0
ANSWER_S: Final = 20.0
REPORT_S: Final = 0.1


@dataclass
class Seen:
    """What clients have seen.

    Attributes:
        failures: how often, by what.
        cut: kept connections that the server closed without having said so, between two requests.
        ends_refused: whether clients end when no server takes them any more.
        going: whether clients are to go on.
        numbers: requests that were made.
    """

    answered: int = 0
    cut: int = 0
    failures: Counter[str] = field(default_factory=Counter)
    ends_refused: bool = False
    going: bool = True
    numbers: int = 0

    def tell(self) -> None:
        """Write it out."""
        sys.stdout.write(json.dumps({"answered": self.answered, "failures": self.failures, "cut": self.cut}) + "\n")
        sys.stdout.flush()


class HttpClient:
    """Posts to a workflow on a connection that is kept as long as the server allows."""

    def __init__(self, url: str, seen: Seen) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        self._seen = seen
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def post(self, *, keep: bool = True) -> None:
        """One request; how it went is counted."""
        self._seen.numbers += 1
        body = json.dumps({"inputs": {"name": "x", "email": f"{self._seen.numbers}@{id(self)}.example"}}).encode()
        fields = ["Host: localhost", "Content-Type: application/json", f"Content-Length: {len(body)}"]
        fields += [] if keep else ["Connection: close"]
        head = "\r\n".join(["POST /workflows/create_contact/execute HTTP/1.1", *fields, "", ""])
        if self._streams is not None and self._streams[0].at_eof():
            self._seen.cut += 1
            self._drop()
        is_new = self._streams is None
        try:
            async with asyncio.timeout(ANSWER_S):
                status, closes = await self._exchange(head.encode() + body)
        except (OSError, EOFError, TimeoutError) as error:
            self._drop()
            if self._seen.ends_refused and is_new and isinstance(error, ConnectionError | EOFError):
                self._seen.going = False  # the server has stopped, and never took this connection
            else:
                self._seen.failures[type(error).__name__] += 1
            return
        if status == 200:
            self._seen.answered += 1
        else:
            self._seen.failures[str(status)] += 1
        if closes or not keep:
            self._drop()

    async def _exchange(self, request: bytes) -> tuple[int, bool]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(*self._address)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length: ")[2].split(b"\r\n")[0])
        await reader.readexactly(length)
        return int(head.split()[1]), b"connection: close" in head

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def busy(url: str, seen: Seen) -> None:
    """Requests one after the other on a kept connection."""
    client = HttpClient(url, seen)
    while seen.going:
        await client.post()


async def one_shot(url: str, seen: Seen) -> None:
    """A connection for each request."""
    client = HttpClient(url, seen)
    while seen.going:
        await client.post(keep=False)


async def idle(url: str, seen: Seen, wait: Callable[[float], Any]) -> None:
    """A request now and then on a kept connection."""
    client = HttpClient(url, seen)
    while seen.going:
        await client.post()
        await wait(IDLE_S)


async def mcp_calls(url: str, seen: Seen) -> None:
    """Tool calls without a session, each a request of its own."""
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": "contact_list", "arguments": {"limit": 1}},
    }
    headers = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2025-11-25"}
    async with httpx.AsyncClient(timeout=ANSWER_S) as client:
        while seen.going:
            try:
                answer = await client.post(url, json=call, headers=headers)
            except httpx.HTTPError as error:
                seen.failures[f"mcp {type(error).__name__}"] += 1
                continue
            if answer.status_code == 200 and '"isError":false' in answer.text:
                seen.answered += 1
            else:
                seen.failures[f"mcp {answer.status_code}"] += 1


async def run(http: str, mcp: str, ends_refused: str) -> None:
    """All clients until the input ends."""
    seen = Seen(ends_refused=bool(ends_refused))
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        if not os.read(sys.stdin.fileno(), 1):
            seen.going = False
            ended.set()
            loop.remove_reader(sys.stdin.fileno())

    async def wait(duration_s: float) -> None:
        """Wait, but not beyond the end."""
        await asyncio.wait([asyncio.ensure_future(ended.wait())], timeout=duration_s)

    loop.add_reader(sys.stdin.fileno(), end)
    clients = [busy(http, seen) for _ in range(BUSY)]
    clients += [one_shot(http, seen) for _ in range(ONE_SHOT)]
    clients += [idle(http, seen, wait) for _ in range(IDLE)]
    clients += [mcp_calls(mcp, seen)] if mcp else []
    running = asyncio.gather(*clients)
    while not running.done():
        seen.tell()
        await asyncio.wait([running], timeout=REPORT_S)
    await running
    seen.tell()


class Load:
    """Load on a daemon while the block runs.

    Args:
        http: the base URL of HTTP.
        mcp: the URL of MCP; empty: no such client.
        ends_refused: clients end, too, when no server takes them any more.

    Attributes:
        seen: what the clients have seen; complete when the block has ended.
    """

    def __init__(self, http: str, mcp: str = "", *, ends_refused: bool = False) -> None:
        self._arguments = (http, mcp, "1" if ends_refused else "")
        self.seen: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Start, and wait for the first answers."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.load", *self._arguments],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.wait_for(BUSY)
        return self

    def wait_for(self, answers: int, within_s: float = 60.0) -> None:
        """Until there were so many."""
        end = time.monotonic() + within_s
        assert self._process.stdout is not None
        while self.seen.get("answered", 0) < answers:
            assert time.monotonic() < end, f"no more answers come: {self.seen}"
            self.seen = json.loads(self._process.stdout.readline())

    def __exit__(self, *_error: object) -> None:
        """Let all clients end what they do."""
        output, _ = self._process.communicate(timeout=ANSWER_S + 10)
        self.seen = json.loads(output.splitlines()[-1])


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:]))
