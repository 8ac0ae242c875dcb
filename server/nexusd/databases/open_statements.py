"""SQL of which only the database knows what it takes and gives: that of SqlNodes.

What a model's own statements know beforehand is asked here: PostgreSQL tells the types of arguments and columns when it
prepares a statement; SQLite has none, so a column has the type of the model's field whose name it bears.
"""

from __future__ import annotations

import math
from base64 import b64encode
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Dialect
from nexusd.databases.types import codec_of
from nexusd.definitions.field_schema import MAX_SAFE_INTEGER
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.wire import check_value, normalise, write_json
from nexusd.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nexusd.databases.database import Decoder, Open

_KINDS: Final[Mapping[str, FieldType]] = {
    "bool": FieldType.BOOL,
    "int2": FieldType.INT,
    "int4": FieldType.INT,
    "int8": FieldType.BIGINT,
    "float4": FieldType.FLOAT,
    "float8": FieldType.FLOAT,
    "numeric": FieldType.DECIMAL,
    "timestamptz": FieldType.DATETIME,
    "date": FieldType.DATE,
    "time": FieldType.TIME,
    "uuid": FieldType.UUID,
    "json": FieldType.JSON,
    "jsonb": FieldType.JSON,
    "bytea": FieldType.BYTES,
}
"""PostgreSQL's types that are more than text."""


def postgresql_arguments(names: Sequence[str], types: Sequence[str], values: Sequence[object]) -> tuple[object, ...]:
    """Wire values as the driver takes them for parameters of these types.

    Raises:
        InvalidInput: with a fault for every value that does not fit; its pointer is the parameter's name.
    """
    faults: list[Fault] = []
    arguments: list[object] = []
    for name, kind, value in zip(names, types, values, strict=True):
        takes = _field_of(name, kind)
        found = check_value(takes, value, f"/{name}")
        faults += found
        if value is None or found:
            arguments.append(None)
            continue
        encode = codec_of(takes, Dialect.POSTGRESQL).encode
        wire = normalise(takes, value)
        arguments.append(wire if encode is None else encode(wire))
    if faults:
        raise InvalidInput("; ".join(f"{fault.pointer[1:]} {fault.detail}" for fault in faults), faults=faults)
    return tuple(arguments)


def postgresql_decoder(columns: Sequence[tuple[str, str]], known: Open) -> Decoder:
    """Makes a row of the values of columns, each given with its name and type."""
    decodes = [(name, _from_postgresql(name, kind, known)) for name, kind in columns]

    def decode(row: Sequence[object]) -> dict[str, object]:
        return {
            name: None if value is None else convert(value) for (name, convert), value in zip(decodes, row, strict=True)
        }

    return decode


def _field_of(name: str, kind: str) -> Field:
    item = kind.removesuffix("[]")
    found = _KINDS.get(item, FieldType.STR)
    if item != kind:
        return Field(name=name, type=FieldType.ARRAY, items=found, nullable=True)
    return Field(name=name, type=found, nullable=True)


def _from_postgresql(name: str, kind: str, known: Open) -> Callable[[object], object]:
    named = known.fields.get(name)
    if kind in {"int8", "int8[]"} and (named is None or FieldType.BIGINT not in {named.type, named.items}):
        return _plain
    if kind.removesuffix("[]") not in _KINDS:
        return _plain
    decode = codec_of(_field_of(name, kind), Dialect.POSTGRESQL).decode
    return decode if decode is not None else _plain


def sqlite_arguments(values: Sequence[object]) -> tuple[object, ...]:
    """Wire values as SQLite stores them."""
    return tuple(_to_sqlite(value) for value in values)


def _to_sqlite(value: object) -> object:
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return write_json(value).decode() if isinstance(value, list | dict) else value


def sqlite_decoder(names: Sequence[str], known: Open) -> Decoder:
    """Makes a row of values, the columns of which have these names."""
    decodes = [(name, _from_sqlite(known.fields.get(name))) for name in names]
    return lambda row: {name: decode(value) for (name, decode), value in zip(decodes, row, strict=True)}


def _from_sqlite(named: Field | None) -> Callable[[object], object]:
    if named is None:
        return _plain
    decode = codec_of(named, Dialect.SQLITE).decode
    kind = named.type
    if kind is FieldType.BOOL:
        return lambda value: bool(value) if value in {0, 1} else _plain(value)
    if kind in {FieldType.JSON, FieldType.ARRAY}:
        return _from_json
    if decode is None or kind is FieldType.BYTES:
        return _plain
    # The name alone does not make it the field: what is no number stays as it is.
    return lambda value: decode(value) if isinstance(value, int | float) else _plain(value)


def _from_json(value: object) -> object:
    if not isinstance(value, str):
        return _plain(value)
    try:
        msgspec.json.decode(value)
    except msgspec.DecodeError:
        return value
    return msgspec.Raw(value.encode())


def _number(value: object) -> object:
    """An integer; text where JSON's readers would lose digits."""
    return value if not isinstance(value, int) or abs(value) <= MAX_SAFE_INTEGER else str(value)


def _plain(value: object) -> object:
    """A value of no known type in its nearest form."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, int):
        return _number(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, bytes):
        return b64encode(value).decode()
    return [_plain(item) for item in value] if isinstance(value, list) else str(value)
