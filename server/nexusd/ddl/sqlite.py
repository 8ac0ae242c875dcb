"""SQLite as a migration target."""

from __future__ import annotations

import contextlib
import re
import sqlite3
from importlib import resources
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.databases.sqlite_functions import register_functions
from nexusd.ddl.diff import CatalogState, ColumnState, TableState
from nexusd.ddl.errors import (
    DatabaseRefused,
    DDLCancelled,
    DDLError,
    MigrationLockBusy,
    ReadOnlyDatabase,
    StatementFailed,
)

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Sequence

OLDEST: Final = (3, 35, 0)
"""The first SQLite with RETURNING."""

BUSY_TIMEOUT_S: Final = 10.0
MEMORY: Final = ":memory:"
_CONSTRAINT: Final = re.compile(r'CONSTRAINT "((?:[^"]|"")+)"')


def sqlite_path(url: str) -> str:
    """The file of `sqlite:///relative`, `sqlite:////absolute` or `sqlite:///:memory:`."""
    return url.removeprefix("sqlite:///") or MEMORY


class SqliteTarget:
    """A connection to one file, or a database in memory."""

    dialect = Dialect.SQLITE
    scope = "main"

    def __init__(self, url: str) -> None:
        """Open the file.

        Raises:
            DatabaseRefused: it cannot be opened, or SQLite is too old.
        """
        if sqlite3.sqlite_version_info < OLDEST:
            raise DatabaseRefused(f"SQLite {sqlite3.sqlite_version} is too old", hint="use 3.35 or newer")
        self._path = sqlite_path(url)
        try:
            self._connection = sqlite3.connect(
                self._path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
            )
            register_functions(self._connection)
            if self._path != MEMORY:
                self._connection.execute("PRAGMA journal_mode = WAL").fetchall()
                self._connection.execute("PRAGMA synchronous = FULL").close()
        except sqlite3.Error as error:
            raise DatabaseRefused(
                f"the SQLite file {self._path} cannot be opened",
                hint="check that the folder exists and that this user may write there",
            ) from error

    def has_ledger(self) -> bool:
        """Whether the state table is there."""
        return bool(self.run("SELECT 1 FROM sqlite_master WHERE name = '_nexusd_schema_state'"))

    def make_ledger(self) -> None:
        """Run the ledger's file, statement by statement: `executescript` would commit."""
        text = resources.files("nexusd.ddl").joinpath("ledger", "0001.sqlite.sql").read_text(encoding="utf-8")
        for statement in text.split(";\n"):
            if statement.strip():
                self.run(statement)

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement; see Target."""
        try:
            return self._connection.execute(sql, args).fetchall()
        except sqlite3.Error as error:
            raise _translate(error) from error

    def snapshot(self, tables: Sequence[str]) -> CatalogState:
        """Columns and names of the tables that exist."""
        states: dict[str, TableState] = {}
        for table in tables:
            rows = self.run('SELECT name, type, "notnull", dflt_value, pk FROM pragma_table_info(?)', [table])
            if not rows:
                continue
            columns = {
                str(name): ColumnState(
                    str(kind), not required, default is not None or (bool(key) and kind == "INTEGER")
                )
                for name, kind, required, default, key in rows
            }
            names = {str(row[0]) for row in self.run("SELECT name FROM pragma_index_list(?)", [table])}
            for (sql,) in self.run("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [table]):
                names |= {name.replace('""', '"') for name in _CONSTRAINT.findall(str(sql))}
            states[table] = TableState(columns, frozenset(names))
        return CatalogState(states)

    @contextlib.contextmanager
    def locked(self, cancelled: threading.Event) -> Iterator[None]:
        """BEGIN IMMEDIATE: one writer; the others wait for `BUSY_TIMEOUT_S`."""
        if cancelled.is_set():
            raise DDLCancelled
        self.run("BEGIN IMMEDIATE")
        try:
            yield
            self.run("COMMIT")
        except BaseException:
            with contextlib.suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")
            raise

    def interrupt(self) -> None:
        """Interrupt the running statement."""
        self._connection.interrupt()

    def hand_over(self) -> sqlite3.Connection | None:
        """The connection of a database in memory; a file's is closed."""
        if self._path == MEMORY:
            return self._connection
        self._connection.close()
        return None


def _translate(error: sqlite3.Error) -> DDLError:
    name = error.sqlite_errorname
    if name.startswith("SQLITE_BUSY"):
        return MigrationLockBusy("another process has been writing to the database for too long")
    if name.startswith("SQLITE_READONLY"):
        return ReadOnlyDatabase("the database file is read-only", hint="make the file and its folder writable")
    if name == "SQLITE_INTERRUPT":
        return DDLCancelled("a statement of the migration was cancelled")
    return StatementFailed(f"SQLite refused a statement ({name})")
