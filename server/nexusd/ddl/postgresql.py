"""PostgreSQL as a migration target, through psycopg."""

from __future__ import annotations

import contextlib
import hashlib
import random
import time
from importlib import resources
from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors

from nexusd.databases.database import Dialect
from nexusd.ddl.diff import CatalogState, ColumnState, TableState
from nexusd.ddl.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    DDLCancelled,
    DDLError,
    InsufficientPrivilege,
    MigrationLockBusy,
    ReadOnlyDatabase,
    StatementFailed,
)
from nexusd.settings import redacted_url

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Iterator, Sequence

CONNECT_TIMEOUT_S: Final = 5
LOCK_WAIT_S: Final = 300.0
_POLL_S: Final = 0.1
_LIMITS: Final = {"lock_timeout": "2s", "statement_timeout": "15min", "idle_in_transaction_session_timeout": "60s"}

_LATER: Final = ("refused", "could not translate host name", "name or service not known", "starting up", "timeout")
"""Parts of libpq's messages that mean: the server may be there in a moment. It gives no codes for these."""

_COLUMNS: Final = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       a.atthasdef OR a.attidentity <> '' OR a.attgenerated <> ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""

_NAMES: Final = """
SELECT c.relname, o.conname FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s)
UNION
SELECT c.relname, i.relname
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
WHERE c.relnamespace = current_schema()::regnamespace AND c.relname = ANY(%s)
"""


class PostgresqlTarget:
    """A connection to one schema of a PostgreSQL database."""

    dialect = Dialect.POSTGRESQL

    def __init__(self, url: str) -> None:
        """Connect.

        Raises:
            DatabaseUnreachable: the server does not answer now.
            DatabaseRefused: it answers, and says no.
        """
        try:
            self._connection = psycopg.connect(
                url,
                autocommit=True,
                prepare_threshold=None,
                connect_timeout=CONNECT_TIMEOUT_S,
                application_name="nexusd-ddl",
            )
        except psycopg.OperationalError as error:
            raise _connect_error(url, error) from error
        except psycopg.Error as error:
            message = f"the database URL {redacted_url(url)} cannot be used"
            raise DatabaseRefused(message) from error
        row = self._connection.execute("SELECT current_schema()").fetchone()
        if row is None or row[0] is None:
            raise DatabaseRefused(
                "no schema of the search_path exists", hint="create it or set search_path for the role"
            )
        self._scope = str(row[0])

    @property
    def scope(self) -> str:
        """The first schema of the search path that exists."""
        return self._scope

    def has_ledger(self) -> bool:
        """Whether the state table is there."""
        return bool(self.run("SELECT to_regclass('_nexusd_schema_state') IS NOT NULL")[0][0])

    def make_ledger(self) -> None:
        """Run the ledger's file."""
        text = resources.files("nexusd.ddl").joinpath("ledger", "0001.postgresql.sql").read_text(encoding="utf-8")
        self.run(text)

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement; see Target."""
        try:
            if args:
                cursor = self._connection.execute(sql.replace("?", "%s").encode(), args)
            else:
                cursor = self._connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []
        except psycopg.Error as error:
            raise _translate(error) from error

    def snapshot(self, tables: Sequence[str]) -> CatalogState:
        """Columns and names of the tables that exist."""
        columns: dict[str, dict[str, ColumnState]] = {}
        for table, column, kind, nullable, has_default in self._connection.execute(_COLUMNS, [list(tables)]):
            columns.setdefault(table, {})[column] = ColumnState(kind, nullable, has_default)
        names: dict[str, set[str]] = {}
        for table, name in self._connection.execute(_NAMES, [list(tables), list(tables)]):
            names.setdefault(table, set()).add(name)
        return CatalogState({t: TableState(c, frozenset(names.get(t, ()))) for t, c in columns.items()})

    @contextlib.contextmanager
    def locked(self, cancelled: threading.Event) -> Iterator[None]:
        """A transaction under an advisory lock that is tried for, never waited on; see Target.

        A waiting session would hold a snapshot that concurrent index builds wait for.
        """
        key = int.from_bytes(hashlib.sha256(f"nexusd:ddl:{self._scope}".encode()).digest()[:8], signed=True)
        deadline = time.monotonic() + LOCK_WAIT_S
        while True:
            self.run("BEGIN")
            if self.run("SELECT pg_try_advisory_xact_lock(?)", [key])[0][0]:
                break
            self.run("ROLLBACK")
            if time.monotonic() > deadline:
                raise MigrationLockBusy
            if cancelled.wait(_POLL_S * (0.5 + random.random())):  # noqa: S311 - spreads starters
                raise DDLCancelled
        try:
            for name, value in _LIMITS.items():
                self.run(f"SET LOCAL {name} = '{value}'")
            yield
            self.run("COMMIT")
        except BaseException:
            with contextlib.suppress(psycopg.Error):
                self._connection.execute("ROLLBACK")
            raise

    def interrupt(self) -> None:
        """Cancel the running statement."""
        self._connection.cancel_safe()

    def hand_over(self) -> sqlite3.Connection | None:
        """Close the connection."""
        self._connection.close()
        return None


def _connect_error(url: str, error: psycopg.OperationalError) -> DDLError:
    text = str(error).lower()
    where = redacted_url(url)
    if any(part in text for part in _LATER):
        return DatabaseUnreachable(f"the database {where} does not answer")
    if "password" in text or "authentication" in text or "pg_hba" in text:
        return DatabaseRefused(
            f"the database {where} refuses the login", hint="check user and password in database.url"
        )
    if "does not exist" in text:
        return DatabaseRefused(
            f"the database or role of {where} does not exist", hint="create it, or correct database.url"
        )
    return DatabaseRefused(f"the database {where} refuses the connection")


def _translate(error: psycopg.Error) -> DDLError:
    if isinstance(error, errors.InsufficientPrivilege):
        hint = "grant the role what it needs: GRANT CREATE, USAGE ON SCHEMA … TO …"
        return InsufficientPrivilege("the database role may not change the schema", hint=hint)
    if isinstance(error, errors.ReadOnlySqlTransaction):
        return ReadOnlyDatabase("the database is read-only", hint="connect to the primary")
    if isinstance(error, errors.QueryCanceled):
        return DDLCancelled("a statement of the migration was cancelled or took too long")
    if isinstance(error, errors.LockNotAvailable):
        return StatementFailed("a table stayed locked by other sessions; nothing was changed")
    if error.sqlstate is None or error.sqlstate.startswith(("08", "57P")):
        return DatabaseUnreachable("the connection to the database was lost")
    name = error.diag.constraint_name or error.diag.table_name or ""
    return StatementFailed(
        f"the database refused a statement ({error.sqlstate} {type(error).__name__} {name})".rstrip()
    )
