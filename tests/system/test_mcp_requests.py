"""What a request to the MCP port is called, and what its line in the log says, whichever way it was answered."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.support.daemon import Daemon
from tests.support.mcp import HEADERS, INITIALIZE

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Note: {fields: {id: str, text: {type: str, unique: true}}, publish: [create, count]}
workflows:
  held_back:
    scopes: [billing]
    nodes: {find: {type: NoteCountNode, params: {}}}
resources:
  "notes://count": {name: count, workflow: note_count}
"""
ADMIN, CLERK = "an-admin-key-for-the-first-hour", "a-key-that-may-do-little"
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT: Final = {"traceparent": f"00-{TRACE}-00f067aa0ba902b7-01"}
META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
MODERN, SESSION = "2026-07-28", "2025-11-25"


class Caller:
    """Speaks to a daemon with one key, in one revision."""

    def __init__(self, daemon: Daemon, revision: str, key: str = ADMIN) -> None:
        self._url = daemon.mcp
        self._headers = HEADERS | {"X-API-Key": key, "MCP-Protocol-Version": revision}
        self._is_modern = revision == MODERN
        if not self._is_modern:
            opened = httpx.post(self._url, json=INITIALIZE, headers=self._headers, timeout=10)
            self._headers |= {"Mcp-Session-Id": opened.headers["mcp-session-id"]}

    def ask(self, method: str, params: dict[str, Any], **headers: str) -> httpx.Response:
        """Send one message; underscores of header names are hyphens."""
        own: dict[str, str] = {}
        if self._is_modern:
            params = {**params, "_meta": META | params.get("_meta", {})}
            own = {"Mcp-Method": method, "Mcp-Name": str(params.get("name") or params.get("uri") or "")}
        more = {name.replace("_", "-"): value for name, value in headers.items()}
        message = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        return httpx.post(self._url, json=message, headers=self._headers | own | more, timeout=10)

    def call(self, tool: str, arguments: dict[str, Any], **headers: str) -> httpx.Response:
        """Call a tool."""
        return self.ask("tools/call", {"name": tool, "arguments": arguments}, **headers)


def result(answer: httpx.Response) -> Any:  # noqa: ANN401 - JSON
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = next(line[6:] for line in text.splitlines() if line.startswith("data: {"))
    return json.loads(text)["result"]


@pytest.fixture(scope="module", params=[True, False], ids=["fast", "sdk"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("requests")
    (folder / "r.yaml").write_text(REGISTRY)
    sha256 = hashlib.sha256(CLERK.encode()).hexdigest()
    environment = {
        "DATABASE_URL": "sqlite:///:memory:",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_ADMIN_KEY": ADMIN,
        "NEXUSD_AUTH__API_KEYS": json.dumps([{"name": "clerk", "sha256": sha256, "scopes": ["workflow:*:execute"]}]),
        "NEXUSD_MCP__FAST_PATH": str(request.param).lower(),
    }
    with Daemon(folder, environment) as daemon:
        yield daemon


def line_of(daemon: Daemon, request_id: str) -> dict[str, object]:
    """The line of a request that was answered."""
    while True:
        line = daemon.wait_for("request.finished")
        if line["request_id"] == request_id:
            return line


@pytest.mark.parametrize("revision", [MODERN, SESSION])
def test_a_tool_call_is_found_in_the_log_by_its_execution(daemon: Daemon, revision: str) -> None:
    answer = Caller(daemon, revision).call("note_count", {}, X_Request_ID=f"found-{revision}", **PARENT)
    line = line_of(daemon, answer.headers["x-request-id"])

    assert line["request_id"] == f"found-{revision}"
    assert line["execution_id"] == result(answer)["_meta"]["nexusd/executionId"]
    told = {name: line[name] for name in ("channel", "level", "status", "principal", "workflow", "trace_id")}
    assert told == {
        "channel": "mcp",
        "level": "info",
        "status": 200,
        "principal": "admin",
        "workflow": "note_count",
        "trace_id": TRACE,
    }


@pytest.mark.parametrize("revision", [MODERN, SESSION])
def test_a_tool_call_that_fails_is_found_as_well(daemon: Daemon, revision: str) -> None:
    caller = Caller(daemon, revision)
    caller.call("note_create", {"text": f"twice-{revision}"})
    answer = caller.call("note_create", {"text": f"twice-{revision}"})
    problem = result(answer)["structuredContent"]
    line = line_of(daemon, answer.headers["x-request-id"])

    assert problem["code"] == "unique_violation"
    assert problem["request_id"] == answer.headers["x-request-id"]
    assert (line["workflow"], line["execution_id"]) == ("note_create", problem["execution_id"])


def test_the_trace_of_a_call_is_the_one_of_its_meta(daemon: Daemon) -> None:
    other = "a" * 32
    params = {"name": "note_count", "arguments": {}, "_meta": {"traceparent": f"00-{other}-00f067aa0ba902b7-01"}}
    answer = Caller(daemon, MODERN).ask("tools/call", params, **PARENT)

    assert line_of(daemon, answer.headers["x-request-id"])["trace_id"] == other


def test_a_refused_call_says_whose_it_was(daemon: Daemon) -> None:
    answer = Caller(daemon, MODERN, CLERK).call("held_back", {}, X_Request_ID="refused", **PARENT)
    line = line_of(daemon, "refused")

    assert (answer.status_code, answer.json()["request_id"]) == (403, "refused")
    assert answer.headers["x-request-id"] == "refused"
    assert (line["status"], line["principal"], line["trace_id"]) == (403, "key:clerk", TRACE)
    assert "execution_id" not in line


def test_whom_nobody_knows_has_no_principal(daemon: Daemon) -> None:
    answer = Caller(daemon, MODERN, "wrong").call("note_count", {}, X_Request_ID="unknown")
    line = line_of(daemon, "unknown")

    assert (answer.status_code, answer.headers["x-request-id"], line["status"]) == (401, "unknown", 401)
    assert "principal" not in line


@pytest.mark.parametrize("revision", [MODERN, SESSION])
def test_what_a_resource_has_run_is_in_the_line_of_its_reading(daemon: Daemon, revision: str) -> None:
    answer = Caller(daemon, revision).ask("resources/read", {"uri": "notes://count"})
    line = line_of(daemon, answer.headers["x-request-id"])

    assert (answer.status_code, line["workflow"]) == (200, "note_count")
    assert line["execution_id"]


@pytest.mark.parametrize("given", ["a b", "x" * 65, 'a"b'])
def test_a_request_id_of_another_form_is_replaced(daemon: Daemon, given: str) -> None:
    answer = Caller(daemon, MODERN).call("note_count", {}, X_Request_ID=given)

    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_what_is_not_there_is_told_under_the_id_of_its_request(daemon: Daemon) -> None:
    headers = {"X-API-Key": ADMIN, "X-Request-ID": "nowhere"}
    answer = httpx.get(daemon.mcp.removesuffix("/mcp") + "/nowhere", headers=headers, timeout=10)

    assert (answer.status_code, answer.json()["request_id"], answer.headers["x-request-id"]) == (
        404,
        "nowhere",
        "nowhere",
    )
