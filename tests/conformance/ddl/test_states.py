"""Databases that are not as they were left, or not as old as the registry."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING

import psycopg
import pytest

from nexusd.ddl.errors import (
    MigrationLockBusy,
    PlanBlocked,
    SchemaAheadIncompatible,
    SchemaDrift,
)
from nexusd.ddl.migration import Verdict
from nexusd.ddl.plan import Risk
from tests.support.migrations import (
    IMPATIENT,
    Heard,
    contacts,
    executor,
    hold,
    migrate,
    plan_of,
    registry_of,
    rows,
    schema,
    tables_of,
    wait_until,
)

if TYPE_CHECKING:
    from nexusd.definitions.registry import Registry
    from tests.support.postgres import PostgresServer

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      company: {type: str, nullable: true, index: true}\n"
V2 = V1 + "      phone: {type: str, nullable: true}\n"
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"


pytestmark = pytest.mark.usefixtures("in_folder")


def test_an_invalid_index_that_was_left_behind_is_built_anew(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'contacts_company_ix'::regclass")

    assert [change.kind for change in plan_of(postgres_url, contacts(V1)).changes] == ["rebuild_index"]
    migrate(postgres_url, contacts(V1))

    valid = "SELECT indisvalid FROM pg_index WHERE indexrelid = 'contacts_company_ix'::regclass"
    assert rows(postgres_url, valid) == [(True,)]
    assert migrate(postgres_url, contacts(V1)).verdict is Verdict.UNCHANGED


def test_an_index_on_a_large_table_is_built_after_the_start(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("nexusd.ddl.policy.SMALL_TABLE_BYTES", 0)
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, ROW)
    wider = contacts(V1.replace("name: str", "name: {type: str, index: true}"))
    heard = Heard()
    run = executor(postgres_url, wider, observe=heard)
    run.start()

    assert run.wait().deferred == 1
    index = "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass('contacts_name_ix')"
    assert rows(postgres_url, index) == []
    assert migrate(postgres_url, wider).deferred == 1
    run.run_deferred()

    assert rows(postgres_url, index) == [(True,)]
    assert len(heard.named("migration.step_done")) == 1
    again = migrate(postgres_url, wider)
    assert (again.verdict, again.deferred) == (Verdict.UNCHANGED, 0)


def test_a_start_that_waits_for_an_index_to_be_built_does_not_keep_it_from_being_built(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nexusd.ddl.policy.SMALL_TABLE_BYTES", 0)
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, ROW)
    indexed = V1.replace("name: str", "name: {type: str, index: true}")
    builder = executor(postgres_url, contacts(indexed))
    builder.start()
    assert builder.wait().deferred == 1
    wider = contacts(indexed + "      phone: {type: str, nullable: true}\n")
    building = "SELECT 1 FROM pg_stat_progress_create_index"

    with ThreadPoolExecutor(2) as pool:
        with hold(postgres_url, "contacts") as holder:
            holder.execute("UPDATE contacts SET name = name")
            index = pool.submit(builder.run_deferred)
            wait_until(lambda: rows(postgres_url, building) != [])
            briefly = replace(IMPATIENT, lock_s=0.3)
            with pytest.raises(MigrationLockBusy, match="nexusd-ddl"):
                migrate(postgres_url, wider, change=lambda options: replace(options, waits=briefly))
            start = pool.submit(migrate, postgres_url, wider)
        index.result(timeout=30)
        assert start.result(timeout=30).verdict is Verdict.APPLIED

    assert rows(postgres_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'contacts_name_ix'::regclass") == [
        (True,)
    ]
    assert migrate(postgres_url, wider).deferred == 0


def test_steps_left_for_later_are_not_forgotten_when_another_table_changes(postgres_url: str) -> None:
    first = "version: 1\nmodels:\n  A: {fields: {id: {type: str, primary_key: true}}}\n"
    second = "  B: {fields: {id: {type: str, primary_key: true}}}\n"
    migrate(postgres_url, registry_of(first + second))
    rows(postgres_url, "INSERT INTO a (id) VALUES ('1')")
    rows(postgres_url, "INSERT INTO b (id) VALUES ('1')")
    checked = first.replace("}}}", "}}, checks: {some: \"id <> ''\"}}")
    assert migrate(postgres_url, registry_of(checked + second)).deferred == 1

    more = executor(
        postgres_url, registry_of(checked + second.replace("true}}", "true}, c: {type: str, nullable: true}}"))
    )
    more.start()

    assert more.wait().deferred == 1
    more.run_deferred()
    assert rows(postgres_url, "SELECT convalidated FROM pg_constraint WHERE conname = 'a_some_check'") == [(True,)]


def test_rows_that_disobey_a_new_constraint_are_told_and_do_not_keep_the_server_down(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, ROW)
    heard = Heard()
    run = executor(postgres_url, contacts(V1, '    checks: {long: "length(name) > 3"}\n'), observe=heard)
    run.start()
    assert run.wait().deferred == 1

    run.run_deferred()

    assert [event.name for event in heard.named("migration.step_failed")] == ["migration.step_failed"]
    with pytest.raises(psycopg.errors.CheckViolation):
        rows(postgres_url, "INSERT INTO contacts (id, name) VALUES ('2', 'x')")
    assert "'n'" not in str(heard.events)


def test_an_older_version_beside_a_newer_schema_changes_nothing(database_url: str) -> None:
    migrate(database_url, contacts(V1))
    migrate(database_url, contacts(V2))
    after = schema(database_url)

    verdicts = [migrate(database_url, contacts(fields)).verdict for fields in (V1, V2, V1, V2)]

    assert verdicts == [Verdict.AHEAD, Verdict.UNCHANGED, Verdict.AHEAD, Verdict.UNCHANGED]
    assert schema(database_url) == after


def test_an_older_version_that_lacks_what_it_needs_does_not_start(database_url: str) -> None:
    migrate(database_url, contacts(V2))
    migrate(database_url, contacts(V1))
    migrate(database_url, contacts(V1), change=lambda options: replace(options, confirmed=True))
    rows(database_url, "ALTER TABLE contacts DROP COLUMN phone")

    with pytest.raises(SchemaAheadIncompatible) as caught:
        migrate(database_url, contacts(V2))

    assert caught.value.exit_code == 4
    assert "add column contacts.phone" in caught.value.detail


@pytest.mark.parametrize(
    ("damage", "repaired"),
    [
        ("DROP INDEX contacts_company_ix", True),
        ("ALTER TABLE contacts DROP COLUMN company", True),
        ("ALTER TABLE contacts ADD COLUMN extra text", True),
        ("ALTER TABLE contacts ADD COLUMN extra text NOT NULL DEFAULT 'x'", True),
    ],
    ids=["index", "column", "extra column", "extra with default"],
)
def test_drift_that_adding_can_repair_is_repaired(database_url: str, damage: str, *, repaired: bool) -> None:
    migrate(database_url, contacts(V1))
    if "DROP COLUMN" in damage:
        rows(database_url, "DROP INDEX contacts_company_ix")
    rows(database_url, damage)

    migrate(database_url, contacts(V1))

    assert (plan_of(database_url, contacts(V1)).of(Risk.SAFE) == ()) is repaired
    assert migrate(database_url, contacts(V1)).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    ("damage", "title"),
    [
        ("ALTER TABLE contacts DROP CONSTRAINT contacts_some_check", "add constraint contacts.contacts_some_check"),
        ("ALTER TABLE contacts ALTER version DROP DEFAULT", "set default contacts.version"),
        ("ALTER TABLE contacts ALTER company SET DEFAULT 'x'", "drop default contacts.company"),
        ("ALTER TABLE contacts ALTER company SET NOT NULL", "drop not null contacts.company"),
    ],
)
def test_a_constraint_or_default_that_somebody_changed_is_brought_back(
    postgres_url: str, damage: str, title: str
) -> None:
    models = contacts(V1, '    checks: {some: "length(id) > 0"}\n')
    migrate(postgres_url, models)
    rows(postgres_url, "INSERT INTO contacts (id, name, company) VALUES ('1', 'n', 'c')")
    rows(postgres_url, damage)
    found = [change.title for change in plan_of(postgres_url, models).of(Risk.SAFE)]
    assert [each.startswith(title) for each in found] == [True], found

    run = executor(postgres_url, models)
    run.start()
    assert run.wait().verdict is Verdict.APPLIED
    run.run_deferred()

    assert plan_of(postgres_url, models).changes == ()
    assert migrate(postgres_url, models).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    "index",
    [
        "CREATE INDEX theirs ON contacts (company) WHERE company IS NOT NULL",
        "CREATE UNIQUE INDEX theirs ON contacts (name) WHERE company = 'x'",
        "CREATE INDEX theirs ON contacts (lower(name), company DESC)",
    ],
    ids=["partial", "partial unique", "expression"],
)
def test_an_index_that_the_registry_cannot_say_is_kept_and_is_no_other_index(database_url: str, index: str) -> None:
    migrate(database_url, contacts(V1))
    rows(database_url, ROW)
    rows(database_url, index)

    assert migrate(database_url, contacts(V1)).steps == 0
    wider = contacts(V1.replace("name: str", "name: {type: str, index: true}"))
    assert [(c.kind, c.name) for c in plan_of(database_url, wider).of(Risk.SAFE)] == [
        ("create_index", "contacts_name_ix")
    ]
    migrate(database_url, wider)

    assert migrate(database_url, wider).verdict is Verdict.UNCHANGED
    with pytest.raises(Exception, match="exists"):
        rows(database_url, index)


def test_drift_that_adding_cannot_repair_is_named(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, ROW)
    rows(postgres_url, "ALTER TABLE contacts ALTER COLUMN name DROP NOT NULL")
    before = schema(postgres_url)

    with pytest.raises(SchemaDrift) as caught:
        migrate(postgres_url, contacts(V1))

    assert caught.value.exit_code == 5
    assert "contacts.name" in caught.value.detail
    assert schema(postgres_url) == before


def test_a_required_column_that_the_registry_does_not_know_blocks(database_url: str) -> None:
    migrate(database_url, contacts(V1))
    rows(database_url, ROW)
    if database_url.startswith("sqlite"):
        rows(database_url, "ALTER TABLE contacts ADD COLUMN must text NOT NULL DEFAULT 'x'")
        assert migrate(database_url, contacts(V1)).steps == 0
        return
    rows(database_url, "ALTER TABLE contacts ADD COLUMN must text NOT NULL DEFAULT 'x'")
    rows(database_url, "ALTER TABLE contacts ALTER COLUMN must DROP DEFAULT")

    with pytest.raises(SchemaDrift) as caught:
        migrate(database_url, contacts(V1))

    assert "allow drop_column contacts.must" in caught.value.detail


def test_a_database_that_something_else_made_is_adopted_without_a_change(database_url: str) -> None:
    models = contacts(V1)
    migrate(database_url, models)
    ours = [name for name in tables_of(database_url) if str(name).startswith("_nexusd")]
    for name in sorted(ours, key=lambda name: name == "_nexusd_schema_run"):
        rows(database_url, f"DROP TABLE {name}")
    before = schema(database_url)

    assert migrate(database_url, models).verdict is Verdict.ADOPTED
    assert set(before) <= set(schema(database_url))
    assert migrate(database_url, models).verdict is Verdict.UNCHANGED


def test_a_restored_dump_is_found_equal(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    migrate(url, contacts(V1))
    rows(url, "CREATE DATABASE copy TEMPLATE template0")
    programs = postgres_server.version.bindir
    dump = subprocess.run([programs / "pg_dump", url], check=True, capture_output=True, timeout=60)
    copy = postgres_server.url("copy")
    subprocess.run([programs / "psql", "-q", copy], check=True, input=dump.stdout, capture_output=True, timeout=60)

    outcome = migrate(copy, contacts(V1))

    assert (outcome.verdict, outcome.steps) == (Verdict.UNCHANGED, 0)
    assert migrate(copy, contacts(V1)).steps == 0


def test_nothing_of_a_blocked_plan_is_done(database_url: str) -> None:
    migrate(database_url, contacts(V1))
    rows(database_url, ROW)
    before = schema(database_url)
    wanted: Registry = contacts(V2.replace("company: {type: str, nullable: true", "company: {type: str"))

    with pytest.raises(PlanBlocked) as caught:
        migrate(database_url, wanted)

    assert "1 to apply · 1 needs a file" in caught.value.detail
    assert schema(database_url) == before
