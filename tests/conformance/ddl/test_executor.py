from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import psycopg
import pytest

from nexusd.ddl.errors import DatabaseRefused, DatabaseUnreachable, PlanBlocked, SchemaPending
from nexusd.ddl.migration import Verdict
from tests.support.migrations import Heard, contacts, migrate, registry_of, rows, schema, wait_until
from tests.support.schema_oracle import disagreements

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nexusd.definitions.registry import Registry
    from tests.support.postgres import PostgresServer

BASE = """
      id: {type: str, primary_key: true}
      name: str
      email: {type: str, unique: true, max_length: 320}
      company: {type: str, nullable: true, index: true}
"""
EVERYTHING = """version: 1
models:
  Company:
    fields: {id: {type: int, primary_key: true}, boss_id: {type: str, nullable: true, references: Person.id}}
  Person:
    table: people
    fields:
      id: {type: str, primary_key: true}
      a: {type: str, default: "it's"}
      b: {type: int, default: -5}
      c: {type: bigint, default: "9007199254740993"}
      d: {type: float, default: 1.5}
      e: {type: decimal, precision: 12, scale: 2, default: "0.10"}
      f: {type: decimal, default: "123456789012345678901234567890.5"}
      g: {type: bool, default: true}
      h: {type: datetime, default: "2026-01-31T00:00:00Z"}
      i: {type: date, default: "2026-01-31"}
      j: {type: time, default: "13:45:00"}
      k: {type: uuid, default: "0198c0de-0000-7000-8000-00000000000a"}
      l: {type: json, default: {"a": [1, "it's"]}}
      m: {type: bytes, default: AAEC}
      n: {type: enum, values: [free, pro], default: free}
      o: {type: array, items: str, default: ["x", "it's"], index: true}
      company_id: {type: int, nullable: true, references: Company.id, on_delete: cascade}
    indexes: [{fields: [a, b]}, {fields: [b, c], unique: true}]
    checks: {positive: "b > -10"}
    soft_delete: true
"""


pytestmark = pytest.mark.usefixtures("in_folder")


def registry(fields: str = BASE, more: str = "") -> Registry:
    return contacts(fields.removeprefix("\n"), more)


def test_a_fresh_database_gets_every_part_and_a_second_start_finds_nothing_to_do(database_url: str) -> None:
    models = registry_of(EVERYTHING)

    assert migrate(database_url, models).verdict is Verdict.APPLIED
    again = migrate(database_url, models)

    assert (again.verdict, again.steps) == (Verdict.UNCHANGED, 0)
    rows(database_url, "INSERT INTO people (id) VALUES ('x')")
    stored = rows(database_url, "SELECT a, b, c, d, n, version FROM people")
    assert stored == [("it's", -5, 9007199254740993, 1.5, "free", 1)]
    assert disagreements(database_url, models.models) == []


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO people (id, n) VALUES ('x', 'gold')",
        "INSERT INTO people (id, b) VALUES ('x', -11)",
        "INSERT INTO people (id, company_id) VALUES ('x', 99)",
        "INSERT INTO people (id, a) VALUES ('x', NULL)",
        "INSERT INTO people (id, b, c) VALUES ('x', 1, 1), ('y', 1, 1)",
    ],
    ids=["enum", "check", "reference", "not null", "unique"],
)
def test_constraints_hold_in_the_database(database_url: str, statement: str) -> None:
    migrate(database_url, registry_of(EVERYTHING))

    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        rows(database_url, statement)


def test_the_secret_stays_the_same(database_url: str) -> None:
    first, second = migrate(database_url, registry()), migrate(database_url, registry())

    assert len(first.secret) == 32
    assert second.secret == first.secret


def test_nullable_and_defaulted_columns_are_added_and_rows_stay(database_url: str) -> None:
    migrate(database_url, registry())
    rows(database_url, "INSERT INTO contacts (id, name, email) VALUES ('1', 'n', 'e')")
    wider = BASE + (
        "      phone: {type: str, nullable: true, unique: true, index: true}\n"
        "      tier: {type: enum, values: [free, pro], default: free}\n"
        "      boss: {type: str, nullable: true, references: Contact.id}\n"
    )

    outcome = migrate(database_url, registry(wider))

    assert outcome.verdict is Verdict.APPLIED
    assert rows(database_url, "SELECT name, phone, tier, boss FROM contacts") == [("n", None, "free", None)]
    assert migrate(database_url, registry(wider)).verdict is Verdict.UNCHANGED
    with pytest.raises((sqlite3.IntegrityError, psycopg.IntegrityError)):
        rows(database_url, "UPDATE contacts SET tier = 'gold'")


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        (BASE + "      phone: str\n", "contacts.phone"),
        (BASE.replace("company: {type: str, nullable: true", "company: {type: str"), "contacts.company"),
        (BASE.replace("name: str", "name: int"), "contacts.name"),
        (BASE.replace("name: str", "name: {type: str, unique: true}"), "contacts.contacts_name_uq"),
        (BASE.replace("      name: str\n", ""), "contacts.name"),
    ],
    ids=["required column", "set not null", "type", "unique", "removed required"],
)
def test_what_could_fail_or_lose_is_blocked_and_nothing_is_changed(database_url: str, fields: str, named: str) -> None:
    migrate(database_url, registry())
    rows(database_url, "INSERT INTO contacts (id, name, email) VALUES ('1', 'n', 'e')")
    before = schema(database_url)

    with pytest.raises(PlanBlocked) as caught:
        migrate(database_url, registry(fields + "      extra: {type: str, nullable: true}\n"))

    assert caught.value.exit_code == 4
    assert named in caught.value.detail
    assert "fix: " in caught.value.detail
    assert schema(database_url) == before


def test_a_removed_nullable_field_is_kept(database_url: str) -> None:
    migrate(database_url, registry())

    migrate(database_url, registry(BASE.replace("      company: {type: str, nullable: true, index: true}\n", "")))

    assert rows(database_url, "SELECT company FROM contacts") == []


def test_verify_changes_nothing_and_says_what_is_pending(database_url: str) -> None:
    with pytest.raises(SchemaPending) as caught:
        migrate(database_url, registry(), "verify")

    assert caught.value.exit_code == 3
    assert "create table contacts" in caught.value.detail
    assert schema(database_url) == []
    migrate(database_url, registry())
    assert migrate(database_url, registry(), "verify").verdict is Verdict.UNCHANGED


def test_false_does_not_look(database_url: str) -> None:
    assert migrate(database_url, registry(), "false").verdict is Verdict.SKIPPED
    assert schema(database_url) == []


def test_of_twenty_starters_one_applies_and_the_others_join(database_url: str) -> None:
    models = registry_of(EVERYTHING)

    with ThreadPoolExecutor(20) as pool:
        outcomes = [job.result() for job in [pool.submit(migrate, database_url, models) for _ in range(20)]]

    verdicts = [outcome.verdict for outcome in outcomes]
    assert verdicts.count(Verdict.APPLIED) == 1
    assert {*verdicts} <= {Verdict.APPLIED, Verdict.JOINED, Verdict.UNCHANGED}
    assert len({outcome.secret for outcome in outcomes}) == 1


def test_a_database_in_memory_is_handed_on_open() -> None:
    outcome = migrate("sqlite:///:memory:", registry())

    assert outcome.connection is not None
    assert outcome.connection.execute("SELECT count(*) FROM contacts").fetchall() == [(0,)]
    outcome.connection.close()


def test_a_database_that_comes_up_late_is_waited_for(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    postgres_server.stop("fast")

    heard = Heard()
    with ThreadPoolExecutor(1) as pool:
        job = pool.submit(migrate, url, registry(), observe=heard)
        wait_until(lambda: len(heard.named("database.waiting")) > 1)
        postgres_server.start()
        assert job.result(timeout=30).verdict is Verdict.APPLIED


def test_a_database_that_never_comes_up_is_unreachable(free_port: Callable[[], int]) -> None:
    url = f"postgresql://u:secret-word@127.0.0.1:{free_port()}/d"

    with pytest.raises(DatabaseUnreachable) as caught:
        migrate(url, registry(), wait_s=0.3)

    assert caught.value.exit_code == 7
    assert "secret-word" not in caught.value.detail


def test_a_database_that_is_not_there_is_refused_at_once(postgres_server: PostgresServer) -> None:
    with pytest.raises(DatabaseRefused) as caught:
        migrate(postgres_server.url("postgres").replace("/postgres", "/nope"), registry())

    assert caught.value.exit_code == 7


def test_a_file_that_is_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("a letter to somebody " * 100)

    with pytest.raises(DatabaseRefused, match="is no SQLite database") as caught:
        migrate("sqlite:///x.db", registry())

    assert caught.value.exit_code == 7
    assert (tmp_path / "x.db").read_text().startswith("a letter")


def test_a_folder_that_is_not_there_is_refused() -> None:
    with pytest.raises(DatabaseRefused, match="cannot be opened"):
        migrate("sqlite:///missing/folder/x.db", registry())


def test_tables_of_nexusd_itself_that_an_older_version_made_are_completed(database_url: str) -> None:
    assert migrate(database_url, registry()).verdict is Verdict.APPLIED
    for table in ("_nexusd_api_key", "_nexusd_idempotency", "_nexusd_audit"):
        rows(database_url, f"DROP TABLE {table}")

    with pytest.raises(SchemaPending):
        migrate(database_url, registry(), "verify")
    assert migrate(database_url, registry()).steps == 0
    for table in ("_nexusd_api_key", "_nexusd_idempotency", "_nexusd_audit"):
        assert rows(database_url, f"SELECT count(*) FROM {table}") == [(0,)]
    assert migrate(database_url, registry(), "verify").verdict is Verdict.UNCHANGED
