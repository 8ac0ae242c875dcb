"""Streams of clients whose key is revoked while they are open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from nexusd import app
from nexusd.configuration import load_settings
from tests.support.daemon import Daemon
from tests.support.mcp import HEADERS, INITIALIZE, LISTEN, LISTEN_HEADERS

if TYPE_CHECKING:
    from pathlib import Path

ENDS_S = 20.0
"""A key is known for five seconds, and asked for again every five."""


def test_streams_end_when_their_key_is_revoked_and_those_of_other_keys_go_on(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nmodels: {Note: {fields: {id: str}, publish: [list]}}\n")
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/n.db",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
    }
    with Daemon(tmp_path, environment) as daemon, httpx.Client(timeout=ENDS_S) as client:
        with app.open_keys(load_settings(None, environment)) as keys:
            revoked, kept = (keys.create(name, ["workflow:*:execute"], {}, None)[0] for name in ("revoked", "kept"))
        credential = {"X-API-Key": revoked.text}
        opened = client.post(daemon.mcp, json=INITIALIZE, headers=HEADERS | credential)
        session = HEADERS | {"Mcp-Session-Id": opened.headers["mcp-session-id"], "MCP-Protocol-Version": "2025-11-25"}
        other = LISTEN_HEADERS | {"X-API-Key": kept.text}
        with (
            client.stream("GET", daemon.mcp, headers=session | credential) as standing,
            client.stream("POST", daemon.mcp, headers=LISTEN_HEADERS | credential, json=LISTEN) as listening,
            client.stream("POST", daemon.mcp, headers=other, json=LISTEN) as going_on,
        ):
            assert [each.status_code for each in (standing, listening, going_on)] == [200, 200, 200]
            with app.open_keys(load_settings(None, environment)) as keys:
                keys.revoke(revoked.id)
            # The chunked bodies are complete: httpx raises where one is not.
            assert b"".join(standing.iter_bytes()) == b""
            assert b"acknowledged" in b"".join(listening.iter_bytes())
            lines = going_on.iter_lines()
            assert "acknowledged" in next(line for line in lines if line.startswith("data: {"))
            assert client.post(daemon.mcp, json=LISTEN, headers=LISTEN_HEADERS | credential).status_code == 401
            daemon.process.terminate()
            # Ended by the stop, on purpose, and not before.
            assert any('"id":7' in line for line in lines)


SLOW = """\
import asyncio

async def slow() -> str:
    await asyncio.sleep(7)
    return "told to nobody"
"""


def test_how_an_execution_ends_is_not_told_to_a_key_that_was_revoked_meanwhile(tmp_path: Path) -> None:
    (tmp_path / "slow.py").write_text(SLOW)
    (tmp_path / "r.yaml").write_text(
        'version: 1\nworkflows: {w: {nodes: {f: {type: FunctionNode, call: "slow:slow"}}}}\n'
    )
    environment = {
        "DATABASE_URL": f"sqlite:///{tmp_path}/n.db",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_MCP__ENABLED": "false",
    }
    with Daemon(tmp_path, environment) as daemon, httpx.Client(base_url=daemon.http, timeout=ENDS_S) as client:
        with app.open_keys(load_settings(None, environment)) as keys:
            key = keys.create("revoked", ["workflow:*:execute"], {}, None)[0]
        credential = {"X-API-Key": key.text}
        begun = client.post("/workflows/w/execute", headers=credential | {"Prefer": "respond-async"})
        with client.stream("GET", f"{begun.headers['location']}/events", headers=credential) as following:
            with app.open_keys(load_settings(None, environment)) as keys:
                keys.revoke(key.id)
            told = b"".join(following.iter_bytes())
    assert b"execution.started" in told
    assert b"told to nobody" not in told
