"""Tools over the real daemon: their schemas, their options, and how a call goes wrong."""

from __future__ import annotations

import json
import socket
import time
from typing import TYPE_CHECKING, Any

import httpx
import jsonschema
import pytest

from tests.support.daemon import Daemon
from tests.support.mcp import ERAS, talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_types import CallToolResult, Tool

REGISTRY = """
version: 1
models:
  Note:
    fields:
      id: str
      text: {type: str, max_length: 5000, example: hello}
      tag: {type: enum, values: [a, b], nullable: true}
      weight: {type: decimal, precision: 30, scale: 10, nullable: true}
      data: {type: json, nullable: true}
    publish: true
workflows:
  page:
    nodes:
      list: {type: NoteListNode, params: {limit: "{{limit}}", cursor: "{{cursor | default(null)}}"}}
  slow:
    nodes:
      create: {type: NoteCreateNode, params: {id: one, text: again}, retry: {attempts: 2, backoff_s: 20}}
"""
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}
LIMIT = 20_000


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("mcp")
    (folder / "r.yaml").write_text(REGISTRY)
    env = {
        "DATABASE_URL": "sqlite:///n.db",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_MCP__MAX_RESULT_BYTES": str(LIMIT),
    }
    with Daemon(folder, env) as daemon:
        yield daemon


def list_tools(daemon: Daemon) -> dict[str, Tool]:
    return {tool.name: tool for tool in talk(daemon.mcp, "auto", lambda client: client.list_tools()).tools}


def call(
    daemon: Daemon, name: str, arguments: dict[str, Any], meta: dict[str, Any] | None = None, mode: str = "auto"
) -> CallToolResult:
    return talk(daemon.mcp, mode, lambda client: client.call_tool(name, arguments, meta=meta))  # type: ignore[arg-type]


def structured(result: CallToolResult) -> dict[str, Any]:
    assert isinstance(result.structured_content, dict)
    return result.structured_content


def count(daemon: Daemon) -> int:
    return int(daemon.execute("note_count", {"filter": {}}).json()["outputs"]["count"]["count"])


def type_unions(schema: object, where: str) -> list[str]:
    if isinstance(schema, list):
        return [found for i, item in enumerate(schema) for found in type_unions(item, f"{where}/{i}")]
    if not isinstance(schema, dict):
        return []
    own = [where] if isinstance(schema.get("type"), list) else []
    return own + [found for key, item in schema.items() for found in type_unions(item, f"{where}/{key}")]


def untyped(schema: object, where: str) -> list[str]:
    """Parts of a schema that allow anything without saying so: some clients drop a tool that has one."""
    if not isinstance(schema, dict):
        return [where]
    found = [] if {"type", "anyOf", "enum", "const"} & schema.keys() else [where]
    for name, part in schema.get("properties", {}).items():
        found += untyped(part, f"{where}/{name}")
    for i, part in enumerate(schema.get("anyOf", [])):
        found += untyped(part, f"{where}/{i}")
    if "items" in schema:
        found += untyped(schema["items"], f"{where}/items")
    return found


def test_schemas_are_objects_without_type_unions_and_valid_2020_12(daemon: Daemon) -> None:
    tools = list_tools(daemon)

    assert len(tools) == 13
    for name, tool in tools.items():
        assert tool.output_schema is not None
        for schema in (tool.input_schema, tool.output_schema):
            assert schema["type"] == "object"
            jsonschema.Draft202012Validator.check_schema(schema)
            assert type_unions(schema, name) == []
            assert untyped(schema, name) == []


def test_an_example_of_a_field_is_in_the_schema(daemon: Daemon) -> None:
    assert list_tools(daemon)["note_create"].input_schema["properties"]["text"]["examples"] == ["hello"]


@pytest.mark.parametrize("mode", ERAS)
def test_a_dry_run_answers_what_would_be_and_keeps_nothing(daemon: Daemon, mode: str) -> None:
    before = count(daemon)

    result = call(daemon, "note_create", {"text": "rehearsed"}, {"nexusd/dryRun": True}, mode)

    assert not result.is_error
    assert structured(result)["create"]["text"] == "rehearsed"
    assert result.meta is not None
    assert result.meta["nexusd/dryRun"] is True
    assert count(daemon) == before


def test_a_tool_declares_the_options_that_it_honours(daemon: Daemon) -> None:
    tools = list_tools(daemon)

    assert tools["note_create"].meta is not None
    assert tools["note_create"].meta["nexusd/options"]["nexusd/dryRun"]["type"] == "boolean"
    assert tools["note_read"].meta is None


def test_an_option_of_the_wrong_type_is_a_fault_with_its_pointer(daemon: Daemon) -> None:
    result = call(daemon, "note_create", {"text": "x"}, {"nexusd/dryRun": "yes"})

    assert result.is_error
    document = structured(result)
    assert document["code"] == "invalid_input"
    assert [fault["pointer"] for fault in document["errors"]] == ["/_meta/nexusd~1dryRun"]


def test_a_result_names_its_execution(daemon: Daemon) -> None:
    result = call(daemon, "note_count", {"filter": {}})

    assert result.meta is not None
    execution = httpx.get(f"{daemon.http}/executions/{result.meta['nexusd/executionId']}").json()
    assert (execution["workflow"], execution["status"]) == ("note_count", "completed")


@pytest.mark.parametrize("mode", ERAS)
def test_faults_of_arguments_are_told_together_with_pointers(daemon: Daemon, mode: str) -> None:
    result = call(daemon, "note_create", {"tag": "c", "colour": "red"}, mode=mode)

    assert result.is_error
    document = structured(result)
    assert sorted(fault["pointer"] for fault in document["errors"]) == ["/inputs/colour", "/inputs/tag", "/inputs/text"]
    assert all(fault["pointer"] in document["detail"] for fault in document["errors"])


@pytest.mark.parametrize("mode", ERAS)
def test_digits_that_a_float_cannot_hold_survive(daemon: Daemon, mode: str) -> None:
    weight = "12345678901234567890.0123456789"

    result = call(daemon, "note_create", {"text": "é 🎈", "weight": weight}, mode=mode)

    assert structured(result)["create"]["weight"] == weight


def test_a_result_too_large_to_read_says_how_to_ask_for_less(daemon: Daemon) -> None:
    rows = [{"text": "x" * 4000} for _ in range(8)]
    assert not call(daemon, "note_bulk_create", {"records": rows}).is_error

    refused = call(daemon, "page", {"limit": 8})
    fitting = call(daemon, "page", {"limit": 2})

    assert refused.is_error
    document = structured(refused)
    assert document["code"] == "not_supported"
    assert f"{LIMIT}" in document["detail"]
    assert "`limit`" in document["detail"]
    assert not fitting.is_error
    assert structured(fitting)["list"]["next_cursor"] is not None


def test_a_write_is_answered_however_large_its_result(daemon: Daemon) -> None:
    rows = [{"text": "y" * 4000} for _ in range(8)]

    result = call(daemon, "note_bulk_create", {"records": rows, "returning": "records"})

    assert not result.is_error
    assert structured(result)["bulk_create"]["inserted"] == 8
    assert len(result.content[0].text) > LIMIT  # type: ignore[union-attr]


def test_a_call_whose_client_goes_away_is_cancelled_on_the_fast_path_too(daemon: Daemon) -> None:
    assert daemon.execute("note_create", {"id": "one", "text": "x"}).status_code == 200
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "slow", "_meta": META}}
    body = json.dumps(call).encode()
    url = httpx.URL(daemon.mcp)
    head = (
        f"POST {url.path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        "Accept: application/json, text/event-stream\r\nMCP-Protocol-Version: 2026-07-28\r\n"
        f"Mcp-Method: tools/call\r\nMcp-Name: slow\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection((url.host, url.port or 80)) as sock:
        sock.sendall(head.encode() + body)
        end = time.monotonic() + 5
        found: list[dict[str, Any]] = []
        while not found and time.monotonic() < end:
            found = httpx.get(f"{daemon.http}/executions?workflow=slow").json()["executions"]
    (execution,) = found

    with httpx.stream("GET", f"{daemon.http}/executions/{execution['execution_id']}/events", timeout=10) as events:
        names = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
    assert names == ["execution.started", "execution.cancelled"]
