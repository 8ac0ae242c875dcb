"""Other servers than the usual one: standbys, poolers, several hosts, other versions, roles with fewer rights."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from nexusd.channels.cli.program import main
from nexusd.ddl.errors import DatabaseRefused, ReadOnlyDatabase, TableLockTimeout
from nexusd.ddl.migration import Verdict
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
    wait_until,
)
from tests.support.pgbouncer import pgbouncer
from tests.support.postgres import postgres_versions
from tests.support.schema_oracle import disagreements

if TYPE_CHECKING:
    from tests.support.databases import StartPostgres
    from tests.support.postgres import PostgresServer

V1 = """      id: {type: int, primary_key: true}
      name: str
      company: {type: str, nullable: true, index: true, max_length: 20}
      tier: {type: enum, values: [a], default: a}
"""
V2 = V1 + "      phone: {type: str, nullable: true}\n"
ROW = "INSERT INTO contacts (name) VALUES ('n')"


pytestmark = pytest.mark.usefixtures("in_folder")


def test_a_standby_serves_what_matches_and_several_hosts_mean_the_primary(
    postgres_server: PostgresServer, start_postgres: StartPostgres
) -> None:
    url = postgres_server.url("postgres")
    migrate(url, contacts(V1))
    standby = start_postgres()
    standby.stop()
    standby.follow(postgres_server)
    standby.start()

    assert migrate(standby.url("postgres"), contacts(V1)).verdict is Verdict.UNCHANGED
    with pytest.raises(ReadOnlyDatabase) as caught:
        migrate(standby.url("postgres"), contacts(V2))
    both = f"postgresql://postgres@127.0.0.1:{standby.port},127.0.0.1:{postgres_server.port}/postgres"
    assert migrate(both, contacts(V2)).verdict is Verdict.APPLIED

    assert caught.value.exit_code == 8
    assert "phone" in str(rows(url, "SELECT column_name FROM information_schema.columns WHERE table_name = 'contacts'"))
    latest = "SELECT (SELECT max(id::text || status) FROM _nexusd_schema_run), (SELECT max(run_id) FROM _nexusd_schema_state)"
    wait_until(lambda: rows(standby.url("postgres"), latest) == rows(url, latest))
    assert migrate(standby.url("postgres"), contacts(V2), "verify").verdict is Verdict.UNCHANGED


def test_through_a_pooler_everything_works_but_what_needs_a_session(
    postgres_server: PostgresServer, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pgbouncer(postgres_server, run_folder) as port:
        pooled = f"postgresql://postgres@127.0.0.1:{port}/postgres"
        with ThreadPoolExecutor(5) as pool:
            outcomes = [job.result() for job in [pool.submit(migrate, pooled, contacts(V1)) for _ in range(5)]]
        assert [outcome.verdict for outcome in outcomes].count(Verdict.APPLIED) == 1
        rows(pooled, ROW)
        heard = Heard()
        wanted = contacts(V2, '    checks: {some: "id > 0"}\n')
        later = executor(pooled, wanted, observe=heard)
        later.start()
        assert (later.wait().verdict, later.wait().deferred) == (Verdict.APPLIED, 1)
        later.run_deferred()
        assert "pooler" in str(heard.named("migration.step_failed"))

        direct = postgres_server.url("postgres")
        monkeypatch.setenv("DATABASE_URL", pooled)
        monkeypatch.setenv("NEXUSD_DATABASE__POOLER", "transaction")
        monkeypatch.setenv("NEXUSD_REGISTRY__PATH", "r.yaml")
        Path("migrations").mkdir()
        file = Path("migrations/0001_later.sql")
        file.write_text("-- nexusd: transaction=off\nCREATE INDEX CONCURRENTLY by_phone ON contacts (phone);\n")
        with pytest.raises(DatabaseRefused, match=r"database\.ddl_url"):
            migrate(pooled, wanted)
        assert main(["migrate", "apply", "--ddl-url", direct]) == 0
        assert main(["migrate", "check"]) == 0
        assert rows(direct, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'by_phone'::regclass") == [(True,)]
        for held in ("pg_locks WHERE locktype = 'advisory'", "pg_class WHERE relpersistence = 't'"):
            assert rows(direct, f"SELECT 1 FROM {held}") == []


@pytest.mark.parametrize("version", postgres_versions()[1:], ids=lambda version: version.label)
def test_another_version_of_the_server_is_migrated_alike(start_postgres: StartPostgres, version: object) -> None:
    server = start_postgres(version)  # type: ignore[arg-type]
    url = server.url("postgres")
    first = contacts(V1, '    checks: {old: "length(name) > 0"}\n    indexes: [{fields: [name, tier], unique: true}]\n')
    migrate(url, first)
    rows(url, ROW)
    assert migrate(url, first).verdict is Verdict.UNCHANGED

    more = V2.replace("max_length: 20", "max_length: 30").replace("values: [a]", "values: [a, b]")
    more += "      boss_id: {type: int, nullable: true, references: Contact.id}\n"
    more += "      tags: {type: array, items: str, default: [x], index: true}\n"
    second = contacts(more.replace("name: str", "name: {type: str, nullable: true, default: x}"))
    run = executor(url, second, "all")
    run.start()
    assert run.wait().verdict is Verdict.APPLIED
    run.run_deferred()

    assert migrate(url, second).verdict is Verdict.UNCHANGED
    assert plan_of(url, second).pending is False
    assert disagreements(url, second.models) == []


def test_the_role_that_runs_gets_what_it_needs_wherever_it_lacks_it(
    postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    admin = f"{postgres_server.url('postgres')}?options=-c%20search_path%3Dapp"
    rows(admin, "CREATE SCHEMA app")
    rows(admin, "CREATE ROLE runner LOGIN")
    rows(admin, "ALTER ROLE runner SET search_path = app")
    registry = registry_of(
        f"version: 1\nmodels:\n  Contact:\n    table: contacts\n    publish: true\n    fields:\n{V1}"
    )
    migrate(admin, registry)
    parts = urlsplit(postgres_server.url("postgres"))
    monkeypatch.setenv("DATABASE_URL", f"postgresql://runner@127.0.0.1:{parts.port}/postgres")
    monkeypatch.setenv("NEXUSD_DATABASE__DDL_URL", admin)
    monkeypatch.setenv("NEXUSD_REGISTRY__PATH", "r.yaml")

    records = ", ".join(f'{{"name": "n{number}"}}' for number in range(5))
    code = main(["run", "contact_bulk_create", "--inputs", f'{{"records": [{records}]}}'])

    assert (code, '"inserted": 5' in capfd.readouterr().out.replace('":5', '": 5')) == (0, True)
    rows(admin, "REVOKE ALL ON contacts FROM runner")
    assert main(["run", "contact_list"]) == 0
    assert main(["migrate", "check"]) == 0


def test_an_older_version_serves_beside_one_that_failed_half_way(postgres_url: str) -> None:
    first = "version: 1\nmodels:\n  A: {fields: {id: {type: str, primary_key: true}, t: {type: enum, values: [a], default: a}}}\n"
    other = "  B: {fields: {id: {type: str, primary_key: true}}}\n"
    older = registry_of(first + other)
    migrate(postgres_url, older)
    for table in ("a", "b"):
        rows(postgres_url, f"INSERT INTO {table} (id) VALUES ('1')")
    newer = registry_of(
        first.replace("[a]", "[a, b]") + other.replace("true}}", "true}, c: {type: str, nullable: true}}")
    )

    with hold(postgres_url, "b"), pytest.raises(TableLockTimeout):
        migrate(postgres_url, newer, change=lambda options: replace(options, waits=IMPATIENT))
    assert migrate(postgres_url, older).verdict is Verdict.AHEAD

    assert migrate(postgres_url, newer).verdict is Verdict.APPLIED
    assert migrate(postgres_url, older).verdict is Verdict.AHEAD
    assert migrate(postgres_url, newer).verdict is Verdict.UNCHANGED
