"""Statements over many records: pages, counts, and the records a relation leads to."""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from nexusd.databases.conditions import exists, meets
from nexusd.databases.keyset import SortKey, behind, order_by
from nexusd.databases.statements import CACHE_SIZE
from nexusd.databases.tables import Placeholders, quote

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.filters import Condition
    from nexusd.databases.tables import Query, Table

COUNT_CAP: Final = 1001
"""Where a capped count stops: as total it means more than a thousand."""


@dataclass(frozen=True, slots=True)
class PageShape:
    """The structure of a page.

    Attributes:
        values: how many values the condition takes.
        nulls: for a page behind a cursor, which of its sort values are null; None: from the beginning.
    """

    columns: tuple[str, ...]
    condition: Condition
    values: int
    sort: tuple[SortKey, ...]
    nulls: tuple[bool, ...] | None = None
    offset: bool = False
    include_deleted: bool = False


@lru_cache(maxsize=CACHE_SIZE)
def select_page(table: Table, shape: PageShape) -> Query:
    """One page. Values: those of the condition, those of the cursor, the limit, the offset."""
    placeholders = Placeholders(table)
    where = meets(table, placeholders, shape.condition)
    where += exists(table, placeholders, include_deleted=shape.include_deleted)
    n = shape.values
    if shape.nulls is not None:
        where += f" AND {behind(table, placeholders, shape.sort, shape.nulls, n)}"
        n += len(shape.sort)
    sql = (
        f"SELECT {table.select_list(shape.columns)} FROM {table.name} WHERE {where}"
        f" ORDER BY {order_by(table, shape.sort)} LIMIT {placeholders.integer(n)}"
    )
    if shape.offset:
        sql += f" OFFSET {placeholders.integer(n + 1)}"
    return placeholders.query(sql, table.decoder(shape.columns), writes=False)


@lru_cache(maxsize=CACHE_SIZE)
def count(table: Table, condition: Condition, *, include_deleted: bool, capped: bool = False) -> Query:
    """How many records meet a condition, as `count`; `capped` stops at COUNT_CAP. Values: those of the condition."""
    placeholders = Placeholders(table)
    where = meets(table, placeholders, condition) + exists(table, placeholders, include_deleted=include_deleted)
    sql = f"SELECT count(*) FROM {table.name} WHERE {where}"
    if capped:
        sql = f"SELECT count(*) FROM (SELECT 1 FROM {table.name} WHERE {where} LIMIT {COUNT_CAP}) AS matches"
    return placeholders.query(sql, _count, writes=False)


@lru_cache(maxsize=CACHE_SIZE)
def select_listed(table: Table, name: str, columns: tuple[str, ...], *, include_deleted: bool) -> Query:
    """The records whose column is in a list. Values: the list."""
    placeholders = Placeholders(table)
    values = placeholders.list(0, name)
    listed = f"= ANY({values})" if table.is_postgresql else f"IN (SELECT value FROM json_each({values}))"
    sql = (
        f"SELECT {table.select_list(columns)} FROM {table.name}"
        f" WHERE {quote(name)} {listed}{exists(table, placeholders, include_deleted=include_deleted)}"
    )
    return placeholders.query(sql, table.decoder(columns), writes=False)


def _count(row: Sequence[object]) -> dict[str, object]:
    return {"count": row[0]}
