"""Which reference a foreign key violation is about: SQLite itself names neither table nor column."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.databases.refusals import refusal
from nexusd.databases.sqlite_errors import DRIVER_ERRORS
from nexusd.errors import DatabaseError, ReferenceViolation

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from nexusd.databases.database import Bound
    from nexusd.definitions.model import Model


def broken_reference(driver: sqlite3.Connection, bound: Bound) -> DatabaseError:
    """The error for a statement that just failed with a foreign key violation.

    With several references the statement is run once more with the checks put off, the rows that it gives back are
    looked up where they refer to, and everything is undone.
    """
    model = bound.statement.model
    if model is None or bound.statement.sql.lstrip()[:6].upper() == "DELETE":
        return ReferenceViolation()
    columns = [field.name for field in model.fields if field.references is not None]
    if len(columns) > 1:
        columns = _probe(driver, bound, model)
    return refusal(ReferenceViolation, (model,), table=model.table, columns=columns[:1])


def deferred_tables(driver: sqlite3.Connection) -> list[str]:
    """Tables with references that are checked by COMMIT instead of by the statement."""
    found = driver.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND instr(upper(sql), 'DEFERRED')")
    return [str(name) for (name,) in found.fetchall()]


def unmet(driver: sqlite3.Connection, tables: Sequence[str]) -> bool:
    """Whether a reference of these tables is broken now."""
    return any(driver.execute(f"PRAGMA foreign_key_check({_quoted(table)})").fetchall() for table in tables)


def _probe(driver: sqlite3.Connection, bound: Bound, model: Model) -> list[str]:
    driver.execute("SAVEPOINT probe").close()
    try:
        driver.execute("PRAGMA defer_foreign_keys = ON").close()
        cursor = driver.execute(bound.statement.sql, bound.args)
        names = [name for name, *_ in cursor.description or ()]
        rows = cursor.fetchall()
        if model.key.name not in names:
            return []
        keys = [row[names.index(model.key.name)] for row in rows]
        broken = _without_target(driver, model.table, model.key.name, keys)
    except DRIVER_ERRORS:
        return []
    finally:
        driver.execute("ROLLBACK TO probe").close()
        driver.execute("RELEASE probe").close()
        driver.execute("PRAGMA defer_foreign_keys = OFF").close()
    return [column for column in broken if column in model.by_name]


def _without_target(driver: sqlite3.Connection, table: str, key: str, keys: Sequence[object]) -> list[str]:
    """The columns of these rows that refer to nothing."""
    broken = []
    for _, _, target, column, target_column, *_ in driver.execute(
        f"PRAGMA foreign_key_list({_quoted(table)})"
    ).fetchall():
        row, other = f"c.{_quoted(column)}", f"p.{_quoted(target_column or key)}"
        sql = (
            f"SELECT 1 FROM {_quoted(table)} AS c WHERE c.{_quoted(key)} = ? AND {row} IS NOT NULL"  # noqa: S608 -- names from the catalog
            f" AND NOT EXISTS (SELECT 1 FROM {_quoted(target)} AS p WHERE {other} = {row})"
        )
        if any(driver.execute(sql, (value,)).fetchall() for value in keys):
            broken.append(column)
    return broken


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
