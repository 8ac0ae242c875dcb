"""Hosts that an HttpRequestNode asks: what each connection meets is a function of the test."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import msgspec
import pytest

from nexusd.definitions.execution import Invocation
from nexusd.definitions.http_hosts import read_allow_list
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import Node, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.events import ignore
from nexusd.nodes.http_client import Client
from nexusd.nodes.http_request import HttpRequestNode
from nexusd.planning.registry import compile_registry
from tests.support.connections import WAIT_S
from tests.support.http_server import NoDatabase

if TYPE_CHECKING:
    import ssl
    from collections.abc import AsyncIterator, Mapping

    from nexusd.databases.database import Database
    from nexusd.nodes.http_client import Resolve
    from nexusd.planning.plan import Plan

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@dataclass
class Host:
    """A listening socket.

    Attributes:
        behave: what a connection meets once its head was read.
        heads: the heads of all requests.
        bodies: what was sent behind them, as far as its length was told.
    """

    port: int
    behave: Behave
    heads: list[str] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Without a path."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read one request, then do as the test wants."""
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            self.heads.append(head)
            length = [
                line.partition(":")[2] for line in head.lower().splitlines() if line.startswith("content-length:")
            ]
            self.bodies.append(await reader.readexactly(int(length[0])) if length else b"")
            await self.behave(reader, writer)
        writer.transport.abort()


def answers(text: str | bytes, *, hold: bool = False) -> Behave:
    """Sends this, and closes, or with `hold` waits until the client does."""

    async def behave(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(text.replace("\n", "\r\n").encode() if isinstance(text, str) else text)
        if hold:
            await reader.read()
        else:
            writer.close()
            await writer.wait_closed()

    return behave


def repeats(first: bytes, again: bytes) -> Behave:
    """Sends `first`, then `again` without an end."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        while True:
            writer.write(again)
            await writer.drain()

    return behave


OpenHost = Callable[..., Awaitable[Host]]


@pytest.fixture
async def open_host() -> AsyncIterator[OpenHost]:
    """Opens hosts, which all close at the end."""
    async with contextlib.AsyncExitStack() as stack:

        async def open_one(behave: Behave, tls: ssl.SSLContext | None = None) -> Host:
            host = Host(0, behave)
            server = await asyncio.start_server(host.serve, "127.0.0.1", 0, ssl=tls)
            stack.push_async_callback(server.wait_closed)
            stack.callback(server.close)
            host.port = server.sockets[0].getsockname()[1]
            return host

        yield open_one


@dataclass
class Asker:
    """Runs a workflow of one HttpRequestNode.

    Attributes:
        allow: the registry's `http_allow`.
        addresses: what each look-up gives, one after the other; the last again and again. None: the system's.
    """

    allow: tuple[str, ...] = ("127.0.0.1",)
    addresses: list[list[str]] | None = None
    looked_up: list[str] = field(default_factory=list)
    max_body_bytes: int = 100_000
    client: Client = field(init=False)

    def __post_init__(self) -> None:
        """Make the client."""
        resolve = None if self.addresses is None else cast("Resolve", self._resolve)
        self.client = Client(read_allow_list(self.allow), resolve, max_body_bytes=self.max_body_bytes)

    async def _resolve(self, host: str, _port: int) -> list[str]:
        assert self.addresses is not None
        self.looked_up.append(host)
        return self.addresses[min(len(self.looked_up), len(self.addresses)) - 1]

    def plan(self, params: Mapping[str, object], **options: object) -> Plan:
        """The plan of the workflow."""
        node_type = HttpRequestNode(self.client, read_allow_list(self.allow), {"TOKEN": "s3cret"})
        node = Node(id="ask", type=node_type.name, params=params, options=options)
        registry = Registry(workflows={"w": Workflow(name="w", nodes=(node,))})
        return compile_registry(registry, {node_type.name: node_type})["w"]

    async def run(
        self,
        params: Mapping[str, object],
        inputs: Mapping[str, object] | None = None,
        *,
        timeout_s: float = WAIT_S,
        dry_run: bool = False,
        **options: object,
    ) -> Any:  # noqa: ANN401 - JSON
        """The node's result as a reader of JSON sees it."""
        plan = self.plan(params, **options)
        body = json.dumps(inputs or {}).encode()
        run = Run(
            id="run",
            plan=plan,
            inputs=plan.decode(body),
            invocation=Invocation(workflow="w", inputs=body, channel="test", request_id="r", dry_run=dry_run),
            now="2026-01-31T00:00:00.000000Z",
            deadline=asyncio.get_running_loop().time() + timeout_s,
            database=cast("Database", NoDatabase()),
            observe=ignore,
        )
        async with asyncio.timeout(WAIT_S * 2):
            return json.loads(msgspec.json.encode((await InlineEngine().run(run))["ask"]))
