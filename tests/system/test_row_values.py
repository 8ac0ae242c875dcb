"""No value of a row is in what the daemon says of itself: its log at the finest level, its metrics, its traces."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import httpx

from tests.support.collector import Collector
from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true, max_length: 40}
      email: {type: str, unique: true}
      age: {type: int, nullable: true, min: 0}
      boss: {type: str, nullable: true, references: Contact.id}
    checks: {grown: "age < 200"}
    publish: true
workflows:
  crash:
    nodes:
      f: {type: FunctionNode, call: "broken:fail", params: {text: "{{text}}"}}
  search:
    nodes:
      find: {type: SqlNode, sql: "SELECT id FROM contact WHERE email = :email", params: {email: "{{email}}"}}
      cut: {type: SqlNode, sql: "SELECT CAST(:email AS integer) AS n FROM contact", params: {email: "{{email}}"}}
  each:
    transaction: none
    inputs: {ids: {type: array, items: str}}
    nodes:
      made:
        type: ContactCreateNode
        foreach: "{{ids}}"
        params: {id: "{{item}}", email: "{{item}}"}
        on_error: continue
      retried: {type: FunctionNode, call: "broken:fail", params: {text: "{{ids[0]}}"}, retry: {attempts: 2, backoff_s: 0}}
"""
FUNCTION: Final = """\
def fail(text):
    raise ValueError(text)
"""
CANARY: Final = "kanarie-5e0b"
TRACED: Final = {"traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}


def calls() -> list[tuple[str, dict[str, Any]]]:
    """Workflows and inputs; some succeed, and each way to fail is among the others."""
    one = {"id": f"{CANARY}-1", "email": f"{CANARY}@b.example", "age": 30}
    two = {"id": f"{CANARY}-2", "email": f"{CANARY}2@b.example"}
    return [
        ("contact_create", one),
        ("contact_create", one),
        ("contact_create", {**two, "email": one["email"]}),
        ("contact_create", {**two, "age": 900}),
        ("contact_create", {**two, "boss": f"{CANARY}-nobody"}),
        ("contact_create", {**two, "age": CANARY}),
        ("contact_create", {**two, "id": CANARY * 9}),
        ("contact_create", {**two, CANARY: 1}),
        ("contact_read", {"id": one["id"]}),
        ("contact_read", {"id": f"{CANARY}-nobody"}),
        ("contact_update", {"id": one["id"], "age": 31, "if_version": 9}),
        ("contact_list", {"filter": {"email": {"$like": f"{CANARY}%"}}, "sort": [CANARY]}),
        ("contact_list", {"filter": {"email": {"$like": f"{CANARY}%"}}, "limit": 1}),
        ("contact_list", {"cursor": CANARY}),
        ("contact_upsert", {"record": two}),
        ("contact_bulk_create", {"records": [one, {**two, "id": f"{CANARY}-3"}], "mode": "partial"}),
        ("contact_bulk_update", {"filter": {"email": one["email"]}, "fields": {"age": 40}, "max_affected": 0}),
        ("contact_bulk_delete", {"ids": [f"{CANARY}-9"]}),
        ("crash", {"text": CANARY}),
        ("search", {"email": one["email"]}),
        ("each", {"ids": [one["id"], f"{CANARY}-4"]}),
        (CANARY, {}),
    ]


def test_no_row_value_is_in_logs_metrics_or_traces(tmp_path: Path, database_url: str) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, "utf-8")
    (tmp_path / "config" / "broken.py").write_text(FUNCTION, "utf-8")
    env = {
        "DATABASE_URL": database_url,
        "NEXUSD_SERVER__LOG_LEVEL": "debug",
        "NEXUSD_MONITORING__ENABLED": "true",
        "NEXUSD_MONITORING__AUDIT": "true",
    }
    with Collector() as collector:
        with Daemon(tmp_path, {**env, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}) as daemon:
            statuses = [daemon.execute(name, inputs, **TRACED).status_code for name, inputs in calls()]
            dry = daemon.execute("contact_create", calls()[0][1], Prefer="tx=rollback").status_code
            keyed = daemon.execute("contact_read", calls()[8][1], **{"Idempotency-Key": CANARY}).status_code
            httpx.get(f"{daemon.http}/{CANARY}?{CANARY}={CANARY}", headers={"X-Request-ID": "r"})
            metrics = httpx.get(f"{daemon.http}/metrics").text
        assert daemon.stop() == 0

    assert {200, 404, 409, 412, 422, 502} <= set(statuses), statuses
    assert (dry, keyed) == (409, 200)
    events = {line["event"] for line in daemon.log}
    assert {"execution.finished", "execution.failed", "node.finished", "node.failed", "node.retried"} <= events
    assert "contact_create" in metrics
    assert "contact_create" in collector.text
    assert [line for line in daemon.log if CANARY in str(line)] == []
    assert [line for line in metrics.splitlines() if CANARY in line] == []
    assert CANARY not in collector.text
