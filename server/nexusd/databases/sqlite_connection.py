"""One SQLite connection: how it is set up, how a statement runs on it in any thread, how it is cut off."""

from __future__ import annotations

import contextlib
import math
import sqlite3
import time
from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.databases.database import Result
from nexusd.databases.open_statements import sqlite_arguments, sqlite_decoder
from nexusd.databases.sqlite_functions import register_functions

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from nexusd.databases.database import Bound, Open, Statement

PROGRESS_STEPS: Final = 50_000
"""Steps of SQLite's machine between two looks at the clock: one or two milliseconds."""

CACHED_STATEMENTS: Final = 512

Fetched: TypeAlias = tuple[list[tuple[object, ...]], int]
"""Rows as sqlite3 gives them, and how many rows were touched."""


class Limit:
    """When the work that carries it is to be interrupted.

    Attributes:
        until: by `time.monotonic()`; another thread may set it to end the work now.
    """

    __slots__ = ("until",)

    def __init__(self, until: float) -> None:
        self.until = until


FOREVER: Final = Limit(math.inf)


class Connection:
    """A connection that one thread uses at a time.

    Attributes:
        driver: sqlite3's connection.
        limit: of the work that is being done.
        running: what a thread does with it.
    """

    __slots__ = ("driver", "limit", "running")

    def __init__(self, driver: sqlite3.Connection) -> None:
        self.driver = driver
        self.limit = FOREVER
        self.running: asyncio.Future[Fetched] | None = None
        driver.isolation_level = None
        register_functions(driver)
        driver.execute("PRAGMA foreign_keys = ON").close()
        driver.execute("PRAGMA case_sensitive_like = ON").close()
        driver.set_progress_handler(self._is_late, PROGRESS_STEPS)

    def fetch(self, bound: Bound) -> Fetched:
        """Run one statement to its end; sqlite3's exceptions pass through.

        Every row is fetched, or the cursor closed: an open one would pin an old snapshot, and fail COMMIT after
        RETURNING.
        """
        statement = bound.statement
        if statement.open is not None:
            return self._fetch_open(statement.open, bound)
        cursor = self.driver.execute(statement.sql, bound.args)
        if statement.decode is None:
            cursor.close()
            return [], max(cursor.rowcount, 0)
        rows = cursor.fetchall()
        return rows, len(rows)

    def _fetch_open(self, known: Open, bound: Bound) -> Fetched:
        """Run a statement of which nothing is known; the names of the columns come before the rows."""
        guarded = not bound.statement.writes and not self.driver.execute("PRAGMA query_only").fetchone()[0]
        if guarded:
            self.command("PRAGMA query_only = ON")
        try:
            cursor = self.driver.execute(bound.statement.sql, sqlite_arguments(bound.args))
            with contextlib.closing(cursor):
                if cursor.description is None:
                    return [], max(cursor.rowcount, 0)
                names = tuple(each[0] for each in cursor.description)
                rows = cursor.fetchmany(known.max_rows + 1)
                return [names, *rows], len(rows)
        finally:
            if guarded:
                self.command("PRAGMA query_only = OFF")

    def command(self, sql: str) -> None:
        """Run transaction control."""
        self.driver.execute(sql).close()

    def _is_late(self) -> bool:
        return time.monotonic() > self.limit.until


def open_file(path: str | Path, *, busy_timeout_s: float, read_only: bool) -> Connection:
    """Open a database file; the connection that writes sets it to write-ahead logging.

    Raises:
        sqlite3.Error: the file cannot be opened or is no database.
    """
    driver = sqlite3.connect(
        path,
        timeout=busy_timeout_s,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=CACHED_STATEMENTS,
    )
    connection = Connection(driver)
    if read_only:
        connection.command("PRAGMA query_only = ON")
    else:
        mode = driver.execute("PRAGMA journal_mode = WAL").fetchall()
        if mode != [("wal",)]:
            raise sqlite3.OperationalError("the file system does not support write-ahead logging")
        # Acknowledged means durable: every COMMIT syncs the log.
        connection.command("PRAGMA synchronous = FULL")
    return connection


def decoded(statement: Statement, fetched: Fetched) -> Result:
    """What was fetched, in wire values."""
    rows, affected = fetched
    if statement.open is not None and rows:
        row_of = sqlite_decoder([str(name) for name in rows[0]], statement.open)
        return Result([row_of(row) for row in rows[1:]], affected)
    decode = statement.decode
    return Result([decode(row) for row in rows] if decode is not None else [], affected)
