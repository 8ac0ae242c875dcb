"""SQLite as a migration target."""

from __future__ import annotations

import contextlib
import sqlite3
import time
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.databases.sqlite_functions import register_functions
from nexusd.ddl.errors import (
    DatabaseRefused,
    DDLCancelled,
    MigrationLockBusy,
    StatementFailed,
)
from nexusd.ddl.scripts import ledger_scripts, split_statements
from nexusd.ddl.sqlite_catalog import SqliteCatalog
from nexusd.ddl.sqlite_changes import SqliteRenderer
from nexusd.ddl.sqlite_errors import open_error, statement_error

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

    from nexusd.ddl.options import Waits
    from nexusd.ddl.target import Catalog, Renderer

OLDEST: Final = (3, 35, 0)
"""The first SQLite with RETURNING."""

BUSY_TIMEOUT_S: Final = 10.0
BUSY_STEP_MS: Final = 200
MEMORY: Final = ":memory:"


def sqlite_path(url: str) -> str:
    """The file of `sqlite:///relative`, `sqlite:////absolute` or `sqlite:///:memory:`."""
    return url.removeprefix("sqlite:///") or MEMORY


class SqliteTarget:
    """A connection to one file, or a database in memory."""

    dialect = Dialect.SQLITE
    scope = "main"
    now = "strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z'"
    pooled = False
    read_only = False
    one_transaction = True
    """There is one writer anyway, so a migration is all or nothing."""

    def __init__(self, url: str) -> None:
        """Open the file.

        Raises:
            DatabaseRefused: it cannot be opened, or SQLite is too old.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise DatabaseRefused(f"SQLite {sqlite3.sqlite_version} is too old", hint="use 3.35 or newer")
        self._path = sqlite_path(url)
        self.where = f"sqlite {self._path}"
        try:
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise open_error(error, self._path) from error
        try:
            register_functions(self._connection)
            if self._path != MEMORY:
                self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
                self._connection.execute("PRAGMA synchronous = FULL").close()
                # From here on waiting is done in short steps, so that it can be cancelled.
                self._connection.execute(f"PRAGMA busy_timeout = {BUSY_STEP_MS}").close()
        except sqlite3.Error as error:
            self._connection.close()
            raise open_error(error, self._path) from error
        catalog = SqliteCatalog(self._connection)
        self.catalog: Catalog = catalog
        self.renderer: Renderer = SqliteRenderer(catalog)

    def has_table(self, name: str) -> bool:
        """Whether a table of that name is there."""
        return bool(self.run("SELECT 1 FROM sqlite_master WHERE name = ?", [name]))

    def make_ledger(self, after: int) -> None:
        """Run the ledger's scripts with numbers above `after`, statement by statement: `executescript` would commit."""
        for text in ledger_scripts(self.dialect, after):
            for statement in split_statements(text, dollar_quotes=False):
                self.run(statement)

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement; see Target."""
        try:
            return self._connection.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise statement_error(error, sql) from error

    def execute(self, sql: str) -> int:
        """Run one statement; see Target."""
        try:
            cursor = self._connection.execute(sql)
            cursor.fetchall()
        except sqlite3.Error as error:
            raise statement_error(error, sql) from error
        return cursor.rowcount

    @contextlib.contextmanager
    def transaction(self, cancelled: threading.Event, waits: Waits) -> Iterator[None]:
        """BEGIN IMMEDIATE: one writer; the others try again until `waits.lock_s` is over.

        References are not enforced meanwhile, since a table that others refer to may be built anew; they are checked at
        the end.
        """
        self.execute("PRAGMA foreign_keys = OFF")
        self._begin(cancelled, time.monotonic() + waits.lock_s)
        try:
            broken_before = self.run("PRAGMA foreign_key_check")
            yield
            self._check_references(len(broken_before))
            self.execute("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
                self._connection.execute("PRAGMA legacy_alter_table = OFF")
            raise

    def _check_references(self, broken_before: int) -> None:
        broken = self.run("PRAGMA foreign_key_check")
        if len(broken) > broken_before:
            table, target = str(broken[0][0]), str(broken[0][2])
            raise StatementFailed(f"rows of {table} refer to rows of {target} that are not there", table=table)

    def _begin(self, cancelled: threading.Event, deadline: float) -> None:
        while True:
            if cancelled.is_set():
                raise DDLCancelled
            try:
                self.execute("BEGIN IMMEDIATE")
            except MigrationLockBusy:
                if time.monotonic() > deadline:
                    raise
            else:
                return

    @contextlib.contextmanager
    def session_lock(self, cancelled: threading.Event, waits: Waits) -> Iterator[None]:
        """Nothing: each statement is a transaction, and there is one writer."""
        del waits
        if cancelled.is_set():
            raise DDLCancelled
        yield

    def limit(self, lock_timeout: str, *, whole_session: bool = False) -> None:
        """Nothing: there is one writer, and waiting for it is done by `transaction`."""

    @contextlib.contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A savepoint that is rolled back to."""
        self.execute("SAVEPOINT nexusd_rehearsal")
        try:
            yield
        finally:
            self.execute("ROLLBACK TO nexusd_rehearsal")

    def blocker(self, table: str) -> str:
        """Nobody: SQLite does not tell."""
        del table
        return ""

    def back_up(self) -> str:
        """A copy beside the file, called `FILE.<time>.bak`; outside a transaction.

        Raises:
            StatementFailed: it cannot be written; nothing was changed.
        """
        if self._path == MEMORY:
            return ""
        copy = f"{self._path}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.{time.monotonic_ns() % 1_000_000}.bak"
        self.run("VACUUM INTO ?", [copy])
        return copy

    def interrupt(self) -> None:
        """Interrupt the running statement."""
        self._connection.interrupt()

    def hand_over(self) -> sqlite3.Connection | None:
        """The connection of a database in memory; a file's is closed."""
        if self._path == MEMORY:
            return self._connection
        self._connection.close()
        return None
