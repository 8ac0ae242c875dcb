"""Sorting, and the condition for what comes behind a given record.

Ascending order puts nulls last, descending first (docs/reference.md, section 5); every sort ends in the primary key.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from nexusd.databases.filters import unknown
from nexusd.databases.tables import quote
from nexusd.definitions.model import FieldType
from nexusd.errors import Fault

if TYPE_CHECKING:
    from nexusd.databases.tables import Placeholders, Table
    from nexusd.definitions.model import Model

MAX_SORT: Final = 8
UNSORTABLE: Final = frozenset({FieldType.JSON, FieldType.ARRAY})


class SortKey(NamedTuple):
    """One column of a sort."""

    field: str
    descending: bool = False


def read_sort(model: Model, value: object, pointer: str) -> tuple[tuple[SortKey, ...], list[Fault]]:
    """Read a sort such as `["-created_at", "name"]`; the primary key is added where it does not end there."""
    if not isinstance(value, list):
        return (), [Fault(pointer, "type", "must be a list of field names, each with - before it for descending order")]
    if len(value) > MAX_SORT:
        return (), [Fault(pointer, "too_long", f"must have at most {MAX_SORT} items")]
    keys: list[SortKey] = []
    faults: list[Fault] = []
    for i, item in enumerate(value):
        problem = _sort_problem(model, item, keys)
        if problem is not None:
            faults.append(Fault(f"{pointer}/{i}", *problem))
        elif isinstance(item, str):
            keys.append(SortKey(item.removeprefix("-"), item.startswith("-")))
    return ended(model, keys), faults


def ended(model: Model, keys: list[SortKey]) -> tuple[SortKey, ...]:
    """The sort up to the primary key, which is added at the end: behind it nothing is left to order."""
    key = model.key.name
    names = [sort.field for sort in keys]
    if key in names:
        return tuple(keys[: names.index(key) + 1])
    return (*keys, SortKey(key))


def _sort_problem(model: Model, item: object, before: list[SortKey]) -> tuple[str, str] | None:
    if not isinstance(item, str):
        return "type", "must be the name of a field"
    name = item.removeprefix("-")
    field = model.by_name.get(name)
    if field is None:
        return "unknown", unknown("field", name, model.by_name)
    if field.type in UNSORTABLE:
        return "not_allowed", f"{field.type.value} fields cannot be sorted by"
    if any(sort.field == name for sort in before):
        return "not_allowed", "the field is sorted by already"
    return None


def order_by(table: Table, sort: tuple[SortKey, ...]) -> str:
    """The ORDER BY list. PostgreSQL places nulls as wanted by default; SQLite is told."""
    return ", ".join(_order(table, key) for key in sort)


def _order(table: Table, key: SortKey) -> str:
    direction = " DESC" if key.descending else ""
    nulls = ""
    if not table.is_postgresql and table.model.by_name[key.field].nullable:
        nulls = " NULLS FIRST" if key.descending else " NULLS LAST"
    return f"{table.ordered(key.field)}{direction}{nulls}"


def behind(
    table: Table,
    placeholders: Placeholders,
    sort: tuple[SortKey, ...],
    nulls: tuple[bool, ...],
    first: int,
) -> str:
    """The condition for records that come after one with given sort values.

    Args:
        table: where the records are.
        placeholders: what hands out placeholders.
        sort: the sort, primary key last.
        nulls: for each sort column whether the value is null.
        first: index of the first sort value.
    """
    fields = [table.model.by_name[key.field] for key in sort]
    one_way = len({key.descending for key in sort}) == 1
    if one_way and not any(field.nullable for field in fields):
        return _row_comparison(table, placeholders, sort, first)
    return _Branches(table, placeholders, sort, nulls, first).write()


def _row_comparison(table: Table, placeholders: Placeholders, sort: tuple[SortKey, ...], first: int) -> str:
    columns = ", ".join(table.ordered(key.field) for key in sort)
    values = ", ".join(placeholders.field(first + i, key.field) for i, key in enumerate(sort))
    return f"({columns}) {'<' if sort[0].descending else '>'} ({values})"


class _Branches:
    """Writes the condition column by column: behind in this one, or equal in it and behind in the next."""

    def __init__(
        self,
        table: Table,
        placeholders: Placeholders,
        sort: tuple[SortKey, ...],
        nulls: tuple[bool, ...],
        first: int,
    ) -> None:
        self._table = table
        self._placeholders = placeholders
        self._sort = sort
        self._nulls = nulls
        self._first = first

    def write(self) -> str:
        """The whole condition. A plain bound on the first column stands before it where an index can use it."""
        key = self._sort[0]
        if self._nulls[0] or (self._table.model.by_name[key.field].nullable and not key.descending):
            return self._from(0)
        bound = f"{self._table.ordered(key.field)} {'<=' if key.descending else '>='} {self._value(0)}"
        return f"({bound} AND {self._from(0)})"

    def _from(self, i: int) -> str:
        after = self._after(i)
        if i + 1 == len(self._sort):
            return after
        equal = self._equal(i)
        return f"({after} OR ({equal} AND {self._from(i + 1)}))"

    def _after(self, i: int) -> str:
        key = self._sort[i]
        column = quote(key.field)
        if self._nulls[i]:
            return f"{column} IS NOT NULL" if key.descending else "FALSE"
        ordered = self._table.ordered(key.field)
        if key.descending:
            return f"{ordered} < {self._value(i)}"
        if self._table.model.by_name[key.field].nullable:
            return f"({ordered} > {self._value(i)} OR {column} IS NULL)"
        return f"{ordered} > {self._value(i)}"

    def _equal(self, i: int) -> str:
        column = quote(self._sort[i].field)
        return f"{column} IS NULL" if self._nulls[i] else f"{column} = {self._value(i)}"

    def _value(self, i: int) -> str:
        return self._placeholders.field(self._first + i, self._sort[i].field)
