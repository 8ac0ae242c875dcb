from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.support.postgres import PostgresFailedError, PostgresServer, PostgresVersion, postgres_versions
from tests.support.run_folder import RunFolder

if TYPE_CHECKING:
    from tests.support.databases import StartPostgres


def show(url: str, setting: str) -> str:
    with psycopg.connect(url) as connection:
        row = connection.execute("SELECT current_setting(%s)", [setting]).fetchone()
    assert row is not None
    return str(row[0])


def tables(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute("SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        return [name for (name,) in rows]


@pytest.mark.parametrize("attempt", [1, 2])
def test_each_test_starts_with_an_empty_database(postgres_url: str, attempt: int) -> None:
    assert tables(postgres_url) == []
    with psycopg.connect(postgres_url) as connection:
        connection.execute("CREATE TABLE left_by_a_test AS SELECT %s AS attempt", [attempt])


def test_database_url_is_one_of_both_kinds(database_url: str, request: pytest.FixtureRequest) -> None:
    assert f"[{database_url.partition(':')[0]}]" in request.node.name


def test_restarted_server_keeps_its_url_and_its_data(postgres_server: PostgresServer) -> None:
    url = postgres_server.url()
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE kept ()")
    postgres_server.restart("immediate")
    assert tables(url) == ["kept"]


def test_stopped_server_refuses_connections_until_it_is_started(postgres_server: PostgresServer) -> None:
    postgres_server.stop()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(postgres_server.url())
    postgres_server.start()
    assert show(postgres_server.url(), "port") == str(postgres_server.port)


def test_fsync_is_off_unless_asked_for(start_postgres: StartPostgres) -> None:
    assert show(start_postgres().url(), "fsync") == "off"
    assert show(start_postgres(fsync=True).url(), "fsync") == "on"


@pytest.mark.parametrize("version", postgres_versions(), ids=lambda version: version.label)
def test_every_version_at_hand_starts(start_postgres: StartPostgres, version: PostgresVersion) -> None:
    assert show(start_postgres(version).url(), "server_version").partition(".")[0] == version.label


def test_server_that_cannot_start_says_why(start_postgres: StartPostgres) -> None:
    with pytest.raises(PostgresFailedError, match="no_such_parameter"):
        start_postgres(settings={"no_such_parameter": "1"})


KILLED_RUN = """
import os, signal
from tests.support.postgres import PostgresServer, postgres_versions
from tests.support.run_folder import RunFolder

folder = RunFolder()
server = PostgresServer(postgres_versions()[0], folder.path, {"fsync": "off"})
server.start()
print(folder.path, server.url(), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(not postgres_versions(), reason="needs the programs of PostgreSQL")
def test_killed_run_leaves_neither_a_server_nor_a_folder() -> None:
    # Returns when the guard of the run has ended too: it has inherited standard error.
    done = subprocess.run(
        [sys.executable, "-c", KILLED_RUN],
        check=False,
        capture_output=True,
        text=True,
        timeout=30,
        cwd=Path(__file__).parents[2],
    )
    folder, url = done.stdout.split()
    assert done.returncode == -signal.SIGKILL
    assert not Path(folder).exists()
    with pytest.raises(psycopg.OperationalError, match="refused"):
        psycopg.connect(url)


def test_run_folder_is_removed_with_what_is_in_it() -> None:
    with RunFolder() as folder:
        (folder.path / "file").write_text("text")
    assert not folder.path.exists()
