from __future__ import annotations

from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.collector import Collector
from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      email: {type: str, unique: true}
workflows:
  add_contact:
    nodes:
      create: {type: ContactCreateNode, params: {email: "{{email}}"}}
      search: {type: ContactListNode, params: {filter: {email: "{{email}}"}}}
  relay:
    nodes:
      inner: {type: WorkflowNode, workflow: add_contact, params: {email: "{{email}}"}}
"""
TRACE: Final = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN: Final = "00f067aa0ba902b7"
CANARY: Final = "canary-7f3a@b.example"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, "utf-8")
    return tmp_path


def traced(folder: Path, collector: Collector, database_url: str, **more: str) -> Daemon:
    env = {"NEXUSD_MONITORING__ENABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
    return Daemon(folder, {**env, "DATABASE_URL": database_url, **more})


def test_spans_say_what_was_done_in_the_callers_trace(folder: Path, database_url: str) -> None:
    with Collector() as collector:
        with traced(folder, collector, database_url) as daemon:
            header = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            assert daemon.execute("relay", {"email": CANARY}, **header).status_code == 200
            assert daemon.execute("relay", {"email": CANARY}, **header).status_code == 502
        finished = [line for line in daemon.log if line["event"] == "request.finished"]

    tree = collector.tree()
    assert tree == {
        "POST /workflows/{name}/execute": SPAN,
        "execute relay": "POST /workflows/{name}/execute",
        "node inner": "execute relay",
        "node create": "node inner",
        "node search": "node inner",
        "INSERT contact": "node create",
        "SELECT contact": "node search",
    }
    assert {span.trace_id.hex() for span in collector.spans} == {TRACE}
    assert collector.resource["service.name"] == "nexusd"
    assert CANARY not in collector.text
    roots = {span.span_id.hex() for span in collector.spans if span.parent_span_id.hex() == SPAN}
    assert {(line["trace_id"], line["span_id"]) for line in finished} == {(TRACE, root) for root in roots}
    assert {"unique_violation", ""} == {
        next((each.value.string_value for each in span.attributes if each.key == "error.type"), "")
        for span in collector.spans
        if span.name == "node create"
    }


def test_tool_call_is_a_span_in_the_trace_of_its_meta(folder: Path, sqlite_url: str) -> None:
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
        "traceparent": f"00-{TRACE}-{SPAN}-01",
    }
    params = {"name": "add_contact", "arguments": {"email": CANARY}, "_meta": meta}
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": "add_contact",
    }
    with Collector() as collector, traced(folder, collector, sqlite_url) as daemon:
        message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        assert httpx.post(daemon.mcp, json=message, headers=headers, timeout=10).status_code == 200
        finished = daemon.wait_for("request.finished")

    call = next(span.span_id.hex() for span in collector.spans if span.name == "tools/call add_contact")
    assert (finished["trace_id"], finished["span_id"]) == (TRACE, call)
    tree = collector.tree()
    assert (tree["tools/call add_contact"], tree["execute add_contact"]) == (SPAN, "tools/call add_contact")
    assert CANARY not in collector.text


def test_what_the_caller_or_the_ratio_leaves_out_is_not_recorded(folder: Path, sqlite_url: str) -> None:
    with Collector() as collector:
        with traced(folder, collector, sqlite_url, NEXUSD_MONITORING__TRACE_RATIO="0") as daemon:
            daemon.execute("add_contact", {"email": "a@b.example"})
            daemon.execute("add_contact", {"email": "b@b.example"}, traceparent=f"00-{TRACE}-{SPAN}-00")
            daemon.execute("add_contact", {"email": "c@b.example"}, traceparent=f"00-{TRACE}-{SPAN}-01")
        finished = [line for line in daemon.log if line["event"] == "request.finished"]

    assert sum(span.name == "execute add_contact" for span in collector.spans) == 1
    assert [line.get("trace_id") for line in finished] == [None, TRACE, TRACE]


def test_probes_and_scrapes_begin_no_trace(folder: Path, sqlite_url: str) -> None:
    with Collector() as collector, traced(folder, collector, sqlite_url) as daemon:
        for path in ("/health/ready", "/health", "/metrics", "/workflows"):
            assert httpx.get(daemon.http + path).status_code == 200

    assert {span.name for span in collector.spans} == {"GET /workflows"}


def test_collector_that_is_not_there_harms_nobody(folder: Path, sqlite_url: str) -> None:
    env = {
        "NEXUSD_MONITORING__ENABLED": "true",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9",
        "DATABASE_URL": sqlite_url,
    }
    with Daemon(folder, env) as daemon:
        assert daemon.execute("add_contact", {"email": "a@b.example"}).status_code == 200
        assert daemon.stop() == 0
