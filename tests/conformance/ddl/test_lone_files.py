"""Files with `transaction=off`: short locks, and going on where one was cut off."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from nexusd.channels.cli.program import main
from nexusd.ddl.errors import MigrationFileChanged, PartialMigration, StatementFailed, TableLockTimeout
from nexusd.ddl.migration import Verdict
from tests.support.migrations import IMPATIENT, contacts, migrate, rows, wait_until

if TYPE_CHECKING:
    from nexusd.ddl.options import DDLOptions

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      nick: {type: str, nullable: true}\n"
UNIQUE = V1.replace("name: str", "name: {type: str, unique: true}")
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"
ONLINE = """-- nexusd: transaction=off
CREATE UNIQUE INDEX CONCURRENTLY contacts_name_uq ON contacts (name);
ALTER TABLE contacts ADD CONSTRAINT contacts_name_uq UNIQUE USING INDEX contacts_name_uq;
"""


pytestmark = pytest.mark.usefixtures("in_migrations_folder")


def write(text: str, name: str = "0001_lone.sql") -> None:
    (Path("migrations") / name).write_text(text)


def repair(url: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("NEXUSD_REGISTRY__PATH", "r.yaml")
    return main(["migrate", "repair", *words])


def impatient(options: DDLOptions) -> DDLOptions:
    return replace(options, waits=IMPATIENT)


def started(url: str) -> None:
    migrate(url, contacts(V1))
    rows(url, ROW)


def test_a_statement_waits_no_longer_for_a_lock_than_others_do_and_the_blocker_is_named(postgres_url: str) -> None:
    started(postgres_url)
    write("-- nexusd: transaction=off\nALTER TABLE contacts ALTER COLUMN nick SET DEFAULT 'x';\n")

    with psycopg.connect(postgres_url, application_name="a-report") as holder:
        holder.execute("SELECT * FROM contacts")
        with pytest.raises(TableLockTimeout) as caught:
            migrate(postgres_url, contacts(V1), change=impatient)

    assert "a-report" in caught.value.detail
    with pytest.raises(PartialMigration):
        migrate(postgres_url, contacts(V1))


@pytest.mark.parametrize("header", ["transaction=off", "lock_timeout=50ms"])
def test_a_statement_is_tried_again_until_the_table_is_free(postgres_url: str, header: str) -> None:
    started(postgres_url)
    write(f"-- nexusd: {header}\nALTER TABLE contacts ALTER COLUMN nick SET DEFAULT 'x';\n")
    patient = replace(IMPATIENT, table_s=30.0)

    with psycopg.connect(postgres_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT * FROM contacts")
        job = pool.submit(migrate, postgres_url, contacts(V1), change=lambda options: replace(options, waits=patient))
        busy = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'nexusd-ddl' AND wait_event_type = 'Lock'"
        wait_until(lambda: bool(rows(postgres_url, busy)))
        holder.rollback()
        job.result(timeout=30)

    assert rows(postgres_url, "SELECT status, statements_done FROM _nexusd_migration") == [("ok", 1)]


def test_the_headers_for_locks_mean_nothing_on_sqlite(sqlite_url: str) -> None:
    started(sqlite_url)
    write("-- nexusd: lock_timeout=50ms\nUPDATE contacts SET nick = 'x';\n")
    write("-- nexusd: lock_timeout=50ms\n-- nexusd: transaction=off\nVACUUM;\nPRAGMA optimize;\n", "0002_small.sql")

    assert migrate(sqlite_url, contacts(V1)).verdict is Verdict.APPLIED

    assert rows(sqlite_url, "SELECT nick FROM contacts") == [("x",)]


def test_what_no_transaction_takes_is_run_outside_of_one(postgres_url: str) -> None:
    started(postgres_url)
    write("-- nexusd: transaction=off\nVACUUM contacts;\nSELECT 1;\n")

    assert migrate(postgres_url, contacts(V1)).steps == 2


def test_a_time_without_zone_is_utc_to_every_file(postgres_url: str) -> None:
    started(postgres_url)
    for number, header in enumerate(("transaction=off", "batch=1", "phase=expand"), 1):
        extra = " AND created_at <> '2026-01-01 12:00' AND (:batch) > 0" if "batch" in header else ""
        text = f"-- nexusd: {header}\nUPDATE contacts SET created_at = '2026-01-01 12:00' WHERE id = '1'{extra};\n"
        write(text, f"000{number}_at.sql")
        migrate(postgres_url, contacts(V1))
        assert rows(postgres_url, "SELECT created_at AT TIME ZONE 'UTC' = '2026-01-01 12:00' FROM contacts") == [
            (True,)
        ]
        rows(postgres_url, "UPDATE contacts SET created_at = now()")


def test_an_index_that_failed_is_dropped_and_built_by_repair(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    started(postgres_url)
    rows(postgres_url, "INSERT INTO contacts (id, name) VALUES ('2', 'n')")
    write(ONLINE)
    with pytest.raises(StatementFailed, match="statement 1 of 2"):
        migrate(postgres_url, contacts(UNIQUE))
    assert rows(postgres_url, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'contacts_name_uq'::regclass") == [
        (False,)
    ]
    with pytest.raises(PartialMigration, match="after statement 0 of 2"):
        migrate(postgres_url, contacts(UNIQUE))
    assert repair(postgres_url, monkeypatch) == 1
    rows(postgres_url, "DELETE FROM contacts WHERE id = '2'")

    assert repair(postgres_url, monkeypatch) == 0

    assert "statements 1 to 2 done" in capfd.readouterr().out
    assert migrate(postgres_url, contacts(UNIQUE)).verdict is Verdict.APPLIED
    assert migrate(postgres_url, contacts(UNIQUE)).verdict is Verdict.UNCHANGED


def test_an_index_that_was_built_but_not_noted_is_not_built_again(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    started(postgres_url)
    write(ONLINE)
    migrate(postgres_url, contacts(UNIQUE))
    rows(postgres_url, "ALTER TABLE contacts DROP CONSTRAINT contacts_name_uq")
    rows(postgres_url, "CREATE UNIQUE INDEX contacts_name_uq ON contacts (name)")
    rows(postgres_url, "UPDATE _nexusd_migration SET status = 'partial', statements_done = 0")

    assert repair(postgres_url, monkeypatch) == 0

    assert rows(postgres_url, "SELECT contype FROM pg_constraint WHERE conname = 'contacts_name_uq'") == [("u",)]


def test_a_file_that_stopped_may_be_mended_and_gone_on_with(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started(database_url)
    text = "-- nexusd: transaction=off\nUPDATE contacts SET nick = 'x';\nUPDATE contacts SET nickname = 'y';\n"
    write(text)
    with pytest.raises(StatementFailed, match="statement 2 of 2"):
        migrate(database_url, contacts(V1))
    rows(database_url, "UPDATE contacts SET nick = 'z'")

    write(text.replace("nickname = 'y'", "nick = nick || '!'"))
    with pytest.raises(MigrationFileChanged):
        migrate(database_url, contacts(V1))
    assert repair(database_url, monkeypatch) == 10
    assert repair(database_url, monkeypatch, "--accept") == 0

    assert rows(database_url, "SELECT nick FROM contacts") == [("z!",)]
    migrate(database_url, contacts(V1))
    assert migrate(database_url, contacts(V1)).verdict is Verdict.UNCHANGED


def test_a_file_that_stopped_may_be_taken_as_done(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    started(database_url)
    write("-- nexusd: transaction=off\nUPDATE nowhere SET nick = 'y';\n")
    with pytest.raises(StatementFailed):
        migrate(database_url, contacts(V1))

    assert repair(database_url, monkeypatch, "--mark-applied") == 0

    migrate(database_url, contacts(V1))
    assert rows(database_url, "SELECT status FROM _nexusd_migration") == [("ok",)]
