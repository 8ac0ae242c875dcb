"""A filter's condition as SQL.

Logic is two-valued (docs/reference.md, section 5): what SQL calls unknown counts as false, and NOT turns it to true.
"""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from itertools import count
from typing import TYPE_CHECKING, Final

from nexusd.databases.filters import Connective, Operator, Predicate
from nexusd.databases.folding import folded
from nexusd.databases.tables import quote
from nexusd.databases.types import Codec, item_codec
from nexusd.definitions.model import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexusd.databases.filters import Condition
    from nexusd.databases.policies import Guard, Origin
    from nexusd.databases.tables import Placeholders, Table
    from nexusd.definitions.model import Field


class ConditionWriter:
    """Writes one condition.

    Args:
        sources: where the values of its tests come from, in their order.
        alias: how the statement calls the table, where it has to say so.
    """

    def __init__(
        self, table: Table, placeholders: Placeholders, sources: Iterable[int | Origin], alias: str = ""
    ) -> None:
        self._table = table
        self._placeholders = placeholders
        self._sources = iter(sources)
        self._alias = alias

    def write(self, condition: Condition) -> str:
        """The condition as an SQL expression that is true for matching rows."""
        if isinstance(condition, Predicate):
            return self._test(condition)
        parts = [self.write(part) for part in condition.parts]
        if condition.connective is Connective.NOT:
            return f"(({parts[0]}) IS NOT TRUE)"
        if not parts:
            return "TRUE" if condition.connective is Connective.AND else "FALSE"
        if len(parts) == 1:
            return parts[0]
        joint = " AND " if condition.connective is Connective.AND else " OR "
        return f"({joint.join(parts)})"

    def _test(self, test: Predicate) -> str:
        field = self._table.model.by_name[test.field]
        operator = test.operator
        if operator is Operator.NULL:
            return f"{self._column(field)} IS {'' if test.null else 'NOT '}NULL"
        if operator in _PATTERNS:
            return self._text(self._column(field), operator)
        if operator in _SIZES:
            return f"{self._table.ordered(field.name, self._alias)} {_SIZES[operator]} {self._value(field)}"
        write = {
            Operator.EQ: self._equal,
            Operator.NE: self._unequal,
            Operator.IN: self._in,
            Operator.NIN: self._not_in,
            Operator.BETWEEN: self._between,
            Operator.HAS: self._has,
        }[operator]
        return write(field)

    def _column(self, field: Field) -> str:
        return f"{self._alias}.{quote(field.name)}" if self._alias else quote(field.name)

    def _value(self, field: Field) -> str:
        return self._placeholders.field(next(self._sources), field.name)

    def _equal(self, field: Field) -> str:
        # Without a collation, so that any index of the column serves; equality is the same under all of them.
        return f"{self._column(field)} = {self._value(field)}"

    def _unequal(self, field: Field) -> str:
        null_safe = "IS DISTINCT FROM" if self._table.is_postgresql else "IS NOT"
        return f"{self._column(field)} {null_safe if field.nullable else '<>'} {self._value(field)}"

    def _between(self, field: Field) -> str:
        ordered = self._table.ordered(field.name, self._alias)
        return f"({ordered} >= {self._value(field)} AND {ordered} <= {self._value(field)})"

    def _in(self, field: Field) -> str:
        values = self._placeholders.list(next(self._sources), field.name)
        if self._table.is_postgresql:
            return f"{self._column(field)} = ANY({values})"
        return f"{_listable(field, self._column(field))} IN (SELECT value FROM json_each({values}))"

    def _not_in(self, field: Field) -> str:
        values = self._placeholders.list(next(self._sources), field.name)
        if self._table.is_postgresql:
            outside = f"{self._column(field)} <> ALL({values})"
        else:
            outside = f"{_listable(field, self._column(field))} NOT IN (SELECT value FROM json_each({values}))"
        return f"({outside} OR {self._column(field)} IS NULL)" if field.nullable else outside

    def _has(self, field: Field) -> str:
        value = self._placeholders.codec(next(self._sources), item_codec(field, self._table.dialect))
        if self._table.is_postgresql:
            return f"{self._column(field)} @> ARRAY[{value}]"
        by_value = " COLLATE nexusd_decimal" if field.items is FieldType.DECIMAL else ""
        # Qualified, since json_each has columns of its own that a field may be called like.
        array = f"{self._alias or self._table.name}.{quote(field.name)}"
        return f"EXISTS (SELECT 1 FROM json_each({array}) AS item WHERE item.value{by_value} = {value})"

    def _text(self, column: str, operator: Operator) -> str:
        encode, ignores_case = _PATTERNS[operator]
        if self._table.is_postgresql:
            value = self._placeholders.codec(next(self._sources), Codec(encode, cast="::text"))
            if ignores_case:
                return f"{folded(column, self._table.fold)} LIKE {folded(value, self._table.fold)}"
            return f"{column} LIKE {value}"
        value = self._placeholders.codec(next(self._sources), Codec(encode))
        if ignores_case:
            return f"nexusd_fold({column}) LIKE nexusd_fold({value}) ESCAPE '\\'"
        return f"{column} LIKE {value} ESCAPE '\\'"


def meets(table: Table, placeholders: Placeholders, condition: Condition, first: int = 0) -> str:
    """The condition as SQL; its values are those from index `first` on."""
    return ConditionWriter(table, placeholders, count(first)).write(condition)


def exists(table: Table, placeholders: Placeholders, alias: str = "", *, include_deleted: bool = False) -> str:
    """What is true of the records that are there for the caller, with a leading AND; empty where all of them are.

    Soft-deleted rows are not, unless they are asked for, nor are those that the table's guard keeps from the caller.
    """
    where = ""
    if table.model.soft_delete and not include_deleted:
        where = f' AND {alias}."deleted_at" IS NULL' if alias else ' AND "deleted_at" IS NULL'
    if table.guard is not None:
        where += f" AND {guarded(table, placeholders, table.guard, alias)}"
    return where


def guarded(table: Table, placeholders: Placeholders, guard: Guard, alias: str = "") -> str:
    """A guard as SQL."""
    return ConditionWriter(table, placeholders, guard.origins, alias).write(guard.condition)


def _listable(field: Field, column: str) -> str:
    """Blobs cannot be items of JSON, so they are listed by their hexadecimal digits (of null there are some: '')."""
    return f"iif({column} IS NULL, NULL, hex({column}))" if field.type is FieldType.BYTES else column


def _escaped(text: str) -> str:
    """The text as a LIKE pattern that matches it alone."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def _within(text: str) -> str:
    return f"%{_escaped(text)}%"


def _at_start(text: str) -> str:
    return f"{_escaped(text)}%"


def _at_end(text: str) -> str:
    return f"%{_escaped(text)}"


_SIZES: Final = {
    Operator.GT: ">",
    Operator.GTE: ">=",
    Operator.LT: "<",
    Operator.LTE: "<=",
}

_PATTERNS: Final = {
    Operator.LIKE: (None, False),
    Operator.ILIKE: (None, True),
    Operator.CONTAINS: (_within, False),
    Operator.ICONTAINS: (_within, True),
    Operator.STARTSWITH: (_at_start, False),
    Operator.ENDSWITH: (_at_end, False),
}
"""How the value becomes a LIKE pattern, and whether case is ignored."""
