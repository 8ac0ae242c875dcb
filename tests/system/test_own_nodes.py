"""Functions, statements and requests of the operator's own, in the real process, on both databases."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from tests.support.daemon import Daemon, run_cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY = """\
version: 1
models:
  Order:
    table: orders
    fields:
      id: {type: str, primary_key: true}
      customer: {type: str, unique: true}
      total: {type: decimal, precision: 12, scale: 2}
      paid: {type: bool, default: false}
    publish: [create, list]
http_allow: [127.0.0.1]
workflows:
  settle:
    nodes:
      open: {type: SqlNode, params: {least: "{{least}}"}, sql: "SELECT customer, total, paid FROM orders WHERE NOT paid AND total >= :least ORDER BY total"}
      sum: {type: FunctionNode, call: "money:add", pure: true, params: {rows: "{{open.records}}"}}
      pay: {type: SqlNode, write: true, params: {least: "{{least}}"}, sql: "UPDATE orders SET paid = TRUE WHERE total >= :least"}
      note: {type: OrderCreateNode, params: {customer: "{{receipt}}", total: "{{sum}}"}}
    connections:
      - [open, result, pay, input]
      - [pay, result, note, input]
  ask:
    nodes:
      health: {type: HttpRequestNode, params: {url: "http://127.0.0.1:{{port}}/health/live"}}
      told: {type: FunctionNode, call: "money:told", params: {status: "{{health.status}}", port: "{{port}}"}}
"""

MONEY = """\
from dataclasses import dataclass
from decimal import Decimal

from nexusd import Context


@dataclass
class Row:
    customer: str
    total: Decimal
    paid: bool


def add(rows: list[Row]) -> Decimal:
    return sum((row.total for row in rows), Decimal(0))


async def told(status: int, port: int, ctx: Context) -> dict[str, object]:
    await ctx.progress(1, 1, str(port))
    return {"status": status, "dry_run": ctx.dry_run, "principal": ctx.principal.id}
"""


@pytest.fixture
def environment(tmp_path: Path, database_url: str) -> dict[str, str]:
    (tmp_path / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    (tmp_path / "money.py").write_text(MONEY, encoding="utf-8")
    return {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": "registry.yaml"}


@pytest.fixture
def daemon(tmp_path: Path, environment: dict[str, str]) -> Iterator[Daemon]:
    with Daemon(tmp_path, environment) as daemon:
        yield daemon


def test_own_nodes_work_together_and_keep_what_they_should(daemon: Daemon, tmp_path: Path) -> None:
    settle_orders(daemon)
    ask_itself(daemon)
    refuse_a_registry(daemon, tmp_path)


def settle_orders(daemon: Daemon) -> None:
    """One transaction over statements, a function and a record: all or nothing."""
    for customer, total in (("Ann", "10.10"), ("Bob", "20.20"), ("Cid", "1")):
        assert daemon.execute("order_create", {"customer": customer, "total": total}).status_code == 200

    failed = daemon.execute("settle", {"least": "5", "receipt": "Ann"})
    assert (failed.status_code, failed.json()["code"], failed.json()["node"]) == (409, "unique_violation", "note")
    rehearsed = daemon.execute("settle", {"least": "5", "receipt": "R1"}, Prefer="tx=rollback")
    settled = daemon.execute("settle", {"least": "5", "receipt": "R1"})

    for answer in (rehearsed, settled):
        outputs = answer.json()["outputs"]
        assert outputs["open"] == {
            "records": [
                {"customer": "Ann", "total": "10.10", "paid": False},
                {"customer": "Bob", "total": "20.20", "paid": False},
            ],
            "count": 2,
        }
        assert (outputs["sum"], outputs["pay"], outputs["note"]["total"]) == (
            "30.30",
            {"records": [], "count": 2},
            "30.30",
        )


def ask_itself(daemon: Daemon) -> None:
    """A request to a listed host; the function behind it is told of a dry run."""
    for headers, dry_run in (({}, False), ({"Prefer": "tx=rollback"}, True)):
        outputs = daemon.execute("ask", {"port": urlsplit(daemon.http).port}, **headers).json()["outputs"]
        assert outputs["health"]["status"] == 200
        assert outputs["told"] == {"status": 200, "dry_run": dry_run, "principal": "anonymous"}


def refuse_a_registry(daemon: Daemon, tmp_path: Path) -> None:
    """A statement that the database cannot run keeps the registry that is served."""
    good = (tmp_path / "registry.yaml").read_text(encoding="utf-8")
    (tmp_path / "registry.yaml").write_text(
        good.replace("SELECT customer, total", "SELECT custmer, total"), encoding="utf-8"
    )
    daemon.process.send_signal(signal.SIGHUP)
    rejected = daemon.wait_for("registry.rejected")
    assert "there is no such column: custmer" in str(rejected)
    assert daemon.execute("settle", {"least": "5", "receipt": "R2"}).status_code == 200


def test_start_with_a_statement_that_cannot_run_ends_with_78(tmp_path: Path, environment: dict[str, str]) -> None:
    bad = REGISTRY.replace("SET paid = TRUE", "SET payed = TRUE")
    (tmp_path / "registry.yaml").write_text(bad, encoding="utf-8")
    done = run_cli("serve", cwd=tmp_path, env={**environment, "NEXUSD_HTTP__PORT": "0", "NEXUSD_MCP__PORT": "0"})
    line = next(i for i, text in enumerate(bad.splitlines(), 1) if "payed" in text)
    assert (
        done.returncode,
        f"registry.yaml:{line}:" in done.stderr,
        "there is no such column: payed" in done.stderr,
    ) == (78, True, True)
    assert "does not exist" not in done.stderr
