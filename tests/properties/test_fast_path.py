"""The fast path and the SDK answer the same bytes with the same answer, whatever the bytes are."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
from typing import TYPE_CHECKING, Any, Self

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nexusd.channels.channel import Telemetry
from nexusd.channels.http.problems import STATUS
from nexusd.channels.mcp.calls import Calls
from nexusd.channels.mcp.endpoint import Endpoint, HttpOptions
from nexusd.channels.mcp.server import security_settings
from nexusd.channels.mcp.view import View
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import DeclaredInput, Node, Workflow
from nexusd.engines.inline import InlineEngine
from nexusd.events import ToolCalled
from nexusd.nodes.control import control_node_types
from nexusd.planning.registry import compile_registry
from nexusd.runtime import Runtime
from tests.support.http_server import NoDatabase

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.events import Event

WAIT_S = 10.0
MAX_BODY_BYTES = 4096
META = '"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientCapabilities":{}'
VALID = f'{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"text":"a"}},"_meta":{{{META}}}}}}}'
HEADERS = [
    (b"host", b"localhost:3001"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json, text/event-stream"),
    (b"mcp-protocol-version", b"2026-07-28"),
    (b"mcp-method", b"tools/call"),
    (b"mcp-name", b"echo"),
]


class BothWays:
    """One runtime behind two endpoints, one with the fast path, in a loop of their own."""

    def __init__(self) -> None:
        self.calls: list[ToolCalled] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._ready = threading.Event()

    def __enter__(self) -> Self:
        self._thread.start()
        self._ending = asyncio.Event()
        self._serving = asyncio.run_coroutine_threadsafe(self._serve(), self._loop)
        assert self._ready.wait(WAIT_S)
        return self

    def __exit__(self, *_error: object) -> None:
        self._loop.call_soon_threadsafe(self._ending.set)
        self._serving.result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()

    def _note(self, event: Event) -> None:
        if isinstance(event, ToolCalled):
            self.calls.append(event)

    async def _serve(self) -> None:
        inputs = {
            "text": DeclaredInput(Field(name="text", type=FieldType.STR, max_length=20), required=True),
            "data": DeclaredInput(Field(name="data", type=FieldType.JSON), required=False),
            "n": DeclaredInput(Field(name="n", type=FieldType.INT), required=False),
        }
        params = {"text": "{{text}}", "data": "{{data | default(null)}}", "n": "{{n | default(0)}}"}
        echo = Workflow(name="echo", nodes=(Node(id="run", type="TransformNode", params=params),), inputs=inputs)
        plans = compile_registry(Registry(workflows={"echo": echo}), {each.name: each for each in control_node_types()})
        runtime = Runtime(plans, InlineEngine(), NoDatabase(), self._note, keeps_keys=False)
        calls = Calls(runtime, STATUS, 65536, Telemetry(self._note))
        async with contextlib.AsyncExitStack() as stack:
            self._endpoints: dict[bool, Endpoint] = {}
            for fast in (True, False):
                endpoint = self._endpoints[fast] = Endpoint(View(runtime), calls, version="1")
                options = HttpOptions(
                    security=security_settings("127.0.0.1", (), ()),
                    max_body_bytes=MAX_BODY_BYTES,
                    has_sessions=True,
                    fast_path=fast,
                )
                await stack.enter_async_context(endpoint.over_http(options))
            self._ready.set()
            await self._ending.wait()

    def answers(self, headers: list[tuple[bytes, bytes]], body: bytes) -> list[tuple[int, str, object]]:
        """The answer with the fast path, and the one without."""
        return [
            asyncio.run_coroutine_threadsafe(self._ask(endpoint, headers, body), self._loop).result(WAIT_S)
            for endpoint in (self._endpoints[True], self._endpoints[False])
        ]

    async def _ask(
        self, endpoint: Endpoint, headers: list[tuple[bytes, bytes]], body: bytes
    ) -> tuple[int, str, object]:
        scope: dict[str, Any] = {
            "type": "http", "method": "POST", "path": "/mcp", "raw_path": b"/mcp", "query_string": b"",
            "headers": [*headers, (b"content-length", b"%d" % len(body))], "client": ("127.0.0.1", 1),
            "scheme": "http", "http_version": "1.1", "server": ("127.0.0.1", 3001),
        }  # fmt: skip
        asked = False
        sent: list[Any] = []

        async def receive() -> dict[str, Any]:
            nonlocal asked
            if asked:
                await asyncio.Event().wait()
            asked = True
            return {"type": "http.request", "body": body, "more_body": False}

        async def send(message: Any) -> None:  # noqa: ANN401 - ASGI's
            sent.append(message)

        await endpoint(scope, receive, send)
        start = sent[0]
        content_type = dict(start["headers"]).get(b"content-type", b"").decode()
        return start["status"], content_type, comparable(b"".join(each.get("body", b"") for each in sent))


def comparable(body: bytes) -> object:
    """A body without what differs from one run to the next."""
    try:
        return _without_ids(json.loads(body))
    except ValueError:
        return body


def _without_ids(value: object) -> object:
    if isinstance(value, dict):
        return {
            name: _without_ids(item)
            for name, item in value.items()
            if name not in {"execution_id", "request_id", "nexusd/executionId"}
        }
    if isinstance(value, list):
        return [_without_ids(item) for item in value]
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(ValueError):
            return _without_ids(json.loads(value))
    return value


@pytest.fixture(scope="module")
def both_ways() -> Iterator[BothWays]:
    with BothWays() as both:
        yield both


def one_of(usual: str, *others: str) -> st.SearchStrategy[str]:
    """Mostly the usual text, so that a case differs from a good one in few places."""
    return st.sampled_from([usual] * (2 * len(others)) + list(others))


IDS = one_of("1", "0", "-0", "-7", '"a"', '""', '"\\u00e9"', '"é"', '"\\ud800"', "1.0", "1e2", "01", "null", "true", "[]",
             "9007199254740993", "123456789012345678901234567890")  # fmt: skip
VALUES = st.sampled_from(
    ['"a"', '"é🎈"', '"\\ud83c\\udf88"', '"\\ud800"', '"\\u0000"', '"\\x"', "1", "1.5", "0.1234567890123456789", "1e400",
     "-0.0", "NaN", "Infinity", "123456789012345678901234567890", "null", "true", "[]", "{}", '{"a":[1,{"b":null}]}',
     "[" * 60 + "]" * 60, '"' + "x" * 30 + '"', '{"a":1,"a":2}']
)  # fmt: skip
NAMES = st.sampled_from(["text", "data", "n", "data", "unknown", "te\\u0078t", ""])
OBJECTS = st.lists(st.tuples(NAMES, VALUES), max_size=4).map(
    lambda items: "{" + ",".join(f'"{name}":{value}' for name, value in items) + "}"
)
ARGUMENTS = st.one_of(OBJECTS, st.just('{"text":"a"}'), st.sampled_from(["null", "[]", '"a"', "1", " { } ", "{,}"]))
METAS = st.lists(
    one_of(
        META,
        '"io.modelcontextprotocol/protocolVersion":"2026-07-28"',
        '"io.modelcontextprotocol/protocolVersion":"2025-11-25"',
        '"io.modelcontextprotocol/protocolVersion":"2099-01-01"',
        '"io.modelcontextprotocol/protocolVersion":7',
        '"io.modelcontextprotocol/clientCapabilities":{"elicitation":{}}',
        '"io.modelcontextprotocol/clientCapabilities":[]',
        '"io.modelcontextprotocol/clientInfo":{"name":"t","version":"1"}',
        '"io.modelcontextprotocol/clientInfo":{"name":7}',
        '"io.modelcontextprotocol/clientInfo":null',
        '"io.modelcontextprotocol/logLevel":"info"',
        '"progressToken":1',
        '"nexusd/dryRun":true',
        '"nexusd/dryRun":null',
        '"nexusd/idempotencyKey":"k"',
        '"nexusd/idempotencyKey":7',
        '"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"',
        '"traceparent":7',
        '"other":1',
    ),
    min_size=1,
    max_size=3,
).map(lambda parts: "{" + ",".join(parts) + "}")


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """A request that is wrong in few places, or in none."""
    params = [f'"name":{draw(one_of(chr(34) + "echo" + chr(34), chr(34) + "none" + chr(34), "7", "null"))}']
    params.append(f'"arguments":{draw(ARGUMENTS)}')
    params.append(f'"_meta":{draw(METAS)}')
    params.append(
        draw(one_of("", '"task":{}', '"inputResponses":{}', '"requestState":"x"', '"extra":1', '"name":"echo"'))
    )
    members = [
        f'"jsonrpc":{draw(one_of(chr(34) + "2.0" + chr(34), chr(34) + "1.0" + chr(34), "2", "null"))}',
        f'"id":{draw(IDS)}',
        f'"method":{draw(one_of(chr(34) + "tools/call" + chr(34), chr(34) + "tools/list" + chr(34), "7"))}',
        '"params":{' + ",".join(part for part in params if part) + "}",
    ]
    if draw(st.integers(0, 9)) == 0:
        members.pop(draw(st.integers(0, 3)))
    body = ("{" + ",".join(members) + "}").encode()
    sent: bytes = draw(
        st.one_of(
            st.just(body),
            st.just(body),
            st.just(body),
            st.integers(0, len(body)).map(lambda end: body[:end]),
            st.tuples(st.integers(0, len(body)), st.binary(min_size=1, max_size=3)).map(
                lambda cut: body[: cut[0]] + cut[1] + body[cut[0] :]
            ),
            st.just(body + b" " * MAX_BODY_BYTES),
            st.just(body.decode().encode("utf-16")),
            st.just(b"[" + body + b"]"),
        )
    )
    return sent


@st.composite
def heads(draw: st.DrawFn) -> list[tuple[bytes, bytes]]:
    """The headers of a request, changed in one place at most."""
    changed = draw(
        st.sampled_from(
            [(b"host", b"localhost:3001")] * 12
            + [
                (b"host", b"evil.example"), (b"host", b""), (b"origin", b"http://localhost:5173"),
                (b"origin", b"https://evil.example"), (b"content-type", b"text/plain"),
                (b"content-type", b"application/json; charset=utf-8"), (b"content-type", b"application/jsonx"),
                (b"accept", b"application/json"), (b"accept", b"*/*"), (b"accept", b""),
                (b"mcp-protocol-version", b"2025-11-25"), (b"mcp-protocol-version", b"x"),
                (b"mcp-method", b"tools/list"), (b"mcp-name", b"other"), (b"mcp-name", b"=?base64?ZWNobw==?="),
                (b"mcp-session-id", b"abc"), (b"mcp-param-x", b"1"), (b"traceparent", b"00-x"),
            ]
        )
    )  # fmt: skip
    kind = draw(st.sampled_from(["replaced"] * 4 + ["doubled", "dropped"]))
    if kind == "doubled":
        return [*HEADERS, changed]
    rest = [each for each in HEADERS if each[0] != changed[0]]
    return rest if kind == "dropped" else [*rest, changed]


@settings(max_examples=300)
@given(headers=heads(), body=bodies())
@example(headers=HEADERS, body=VALID.encode())
@example(headers=HEADERS, body=VALID.replace('"a"', "1").encode())
@example(headers=HEADERS, body=VALID.replace("{}", '{"x":1}').encode())
def test_both_ways_give_the_same_answer(both_ways: BothWays, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    fast, sdk = both_ways.answers(headers, body)

    assert fast == sdk


def test_a_good_call_takes_the_fast_path(both_ways: BothWays) -> None:
    both_ways.calls.clear()

    both_ways.answers(HEADERS, VALID.encode())

    assert [(call.path, call.era, call.status) for call in both_ways.calls] == [
        ("fast", "2026", "ok"),
        ("sdk", "2026", "ok"),
    ]
