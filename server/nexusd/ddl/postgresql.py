"""PostgreSQL as a migration target, through psycopg."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from nexusd.databases.database import Dialect
from nexusd.ddl.columns import literal, quote
from nexusd.ddl.errors import DatabaseRefused, DDLCancelled, MigrationLockBusy
from nexusd.ddl.postgresql_catalog import PostgresqlCatalog
from nexusd.ddl.postgresql_changes import PostgresqlRenderer
from nexusd.ddl.postgresql_errors import connect_error, statement_error
from nexusd.ddl.scripts import ledger_scripts
from nexusd.settings import redacted_url

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Iterator, Mapping, Sequence

    from nexusd.ddl.options import Waits
    from nexusd.ddl.target import Catalog, Renderer

CONNECT_TIMEOUT_S: Final = 5
_POLL_S: Final = 0.1
_OPTIONS: Final[Mapping[str, str]] = {
    "connect_timeout": str(CONNECT_TIMEOUT_S),
    "application_name": "nexusd-ddl",
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
_READ_ONLY: Final = ("session is read-only", "server is in hot standby mode")

_SESSION: Final = """
SELECT current_schema(), current_user, pg_backend_pid(),
       pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, current_schemas(false)
"""

_BLOCKERS: Final = """
SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'), coalesce(a.state, 'unknown'),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::int
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.relation = to_regclass(?) AND l.granted AND l.pid <> pg_backend_pid()
ORDER BY a.xact_start LIMIT 1
"""

_STARTERS: Final = """
SELECT l.pid, coalesce(nullif(a.application_name, ''), 'unnamed'),
       coalesce(extract(epoch FROM clock_timestamp() - a.xact_start), 0)::int
FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
WHERE l.locktype = 'advisory' AND l.granted AND (l.classid::bigint << 32) + l.objid::bigint = ? LIMIT 1
"""


class PostgresqlTarget:
    """A connection to one schema of a PostgreSQL database."""

    dialect = Dialect.POSTGRESQL
    now = "now()"
    one_transaction = False
    """Each changed table has a transaction of its own, so that a lock on one is held for that one's changes alone."""

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            DatabaseUnreachable: the server does not answer now.
            DatabaseRefused: it answers, and says no.
        """
        try:
            self._connection = _connect(url)
        except psycopg.OperationalError as error:
            raise connect_error(url, error) from error
        except psycopg.Error as error:
            raise DatabaseRefused(f"the database URL {redacted_url(url)} cannot be used") from error
        row = self._connection.execute(_SESSION).fetchone()
        if row is None or row[0] is None:
            self._connection.close()
            raise DatabaseRefused(
                "no schema of the search_path exists", hint="create it or set search_path for the role"
            )
        self.scope, self.role = (str(value) for value in row[:2])
        self.read_only = bool(row[3])
        self._path = ", ".join(quote(schema) for schema in row[4])
        # Through a pooler libpq knows the process of the pooler's handshake, not the one that runs the statements.
        self.pooled = self._connection.info.backend_pid != row[2]
        self.where = f"{redacted_url(url)} schema {self.scope}"
        catalog = PostgresqlCatalog(self._connection, self.scope, self._path, self.role)
        self.catalog: Catalog = catalog
        self.renderer: Renderer = PostgresqlRenderer(catalog, self.role)

    def has_table(self, name: str) -> bool:
        """Whether a table of that name is there."""
        return bool(self.run("SELECT to_regclass(?) IS NOT NULL", [f"{quote(self.scope)}.{quote(name)}"])[0][0])

    def make_ledger(self, after: int) -> None:
        """Run the ledger's scripts with numbers above `after`, each as a whole."""
        for text in ledger_scripts(self.dialect, after):
            self.execute(text)

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement; see Target."""
        try:
            cursor = self._connection.execute(sql.replace("?", "%s").encode(), args)
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise statement_error(error, sql, self.scope, self.role) from error

    def execute(self, sql: str) -> int:
        """Run one statement; see Target."""
        try:
            return self._connection.execute(sql.encode()).rowcount
        except psycopg.Error as error:
            raise statement_error(error, sql, self.scope, self.role) from error

    @contextlib.contextmanager
    def transaction(self, cancelled: threading.Event, waits: Waits) -> Iterator[None]:
        """A transaction under an advisory lock that is tried for, never waited on; see Target.

        A waiting session would hold a snapshot that concurrent index builds wait for.
        """
        self._wait_for_lock("pg_try_advisory_xact_lock", cancelled, waits, in_transaction=True)
        try:
            for name, value in self._limits(waits).items():
                self.execute(f"SET LOCAL {name} = {value}")
            yield
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise

    @contextlib.contextmanager
    def session_lock(self, cancelled: threading.Event, waits: Waits) -> Iterator[None]:
        """The same lock, held by the session; see Target."""
        if self.pooled:
            raise DatabaseRefused(
                "a pooler stands before the database, and a statement of this migration is no transaction",
                hint="set database.ddl_url to the server's own address",
            )
        self._wait_for_lock("pg_try_advisory_lock", cancelled, waits, in_transaction=False)
        limits = {**self._limits(waits), "statement_timeout": "'0'"}
        try:
            for name, value in limits.items():
                self.execute(f"SET {name} = {value}")
            yield
        finally:
            with contextlib.suppress(psycopg.Error):
                for name in limits:
                    self._connection.execute(f"RESET {name}")
                self._connection.execute("SELECT pg_advisory_unlock(%s)", [_lock_key(self.scope)])

    def _wait_for_lock(self, function: str, cancelled: threading.Event, waits: Waits, *, in_transaction: bool) -> None:
        deadline = time.monotonic() + waits.lock_s
        while True:
            if cancelled.is_set():
                raise DDLCancelled
            if in_transaction:
                self.execute("BEGIN")
            if self.run(f"SELECT {function}(?)", [_lock_key(self.scope)])[0][0]:
                return
            if in_transaction:
                self.execute("ROLLBACK")
            if time.monotonic() > deadline:
                holders = self.run(_STARTERS, [_lock_key(self.scope)])
                who = ": process {} ({}), for {} s".format(*holders[0]) if holders else ""
                raise MigrationLockBusy(f"another process migrates schema {self.scope}{who}")
            cancelled.wait(_POLL_S * (0.5 + random.random()))  # noqa: S311 - spreads starters

    def _limits(self, waits: Waits) -> dict[str, str]:
        return {
            "lock_timeout": literal(waits.lock_timeout),
            "statement_timeout": "'15min'",
            "idle_in_transaction_session_timeout": "'60s'",
            "client_min_messages": "warning",
            "timezone": "'UTC'",
            "search_path": self._path,
        }

    def limit(self, lock_timeout: str, *, whole_session: bool = False) -> None:
        """Wait so long for a lock; see Target."""
        self.execute(f"SET {'' if whole_session else 'LOCAL '}lock_timeout = {literal(lock_timeout)}")

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A savepoint that is rolled back to."""
        self.execute("SAVEPOINT nexusd_rehearsal")
        try:
            yield
        finally:
            self.execute("ROLLBACK TO SAVEPOINT nexusd_rehearsal")

    def blocker(self, table: str) -> str:
        """Who has held the table for the longest time."""
        rows = self.run(_BLOCKERS, [f"{quote(self.scope)}.{quote(table)}"])
        return "process {} ({}, {}, for {} s)".format(*rows[0]) if rows else ""

    def back_up(self) -> str:
        """Nothing: DDL is transactional, and no table is built anew."""
        return ""

    def interrupt(self) -> None:
        """Cancel the running statement."""
        # It may be over, or never have begun; the thread then sees for itself that it is to end.
        with contextlib.suppress(psycopg.Error):
            self._connection.cancel_safe()

    def hand_over(self) -> sqlite3.Connection | None:
        """Close the connection."""
        self._connection.close()
        return None


def _connect(url: str) -> psycopg.Connection:
    """Connect to the first host that takes changes, or if there is none to the first that answers."""
    anywhere = make_conninfo(url, **_OPTIONS)
    writing = {} if "target_session_attrs" in conninfo_to_dict(url) else {"target_session_attrs": "read-write"}
    try:
        return psycopg.connect(make_conninfo(anywhere, **writing), autocommit=True, prepare_threshold=None)
    except psycopg.OperationalError as error:
        if not any(part in str(error) for part in _READ_ONLY):
            raise
    return psycopg.connect(anywhere, autocommit=True, prepare_threshold=None)


def _lock_key(scope: str) -> int:
    return int.from_bytes(hashlib.sha256(f"nexusd:ddl:{scope}".encode()).digest()[:8], signed=True)
