"""Rows as the source of a statement: one JSON argument on PostgreSQL, a VALUES list on SQLite.

Measured for 10,000 rows: json_to_recordset costs the client a third of arrays or executemany; on SQLite a VALUES list
is quicker than executemany, and three times as quick as JSON. Either way the rows are a table expression `r` with one
column a field, so the rest of a statement is the same for both.
"""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Bound, Statement
from nexusd.databases.tables import Placeholders, quote
from nexusd.databases.types import json_column, json_column_value

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nexusd.databases.database import Change, Decoder
    from nexusd.databases.policies import Origin
    from nexusd.databases.tables import Table
    from nexusd.databases.types import Convert

POSTGRESQL_ROWS: Final = 5_000
"""Rows of one statement; more gain nothing and hold locks in one long stretch."""

SQLITE_ROWS: Final = 512
SQLITE_ARGUMENTS: Final = 30_000
"""Arguments of one statement, below SQLite's default limit of 32,766."""


@dataclass(frozen=True, slots=True, eq=False)
class RowsQuery:
    """A statement over rows.

    Attributes:
        names: the fields of a row.
        encoders: on SQLite how each field is encoded; None on PostgreSQL.
        behind: how the values behind the rows are encoded, by their index.
    """

    statement: Statement
    names: tuple[str, ...]
    encoders: tuple[Convert | None, ...] | None
    behind: tuple[tuple[int | Origin, Convert | None], ...]

    def bind(
        self,
        rows: Sequence[Mapping[str, object]],
        values: Sequence[object] = (),
        claims: Mapping[str, object] | None = None,
    ) -> Bound:
        """The statement with its arguments: rows of exactly the named fields in wire values, then the other values."""
        behind = [
            _encoded(encode, values[source] if isinstance(source, int) else source.of(claims or {}))
            for source, encode in self.behind
        ]
        if self.encoders is None:
            return Bound(self.statement, (msgspec.json.encode(rows).decode(), *behind))
        width = len(self.names)
        flat = [row[name] for row in rows for name in self.names]
        for i, encode in enumerate(self.encoders):
            if encode is not None:
                flat[i::width] = [_encoded(encode, value) for value in flat[i::width]]
        return Bound(self.statement, (*flat, *behind))


def _encoded(encode: Convert | None, value: object) -> object:
    return value if encode is None or value is None else encode(value)


def portions(table: Table, count: int, width: int) -> Iterator[slice]:
    """Where to cut `count` rows of `width` fields into statements.

    On SQLite the statement depends on the number of rows, so portions are powers of two and few statements serve all.
    """
    largest = POSTGRESQL_ROWS
    if not table.is_postgresql:
        largest = min(SQLITE_ROWS, _power_of_two(SQLITE_ARGUMENTS // width))
    start = 0
    while start < count:
        size = min(count - start, largest)
        if not table.is_postgresql:
            size = _power_of_two(size)
        yield slice(start, start + size)
        start += size


def _power_of_two(number: int) -> int:
    return 1 << max(number, 1).bit_length() - 1


class RowsWriter:
    """Writes a statement over rows.

    Args:
        table: whose statement it is.
        names: the fields of a row.
        count: how many rows there are; PostgreSQL's statement serves any number.
        numbers: names that are no columns, but integers beside them.
    """

    def __init__(self, table: Table, names: tuple[str, ...], count: int, numbers: frozenset[str] = frozenset()) -> None:
        self._table = table
        self._names = names
        self._count = count
        self._numbers = numbers
        self.placeholders = Placeholders(table, taken=1 if table.is_postgresql else 0)

    def source(self) -> str:
        """`WITH r AS …`, which must come first in the statement."""
        if not self._table.is_postgresql:
            row = f"({', '.join('?' * len(self._names))})"
            return f"WITH r({', '.join(map(quote, self._names))}) AS (VALUES {', '.join([row] * self._count)})"
        fields = self._table.model.by_name
        columns = [f"{quote(n)} {'bigint' if n in self._numbers else json_column(fields[n])}" for n in self._names]
        values = [quote(n) if n in self._numbers else json_column_value(fields[n], quote(n)) for n in self._names]
        return f"WITH r AS (SELECT {', '.join(values)} FROM json_to_recordset($1::json) AS j({', '.join(columns)}))"

    def query(self, sql: str, decode: Decoder | None, *, writes: bool, change: Change | None = None) -> RowsQuery:
        """The finished statement."""
        encoders = None
        if not self._table.is_postgresql:
            codecs = self._table.codecs
            encoders = tuple(None if name in self._numbers else codecs[name].encode for name in self._names)
        statement = Statement(sql, decode, writes, self._table.model, change=change)
        return RowsQuery(statement, self._names, encoders, self.placeholders.places)
