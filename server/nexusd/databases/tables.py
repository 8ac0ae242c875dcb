"""A model as one dialect sees it: quoted names, column expressions, codecs, and placeholders with their arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.databases.types import Codec, codec_of, is_sqlite_numeric, list_codec
from nexusd.definitions.model import Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexusd.databases.database import Change, Decoder
    from nexusd.databases.policies import Guard, Origin
    from nexusd.databases.types import Convert
    from nexusd.definitions.model import Model

_NO_CLAIMS: Final[Mapping[str, object]] = {}
TEXT_TYPES: Final = frozenset({FieldType.STR, FieldType.ENUM})
"""Types that order by collation; theirs is written out, since an adopted column may have another."""


class Table:
    """The table of a model in one dialect. Compared by identity, so statements can be kept by it.

    Args:
        model: the model.
        dialect: the dialect.
        audited: whether statements that change rows tell which ones they were.
        fold: the collation by which case is ignored (PostgreSQL; see `folding.py`), where that is wanted.
        guard: the records that exist for the caller; None: all.
    """

    def __init__(
        self, model: Model, dialect: Dialect, *, fold: str = "", guard: Guard | None = None, audited: bool = False
    ) -> None:
        self.audited = audited
        self.fold = fold
        self.guard = guard
        self.model = model
        self.dialect = dialect
        self.name = quote(model.table)
        self.key = model.key.name
        self.columns: tuple[str, ...] = tuple(model.by_name)
        self.codecs = {column.name: codec_of(column, dialect) for column in model.columns}
        scalars = (column for column in model.columns if column.type is not FieldType.ARRAY)
        self.lists = {column.name: list_codec(column, dialect) for column in scalars}

    @property
    def is_postgresql(self) -> bool:
        """Whether SQL for this table is PostgreSQL's."""
        return self.dialect is Dialect.POSTGRESQL

    @property
    def tells_created(self) -> bool:
        """Whether an upsert can tell an inserted row from an overwritten one (see `statements.created`)."""
        return self.is_postgresql or self.model.versioned

    def select_list(self, names: Iterable[str], alias: str = "") -> str:
        """Explicit columns with their casts, for SELECT and RETURNING."""
        prefix = f"{alias}." if alias else ""
        return ", ".join(f"{prefix}{quote(name)}{self.codecs[name].select}" for name in names)

    def ordered(self, name: str, alias: str = "") -> str:
        """A column as it is sorted and compared by size: by code point for text, by value for long decimals."""
        return f"{f'{alias}.' if alias else ''}{quote(name)}{self.collation(name)}"

    def collation(self, name: str) -> str:
        """The COLLATE clause that makes both databases order a column alike; empty where nothing is needed."""
        field = self.model.by_name[name]
        if self.is_postgresql:
            return ' COLLATE "C"' if field.type in TEXT_TYPES else ""
        if field.type is FieldType.DECIMAL and not is_sqlite_numeric(field):
            return " COLLATE nexusd_decimal"
        return ""

    def decoder(self, names: Sequence[str]) -> Decoder:
        """Turns the values of these columns, in this order, into a record."""
        pairs = ((name, self.codecs[name].decode) for name in names)
        converters = tuple((name, convert) for name, convert in pairs if convert is not None)

        def decode(row: Sequence[object]) -> dict[str, object]:
            record = dict(zip(names, row, strict=True))
            for name, convert in converters:
                value = record[name]
                if value is not None:
                    record[name] = convert(value)
            return record

        return decode

    def told(self, returning: Sequence[str]) -> tuple[str, ...]:
        """What a statement that changes rows must give of them: `returning`, and what an audit has to know."""
        if not self.audited:
            return tuple(returning)
        version = ("version",) if self.model.versioned else ()
        return tuple(dict.fromkeys((*returning, self.key, *version)))


@dataclass(frozen=True, slots=True, eq=False)
class Query:
    """A statement, and which value goes to which placeholder.

    Attributes:
        places: for each placeholder the index of its value and how it is encoded.
    """

    statement: Statement
    places: tuple[tuple[int | Origin, Convert | None], ...]

    def bind(self, values: Sequence[object], claims: Mapping[str, object] = _NO_CLAIMS) -> Bound:
        """The statement with its arguments.

        Args:
            values: wire values in the order the statement's builder documents.
            claims: the caller's, which the table's guard fits; what it asks for and they lack is a KeyError.
        """
        arguments = []
        for source, encode in self.places:
            value = values[source] if type(source) is int else source.of(claims)  # type: ignore[union-attr]
            arguments.append(value if encode is None or value is None else encode(value))
        return Bound(self.statement, tuple(arguments))


class Placeholders:
    """Hands out the placeholders of one statement and remembers what goes where.

    SQLite's are `?`: numbered ones count as named in some Python versions, which warn about them.

    Args:
        table: whose statement it is.
        taken: how many arguments stand before the first one handed out (PostgreSQL).
    """

    def __init__(self, table: Table, *, taken: int = 0) -> None:
        self._table = table
        self._taken = taken
        self._places: list[tuple[int | Origin, Convert | None]] = []
        self._numbers: dict[tuple[int | Origin, Convert | None, str], int] = {}

    @property
    def places(self) -> tuple[tuple[int | Origin, Convert | None], ...]:
        """What `Query.places` holds."""
        return tuple(self._places)

    def field(self, index: int | Origin, name: str) -> str:
        """The placeholder for a value of a column."""
        return self.codec(index, self._table.codecs[name])

    def list(self, index: int | Origin, name: str) -> str:
        """The placeholder for a list of a column's values."""
        return self.codec(index, self._table.lists[name])

    def integer(self, index: int) -> str:
        """The placeholder for an integer that belongs to no column."""
        return self.codec(index, _INTEGER[self._table.dialect])

    def codec(self, index: int | Origin, codec: Codec) -> str:
        """The placeholder for a value that crosses by `codec`."""
        place = (index, codec.encode)
        if not self._table.is_postgresql:
            self._places.append(place)
            return "?"
        number = self._numbers.get((*place, codec.cast))
        if number is None:
            self._places.append(place)
            number = self._numbers[*place, codec.cast] = self._taken + len(self._places)
        return f"${number}{codec.cast}"

    def query(
        self,
        sql: str,
        decode: Decoder | None,
        *,
        writes: bool,
        inline: bool = False,
        change: Change | None = None,
    ) -> Query:
        """The finished statement; `sql` holds the placeholders in the order in which they were taken."""
        return Query(Statement(sql, decode, writes, self._table.model, inline, change=change), self.places)


_INTEGER: Final = {dialect: codec_of(Field(name="", type=FieldType.INT), dialect) for dialect in Dialect}


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'
