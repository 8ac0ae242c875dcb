"""The JSON Schema of a field's wire form (docs/reference.md, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import MISSING, Field, FieldType

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that a double holds without gaps (RFC 7493, section 2.2)."""

_BASE64: Final = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$"
# NUL cannot be stored by PostgreSQL, so schemas exclude it: a generated test value then never is refused.
_NO_NUL: Final = "^[^\\u0000]*$"


def _str(field: Field) -> dict[str, object]:
    schema: dict[str, object] = {"type": "string"}
    if field.min_length is not None:
        schema["minLength"] = field.min_length
    if field.max_length is not None:
        schema["maxLength"] = field.max_length
    if field.format is not None:
        schema["format"] = field.format
    schema["pattern"] = field.pattern if field.pattern is not None else _NO_NUL
    return schema


def _int(field: Field) -> dict[str, object]:
    minimum = field.minimum if field.minimum is not None else -MAX_SAFE_INTEGER
    maximum = field.maximum if field.maximum is not None else MAX_SAFE_INTEGER
    return {"type": "integer", "minimum": minimum, "maximum": maximum}


def _float(field: Field) -> dict[str, object]:
    schema: dict[str, object] = {"type": "number"}
    if field.minimum is not None:
        schema["minimum"] = field.minimum
    if field.maximum is not None:
        schema["maximum"] = field.maximum
    return schema


def _decimal(field: Field) -> dict[str, object]:
    """Digits of a precision and scale; zeros in front and behind do not count."""
    if field.precision is None:
        return {"type": "string", "pattern": r"^-?\d+(\.\d+)?$"}
    scale = field.scale or 0
    whole = field.precision - scale
    digits = rf"0*\d{{1,{whole}}}" if whole > 0 else "0+"
    fraction = rf"\d{{1,{scale}}}0*" if scale else "0+"
    return {"type": "string", "pattern": rf"^-?{digits}(\.{fraction})?$"}


def _text(pattern: str) -> Callable[[Field], dict[str, object]]:
    return lambda _field: {"type": "string", "pattern": pattern}


def _format(name: str) -> Callable[[Field], dict[str, object]]:
    return lambda _field: {"type": "string", "format": name}


def _array(field: Field) -> dict[str, object]:
    item = Field(name=field.name, type=field.items or FieldType.STR)
    return {"type": "array", "items": field_schema(item)}


_ANY: Final = ("object", "array", "string", "number", "boolean", "null")
_SAYING: Final = frozenset({"type", "anyOf", "enum", "const"})
_BELOW: Final = ("items", "additionalProperties")


def portable(schema: dict[str, object]) -> dict[str, object]:
    """The schema with every part that allows anything saying so.

    `{}` is valid, but some clients drop a tool in whose schema a part has no type.
    """
    said = dict(schema) if _SAYING & schema.keys() else {**schema, "anyOf": [{"type": each} for each in _ANY]}
    properties = said.get("properties")
    if isinstance(properties, dict):
        said["properties"] = {name: portable(part) for name, part in properties.items()}
    choices = said.get("anyOf")
    if isinstance(choices, list):
        said["anyOf"] = [portable(part) for part in choices]
    for key in _BELOW:
        part = said.get(key)
        if isinstance(part, dict):
            said[key] = portable(part)
    return said


_SCHEMAS: Final[dict[FieldType, Callable[[Field], dict[str, object]]]] = {
    FieldType.STR: _str,
    FieldType.INT: _int,
    FieldType.BIGINT: _text(r"^-?\d+$"),
    FieldType.FLOAT: _float,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOL: lambda _field: {"type": "boolean"},
    FieldType.DATETIME: _format("date-time"),
    FieldType.DATE: _format("date"),
    FieldType.TIME: _text(r"^\d{2}:\d{2}:\d{2}(\.\d{1,6})?$"),
    FieldType.UUID: _format("uuid"),
    FieldType.JSON: lambda _field: {},
    FieldType.BYTES: lambda _field: {"type": "string", "contentEncoding": "base64", "pattern": _BASE64},
    FieldType.ENUM: lambda field: {"type": "string", "enum": list(field.values)},
    FieldType.ARRAY: _array,
}


def field_schema(field: Field) -> dict[str, object]:
    """The schema of one value of `field`, with description, default and example; null by `anyOf` where allowed."""
    schema = _SCHEMAS[field.type](field)
    if field.nullable and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if field.description:
        schema["description"] = field.description
    if field.default is not MISSING and not field.managed:
        schema["default"] = field.default
    if field.example is not MISSING:
        schema["examples"] = [field.example]
    return schema


def stored_schema(field: Field) -> dict[str, object]:
    """The schema of a value that is answered: its type without the limits of what may be given.

    A table that others write to, or wrote to before it was ours, may hold what passes no limit; a client that checks
    answers by their schema shall be able to read it.
    """
    schema = {**_STORED.get(field.type, _SCHEMAS[field.type](field))}
    if field.type is FieldType.ARRAY:
        schema["items"] = stored_schema(Field(name=field.name, type=field.items or FieldType.STR))
    if field.nullable and schema:
        schema = {"anyOf": [schema, {"type": "null"}]}
    if field.description:
        schema["description"] = field.description
    return schema


_STORED: Final[dict[FieldType, dict[str, object]]] = {
    FieldType.STR: {"type": "string"},
    FieldType.INT: {"type": "integer"},
    FieldType.FLOAT: {"anyOf": [{"type": "number"}, {"type": "string", "enum": ["NaN", "Infinity", "-Infinity"]}]},
    FieldType.DECIMAL: {"type": "string"},
}
