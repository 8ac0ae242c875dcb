"""Annotations of Python in the words of the registry: of a model's class, and of a function's params and result."""

from __future__ import annotations

import base64
import dataclasses
import enum
import inspect
import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Annotated, Any, Final, Literal, TypeAlias, Union, get_args, get_origin
from uuid import UUID

from nexusd.definitions.content import BLOCKS, Block, BlockShape
from nexusd.definitions.model import MISSING, Field, FieldType
from nexusd.definitions.plain import from_wire
from nexusd.definitions.shape import ANYTHING, ListOf, MapOf, OrNull, Record, Scalar, Shape

_TYPES: Final[Mapping[type, FieldType]] = {
    str: FieldType.STR,
    int: FieldType.INT,
    float: FieldType.FLOAT,
    bool: FieldType.BOOL,
    Decimal: FieldType.DECIMAL,
    datetime: FieldType.DATETIME,
    date: FieldType.DATE,
    time: FieldType.TIME,
    UUID: FieldType.UUID,
    dict: FieldType.JSON,
    bytes: FieldType.BYTES,
}
KNOWN: Final = f"known: {', '.join(sorted(kind.__name__ for kind in _TYPES))}, list[T], Literal, Enum, each | None"

Read: TypeAlias = Callable[[object], object]
"""Makes a Python value of a wire value that fits the shape."""


class UnknownAnnotation(ValueError):
    """An annotation that no value of JSON can have; the message names it."""


@dataclass(frozen=True, slots=True)
class Typed:
    """What an annotation says: which wire values there may be, and what Python makes of each."""

    shape: Shape
    read: Read


_ANYTHING: Final = Typed(ANYTHING, from_wire)


def without_none(hint: object) -> tuple[object, bool]:
    """`X | None` as X, and whether None was there."""
    if get_origin(hint) in (Union, types.UnionType):
        others = [each for each in get_args(hint) if each is not type(None)]
        if len(others) == 1:
            return others[0], True
    return hint, False


def field_words(hint: object) -> dict[str, object] | None:
    """The type of a field and what belongs to it, as the registry says it; None where there is no such type."""
    if isinstance(hint, type) and hint in _TYPES:
        return {"type": _TYPES[hint].value}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        return {"type": "json"}
    if origin is list and arguments[0] in _TYPES:
        return {"type": "array", "items": _TYPES[arguments[0]].value}
    values: tuple[object, ...] = ()
    if origin is Literal:
        values = arguments
    elif isinstance(hint, enum.EnumType):
        members: Mapping[str, enum.Enum] = hint.__members__
        values = tuple(member.value for member in members.values())
    if values and all(type(value) is str for value in values):
        return {"type": "enum", "values": list(values)}
    return None


def typed(hint: object, name: str, default: object = MISSING) -> Typed:
    """What an annotation of a function says; `name` and `default` (a wire value) are those of the param.

    Raises:
        UnknownAnnotation: it says nothing that can be checked.
    """
    if get_origin(hint) is Annotated:
        hint = get_args(hint)[0]
    inner, nullable = without_none(hint)
    found = _typed(inner, name, default)
    return _or_none(found) if nullable else found


def _typed(hint: object, name: str, default: object) -> Typed:
    if hint in (Any, object, None, type(None), inspect.Parameter.empty):
        return _ANYTHING
    collection = _collection(hint, name)
    if collection is not None:
        return collection
    words = field_words(hint)
    if words is not None:
        return _scalar(hint, words, name, default)
    if _is_block(hint):
        return Typed(BlockShape(), from_wire)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return _dataclass(hint)
    if typing.is_typeddict(hint):
        return _typed_dict(hint)
    raise UnknownAnnotation(f"{inspect.formatannotation(hint)} is not a type that JSON values can have; {KNOWN}")


def _collection(hint: object, name: str) -> Typed | None:
    """A list or an object whose values share a type."""
    origin, arguments = get_origin(hint), get_args(hint)
    items = typed(arguments[-1], name) if origin in (list, dict, Mapping) else _ANYTHING
    if list in (hint, origin):
        return _list_of(items)
    return _map_of(items) if hint is dict or origin in (dict, Mapping) else None


def _is_block(hint: object) -> bool:
    """One of the blocks, or a union of them."""
    each = get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
    return all(block in (*BLOCKS, Block) for block in each)


def _or_none(found: Typed) -> Typed:
    read, shape = found.read, found.shape
    if isinstance(shape, Scalar):
        nullable: Shape = Scalar(replace(shape.field, nullable=True))
    elif isinstance(shape, Record | ListOf):
        nullable = replace(shape, nullable=True)
    else:
        nullable = OrNull(shape)
    return Typed(nullable, lambda value: None if value is None else read(value))


def _list_of(items: Typed) -> Typed:
    read = items.read
    return Typed(ListOf(items.shape), lambda value: [read(item) for item in _list(value)])


def _map_of(values: Typed) -> Typed:
    read = values.read
    return Typed(MapOf(values.shape), lambda value: {key: read(item) for key, item in _dict(value).items()})


def _scalar(hint: object, words: Mapping[str, object], name: str, default: object) -> Typed:
    kind = FieldType(str(words["type"]))
    values = words.get("values")
    known = tuple(str(value) for value in values) if isinstance(values, list) else ()
    shape = Scalar(Field(name=name, type=kind, values=known, default=default))
    if isinstance(hint, enum.EnumType):
        return Typed(shape, hint)
    return Typed(shape, _READS.get(kind, _same))


def _dataclass(hint: type) -> Typed:
    fields = [each for each in dataclasses.fields(hint) if each.init]
    hints = typing.get_type_hints(hint, include_extras=True)
    parts = {each.name: typed(hints[each.name], each.name) for each in fields}
    nothing = dataclasses.MISSING
    required = [each.name for each in fields if each.default is nothing and each.default_factory is nothing]
    return _object(parts, frozenset(required), lambda values: hint(**values))


def _typed_dict(hint: Any) -> Typed:  # noqa: ANN401 - its attributes have no type of their own
    parts = {name: typed(each, name) for name, each in typing.get_type_hints(hint).items()}
    # The class itself does not see NotRequired where annotations are postponed.
    marks = {name: get_origin(each) for name, each in typing.get_type_hints(hint, include_extras=True).items()}
    listed = {name for name in hint.__required_keys__ if marks[name] is not typing.NotRequired}
    required = listed | {name for name, mark in marks.items() if mark is typing.Required}
    return _object(parts, frozenset(required), lambda values: values)


def _object(parts: Mapping[str, Typed], required: frozenset[str], make: Callable[[dict[str, object]], object]) -> Typed:
    shape = Record({name: part.shape for name, part in parts.items()}, required)
    return Typed(shape, lambda value: make({name: parts[name].read(item) for name, item in _dict(value).items()}))


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _dict(value: object) -> dict[str, object]:
    return value if isinstance(value, dict) else {}


def _same(value: object) -> object:
    return value


_READS: Final[Mapping[FieldType, Read]] = {
    FieldType.DECIMAL: lambda value: Decimal(str(value)),
    FieldType.DATETIME: lambda value: datetime.fromisoformat(str(value)),
    FieldType.DATE: lambda value: date.fromisoformat(str(value)),
    FieldType.TIME: lambda value: time.fromisoformat(str(value)),
    FieldType.UUID: lambda value: UUID(str(value)),
    FieldType.BYTES: lambda value: base64.b64decode(str(value)),
}
