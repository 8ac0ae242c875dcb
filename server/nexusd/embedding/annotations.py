"""An annotated class in the words of the registry."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import types
import typing
from datetime import date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Final, Literal, Union, get_args, get_origin
from uuid import UUID

from nexusd.embedding.declared import to_wire
from nexusd.embedding.misuse import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

_TYPES: Final[Mapping[type, str]] = {
    str: "str",
    int: "int",
    float: "float",
    bool: "bool",
    Decimal: "decimal",
    datetime: "datetime",
    date: "date",
    time: "time",
    UUID: "uuid",
    dict: "json",
    bytes: "bytes",
}
_KNOWN: Final = f"known: {', '.join(sorted(kind.__name__ for kind in _TYPES))}, list[T], Literal, Enum, each | None"
_NOTHING: Final = object()


def declaration_of(cls: type) -> dict[str, object]:
    """What would stand in the registry for an annotated class: a field per annotation, in the class's order.

    Annotations of classes it inherits from count too. `Annotated[T, {…}]` adds field options of the registry.

    Raises:
        UsageError: an annotation or default that no field can have; the message names it.
    """
    if not isinstance(cls, type):
        raise UsageError(f"a model is a class with annotations, not {cls!r}; write @db.model without brackets")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except (NameError, TypeError) as error:
        raise UsageError(
            f"{cls.__name__}: an annotation cannot be resolved ({error}); what it names must stand at the top of the "
            "module and be imported when the program runs, not under TYPE_CHECKING alone"
        ) from error
    fields = {name: _field(cls, name, hint) for name, hint in hints.items() if not _is_class_variable(hint)}
    return {"fields": fields}


def _is_class_variable(hint: object) -> bool:
    return hint is ClassVar or get_origin(hint) is ClassVar


def _field(cls: type, name: str, hint: object) -> dict[str, object]:
    where = f"{cls.__name__}.{name}"
    bare, options = _without_options(hint, where)
    inner, nullable = _without_none(bare)
    words = _words(inner)
    if words is None:
        text = inspect.formatannotation(bare)
        raise UsageError(f"{where}: {text} is not a type that a field can have; {_KNOWN}")
    if nullable:
        words["nullable"] = True
    default = _default(cls, name)
    # Null is what a nullable field holds when it is left out; a default would say it twice.
    if default is not _NOTHING and not (default is None and nullable):
        words["default"] = to_wire(default, where)
    return words | options


def _without_options(hint: object, where: str) -> tuple[object, dict[str, object]]:
    """`Annotated[T, {…}]` as T and the options; other metadata is somebody else's."""
    if get_origin(hint) is not Annotated:
        return hint, {}
    bare, *metadata = get_args(hint)
    options: dict[str, object] = {}
    for item in metadata:
        if isinstance(item, dict):
            options |= {str(key): to_wire(value, f"{where}.{key}") for key, value in item.items()}
    return bare, options


def _without_none(hint: object) -> tuple[object, bool]:
    """`X | None` as X, and whether None was there."""
    if get_origin(hint) in (Union, types.UnionType):
        others = [each for each in get_args(hint) if each is not type(None)]
        if len(others) == 1:
            return others[0], True
    return hint, False


def _words(hint: object) -> dict[str, object] | None:
    """The type of a field and what belongs to it, or None."""
    if isinstance(hint, type) and hint in _TYPES:
        return {"type": _TYPES[hint]}
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is dict:
        return {"type": "json"}
    if origin is list and arguments[0] in _TYPES:
        return {"type": "array", "items": _TYPES[arguments[0]]}
    values: tuple[object, ...] = ()
    if origin is Literal:
        values = arguments
    elif isinstance(hint, enum.EnumType):
        members: Mapping[str, enum.Enum] = hint.__members__
        values = tuple(member.value for member in members.values())
    if values and all(type(value) is str for value in values):
        return {"type": "enum", "values": list(values)}
    return None


def _default(cls: type, name: str) -> object:
    """What stands behind `=`, in the class or one that it inherits from."""
    if dataclasses.is_dataclass(cls):
        for each in dataclasses.fields(cls):
            if each.name == name and each.default_factory is not dataclasses.MISSING:
                raise UsageError(f"{cls.__name__}.{name}: a field has a value as its default, not a function")
    for each_class in cls.__mro__:
        if name in vars(each_class):
            return vars(each_class)[name]
    return _NOTHING
