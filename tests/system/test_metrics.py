from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import httpx
import pytest
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from nexusd.telemetry.families import FAMILIES
from tests.support.daemon import Daemon
from tests.support.scrapes import Scraped, scrape

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
  relay:
    nodes:
      inner: {type: WorkflowNode, workflow: add_contact, params: {email: "{{email}}"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, "utf-8")
    return tmp_path


def monitored(folder: Path, database_url: str) -> Daemon:
    return Daemon(folder, {"NEXUSD_MONITORING__ENABLED": "true", "DATABASE_URL": database_url})


def call_tool(daemon: Daemon, name: str, arguments: dict[str, str]) -> None:
    message = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "tools/call",
        "params": {"name": name, "arguments": arguments, "_meta": META},
    }
    headers = {
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": "2026-07-28",
        "mcp-method": "tools/call",
        "mcp-name": name,
    }
    httpx.post(daemon.mcp, json=message, headers=headers, timeout=10)


META: Final = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}


def count(metrics: Scraped, name: str, **labels: str) -> float:
    """The sum over the series that have these labels."""
    wanted = labels.items()
    return sum(value for found, value in metrics.get(name, {}).items() if wanted <= dict(found).items())


def test_counts_equal_what_was_sent(folder: Path, database_url: str) -> None:
    with monitored(folder, database_url) as daemon:
        before = scrape(daemon.http)
        answers = Counter(daemon.execute("add_contact", {"email": f"{i % 4}@b.example"}).status_code for i in range(6))
        daemon.execute("relay", {"email": "r@b.example"})
        daemon.execute("no_such_workflow", {})
        httpx.get(f"{daemon.http}/some/path", timeout=10)
        httpx.request("PURGE", f"{daemon.http}/workflows", timeout=10)
        httpx.request("PROPFIND", f"{daemon.http}/workflows", timeout=10)
        call_tool(daemon, "add_contact", {"email": "m@b.example"})
        call_tool(daemon, "made_up_by_a_client", {})
        after = scrape(daemon.http)

    assert answers == {200: 4, 409: 2}
    assert count(before, "nexusd_workflow_executions_total") == 0
    executions = "nexusd_workflow_executions_total"
    assert count(after, executions, workflow="add_contact", channel="http", status="completed") == 4
    assert count(after, executions, workflow="add_contact", channel="http", status="failed") == 2
    assert count(after, executions, workflow="add_contact", channel="mcp", status="completed") == 1
    assert count(after, executions) == 8
    assert count(after, "nexusd_workflow_duration_seconds_count") == 8

    nodes = "nexusd_node_duration_seconds_count"
    create = {"workflow": "add_contact", "node": "create", "type": "ContactCreateNode"}
    assert count(after, nodes, **create, status="completed") == 6
    assert count(after, nodes, **create, status="failed") == 2
    assert count(after, nodes, workflow="relay", node="inner", type="WorkflowNode", status="completed") == 1

    requests = "http_server_request_duration_seconds_count"
    route = "/workflows/{name}/execute"
    assert count(after, requests, http_route=route, http_response_status_code="200") == 5
    assert count(after, requests, http_route=route, http_response_status_code="409") == 2
    assert count(after, requests, http_route=route, http_response_status_code="404") == 1
    assert count(after, requests, http_route="other") == 1
    assert count(after, requests, http_request_method="_OTHER", http_response_status_code="405") == 2
    assert count(after, requests, http_route="/mcp") == 2

    calls = "nexusd_mcp_tool_calls_total"
    assert count(after, calls, tool="add_contact", era="2026", status="ok") == 1
    assert count(after, calls, tool="other", era="2026", status="workflow_not_found") == 1
    assert count(after, calls) == 2
    assert count(after, "http_server_active_requests") == 1, "the scrape itself"
    assert "made_up" not in str(after)
    assert "no_such" not in str(after)


def test_refused_connections_and_gauges_are_there(folder: Path, sqlite_url: str) -> None:
    key = {"Idempotency-Key": "k"}
    with monitored(folder, sqlite_url) as daemon:
        for email in ("a@b.example", "a@b.example", "c@b.example"):
            daemon.execute("add_contact", {"email": email}, **key)
        host, port = daemon.http.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert b" 400 " in raw.makefile("rb").readline()
            metrics = scrape(daemon.http)

    assert count(metrics, "nexusd_requests_rejected_total", channel="http", reason="bad_request") == 1
    results = ("recorded", "replayed", "mismatch", "in_flight")
    assert [count(metrics, "nexusd_idempotency_total", result=each) for each in results] == [1, 1, 1, 0]
    assert count(metrics, "nexusd_channel_up") == 2
    assert count(metrics, "nexusd_connections", channel="http") >= 1
    assert count(metrics, "nexusd_db_pool_connections", state="idle") >= 1
    assert count(metrics, "nexusd_migrations_pending") == 0
    phases = [dict(labels)["phase"] for labels in metrics["nexusd_startup_duration_seconds"]]
    assert phases == ["registry", "migrations", "http", "mcp", "ready"]
    assert count(metrics, "nexusd_build_info", engine="inline") == 1


def test_sessions_are_counted_while_they_last(folder: Path, sqlite_url: str) -> None:
    hello: dict[str, object] = {
        "protocolVersion": "2025-06-18",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    }
    headers = {"accept": "application/json, text/event-stream"}
    sessions, subscriptions = "nexusd_mcp_sessions", "nexusd_mcp_subscriptions"
    with monitored(folder, sqlite_url) as daemon, httpx.Client(timeout=10) as client:

        def send(method: str, params: dict[str, object] | None = None, *, notify: bool = False) -> httpx.Response:
            message = {"jsonrpc": "2.0", "method": method, **({} if params is None else {"params": params})}
            return client.post(daemon.mcp, json=message if notify else {**message, "id": 1}, headers=headers)

        answer = send("initialize", hello)
        headers |= {"mcp-session-id": answer.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
        send("notifications/initialized", notify=True)
        send("resources/subscribe", {"uri": "nexusd://registry"})
        during = scrape(daemon.http)
        assert client.delete(daemon.mcp, headers=headers).status_code == 200
        after = scrape(daemon.http)
        while count(after, sessions):
            after = scrape(daemon.http)

    assert (count(during, sessions), count(during, subscriptions)) == (1, 1)
    assert (count(after, sessions), count(after, subscriptions)) == (0, 0)


def test_scraping_needs_a_key_where_there_are_keys(folder: Path, sqlite_url: str) -> None:
    env = {"NEXUSD_AUTH__ENABLED": "true", "NEXUSD_ADMIN_KEY": "an-administrators-key"}
    daemon = monitored(folder, sqlite_url)
    daemon.env = {**daemon.env, **env}
    with daemon:
        assert httpx.get(f"{daemon.http}/metrics").status_code == 401
        assert httpx.get(f"{daemon.http}/metrics", headers={"X-API-Key": "no"}).status_code == 401
        metrics = scrape(daemon.http, "an-administrators-key")

    failures = "nexusd_auth_failures_total"
    assert count(metrics, failures, channel="http", reason="missing") == 1
    assert count(metrics, failures, channel="http", reason="unknown") == 1
    assert count(metrics, "nexusd_rate_limited_total") == 0


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [
        ("", "text/plain; version=0.0.4"),
        ("text/plain;version=1.0.0;q=x", "text/plain; version=0.0.4"),
        ("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2", "application/openmetrics-text"),
    ],
)
def test_both_formats_can_be_parsed(folder: Path, sqlite_url: str, accept: str, content_type: str) -> None:
    with monitored(folder, sqlite_url) as daemon:
        daemon.execute("add_contact", {"email": "a@b.example"})
        answer = httpx.get(f"{daemon.http}/metrics", headers={"accept": accept})

    assert answer.headers["content-type"].startswith(content_type)
    is_openmetrics = content_type == "application/openmetrics-text"
    parse = openmetrics.text_string_to_metric_families if is_openmetrics else text_string_to_metric_families
    found = {family.name for family in parse(answer.text)}
    assert found == set(FAMILIES)


def test_one_scrape_is_the_sum_over_workers_also_of_those_that_have_ended(folder: Path, sqlite_url: str) -> None:
    executions = "nexusd_workflow_executions_total"

    def ask(daemon: Daemon, first: int, times: int) -> None:
        # Each over a connection of its own, so that both workers are asked.
        for i in range(first, first + times):
            assert daemon.execute("add_contact", {"email": f"{i}@b.example"}).status_code == 200

    daemon = monitored(folder, sqlite_url)
    daemon.arguments = ("--workers", "2")
    with daemon:
        ask(daemon, 0, 20)
        first = [count(scrape(daemon.http), executions) for _ in range(4)]
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("registry.loaded")
        ask(daemon, 20, 20)
        after = [scrape(daemon.http) for _ in range(4)]
    workers = {line["worker"] for line in daemon.log if line["event"] == "request.finished"}

    assert {1, 2} == workers
    assert first == [20] * 4
    assert [count(each, executions) for each in after] == [40] * 4
    requests = "http_server_request_duration_seconds_count"
    assert [count(each, requests, http_route="/metrics") for each in after] == [4, 5, 6, 7]
    assert count(after[0], "nexusd_build_info") == 1
    assert count(after[0], "nexusd_channel_up") == 2
    assert count(after[0], "nexusd_startup_duration_seconds", phase="ready") > 0


def children(pid: int) -> set[int]:
    """The processes that a process has started and that run."""
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text("utf-8").split()}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_count_goes_down_while_workers_are_replaced_or_killed(folder: Path, database_url: str) -> None:
    executions = "nexusd_workflow_executions_total"
    daemon = monitored(folder, database_url)
    daemon.arguments = ("--workers", "2")
    with daemon:
        for i in range(20):
            assert daemon.execute("add_contact", {"email": f"{i}@b.example"}).status_code == 200
        seen = [count(scrape(daemon.http), executions)]
        daemon.process.send_signal(signal.SIGHUP)
        while sum(line["event"] == "worker.replaced" for line in daemon.log) < 2:
            seen.append(count(scrape(daemon.http), executions))
        for worker in children(daemon.process.pid):
            os.kill(worker, signal.SIGKILL)
            while sum(line["event"] == "worker.exited" for line in daemon.log) == 0:
                with contextlib.suppress(httpx.HTTPError):
                    seen.append(count(scrape(daemon.http), executions))
            daemon.log[:] = [line for line in daemon.log if line["event"] != "worker.exited"]
        seen += [count(scrape(daemon.http), executions) for _ in range(4)]

    assert seen == [20] * len(seen)
