"""SQLite's errors in the words of an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.ddl.errors import (
    DatabaseRefused,
    DDLCancelled,
    DDLError,
    MigrationLockBusy,
    ReadOnlyDatabase,
    StatementFailed,
)

if TYPE_CHECKING:
    import sqlite3


def open_error(error: sqlite3.Error, path: str) -> DDLError:
    """Why a file could not be opened."""
    name = error.sqlite_errorname
    if name.startswith(("SQLITE_READONLY", "SQLITE_BUSY")):
        return statement_error(error, "")
    if name == "SQLITE_NOTADB":
        return DatabaseRefused(f"{path} is no SQLite database", hint="correct database.url")
    hint = "check that the folder exists and that this user may write there"
    return DatabaseRefused(f"the SQLite file {path} cannot be opened", hint=hint)


def statement_error(error: sqlite3.Error, sql: str) -> DDLError:
    """Why a statement failed."""
    name = error.sqlite_errorname
    if name.startswith("SQLITE_BUSY"):
        return MigrationLockBusy("another process has been writing to the database for too long")
    if name.startswith("SQLITE_READONLY"):
        return ReadOnlyDatabase("the database file is read-only", hint="make the file and its folder writable")
    if name == "SQLITE_INTERRUPT":
        return DDLCancelled("a statement of the migration was cancelled")
    # The messages of these name tables, columns and constraints, never a value.
    named = f": {error}" if name.startswith(("SQLITE_CONSTRAINT", "SQLITE_ERROR")) else ""
    line = " ".join(sql.split())[:200]
    return StatementFailed(f"SQLite refused a statement ({name}{named})\n  in: {line}")
