"""Statements for one record: pure functions of a table and a shape, each rendered once and kept.

A shape is structure (which fields, which condition), never values. Columns are always named, in RETURNING too: a plan
kept for `*` breaks when a column is added. Each function documents the order of the values that its query binds.
"""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nexusd.databases.conditions import exists, guarded
from nexusd.databases.database import Change
from nexusd.databases.tables import Placeholders, quote
from nexusd.definitions.model import FieldType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.database import Decoder
    from nexusd.databases.tables import Query, Table

CACHE_SIZE: Final = 512
"""Statements kept by each function; a connection keeps as many prepared."""

INTEGER_KEYS: Final = frozenset({FieldType.INT, FieldType.BIGINT})


def overriding(table: Table, names: tuple[str, ...]) -> str:
    """Lets a given integer key pass an identity column, whichever kind the column is."""
    given = table.is_postgresql and table.key in names and table.model.key.type in INTEGER_KEYS
    return " OVERRIDING SYSTEM VALUE" if given else ""


def managed_columns(table: Table, placeholders: Placeholders, now: int) -> dict[str, str]:
    """What a new row holds beside its fields: expressions by column; `now` is the index of that value."""
    managed: dict[str, str] = {}
    if table.model.timestamps:
        managed |= {name: placeholders.field(now, name) for name in ("created_at", "updated_at")}
    if table.model.versioned:
        managed["version"] = "1"
    return managed


def new_row(table: Table, placeholders: Placeholders, names: tuple[str, ...]) -> dict[str, str]:
    """Expressions of one row by column: the named fields from value 0 on, then now."""
    row = {name: placeholders.field(i, name) for i, name in enumerate(names)}
    return row | managed_columns(table, placeholders, len(names))


def _new_row(table: Table, placeholders: Placeholders, names: tuple[str, ...]) -> str:
    """Columns and VALUES of one row."""
    row = new_row(table, placeholders, names)
    if not row:
        return "DEFAULT VALUES"
    columns = ", ".join(map(quote, row))
    return f"({columns}){overriding(table, names)} VALUES ({', '.join(row.values())})"


@lru_cache(maxsize=CACHE_SIZE)
def insert(table: Table, names: tuple[str, ...]) -> Query:
    """INSERT … RETURNING the record. Values: the named fields, then now."""
    placeholders = Placeholders(table)
    row = _new_row(table, placeholders, names)
    sql = f"INSERT INTO {table.name} {row} RETURNING {table.select_list(table.columns)}"
    return placeholders.query(sql, table.decoder(table.columns), writes=True, change=Change.INSERT)


@lru_cache(maxsize=CACHE_SIZE)
def select_one(table: Table, where: tuple[str, ...], columns: tuple[str, ...], *, include_deleted: bool) -> Query:
    """SELECT by unique fields. Values: those of `where`."""
    placeholders = Placeholders(table)
    sql = (
        f"SELECT {table.select_list(columns)} FROM {table.name}"
        f" WHERE {equal(placeholders, where, 0)}{exists(table, placeholders, include_deleted=include_deleted)}"
    )
    return placeholders.query(sql, table.decoder(columns), writes=False, inline=True)


@lru_cache(maxsize=CACHE_SIZE)
def update(table: Table, names: tuple[str, ...], where: tuple[str, ...], *, if_version: bool) -> Query:
    """UPDATE … RETURNING the record. Values: the named fields, those of `where`, now, the version expected."""
    placeholders = Placeholders(table)
    sql = (
        f"UPDATE {table.name} SET {_assignments(table, placeholders, names, len(names) + len(where))}"
        f" WHERE {equal(placeholders, where, len(names))}{exists(table, placeholders)}"
        f"{_expected(placeholders, len(names) + len(where) + 1, if_version=if_version)}"
        f" RETURNING {table.select_list(table.columns)}"
    )
    return placeholders.query(sql, table.decoder(table.columns), writes=True, change=Change.UPDATE)


@lru_cache(maxsize=CACHE_SIZE)
def delete(table: Table, where: tuple[str, ...], *, if_version: bool) -> Query:
    """DELETE, or the mark of a soft delete, RETURNING the key. Values: those of `where`, now, the version expected."""
    placeholders = Placeholders(table)
    n = len(where)
    told = table.told((table.key,))
    head = f"DELETE FROM {table.name}"
    if table.model.soft_delete:
        head = f"UPDATE {table.name} SET {removal(table, placeholders, n)}"
    sql = (
        f"{head} WHERE {equal(placeholders, where, 0)}{exists(table, placeholders)}"
        f"{_expected(placeholders, n + 1, if_version=if_version)} RETURNING {table.select_list(told)}"
    )
    return placeholders.query(sql, table.decoder(told), writes=True, change=Change.DELETE)


def equal(placeholders: Placeholders, names: tuple[str, ...], first: int) -> str:
    """Each of the named columns equal to its value, from value `first` on."""
    return " AND ".join(f"{quote(name)} = {placeholders.field(first + i, name)}" for i, name in enumerate(names))


def removal(table: Table, placeholders: Placeholders, now: int) -> str:
    """The assignments of a soft delete."""
    return f'"deleted_at" = {placeholders.field(now, "deleted_at")}{touched(table, placeholders, now)}'


def touched(table: Table, placeholders: Placeholders, now: int, alias: str = "") -> str:
    """What every write changes beside the fields, with a leading comma; `alias` names the old row where needed."""
    changes = ""
    if table.model.timestamps:
        changes += f', "updated_at" = {placeholders.field(now, "updated_at")}'
    if table.model.versioned:
        old = f"{alias}." if alias else ""
        changes += f', "version" = {old}"version" + 1'
    return changes


def _assignments(table: Table, placeholders: Placeholders, names: tuple[str, ...], now: int) -> str:
    given = ", ".join(f"{quote(name)} = {placeholders.field(i, name)}" for i, name in enumerate(names))
    return given + touched(table, placeholders, now)


def _expected(placeholders: Placeholders, index: int, *, if_version: bool) -> str:
    return f' AND "version" = {placeholders.integer(index)}' if if_version else ""


@dataclass(frozen=True, slots=True)
class Conflict:
    """What an upsert meets: the fields that identify the record, and those it overwrites."""

    on: tuple[str, ...]
    update: tuple[str, ...]


@lru_cache(maxsize=CACHE_SIZE)
def upsert(table: Table, names: tuple[str, ...], conflict: Conflict) -> Query:
    """INSERT … ON CONFLICT … RETURNING the record and `created`; no row when nothing had to be changed.

    Values: the named fields, then now.
    """
    placeholders = Placeholders(table)
    sql = (
        f"INSERT INTO {table.name} AS t {_new_row(table, placeholders, names)}"
        f"{on_conflict(table, conflict, placeholders)}"
        f" RETURNING {table.select_list(table.columns)}, {created(table)}"
    )
    return placeholders.query(sql, created_decoder(table, table.columns), writes=True, change=Change.UPSERT)


def on_conflict(table: Table, conflict: Conflict, placeholders: Placeholders) -> str:
    """The ON CONFLICT clause: overwrite where something differs; a soft-deleted record comes back.

    A record that the table's guard keeps from the caller stays as it is.

    `excluded` holds the row that was proposed, its timestamps included.
    """
    target = ", ".join(map(quote, conflict.on))
    if not conflict.update and not table.model.soft_delete:
        return f" ON CONFLICT ({target}) DO NOTHING"
    assigned = [*conflict.update]
    if table.model.timestamps:
        assigned.append("updated_at")
    changes = [f"{quote(name)} = excluded.{quote(name)}" for name in assigned]
    if table.model.versioned:
        changes.append('"version" = t."version" + 1')
    unequal = "IS DISTINCT FROM" if table.is_postgresql else "IS NOT"
    differs = [f"t.{quote(name)} {unequal} excluded.{quote(name)}" for name in conflict.update]
    if table.model.soft_delete:
        changes.append('"deleted_at" = NULL')
        differs.append('t."deleted_at" IS NOT NULL')
    where = " OR ".join(differs)
    if table.guard is not None:
        where = f"({where}) AND {guarded(table, placeholders, table.guard, 't')}"
    return f" ON CONFLICT ({target}) DO UPDATE SET {', '.join(changes)} WHERE {where}"


def created(table: Table) -> str:
    """Whether a row returned by an upsert was inserted.

    A new row is version 1 and an overwritten one never is. Without versions PostgreSQL tells by xmax, which is 0 on a
    row nobody has locked or changed yet; SQLite cannot tell, so there the caller looks first.
    """
    if table.model.versioned:
        return '"version" = 1'
    return "xmax = 0" if table.is_postgresql else "NULL"


def created_decoder(table: Table, columns: tuple[str, ...]) -> Decoder:
    """Decodes the columns as `record`, then `created` (None when the database cannot tell)."""
    decode_columns = table.decoder(columns)

    def decode(row: Sequence[object]) -> dict[str, object]:
        *values, was_created = row
        return {"record": decode_columns(values), "created": None if was_created is None else bool(was_created)}

    return decode
