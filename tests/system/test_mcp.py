"""The MCP door, through the official client and through raw HTTP."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from tests.support.daemon import STOP_S, Daemon
from tests.support.mcp import HEADERS, INITIALIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TOOLS = 120


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("mcp")
    lines = ["version: 1", "models:", "  Note:", "    fields: {id: str, text: str, data: {type: json, nullable: true}}"]
    lines += ["    publish: [create, read, delete, list]", "workflows:"]
    lines += [
        f"  w{i:03}: {{nodes: {{n: {{type: NoteCountNode, params: {{filter: {{text: '{{{{t}}}}'}}}}}}}}}}"
        for i in range(TOOLS)
    ]
    (folder / "r.yaml").write_text("\n".join(lines))
    env = {"DATABASE_URL": f"sqlite:///{folder}/n.db", "NEXUSD_REGISTRY__PATH": "r.yaml"}
    with Daemon(folder, env) as daemon:
        yield daemon


@pytest.mark.parametrize("mode", ["legacy", "auto", "2026-07-28"])
async def test_each_protocol_era_lists_and_calls(daemon: Daemon, mode: str) -> None:
    async with asyncio.timeout(10), Client(daemon.mcp, mode=mode) as client:
        names: list[str] = []
        cursor = None
        pages = 0
        while pages == 0 or cursor is not None:
            page = await client.list_tools(cursor=cursor)
            names += [tool.name for tool in page.tools]
            cursor, pages = page.next_cursor, pages + 1
        result = await client.call_tool("note_create", {"text": "é 🎈", "data": {"a": [0.5, None]}})

    assert (len(names), pages) == (TOOLS + 4, 3)
    assert names == sorted(names)
    assert not result.is_error
    assert result.structured_content["create"]["data"] == {"a": [0.5, None]}
    assert result.structured_content["create"]["text"] == "é 🎈"


async def test_annotations_tell_what_a_tool_may_do(daemon: Daemon) -> None:
    async with asyncio.timeout(10), Client(daemon.mcp) as client:
        tools = {tool.name: tool.annotations for tool in (await client.list_tools()).tools}

    def told(name: str) -> tuple[Any, ...]:
        hints = tools[name]
        assert hints is not None
        return hints.read_only_hint, hints.destructive_hint, hints.idempotent_hint, hints.open_world_hint

    assert told("note_create") == (False, False, False, False)
    assert told("note_list") == (True, False, True, False)
    assert told("note_delete") == (False, True, True, False)


async def test_a_cursor_that_is_not_ours_is_refused(daemon: Daemon) -> None:
    async with asyncio.timeout(10), Client(daemon.mcp) as client:
        with pytest.raises(MCPError) as caught:
            await client.list_tools(cursor="nonsense")

    assert caught.value.code == INVALID_PARAMS


def test_a_foreign_host_or_origin_is_refused(daemon: Daemon) -> None:
    host = httpx.post(daemon.mcp, json=INITIALIZE, headers=HEADERS | {"Host": "evil.example"})
    origin = httpx.post(daemon.mcp, json=INITIALIZE, headers=HEADERS | {"Origin": "https://evil.example"})
    own = httpx.post(daemon.mcp, json=INITIALIZE, headers=HEADERS | {"Origin": "http://localhost:5173"})

    assert (host.status_code, origin.status_code, own.status_code) == (421, 403, 200)


def test_another_path_is_not_found_and_broken_json_is_a_json_rpc_error(daemon: Daemon) -> None:
    other = httpx.post(daemon.mcp + "x", json=INITIALIZE, headers=HEADERS)
    broken = httpx.post(daemon.mcp, content=b"{", headers=HEADERS)

    assert (other.status_code, other.json()["code"]) == (404, "route_not_found")
    assert (broken.status_code, broken.json()["error"]["code"]) == (400, -32700)


def test_a_stop_with_an_open_stream_does_not_wait_for_the_client(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nmodels: {Note: {fields: {id: str}, publish: [list]}}\n")
    env = {"DATABASE_URL": "sqlite:///:memory:", "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_SERVER__GRACE_S": "25"}
    with Daemon(tmp_path, env) as daemon, httpx.Client() as client:
        opened = client.post(daemon.mcp, json=INITIALIZE, headers=HEADERS)
        session = HEADERS | {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        with client.stream("GET", daemon.mcp, headers=session, timeout=30) as stream:
            assert stream.status_code == 200
            daemon.process.terminate()
            assert list(stream.iter_bytes()) == []
        client.close()
        assert daemon.process.wait(STOP_S) == 0
    assert [entry["cancelled"] for entry in daemon.log if entry["event"] == "server.stopped"] == [0]
