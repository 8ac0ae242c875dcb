"""What can go wrong while a database is brought to the registry, on real databases."""

from __future__ import annotations

import signal
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from nexusd.ddl.errors import (
    DatabaseRefused,
    DDLCancelled,
    InsufficientPrivilege,
    MigrationLockBusy,
    ReadOnlyDatabase,
    StatementFailed,
    TableLockTimeout,
)
from nexusd.ddl.migration import Verdict
from tests.support.migrations import (
    IMPATIENT,
    Heard,
    contacts,
    executor,
    migrate,
    rows,
    schema,
    start_process,
    tables_of,
    wait_until,
)

if TYPE_CHECKING:
    from nexusd.ddl.executor import DDLOutcome
    from nexusd.ddl.options import DDLOptions
    from tests.support.databases import StartPostgres
    from tests.support.postgres import PostgresServer

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      company: {type: str, nullable: true, index: true}\n"
V2 = V1 + "      phone: {type: str, nullable: true}\n"
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"


pytestmark = pytest.mark.usefixtures("in_folder")


def impatient(options: DDLOptions) -> DDLOptions:
    return replace(options, waits=IMPATIENT)


def many(count: int) -> None:
    """A registry `many.yaml` of so many models, each referring to the one before."""
    text = "version: 1\nmodels:\n"
    for number in range(count):
        reference = f", other_id: {{type: str, nullable: true, references: M{number - 1}.id}}" if number else ""
        text += f"  M{number}: {{fields: {{id: {{type: str, primary_key: true}}, name: {{type: str, index: true}}{reference}}}}}\n"
    Path("many.yaml").write_text(text)


def test_of_five_processes_on_an_empty_database_one_applies_and_the_others_join(database_url: str) -> None:
    many(12)

    processes = [start_process(database_url, "many.yaml") for _ in range(5)]
    said = [process.communicate(timeout=60) for process in processes]

    assert [process.returncode for process in processes] == [0] * 5, said
    verdicts = sorted(out.strip() for out, _ in said)
    assert verdicts.count("applied") == 1
    assert {*verdicts} <= {"applied", "joined", "unchanged"}
    assert {f"m{number}" for number in range(12)} <= tables_of(database_url)


def test_a_start_killed_amid_sixty_new_tables_leaves_nothing_and_the_next_makes_all(database_url: str) -> None:
    many(60)
    process = start_process(database_url, "many.yaml")
    deadline = time.monotonic() + 20
    if database_url.startswith("postgresql"):
        busy = "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND granted"
        while not rows(database_url, busy) and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(0.05)
    else:
        file = Path(database_url.removeprefix("sqlite:///"))
        while not file.exists() and time.monotonic() < deadline:
            time.sleep(0.001)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)

    made = {name for name in tables_of(database_url) if not str(name).startswith("_nexusd")}
    assert len(made) in {0, 60}
    second = start_process(database_url, "many.yaml")
    out, err = second.communicate(timeout=60)
    assert (second.returncode, out.strip() in {"applied", "unchanged"}) == (0, True), err
    assert len({name for name in tables_of(database_url) if not str(name).startswith("_nexusd")}) == 60


def test_a_transaction_that_holds_a_table_delays_readers_by_the_lock_timeout_at_most(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    rows(postgres_url, ROW)
    longest = 0.0
    stop = threading.Event()

    def read() -> None:
        nonlocal longest
        with psycopg.connect(postgres_url, autocommit=True) as client:
            while not stop.is_set():
                begun = time.monotonic()
                client.execute("SELECT count(*) FROM contacts")
                longest = max(longest, time.monotonic() - begun)
                stop.wait(0.01)

    with psycopg.connect(postgres_url, application_name="a-report") as holder, ThreadPoolExecutor(2) as pool:
        holder.execute("SELECT * FROM contacts")
        held_by = f"process {holder.info.backend_pid} (a-report, idle in transaction"
        reader = pool.submit(read)
        with pytest.raises(TableLockTimeout) as caught:
            migrate(postgres_url, contacts(V2), change=impatient)
        stop.set()
        reader.result(timeout=10)

    assert caught.value.exit_code == 6
    assert f"contacts is held by {held_by}" in caught.value.detail
    # Readers queue behind the waiting ALTER TABLE for its 200 ms; the rest is this machine.
    assert longest < 1.5
    assert migrate(postgres_url, contacts(V2)).verdict is Verdict.APPLIED


def test_a_change_is_made_as_soon_as_the_table_is_free(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    patient = replace(IMPATIENT, table_s=30.0)

    with psycopg.connect(postgres_url) as holder, ThreadPoolExecutor(1) as pool:
        holder.execute("SELECT * FROM contacts")
        job = pool.submit(migrate, postgres_url, contacts(V2), change=lambda options: replace(options, waits=patient))
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'nexusd-ddl' AND wait_event_type = 'Lock'"
        wait_until(lambda: bool(rows(postgres_url, waiting)), 10)
        holder.rollback()
        assert job.result(timeout=30).verdict is Verdict.APPLIED


def test_another_starter_that_holds_the_lock_is_named(database_url: str) -> None:
    migrate(database_url, contacts(V1))
    briefly = replace(IMPATIENT, lock_s=0.5)

    def start() -> DDLOutcome:
        return migrate(database_url, contacts(V2), change=lambda options: replace(options, waits=briefly))

    if database_url.startswith("sqlite"):
        with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(MigrationLockBusy) as caught:
                start()
    else:
        run = executor(database_url, contacts(V1))
        target = run._connect()  # noqa: SLF001 - a second starter, stopped amid its transaction
        with target.transaction(threading.Event(), IMPATIENT), pytest.raises(MigrationLockBusy) as caught:
            start()
        target.hand_over()
        assert "nexusd-ddl" in caught.value.detail
    assert caught.value.exit_code == 6
    assert start().verdict is Verdict.APPLIED


def test_a_cancelled_start_ends_soon_and_leaves_nothing(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    before = schema(postgres_url)
    with psycopg.connect(postgres_url) as holder:
        holder.execute("SELECT * FROM contacts")
        run = executor(postgres_url, contacts(V2))
        run.start()
        waiting = "SELECT 1 FROM pg_stat_activity WHERE application_name = 'nexusd-ddl' AND wait_event_type = 'Lock'"
        wait_until(lambda: bool(rows(postgres_url, waiting)), 10)
        run.cancel(signal.SIGTERM)
        with pytest.raises(DDLCancelled) as caught:
            run.wait()
    assert caught.value.exit_code == 143
    assert schema(postgres_url) == before
    assert rows(postgres_url, "SELECT 1 FROM pg_stat_activity WHERE application_name = 'nexusd-ddl'") == []


def test_a_wrong_password_is_refused_after_a_moment_of_grace(start_postgres: StartPostgres, run_folder: Path) -> None:
    rules = run_folder / "pg_hba.conf"
    rules.write_text("host all postgres 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n")
    rules.chmod(0o644)
    server = start_postgres(settings={"hba_file": str(rules)})
    rows(server.url("postgres"), "CREATE ROLE app LOGIN PASSWORD 'right-word'")
    url = f"postgresql://app:wrong-word@127.0.0.1:{server.port}/postgres"

    heard = Heard()
    with pytest.raises(DatabaseRefused) as caught:
        migrate(url, contacts(V1), wait_s=0.5, observe=heard)

    assert caught.value.exit_code == 7
    assert "refuses the login" in caught.value.detail
    assert "wrong-word" not in caught.value.detail + str(heard.events)
    assert heard.named("database.waiting")


def role_without(url: str, *rights: str) -> str:
    """The URL of a role that may log in, and has these rights on schema public."""
    for sql in (
        "DROP ROLE IF EXISTS weak",
        "CREATE ROLE weak LOGIN PASSWORD 'w'",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        *rights,
    ):
        rows(url, sql)
    parts = urlsplit(url)
    return parts._replace(netloc=f"weak:w@{parts.hostname}:{parts.port}").geturl()


def test_without_the_right_to_create_the_grant_is_printed(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    weak = role_without(url)

    with pytest.raises(InsufficientPrivilege) as caught:
        migrate(weak, contacts(V1))

    assert caught.value.exit_code == 8
    assert 'GRANT USAGE, CREATE ON SCHEMA "public" TO "weak";' in caught.value.detail
    rows(url, 'GRANT USAGE, CREATE ON SCHEMA "public" TO "weak"')
    assert migrate(weak, contacts(V1)).verdict is Verdict.APPLIED


def test_somebody_elses_table_is_named_with_the_statement_that_gives_it(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    rows(url, 'CREATE TABLE contacts (id text COLLATE "C" PRIMARY KEY, name text COLLATE "C" NOT NULL)')
    weak = role_without(url, "GRANT USAGE, CREATE ON SCHEMA public TO weak", "GRANT SELECT ON contacts TO weak")

    with pytest.raises(InsufficientPrivilege) as caught:
        migrate(weak, contacts(V1))

    assert 'ALTER TABLE "public"."contacts" OWNER TO "weak";' in caught.value.detail
    rows(url, "REVOKE SELECT ON contacts FROM weak")
    with pytest.raises(InsufficientPrivilege) as caught:
        migrate(weak, contacts(V1))
    assert 'GRANT SELECT, INSERT, UPDATE, DELETE ON "public"."contacts" TO "weak";' in caught.value.detail


def test_without_the_right_to_temporary_tables_the_grant_is_printed(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    weak = role_without(
        url, "GRANT USAGE, CREATE ON SCHEMA public TO weak", "REVOKE TEMP ON DATABASE postgres FROM PUBLIC"
    )
    assert migrate(weak, contacts(V1)).verdict is Verdict.APPLIED

    with pytest.raises(InsufficientPrivilege) as caught:
        migrate(weak, contacts(V2))

    assert 'GRANT TEMPORARY ON DATABASE "postgres" TO "weak";' in caught.value.detail
    rows(url, "GRANT CREATE ON DATABASE postgres TO weak")
    assert migrate(weak, contacts(V2)).verdict is Verdict.APPLIED


def test_a_migrating_role_grants_new_tables_to_the_role_that_runs(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    weak = role_without(url, "GRANT USAGE ON SCHEMA public TO weak")

    outcome = migrate(url, contacts(V1), change=lambda options: replace(options, runtime_role="weak"))

    assert outcome.verdict is Verdict.APPLIED
    rows(weak, ROW)
    assert rows(weak, "SELECT id FROM contacts") == [("1",)]


def test_the_role_that_runs_may_add_to_the_audit_and_no_more(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    weak = role_without(url, "GRANT USAGE ON SCHEMA public TO weak")
    migrate(url, contacts(V1), change=lambda options: replace(options, runtime_role="weak"))

    columns = "at, principal, workflow, node, execution_id, operation"
    rows(weak, f"INSERT INTO _nexusd_audit ({columns}) VALUES (now(), 'p', 'w', 'n', 'e', 'insert')")
    for statement in (
        "DELETE FROM _nexusd_audit",
        "UPDATE _nexusd_audit SET principal = 'q'",
        "TRUNCATE _nexusd_audit",
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            rows(weak, statement)
    with pytest.raises(psycopg.errors.RaiseException, match="not changed"):
        rows(url, "UPDATE _nexusd_audit SET principal = 'q'")


def test_a_read_only_session_serves_what_matches_and_refuses_the_rest(postgres_server: PostgresServer) -> None:
    url = postgres_server.url("postgres")
    migrate(url, contacts(V1))
    rows(url, "ALTER ROLE postgres SET default_transaction_read_only = on")

    assert migrate(url, contacts(V1)).verdict is Verdict.UNCHANGED
    with pytest.raises(ReadOnlyDatabase) as caught:
        migrate(url, contacts(V2))
    assert caught.value.exit_code == 8


def test_a_statement_that_fails_is_named_and_its_table_is_unchanged(database_url: str) -> None:
    migrate(database_url, contacts(V1))
    rows(database_url, "INSERT INTO contacts (id, name, company) VALUES ('1', 'n', 'secret-cell')")
    before = schema(database_url)
    changed = V2.replace("company: {type: str", "company: {type: int")

    with pytest.raises(StatementFailed) as caught:
        migrate(database_url, contacts(changed), "all")

    assert caught.value.exit_code == 1
    assert "contacts: " in caught.value.detail
    assert "nothing of this table was changed" in caught.value.detail
    assert "secret-cell" not in caught.value.detail
    assert schema(database_url) == before
