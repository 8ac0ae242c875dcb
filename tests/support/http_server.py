"""The HTTP channel in a thread of the test process, over workflows whose nodes the test controls, and a raw client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, Self

import httpx
import pytest

from nexusd import catalog
from nexusd.channels.channel import Telemetry
from nexusd.channels.http.channel import HttpChannel
from nexusd.channels.listener import Drain, bind
from nexusd.databases.database import Dialect
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.registry import Registry
from nexusd.definitions.shape import ANYTHING
from nexusd.definitions.workflow import DeclaredInput, Node, Workflow
from nexusd.engines.admission import Places
from nexusd.engines.inline import InlineEngine
from nexusd.errors import UniqueViolation
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, Slot
from nexusd.planning.registry import compile_registry
from nexusd.runtime import Runtime
from nexusd.settings import HttpSettings, ServerSettings, Settings
from nexusd.supervisor.health import HealthBoard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping

    from nexusd.databases.database import Session, Statement
    from nexusd.definitions.shape import Shape
    from nexusd.events import Event
    from nexusd.nodes.node import NodeContext, Runner

WAIT_S: Final = 5.0


class Gate:
    """What the node of the workflow `hold` waits at.

    Attributes:
        entered, left: counted up by each run of it; `left` also by those that were cancelled.
    """

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.left = threading.Semaphore(0)
        self.cancelled = 0
        self._open = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def hold(self, params: Mapping[str, object], _context: NodeContext) -> object:
        """Wait until the gate is open, and give the params."""
        self._loop = asyncio.get_running_loop()
        self.entered.release()
        try:
            await self._open.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.left.release()
        return dict(params)

    def open(self) -> None:
        """Let all through, now and from now on."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._open.set)


class _NodeType:
    """A node that runs a function and takes the param `value`."""

    def __init__(self, name: str, runner: Runner) -> None:
        self.name = name
        self._runner = runner
        self.keys: frozenset[str] = frozenset()

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """None."""
        return Effects()

    def bind(self, _node: Node, _params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        """Anything may be left out."""
        return Binding(slots={("value",): Slot(ANYTHING, optional=True)})

    def result(self, _node: Node) -> Shape:
        """Anything."""
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        """The function."""
        return self._runner


class NoDatabase:
    """A database that workflows without database nodes may be given."""

    dialect = Dialect.SQLITE
    answers = True

    async def open(self) -> None:
        """Nothing to do."""

    def session(self, _deadline: float) -> Session:
        """Itself: nobody uses it."""
        return self

    @contextlib.asynccontextmanager
    async def transaction(self, _deadline: float, *, read_only: bool, keep: bool = True) -> AsyncIterator[Session]:
        """Itself."""
        del read_only, keep
        yield self

    @contextlib.asynccontextmanager
    async def atomic(self) -> AsyncIterator[Session]:
        """Itself."""
        yield self

    async def check(self, _statement: Statement) -> str:
        """Nobody calls it."""
        return ""

    async def tables(self, _statement: Statement) -> frozenset[str]:
        """Nobody calls it."""
        return frozenset()

    async def run(self, _bound: object) -> Any:  # noqa: ANN401 - never called
        """Nobody calls it."""
        raise AssertionError

    async def ready(self) -> bool:
        """As told."""
        return self.answers

    async def expire(self) -> None:
        """Nothing to do."""

    def stats(self) -> Mapping[str, int]:
        """Nothing."""
        return {}

    async def close(self, _grace_s: float) -> None:
        """Nothing to do."""


async def _echo(params: Mapping[str, object], _context: NodeContext) -> object:
    return dict(params)


async def _refuse(_params: Mapping[str, object], _context: NodeContext) -> object:
    raise UniqueViolation(fields=["value"])


async def _break(_params: Mapping[str, object], _context: NodeContext) -> object:
    raise ZeroDivisionError("a secret")


def workflow(name: str, **options: Any) -> Workflow:  # noqa: ANN401 - whatever a workflow takes
    """A workflow of one node, `run`, that takes the optional input `value` of any type."""
    node = Node(id="run", type=f"{name.title()}Node", params={"value": "{{value}}"})
    value = DeclaredInput(Field(name="value", type=FieldType.JSON, nullable=True), required=False)
    return Workflow(name=name, description=f"Run {name}.", nodes=(node,), inputs={"value": value}, **options)


@dataclass
class HttpServer:
    """A running HTTP channel; a context manager.

    Attributes:
        events: what it observed, in order.
        gate: the node of the workflow `hold` waits there; `echo`, `refuse` and `break` do what they are called.
        cut: how many requests the end of the grace has cut; known when it has stopped.
    """

    settings: HttpSettings = field(default_factory=HttpSettings)
    grace_s: float = WAIT_S
    workflows: tuple[Workflow, ...] = ()
    events: list[Event] = field(default_factory=list)
    gate: Gate = field(default_factory=Gate)
    cut: int | None = None

    def __enter__(self) -> Self:
        """Start, and wait until it listens."""
        self.socket = bind("127.0.0.1", 0)
        self.port: int = self.socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self._ready.wait(WAIT_S)
        return self

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
            self.cut = runner.run(self._serve())

    async def _serve(self) -> int:
        self.loop = asyncio.get_running_loop()
        self.drain = Drain()
        self.health = HealthBoard(["http"])
        self.health.set("http", "ready")
        runners = {"echo": _echo, "hold": self.gate.hold, "refuse": _refuse, "break": _break}
        types = {f"{name.title()}Node": _NodeType(f"{name.title()}Node", run) for name, run in runners.items()}
        made = {each.name: each for each in (*map(workflow, runners), *self.workflows)}
        plans = compile_registry(Registry(workflows=made), types)
        self.runtime = Runtime(plans, InlineEngine(), NoDatabase(), self.events.append, keeps_keys=False)
        http = self.settings
        self.runtime.places = Places(http.max_in_flight, http.queue_timeout_s, self.events.append)
        settings = Settings(http=http, server=ServerSettings(grace_s=self.grace_s))
        telemetry = Telemetry(self.events.append)
        channel = HttpChannel(self.runtime, settings, self.socket, self.health, None, telemetry)
        self.routes = channel.routes
        return await channel.run(self._ready.set, self.drain)

    def call(self, function: Callable[[], None]) -> None:
        """Call a function in the server's loop, and wait for it."""
        done = threading.Event()

        def call() -> None:
            function()
            done.set()

        self.loop.call_soon_threadsafe(call)
        assert done.wait(WAIT_S)

    def begin_drain(self, *, successor: bool = False) -> None:
        """Ask it to stop, without waiting."""

        def ask() -> None:
            self.health.draining = True
            self.drain.successor = successor
            self.drain.set()

        self.loop.call_soon_threadsafe(ask)

    def join(self, timeout_s: float | None = None) -> None:
        """Wait for its end; by default a little longer than its grace."""
        self._thread.join(WAIT_S + self.grace_s if timeout_s is None else timeout_s)
        assert not self._thread.is_alive()

    def __exit__(self, *_error: object) -> None:
        """Stop it."""
        if self._thread.is_alive():
            self.begin_drain()
            self.join()
        self.socket.close()

    def execute(self, name: str, value: object = None, **headers: str) -> httpx.Response:
        """POST to a workflow."""
        sent = {key.replace("_", "-"): text for key, text in headers.items()}
        url = f"{self.url}/workflows/{name}/execute"
        return httpx.post(url, json={"inputs": {"value": value}}, headers=sent, timeout=WAIT_S)

    def get(self, path: str, **headers: str) -> httpx.Response:
        """GET a path."""
        sent = {key.replace("_", "-"): text for key, text in headers.items()}
        return httpx.get(self.url + path, headers=sent, timeout=WAIT_S)

    def connect(self) -> RawClient:
        """A connection that sends what it is told."""
        return RawClient(self.port)


@dataclass(frozen=True)
class Answer:
    """An HTTP answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:  # noqa: ANN401 - whatever JSON holds
        """The body's value."""
        return json.loads(self.body)


class RawClient:
    """A TCP connection; every wait is bounded."""

    def __init__(self, port: int) -> None:
        self.sock = socket.create_connection(("127.0.0.1", port), timeout=WAIT_S)
        self._file = self.sock.makefile("rb")

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_error: object) -> None:
        """Close it."""
        self._file.close()
        self.sock.close()

    def send(self, data: bytes) -> Self:
        """Send bytes as they stand."""
        self.sock.sendall(data)
        return self

    def request(self, method: str, path: str, *fields: str, body: bytes = b"") -> Self:
        """Send a request with a Host, and a length if there is a body."""
        length = [f"Content-Length: {len(body)}"] if body else []
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *length, *fields, "", ""]
        return self.send("\r\n".join(lines).encode() + body)

    def execute(self, name: str, body: bytes = b"", *fields: str) -> Self:
        """Send a POST to a workflow."""
        path = f"/workflows/{name}/execute"
        return self.request("POST", path, "Content-Type: application/json", *fields, body=body)

    def answer(self, *, head: bool = False) -> Answer:
        """The next answer; `head`: to a HEAD request."""
        line = self._file.readline()
        assert line, "the connection was closed before an answer came"
        headers: dict[str, str] = {}
        while (text := self._file.readline().strip()) != b"":
            name, _, value = text.partition(b":")
            headers[name.decode().lower()] = value.strip().decode()
        length = 0 if head else int(headers.get("content-length", 0))
        return Answer(int(line.split()[1]), headers, self._file.read(length))

    def line(self) -> bytes:
        """The next line."""
        return self._file.readline()

    def is_closed(self) -> bool:
        """Whether the server closes the connection without sending more; waits for it."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True


@pytest.fixture
def serve_http() -> Iterator[Callable[..., HttpServer]]:
    """Starts HTTP channels with these settings of the section `http`; ends them with the test."""
    with contextlib.ExitStack() as stack:

        def serve(*, grace_s: float = WAIT_S, workflows: tuple[Workflow, ...] = (), **settings: Any) -> HttpServer:  # noqa: ANN401
            server = HttpServer(replace(HttpSettings(), **settings), grace_s, workflows)
            return stack.enter_context(server)

        yield serve


@pytest.fixture
def server(serve_http: Callable[..., HttpServer]) -> HttpServer:
    """An HTTP channel with default settings."""
    return serve_http()
