"""Statements over a list of rows, and over all records that meet a condition."""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nexusd.databases.conditions import exists, meets
from nexusd.databases.database import Change
from nexusd.databases.rows import RowsWriter
from nexusd.databases.statements import (
    CACHE_SIZE,
    Conflict,
    created,
    created_decoder,
    managed_columns,
    on_conflict,
    overriding,
    removal,
    touched,
)
from nexusd.databases.tables import Placeholders, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.database import Decoder
    from nexusd.databases.filters import Condition
    from nexusd.databases.rows import RowsQuery
    from nexusd.databases.tables import Query, Table

IF_VERSION: Final = "if_version"
"""The column of a row that holds the version expected, beside the fields."""


@lru_cache(maxsize=CACHE_SIZE)
def insert_rows(
    table: Table, names: tuple[str, ...], returning: tuple[str, ...], count: int, *, skip: bool
) -> RowsQuery:
    """INSERT of rows; `skip` leaves out those that meet a conflict. Values: the rows, then now."""
    writer = RowsWriter(table, names, count)
    returning = table.told(returning)
    sql = f"{writer.source()} {_insertion(table, writer.placeholders, names)}"
    if skip:
        sql += " ON CONFLICT DO NOTHING"
    if returning:
        sql += f" RETURNING {table.select_list(returning)}"
    decode = table.decoder(returning) if returning else None
    return writer.query(sql, decode, writes=True, change=Change.INSERT)


@lru_cache(maxsize=CACHE_SIZE)
def upsert_rows(
    table: Table, names: tuple[str, ...], conflict: Conflict, returning: tuple[str, ...], count: int
) -> RowsQuery:
    """INSERT … ON CONFLICT of rows, RETURNING `record` and `created` of those changed. Values: the rows, then now."""
    writer = RowsWriter(table, names, count)
    placeholders = writer.placeholders
    returning = table.told(returning)
    sql = (
        f"{writer.source()} {_insertion(table, placeholders, names)}{on_conflict(table, conflict, placeholders)}"
        f" RETURNING {table.select_list(returning)}, {created(table)}"
    )
    return writer.query(sql, created_decoder(table, returning), writes=True, change=Change.UPSERT)


@lru_cache(maxsize=CACHE_SIZE)
def update_rows(table: Table, names: tuple[str, ...], returning: tuple[str, ...], count: int) -> RowsQuery:
    """UPDATE of the records whose keys and expected versions the rows hold. Values: the rows, then now.

    `names` begins with the key; IF_VERSION may be among the rest.
    """
    versioned = IF_VERSION in names
    returning = table.told(returning)
    writer = RowsWriter(table, names, count, frozenset({IF_VERSION} if versioned else ()))
    source = writer.source()
    key = quote(table.key)
    changes = ", ".join(f"{quote(name)} = r.{quote(name)}" for name in names[1:] if name != IF_VERSION)
    changes += touched(table, writer.placeholders, 0, "t")
    where = f"t.{key} = r.{key}{exists(table, writer.placeholders, 't')}"
    if versioned:
        where += ' AND t."version" = r."if_version"'
    sql = (
        f"{source} UPDATE {table.name} AS t SET {changes} FROM r WHERE {where}"
        f" RETURNING {table.select_list(returning, 't' if table.is_postgresql else '')}"
    )
    return writer.query(sql, table.decoder(returning), writes=True, change=Change.UPDATE)


@lru_cache(maxsize=CACHE_SIZE)
def select_rows(
    table: Table, names: tuple[str, ...], returning: tuple[str, ...], count: int, *, include_deleted: bool
) -> RowsQuery:
    """SELECT of the records that equal a row in all its fields. Values: the rows."""
    writer = RowsWriter(table, names, count)
    equal = " AND ".join(f"t.{quote(name)} = r.{quote(name)}" for name in names)
    sql = (
        f"{writer.source()} SELECT {table.select_list(returning, 't')} FROM r JOIN {table.name} AS t ON {equal}"
        f"{exists(table, writer.placeholders, 't', include_deleted=include_deleted)}"
    )
    return writer.query(sql, table.decoder(returning), writes=False)


@lru_cache(maxsize=CACHE_SIZE)
def update_where(table: Table, names: tuple[str, ...], condition: Condition, returning: tuple[str, ...] = ()) -> Query:
    """UPDATE of all records that meet a condition. Values: the named fields, now, those of the condition."""
    placeholders = Placeholders(table)
    changes = ", ".join(f"{quote(name)} = {placeholders.field(i, name)}" for i, name in enumerate(names))
    changes += touched(table, placeholders, len(names))
    where = meets(table, placeholders, condition, len(names) + 1) + exists(table, placeholders)
    told, decode = _told(table, returning)
    sql = f"UPDATE {table.name} SET {changes} WHERE {where}{told}"
    return placeholders.query(sql, decode, writes=True, change=Change.UPDATE)


@lru_cache(maxsize=CACHE_SIZE)
def delete_where(table: Table, condition: Condition) -> Query:
    """DELETE, or the mark of a soft delete, of all records that meet a condition. Values: now, then the condition's."""
    placeholders = Placeholders(table)
    head = f"DELETE FROM {table.name}"
    if table.model.soft_delete:
        head = f"UPDATE {table.name} SET {removal(table, placeholders, 0)}"
    where = meets(table, placeholders, condition, 1) + exists(table, placeholders)
    told, decode = _told(table)
    return placeholders.query(f"{head} WHERE {where}{told}", decode, writes=True, change=Change.DELETE)


@lru_cache(maxsize=CACHE_SIZE)
def reserve_keys(table: Table) -> Query:
    """New values of an integer key, as `id`. Values: how many.

    PostgreSQL takes them from the identity column's sequence. SQLite has them behind the largest one given so far;
    they stay free as long as the transaction that looked goes on.
    """
    placeholders = Placeholders(table)
    if table.is_postgresql:
        sequence = f"pg_get_serial_sequence({_literal(table.name)}, {_literal(table.key)})"
        sql = f"SELECT nextval({sequence}) FROM generate_series(1, {placeholders.integer(0)})"
    else:
        # sqlite_sequence also remembers keys of records that are gone.
        last = (
            f"SELECT max(coalesce((SELECT max({quote(table.key)}) FROM {table.name}), 0),"
            f" coalesce((SELECT seq FROM sqlite_sequence WHERE name = {_literal(table.model.table)}), 0))"
        )
        count = placeholders.integer(0)
        sql = (
            f"WITH RECURSIVE n(i) AS (SELECT ({last}) + 1 UNION ALL SELECT i + 1 FROM n LIMIT {count}) SELECT i FROM n"
        )
    return placeholders.query(sql, _reserved, writes=True)


def _told(table: Table, returning: tuple[str, ...] = ()) -> tuple[str, Decoder | None]:
    """The RETURNING clause of a statement over a condition, and how its rows are read."""
    told = table.told(returning)
    return (f" RETURNING {table.select_list(told)}", table.decoder(told)) if told else ("", None)


def _reserved(row: Sequence[object]) -> dict[str, object]:
    return {"id": row[0]}


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _insertion(table: Table, placeholders: Placeholders, names: tuple[str, ...]) -> str:
    managed = managed_columns(table, placeholders, 0)
    columns = ", ".join(quote(name) for name in (*names, *managed))
    values = ", ".join((*(f"r.{quote(name)}" for name in names), *managed.values()))
    # WHERE keeps SQLite from reading ON CONFLICT as part of a join.
    return f"INSERT INTO {table.name} AS t ({columns}){overriding(table, names)} SELECT {values} FROM r WHERE TRUE"
