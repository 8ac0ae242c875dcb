"""Tables of SQLite that are built anew: all or nothing, with everything that belongs or refers to them."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from nexusd.ddl.migration import Verdict
from tests.support.migrations import contacts, migrate, registry_of, rows, start_process, wait_until

if TYPE_CHECKING:
    from pathlib import Path

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      company: {type: str, nullable: true, index: true}\n"
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"


pytestmark = pytest.mark.usefixtures("in_folder")


def test_a_killed_rebuild_leaves_the_old_table(sqlite_url: str) -> None:
    migrate(sqlite_url, contacts(V1))
    rows(sqlite_url, ROW)
    path = sqlite_url.removeprefix("sqlite:///")
    code = (
        "import sqlite3, sys, os\n"
        "c = sqlite3.connect(sys.argv[1], isolation_level=None)\n"
        "c.execute('BEGIN IMMEDIATE'); c.execute('CREATE TABLE _nexusd_new_contacts (id)')\n"
        "c.execute('DROP TABLE contacts'); os._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", code, path], check=False, timeout=20)

    outcome = migrate(sqlite_url, contacts(V1.replace("name: str", "name: {type: str, nullable: true}")))

    assert outcome.verdict is Verdict.APPLIED
    assert rows(sqlite_url, "SELECT id, name FROM contacts") == [("1", "n")]


def test_a_rebuild_keeps_a_copy_and_everything_the_registry_does_not_know(sqlite_url: str) -> None:
    fields = "      id: {type: int, primary_key: true}\n      name: str\n"
    migrate(sqlite_url, contacts(fields))
    rows(sqlite_url, "INSERT INTO contacts (id, name) VALUES (7, 'n')")
    rows(sqlite_url, "ALTER TABLE contacts ADD COLUMN nick TEXT DEFAULT 'x' CHECK (nick <> 'bad')")
    rows(sqlite_url, "CREATE INDEX by_nick ON contacts (nick) WHERE nick IS NOT NULL")
    rows(sqlite_url, "CREATE TABLE seen (id)")
    rows(sqlite_url, "CREATE TRIGGER noted AFTER INSERT ON contacts BEGIN INSERT INTO seen VALUES (new.id); END")
    rows(sqlite_url, "INSERT INTO contacts (id, name) VALUES (9, 'm')")
    rows(sqlite_url, "DELETE FROM contacts WHERE id = 9")

    outcome = migrate(sqlite_url, contacts(fields.replace("name: str", "name: {type: str, nullable: true}")))

    assert rows(sqlite_url, "SELECT id, name, nick FROM contacts") == [(7, "n", "x")]
    assert [(name,) for name in ("by_nick", "noted")] == rows(
        sqlite_url, "SELECT name FROM sqlite_master WHERE name IN ('by_nick', 'noted') ORDER BY name"
    )
    rows(sqlite_url, "INSERT INTO contacts (name) VALUES (NULL)")
    assert rows(sqlite_url, "SELECT max(id) FROM contacts") == [(10,)]
    with pytest.raises(sqlite3.IntegrityError):
        rows(sqlite_url, "UPDATE contacts SET nick = 'bad'")
    assert rows(f"sqlite:///{outcome.backup}", "SELECT id, name FROM contacts") == [(7, "n")]


def test_a_rebuild_keeps_views_triggers_and_references_of_others(sqlite_url: str) -> None:
    fields = "      id: {type: int, primary_key: true}\n      name: str\n"
    migrate(sqlite_url, contacts(fields))
    for statement in (
        "INSERT INTO contacts (id, name) VALUES (1, 'n')",
        "CREATE VIEW names AS SELECT name, id FROM contacts",
        "CREATE TRIGGER added INSTEAD OF INSERT ON names BEGIN INSERT INTO contacts (name) VALUES (new.name); END",
        'CREATE TABLE "a note" (contact INTEGER REFERENCES contacts (id), text)',
        """CREATE TRIGGER noted AFTER INSERT ON "a note" BEGIN
           UPDATE contacts SET name = name || '!' WHERE id = new.contact; END""",
    ):
        rows(sqlite_url, statement)
    others = "SELECT name, sql FROM sqlite_master WHERE name IN ('names', 'added', 'a note', 'noted') ORDER BY 1"
    before = rows(sqlite_url, others)

    migrate(sqlite_url, contacts(fields.replace("name: str", "name: {type: str, nullable: true}")))

    assert rows(sqlite_url, others) == before
    rows(sqlite_url, "INSERT INTO names (name) VALUES ('m')")
    rows(sqlite_url, 'INSERT INTO "a note" VALUES (2, NULL)')
    assert rows(sqlite_url, "SELECT name, id FROM names ORDER BY 2") == [("n", 1), ("m!", 2)]
    with pytest.raises(sqlite3.IntegrityError):
        rows(sqlite_url, 'INSERT INTO "a note" VALUES (99, NULL)')


def test_a_rebuild_keeps_rows_that_refer_to_the_table(sqlite_url: str) -> None:
    text = (
        "version: 1\nmodels:\n"
        "  Company: {fields: {id: {type: str, primary_key: true}, name: str}}\n"
        "  Person: {fields: {id: {type: str, primary_key: true},"
        " company_id: {type: str, references: Company.id, on_delete: cascade}}}\n"
    )
    migrate(sqlite_url, registry_of(text))
    rows(sqlite_url, "INSERT INTO company (id, name) VALUES ('c', 'n')")
    rows(sqlite_url, "INSERT INTO person (id, company_id) VALUES ('p', 'c')")

    migrate(sqlite_url, registry_of(text.replace("name: str", "name: {type: str, nullable: true}")))

    assert rows(sqlite_url, "SELECT id, company_id FROM person") == [("p", "c")]
    with pytest.raises(sqlite3.IntegrityError):
        rows(sqlite_url, "INSERT INTO person (id, company_id) VALUES ('q', 'nobody')")


def test_a_process_killed_while_it_builds_a_table_anew_leaves_the_old_one(sqlite_url: str, tmp_path: Path) -> None:
    fields = V1.replace("company", "firm")
    migrate(sqlite_url, contacts(fields))
    numbers = "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100000)"
    rows(sqlite_url, f"INSERT INTO contacts (id, name) {numbers} SELECT i, 'n' || i FROM n")
    contacts(fields.replace("name: str", "name: {type: str, nullable: true}"))
    process = start_process(sqlite_url, "r.yaml")
    wait_until(lambda: any(tmp_path.glob("*.bak")) or process.poll() is not None, 20)
    process.kill()
    process.communicate(timeout=20)

    assert rows(sqlite_url, "SELECT count(*), max(length(name)) FROM contacts") == [(100000, 7)]
    again = start_process(sqlite_url, "r.yaml")
    out, err = again.communicate(timeout=60)
    assert (again.returncode, out.strip() in {"applied", "unchanged"}) == (0, True), err
    assert rows(sqlite_url, "SELECT count(*), max(length(name)) FROM contacts") == [(100000, 7)]
    rows(sqlite_url, "INSERT INTO contacts (id) VALUES ('no name')")
    assert rows(sqlite_url, "PRAGMA integrity_check") == [("ok",)]
