"""What subscribers hear when the registry is loaded anew, and how streams end with the server."""

from __future__ import annotations

import asyncio
import json
import signal
import warnings
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.server.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ToolsListChanged
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.support.daemon import STOP_S, Daemon
from tests.support.mcp import HEADERS, INITIALIZE, LISTEN, LISTEN_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BEFORE = """
version: 1
models: {Note: {fields: {id: str, text: str}, publish: [create, list]}}
"""
AFTER = """
version: 1
models: {Note: {fields: {id: str, text: str}, publish: [create, list, count]}}
prompts: {greet: {messages: ["Hello {{name}}"]}}
resources: {"docs://a": {text: a}}
toolsets: {counting: [note_count]}
"""
HEARD = {"ToolsListChanged", "PromptsListChanged", "ResourcesListChanged", "ResourceUpdated"}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "r.yaml").write_text(BEFORE)
    env = {
        "DATABASE_URL": "sqlite:///n.db",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_SERVER__GRACE_S": "25",
    }
    with Daemon(tmp_path, env) as daemon:
        yield daemon


def reload(daemon: Daemon) -> None:
    (daemon.cwd / "r.yaml").write_text(AFTER)
    daemon.process.send_signal(signal.SIGHUP)


async def test_a_listen_stream_tells_what_a_reload_changed(daemon: Daemon) -> None:
    wanted = {
        ToolsListChanged(), PromptsListChanged(), ResourcesListChanged(), ResourceUpdated("nexusd://registry"),
    }  # fmt: skip
    async with asyncio.timeout(10), Client(daemon.mcp, mode="2026-07-28") as client:
        listening = client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=["nexusd://registry", "nexusd://models/Note"],
        )
        async with listening as heard:
            reload(daemon)
            events = set()
            async for event in heard:
                events.add(event)
                if wanted <= events:
                    break
        tools = [tool.name for tool in (await client.list_tools()).tools]

    # The model says which of its operations are published, so it has changed too.
    assert events <= wanted | {ResourceUpdated("nexusd://models/Note")}
    assert tools == ["note_count", "note_create", "note_list"]


async def test_a_session_is_told_what_a_reload_changed(daemon: Daemon) -> None:
    messages: asyncio.Queue[str] = asyncio.Queue()

    async def hear(message: Any) -> None:  # noqa: ANN401 - the client's
        messages.put_nowait(type(message).__name__)

    async with asyncio.timeout(10), Client(daemon.mcp, mode="legacy", message_handler=hear) as client:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MCPDeprecationWarning)
            await client.subscribe_resource("nexusd://registry")  # type: ignore[deprecated]
        capabilities = client.server_capabilities
        reload(daemon)
        heard = {await messages.get() for _ in range(4)}

    assert capabilities.tools is not None
    assert capabilities.tools.list_changed
    assert heard == {
        "ToolListChangedNotification",
        "PromptListChangedNotification",
        "ResourceListChangedNotification",
        "ResourceUpdatedNotification",
    }


async def test_a_toolset_that_a_reload_brings_is_served(daemon: Daemon) -> None:
    async with httpx.AsyncClient() as http:
        assert (await http.post(f"{daemon.mcp}/counting", json={})).status_code == 404

    async with asyncio.timeout(10), Client(daemon.mcp, mode="2026-07-28") as client:
        async with client.listen(tools_list_changed=True) as heard:
            reload(daemon)
            await anext(aiter(heard))
        async with Client(f"{daemon.mcp}/counting") as counting:
            tools = [tool.name for tool in (await counting.list_tools()).tools]

    assert tools == ["note_count"]


def frames(response: httpx.Response) -> Iterator[dict[str, Any]]:
    for line in response.iter_lines():
        if line.startswith("data: ") and line != "data: ":
            yield json.loads(line.removeprefix("data: "))


def test_a_stop_ends_listen_streams_and_sessions_in_order(daemon: Daemon) -> None:
    with httpx.Client(timeout=30) as client:
        opened = client.post(daemon.mcp, json=INITIALIZE, headers=HEADERS)
        session = HEADERS | {
            "Mcp-Session-Id": opened.headers["mcp-session-id"],
            "MCP-Protocol-Version": "2025-11-25",
        }
        with (
            client.stream("GET", daemon.mcp, headers=session) as standing,
            client.stream("POST", daemon.mcp, headers=LISTEN_HEADERS, json=LISTEN) as listening,
        ):
            told = frames(listening)
            assert next(told)["method"] == "notifications/subscriptions/acknowledged"
            daemon.process.terminate()
            rest = list(told)
            list(standing.iter_bytes())
        client.close()
        assert daemon.process.wait(STOP_S) == 0
        daemon.stop()

    # The last frame of a listen stream is its result: it ended on purpose.
    assert [frame["id"] for frame in rest] == [7]
    assert [entry["cancelled"] for entry in daemon.log if entry["event"] == "server.stopped"] == [0]
