"""Who hears of the end of an execution: whoever may see it, in either era."""

from __future__ import annotations

import hashlib
import json
import signal
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.support.daemon import Daemon
from tests.support.mcp import HEADERS, INITIALIZE, LISTEN_HEADERS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

REGISTRY: Final = """version: 1
models: {Note: {fields: {id: str, text: str}, publish: [create, list]}}
workflows:
  wait: {nodes: {f: {type: FunctionNode, call: "waiting:wait"}}}
"""
WAITING: Final = "import asyncio\n\nasync def wait():\n    await asyncio.sleep(60)\n    return {}\n"
ALICE, BOB = "a-key-of-alice-0123456789", "a-key-of-bob-0123456789"
META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "r.yaml").write_text(REGISTRY)
    (tmp_path / "waiting.py").write_text(WAITING)
    keys = [
        {"name": name, "sha256": hashlib.sha256(key.encode()).hexdigest(), "scopes": ["workflow:*:execute"]}
        for name, key in (("alice", ALICE), ("bob", BOB))
    ]
    environment = {
        "DATABASE_URL": "sqlite:///:memory:",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_AUTH__API_KEYS": json.dumps(keys),
    }
    with Daemon(tmp_path, environment) as daemon:
        yield daemon


def begin(daemon: Daemon) -> str:
    """A run of Alice's that goes on until she cancels it; its id."""
    headers = {"X-API-Key": ALICE, "Prefer": "respond-async"}
    answer = httpx.post(f"{daemon.http}/workflows/wait/execute", json={"inputs": {}}, headers=headers, timeout=10)
    return str(answer.json()["execution_id"])


def end(daemon: Daemon, execution: str) -> None:
    """Cancel it, and return when it has ended."""
    url, headers = f"{daemon.http}/executions/{execution}", {"X-API-Key": ALICE}
    assert httpx.post(f"{url}/cancel", headers=headers, timeout=10).status_code in {200, 202}
    assert "cancelled" in httpx.get(f"{url}/events", headers=headers, timeout=5).text


def reload(daemon: Daemon) -> None:
    """Let the registry change, of which everybody hears who asked."""
    (daemon.cwd / "r.yaml").write_text(REGISTRY.replace("[create, list]", "[create, list, count]"))
    daemon.process.send_signal(signal.SIGHUP)


def listening(
    client: httpx.Client, daemon: Daemon, key: str, uris: list[str]
) -> AbstractContextManager[httpx.Response]:
    """A stream of 2026-07-28."""
    params = {"notifications": {"resourceSubscriptions": uris}, "_meta": META}
    message = {"jsonrpc": "2.0", "id": 7, "method": "subscriptions/listen", "params": params}
    return client.stream("POST", daemon.mcp, headers=LISTEN_HEADERS | {"X-API-Key": key}, json=message)


def standing(client: httpx.Client, daemon: Daemon, key: str, uris: list[str]) -> AbstractContextManager[httpx.Response]:
    """The stream of a session that has subscribed to these."""
    headers = HEADERS | {"X-API-Key": key, "MCP-Protocol-Version": "2025-11-25"}
    headers["Mcp-Session-Id"] = client.post(daemon.mcp, json=INITIALIZE, headers=headers).headers["mcp-session-id"]
    for number, uri in enumerate(uris, 2):
        message = {"jsonrpc": "2.0", "id": number, "method": "resources/subscribe", "params": {"uri": uri}}
        assert client.post(daemon.mcp, json=message, headers=headers).status_code == 200
    return client.stream("GET", daemon.mcp, headers=headers)


def updates(response: httpx.Response) -> Iterator[str]:
    """The URIs that a stream says have changed."""
    for line in response.iter_lines():
        if line.startswith("data: {"):
            frame: dict[str, Any] = json.loads(line.removeprefix("data: "))
            if frame.get("method") == "notifications/resources/updated":
                yield str(frame["params"]["uri"])


@pytest.mark.parametrize("open_stream", [listening, standing])
def test_the_end_of_an_execution_is_told_to_its_caller_alone(daemon: Daemon, open_stream: Any) -> None:  # noqa: ANN401 - either
    execution = begin(daemon)
    own, registry = f"nexusd://executions/{execution}", "nexusd://registry"
    with (
        httpx.Client(timeout=10) as client,
        open_stream(client, daemon, BOB, [own, registry]) as bobs,
        open_stream(client, daemon, ALICE, [own, registry]) as alices,
    ):
        end(daemon, execution)
        reload(daemon)
        heard_by_alice, heard_by_bob = updates(alices), updates(bobs)

        assert [next(heard_by_alice), next(heard_by_alice)] == [own, registry]
        assert next(heard_by_bob) == registry


def test_a_stream_says_first_which_executions_it_will_tell_of(daemon: Daemon) -> None:
    execution = begin(daemon)
    own = f"nexusd://executions/{execution}"
    honoured = []
    with httpx.Client(timeout=10) as client:
        for key in (ALICE, BOB):
            with listening(client, daemon, key, [own, "nexusd://executions/none", "nexusd://registry"]) as stream:
                first = next(line for line in stream.iter_lines() if line.startswith("data: {"))
            filters = json.loads(first.removeprefix("data: "))["params"]["notifications"]
            honoured.append(filters["resourceSubscriptions"])
    end(daemon, execution)

    assert honoured == [[own, "nexusd://registry"], ["nexusd://registry"]]
