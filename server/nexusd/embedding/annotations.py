"""An annotated class in the words of the registry."""

from __future__ import annotations

import dataclasses
import inspect
import typing
from typing import Annotated, ClassVar, Final, get_args, get_origin

from nexusd.definitions.annotations import KNOWN, field_words, without_none
from nexusd.embedding.declared import to_wire
from nexusd.embedding.misuse import UsageError

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
    inner, nullable = without_none(bare)
    words = field_words(inner)
    if words is None:
        text = inspect.formatannotation(bare)
        raise UsageError(f"{where}: {text} is not a type that a field can have; {KNOWN}")
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
