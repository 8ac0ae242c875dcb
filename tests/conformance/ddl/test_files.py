"""Migration files: what they answer, what they may lose, how they are kept in order, and how one is gone on with."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexusd.ddl.errors import (
    MigrationFileChanged,
    MigrationFileInvalid,
    MigrationFileOrder,
    PartialMigration,
    PlanBlocked,
    RenameHintError,
    StatementFailed,
)
from nexusd.ddl.migration import Verdict
from tests.support.migrations import contacts, migrate, plan_of, registry_of, rows, schema

if TYPE_CHECKING:
    from nexusd.ddl.options import DDLOptions

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      nick: {type: str, nullable: true}\n"
REQUIRED = V1.replace("nick: {type: str, nullable: true}", "nick: str")
RENAMED = V1.replace("nick: {type: str, nullable: true}", "handle: {type: str, nullable: true, renamed_from: nick}")
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"


pytestmark = pytest.mark.usefixtures("in_migrations_folder")


def write(name: str, text: str) -> None:
    (Path("migrations") / name).write_text(text)


def start_with(url: str, fields: str) -> None:
    migrate(url, contacts(fields))
    rows(url, ROW)


def contract(options: DDLOptions) -> DDLOptions:
    return replace(options, contract=True)


def files_of(url: str) -> list[tuple[object, ...]]:
    return rows(url, "SELECT version, status FROM _nexusd_migration ORDER BY version")


def test_a_file_that_does_what_is_blocked_lets_the_start_go_on(postgres_url: str) -> None:
    start_with(postgres_url, V1)
    write("0001_fill.sql", "UPDATE contacts SET nick = '-' WHERE nick IS NULL;\n")
    write("0002_required.pg.sql", "ALTER TABLE contacts ALTER COLUMN nick SET NOT NULL;\n")
    write("0002_required.sqlite.sql", "this is not for PostgreSQL")

    assert migrate(postgres_url, contacts(REQUIRED)).verdict is Verdict.APPLIED

    assert rows(postgres_url, "SELECT nick FROM contacts") == [("-",)]
    assert files_of(postgres_url) == [("0001", "ok"), ("0002", "ok")]
    assert migrate(postgres_url, contacts(REQUIRED)).verdict is Verdict.UNCHANGED


def test_files_that_leave_something_blocked_are_rolled_back(database_url: str) -> None:
    start_with(database_url, V1)
    write("0001_fill.sql", "UPDATE contacts SET nick = '-' WHERE nick IS NULL;\n")
    before = schema(database_url)

    with pytest.raises(PlanBlocked):
        migrate(database_url, contacts(REQUIRED))

    assert schema(database_url) == before
    assert rows(database_url, "SELECT nick FROM contacts") == [(None,)]
    assert files_of(database_url) == []


@pytest.mark.parametrize("header", ["", "-- nexusd: allow drop_column contacts.other\n"], ids=["none", "another"])
def test_a_file_that_loses_a_column_without_saying_so_is_rolled_back(database_url: str, header: str) -> None:
    start_with(database_url, V1)
    write("0001_drop.sql", f"{header}ALTER TABLE contacts DROP COLUMN nick;\n")

    with pytest.raises(PlanBlocked) as caught:
        migrate(database_url, contacts(V1.replace("      nick: {type: str, nullable: true}\n", "")))

    assert caught.value.exit_code == 4
    assert "-- nexusd: allow drop_column contacts.nick" in caught.value.detail
    assert rows(database_url, "SELECT nick FROM contacts") == [(None,)]


def test_a_file_that_says_what_it_drops_may_drop_it(database_url: str) -> None:
    start_with(database_url, V1)
    write("0001_drop.sql", "-- nexusd: allow drop_column contacts.nick\nALTER TABLE contacts DROP COLUMN nick;\n")

    migrate(database_url, contacts(V1.replace("      nick: {type: str, nullable: true}\n", "")))

    with pytest.raises(Exception, match="nick"):
        rows(database_url, "SELECT nick FROM contacts")


def test_a_file_without_transaction_that_loses_a_column_does_not_begin(database_url: str) -> None:
    start_with(database_url, V1)
    write("0001_drop.sql", "-- nexusd: transaction=off\nALTER TABLE contacts DROP COLUMN nick;\n")

    with pytest.raises(PlanBlocked):
        migrate(database_url, contacts(V1.replace("      nick: {type: str, nullable: true}\n", "")))

    assert rows(database_url, "SELECT nick FROM contacts") == [(None,)]


def test_a_contract_file_waits_for_its_command_and_counts_as_the_answer(postgres_url: str) -> None:
    start_with(postgres_url, V1)
    write(
        "0001_required.sql",
        "-- nexusd: phase=contract\nUPDATE contacts SET nick = '-' WHERE nick IS NULL;\n"
        "ALTER TABLE contacts ALTER COLUMN nick SET NOT NULL;\n",
    )

    assert migrate(postgres_url, contacts(REQUIRED)).verdict is Verdict.APPLIED
    assert rows(postgres_url, "SELECT nick FROM contacts") == [(None,)]
    assert migrate(postgres_url, contacts(REQUIRED)).verdict is Verdict.UNCHANGED
    assert migrate(postgres_url, contacts(V1)).verdict is Verdict.AHEAD

    migrate(postgres_url, contacts(REQUIRED), change=contract)

    assert rows(postgres_url, "SELECT nick FROM contacts") == [("-",)]
    assert files_of(postgres_url) == [("0001", "ok")]
    assert migrate(postgres_url, contacts(REQUIRED)).verdict is Verdict.UNCHANGED


def test_a_fresh_database_is_built_from_the_models_and_only_data_files_run(database_url: str) -> None:
    write("0001_old.sql", "ALTER TABLE gone RENAME TO further;\n")
    write("0002_seed.sql", "-- nexusd: data=always\nINSERT INTO contacts (id, name) VALUES ('seed', 's');\n")

    migrate(database_url, contacts(V1))

    assert files_of(database_url) == [("0001", "fresh"), ("0002", "ok")]
    assert rows(database_url, "SELECT id FROM contacts") == [("seed",)]


def test_a_changed_file_and_one_below_an_applied_one_are_refused(database_url: str) -> None:
    start_with(database_url, V1)
    write("0002_fill.sql", "UPDATE contacts SET nick = 'a';\r\n")
    migrate(database_url, contacts(V1))
    write("0002_fill.sql", "UPDATE contacts SET nick = 'a';\n")
    assert migrate(database_url, contacts(V1)).verdict is Verdict.UNCHANGED

    write("0002_fill.sql", "UPDATE contacts SET nick = 'b';\n")
    with pytest.raises(MigrationFileChanged) as changed:
        migrate(database_url, contacts(V1))
    write("0002_fill.sql", "UPDATE contacts SET nick = 'a';\n")
    write("0001_late.sql", "UPDATE contacts SET nick = 'c';\n")
    with pytest.raises(MigrationFileOrder) as order:
        migrate(database_url, contacts(V1))

    assert (changed.value.exit_code, order.value.exit_code) == (10, 10)
    assert rows(database_url, "SELECT nick FROM contacts") == [("a",)]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("first.sql", "", "not a name"),
        ("0001_a.sql", "-- nexusd: fase=contract\n", "'fase=contract' is not understood"),
        ("0001_a.sql", "BEGIN;\nSELECT 1;\nCOMMIT;\n", "BEGIN in a migration file"),
        ("0001_a.sql", "-- nexusd: batch=10\nUPDATE contacts SET nick = '1';\n", "no statement uses :batch"),
    ],
)
def test_a_file_that_cannot_be_understood_is_refused(sqlite_url: str, name: str, text: str, said: str) -> None:
    write(name, text)

    with pytest.raises(MigrationFileInvalid) as caught:
        migrate(sqlite_url, contacts(V1))

    assert caught.value.exit_code == 10
    assert said in caught.value.detail


def test_a_statement_of_a_file_that_fails_is_named(database_url: str) -> None:
    start_with(database_url, V1)
    write("0001_bad.sql", "UPDATE contacts SET nick = 'x';\nUPDATE nowhere SET a = 1;\n")

    with pytest.raises(StatementFailed) as caught:
        migrate(database_url, contacts(V1))

    assert "0001_bad.sql, statement 2 of 2" in caught.value.detail
    assert rows(database_url, "SELECT nick FROM contacts") == [(None,)]


def test_a_file_without_transaction_that_stopped_is_gone_on_with(database_url: str) -> None:
    start_with(database_url, V1)
    write(
        "0001_steps.sql",
        "-- nexusd: transaction=off\nUPDATE contacts SET nick = 'x';\nINSERT INTO later (id) VALUES (1);\n",
    )
    with pytest.raises(StatementFailed):
        migrate(database_url, contacts(V1))
    with pytest.raises(PartialMigration) as caught:
        migrate(database_url, contacts(V1))

    assert caught.value.exit_code == 9
    assert "after statement 1 of 2" in caught.value.detail
    assert rows(database_url, "SELECT nick FROM contacts") == [("x",)]


def test_a_statement_with_batches_is_repeated_until_nothing_is_left(database_url: str) -> None:
    start_with(database_url, V1)
    for number in range(2, 26):
        rows(database_url, f"INSERT INTO contacts (id, name) VALUES ('{number}', 'n')")
    write(
        "0001_fill.sql",
        "-- nexusd: batch=10\nUPDATE contacts SET nick = '-' WHERE id IN"
        " (SELECT id FROM contacts WHERE nick IS NULL LIMIT :batch);\n",
    )

    migrate(database_url, contacts(V1))

    assert rows(database_url, "SELECT count(*) FROM contacts WHERE nick = '-'") == [(25,)]


def test_a_rename_keeps_the_values(database_url: str) -> None:
    start_with(database_url, V1)
    rows(database_url, "UPDATE contacts SET nick = 'kept'")
    if database_url.startswith("postgresql"):
        with pytest.raises(PlanBlocked):
            migrate(database_url, contacts(RENAMED))
        write("0001_rename.sql", "ALTER TABLE contacts RENAME COLUMN nick TO handle;\n")

    migrate(database_url, contacts(RENAMED))

    assert rows(database_url, "SELECT handle FROM contacts") == [("kept",)]
    assert migrate(database_url, contacts(RENAMED)).verdict is Verdict.UNCHANGED
    assert plan_of(database_url, contacts(RENAMED)).changes == ()


def test_a_renamed_table_keeps_its_rows(database_url: str) -> None:
    start_with(database_url, V1)
    text = Path("r.yaml").read_text().replace("table: contacts", "table: people\n    renamed_from: contacts")
    models = registry_of(text)

    migrate(database_url, models, "all")

    assert rows(database_url, "SELECT id, name FROM people") == [("1", "n")]
    assert migrate(database_url, models).verdict is Verdict.UNCHANGED


@pytest.mark.parametrize(
    "fields",
    [
        V1 + "      handle: {type: str, nullable: true, renamed_from: nick}\n",
        V1.replace("name: str", "name: {type: str, renamed_from: never}").replace(
            "      nick", "      other: {type: str, nullable: true, renamed_from: nobody}\n      nick"
        ),
        "      id: {type: str, primary_key: true}\n      name: str\n      a: {type: str, nullable: true, renamed_from: nick}\n      b: {type: str, nullable: true, renamed_from: nick}\n",
    ],
    ids=["still declared", "never there", "twice"],
)
def test_a_rename_hint_that_cannot_be_meant_blocks(database_url: str, fields: str) -> None:
    start_with(database_url, V1)

    with pytest.raises(RenameHintError) as caught:
        migrate(database_url, contacts(fields))

    assert caught.value.exit_code == 4
    assert "renamed_from" in caught.value.detail or "has no column" in caught.value.detail


def test_old_and_new_column_side_by_side_are_a_question(database_url: str) -> None:
    start_with(database_url, V1)
    rows(database_url, "ALTER TABLE contacts ADD COLUMN handle text")

    with pytest.raises(RenameHintError, match="both nick and handle"):
        migrate(database_url, contacts(RENAMED))


def test_a_removed_model_is_kept_and_told(database_url: str) -> None:
    text = "version: 1\nmodels:\n  A: {fields: {id: {type: str, primary_key: true}}}\n"
    migrate(database_url, registry_of(text + "  B: {fields: {id: {type: str, primary_key: true}}}\n"))

    migrate(database_url, registry_of(text))

    assert rows(database_url, "SELECT count(*) FROM b") == [(0,)]


def test_every_order_of_versions_converges(database_url: str) -> None:
    ladders = [
        V1,
        V1 + "      a: {type: str, nullable: true}\n",
        V1 + "      a: {type: str, nullable: true}\n      b: {type: int, default: 3}\n",
    ]
    for order in itertools.permutations(range(3)):
        for number in order:
            migrate(database_url, contacts(ladders[number]), change=lambda o: replace(o, confirmed=True))
    migrate(database_url, contacts(ladders[2]), change=lambda o: replace(o, confirmed=True))

    assert plan_of(database_url, contacts(ladders[2])).pending is False
