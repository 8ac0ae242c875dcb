"""What happens to keys while a server runs, on both databases; limits at every door; and pages of other origins."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final, TypeAlias

import httpx
import httpx2
import pytest
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client

from nexusd import app
from nexusd.configuration import load_settings
from tests.support.daemon import Daemon
from tests.support.migrations import rows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"

WAIT_S: Final = 8.0
ADMIN: Final = {"Authorization": "Bearer an-admin-key-for-the-first-hour"}
REGISTRY: Final = """version: 1
models:
  Note: {fields: {id: str, text: str}, publish: [list]}
workflows:
  rare:
    rate_limit: {requests: 2, per_s: 3600}
    nodes: {find: {type: NoteCountNode, params: {}}}
"""


def closed(folder: Path, url: str) -> dict[str, str]:
    """The environment of a server that lets nobody in yet."""
    (folder / "r.yaml").write_text(REGISTRY)
    return {
        "DATABASE_URL": url,
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_MCP__ENABLED": "false",
    }


def test_a_key_lets_in_at_once_and_is_known_to_be_revoked_and_when_it_was_used(
    tmp_path: Path, database_url: str
) -> None:
    environment = closed(tmp_path, database_url)
    with Daemon(tmp_path, environment) as daemon, httpx.Client(base_url=daemon.http) as client:
        assert client.get("/workflows").status_code == 401
        with app.open_keys(load_settings(None, environment)) as keys:
            key, _ = keys.create("ci", ["*"], {}, None)
            revoked, _ = keys.create("unused", ["*"], {}, None)
            keys.revoke(revoked.id)
        assert client.get("/workflows", headers={"X-API-Key": key.text}).status_code == 200
        assert client.get("/workflows", headers={"X-API-Key": revoked.text}).status_code == 401
        assert daemon.stop() == 0
    found = rows(database_url, "SELECT id FROM _nexusd_api_key WHERE last_used_at IS NOT NULL")
    assert found == [(key.id,)]
    assert [entry["level"] for entry in daemon.log if entry["event"] == "auth.locked"] == ["warning"]
    assert [entry["reason"] for entry in daemon.log if entry["event"] == "auth.refused"] == ["missing", "revoked"]


def test_a_key_that_was_just_used_is_refused_within_seconds_of_its_revocation(tmp_path: Path, sqlite_url: str) -> None:
    environment = closed(tmp_path, sqlite_url)
    with Daemon(tmp_path, environment) as daemon, httpx.Client(base_url=daemon.http) as client:
        with app.open_keys(load_settings(None, environment)) as keys:
            key, _ = keys.create("ci", ["*"], {}, None)
            headers = {"X-API-Key": key.text}
            assert client.get("/workflows", headers=headers).status_code == 200
            keys.revoke(key.id)
        deadline = time.monotonic() + WAIT_S
        while client.get("/workflows", headers=headers).status_code == 200:
            assert time.monotonic() < deadline


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("limits")
    (folder / "r.yaml").write_text(REGISTRY)
    environment = {
        "DATABASE_URL": "sqlite:///:memory:",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_ADMIN_KEY": ADMIN["Authorization"].removeprefix("Bearer "),
        "NEXUSD_HTTP__CORS_ORIGINS": "https://app.example.com",
        # Other machines may reach it, since it asks for a key.
        "NEXUSD_HTTP__HOST": "0.0.0.0",
        "NEXUSD_MCP__HOST": "0.0.0.0",
        "NEXUSD_AUTH__RATE_LIMIT": '{"requests": 1000, "per_s": 60}',
    }
    with Daemon(folder, environment) as daemon:
        yield daemon


def test_a_limit_is_told_and_held_at_every_door(daemon: Daemon, nexusd: Nexusd) -> None:
    first = daemon.execute("rare", {}, **ADMIN)
    assert first.headers["ratelimit-policy"] == '"workflow";q=2;w=3600, "default";q=1000;w=60'
    assert first.headers["ratelimit"] == '"workflow";r=1;t=1800, "default";r=999;t=1'
    assert daemon.execute("rare", {}, **ADMIN).status_code == 200

    over = daemon.execute("rare", {}, **ADMIN)
    assert (over.status_code, over.json()["code"]) == (429, "rate_limited")
    assert 1700 < int(over.headers["retry-after"]) <= 1800
    assert over.headers["ratelimit"].startswith('"workflow";r=0;')
    assert daemon.execute("note_list", {}, **ADMIN).status_code == 200

    url = f"http://127.0.0.1:{daemon.mcp.rpartition(':')[2]}"

    async def call() -> object:
        async with (
            asyncio.timeout(10),
            httpx2.AsyncClient(headers=ADMIN) as http,
            Client(streamable_http_client(url, http_client=http)) as client,
        ):
            return await client.call_tool("rare", {})

    result = asyncio.run(call())
    assert result.is_error  # type: ignore[attr-defined]
    assert result.structured_content["code"] == "rate_limited"  # type: ignore[attr-defined]
    key = ADMIN["Authorization"].removeprefix("Bearer ")
    http = f"http://127.0.0.1:{daemon.http.rpartition(':')[2]}"
    assert nexusd("run", "rare", "--server", http, "--api-key", key).exit_code == 75


def test_a_preflight_needs_no_key_and_a_refusal_can_be_read_by_the_page(daemon: Daemon) -> None:
    origin = {"Origin": "https://app.example.com"}
    url = f"http://127.0.0.1:{daemon.http.rpartition(':')[2]}/workflows/note_list/execute"
    asks = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}

    preflight = httpx.options(url, headers=origin | asks)
    foreign = httpx.options(url, headers={"Origin": "https://evil.example.com"} | asks)
    refused = httpx.post(url, headers=origin)

    assert preflight.status_code == 204
    assert "authorization" in preflight.headers["access-control-allow-headers"]
    assert (foreign.status_code, "access-control-allow-origin" in foreign.headers) == (401, False)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, "https://app.example.com")
    assert "www-authenticate" in refused.headers["access-control-expose-headers"]


@pytest.mark.parametrize(
    ("assignment", "told"),
    [
        ("auth.admin_key=tooshort", "at least 16 characters"),
        ('auth.jwt={"issuer": "i", "audience": "a", "public_key": "none"}', "no public key in PEM form"),
        (
            f'auth.api_keys=[{{"name": "a", "sha256": "{"0" * 64}", "scopes": ["workflow:a"]}}]',
            "workflow:<name>:execute",
        ),
    ],
)
def test_a_credential_that_can_let_nobody_in_is_a_mistake(nexusd: Nexusd, assignment: str, told: str) -> None:
    done = nexusd("check", "--set", "auth.enabled=true", "--set", assignment)

    assert done.exit_code == 78
    assert told in done.err
