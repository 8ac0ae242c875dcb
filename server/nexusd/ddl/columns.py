"""A field as a column: type, default and parts, in each dialect."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Dialect
from nexusd.databases.types import is_sqlite_numeric
from nexusd.definitions.model import MISSING, FieldType
from nexusd.definitions.wire import array_item, normalise

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.model import Field

_POSTGRESQL: Final[Mapping[FieldType, str]] = {
    FieldType.STR: "text",
    FieldType.ENUM: "text",
    FieldType.INT: "bigint",
    FieldType.BIGINT: "bigint",
    FieldType.FLOAT: "double precision",
    FieldType.BOOL: "boolean",
    FieldType.DATETIME: "timestamp with time zone",
    FieldType.DATE: "date",
    FieldType.TIME: "time without time zone",
    FieldType.UUID: "uuid",
    FieldType.JSON: "jsonb",
    FieldType.BYTES: "bytea",
}

_SQLITE: Final[Mapping[FieldType, str]] = {
    FieldType.STR: "TEXT",
    FieldType.ENUM: "TEXT",
    FieldType.INT: "INTEGER",
    FieldType.BIGINT: "INTEGER",
    FieldType.FLOAT: "REAL",
    FieldType.BOOL: "BOOLEAN",
    FieldType.DATETIME: "TEXT",
    FieldType.DATE: "TEXT",
    FieldType.TIME: "TEXT",
    FieldType.UUID: "TEXT",
    FieldType.JSON: "TEXT",
    FieldType.BYTES: "BLOB",
    FieldType.ARRAY: "TEXT",
}

_COLLATED: Final = frozenset({FieldType.STR, FieldType.ENUM})
_INTEGERS: Final = frozenset({FieldType.INT, FieldType.BIGINT})
_NOW: Final = {
    Dialect.POSTGRESQL: "now()",
    Dialect.SQLITE: "(strftime('%Y-%m-%dT%H:%M:%f', 'now') || '000Z')",
}


def quote(name: str) -> str:
    """An identifier; both databases quote alike."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A string literal; both databases quote alike (PostgreSQL with standard_conforming_strings)."""
    return "'" + text.replace("'", "''") + "'"


def type_name(field: Field, dialect: Dialect) -> str:
    """The column's type as the database's catalog shows it."""
    if dialect is Dialect.SQLITE:
        if field.type is FieldType.DECIMAL:
            return "NUMERIC" if is_sqlite_numeric(field) else "TEXT"
        return _SQLITE[field.type]
    if field.type is FieldType.DECIMAL:
        return "numeric" if field.precision is None else f"numeric({field.precision},{field.scale or 0})"
    if field.type is FieldType.STR and field.max_length is not None:
        return f"character varying({field.max_length})"
    if field.type is FieldType.ARRAY:
        return f"{type_name(array_item(field), dialect)}[]"
    return _POSTGRESQL[field.type]


def keeps_bytes(before: str, after: str, dialect: Dialect) -> bool:
    """Whether a field of one type becomes another that is stored as the same kind of value, and reads it differently.

    Args:
        before: the type as the ledger remembers it, such as `date` or `array of int`.
        after: the type that the registry has now.
        dialect: PostgreSQL has a type of its own for each, but for those that read alike.
    """
    if before == after or dialect is Dialect.POSTGRESQL or after in {FieldType.STR, FieldType.ENUM}:
        return False
    numbers = {FieldType.INT, FieldType.BIGINT}
    stored = [_SQLITE.get(FieldType(kind.partition(" ")[0])) for kind in (before, after)]
    return stored[0] == stored[1] is not None and not {before, after} <= numbers


def is_identity(field: Field) -> bool:
    """Whether the database makes the key when an insert leaves it out."""
    return field.generated and field.type in _INTEGERS


def default_sql(field: Field, dialect: Dialect) -> str | None:
    """The column's default as SQL, or None."""
    if field.managed and field.type is FieldType.DATETIME and not field.nullable:
        return _NOW[dialect]
    if field.default is MISSING or field.default is None:
        return None
    return _literal_of(field, field.default, dialect)


def _literal_of(field: Field, value: object, dialect: Dialect) -> str:
    wire = normalise(field, value)
    if isinstance(wire, bool):
        return str(wire).lower() if dialect is Dialect.POSTGRESQL else str(int(wire))
    if isinstance(wire, msgspec.Raw):
        return literal(bytes(wire).decode())
    is_number = field.type is FieldType.DECIMAL and (dialect is Dialect.POSTGRESQL or is_sqlite_numeric(field))
    if isinstance(wire, int | float) or field.type is FieldType.BIGINT or is_number:
        return str(wire)
    if field.type is FieldType.BYTES:
        data = base64.b64decode(str(wire)).hex()
        return f"'\\x{data}'" if dialect is Dialect.POSTGRESQL else f"X'{data}'"
    if isinstance(wire, list):
        return _array_literal(field, wire, dialect)
    return literal(str(wire))


def _array_literal(field: Field, items: list[object], dialect: Dialect) -> str:
    if dialect is Dialect.SQLITE:
        return literal(msgspec.json.encode(items).decode())
    item = array_item(field)
    return f"ARRAY[{', '.join(_literal_of(item, each, dialect) for each in items)}]::{type_name(field, dialect)}"


def column_sql(field: Field, dialect: Dialect) -> str:
    """The column's definition without its constraints."""
    parts = [quote(field.name), type_name(field, dialect)]
    if dialect is Dialect.POSTGRESQL:
        texts = field.type in _COLLATED or (field.type is FieldType.ARRAY and field.items in _COLLATED)
        if texts:
            parts.append('COLLATE "C"')
        if is_identity(field):
            parts.append("GENERATED BY DEFAULT AS IDENTITY")
    elif field.type is FieldType.DECIMAL and not is_sqlite_numeric(field):
        parts.append("COLLATE nexusd_decimal")
    if not field.nullable:
        parts.append("NOT NULL")
    default = default_sql(field, dialect)
    if default is not None:
        parts.append(f"DEFAULT {default}")
    return " ".join(parts)
