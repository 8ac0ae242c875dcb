"""What a template gives, as far as that is known before any run."""

from __future__ import annotations

from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import MISSING, Field, FieldType
from nexusd.definitions.shape import ANYTHING, ListOf, MapOf, OrNull, Record, Scalar
from nexusd.definitions.template import FILTERS
from nexusd.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nexusd.definitions.shape import Shape
    from nexusd.definitions.template import FilterCall

ANY: Final = "any"
TEXT: Final = "text"
INTEGER: Final = "integer"
NUMBER: Final = "number"
BOOLEAN: Final = "boolean"
LIST: Final = "list"
OBJECT: Final = "object"
SCALAR: Final = "scalar"
"""Text, a number or a boolean: what can stand inside a longer text."""

_KINDS: Final = {
    FieldType.INT: INTEGER,
    FieldType.FLOAT: NUMBER,
    FieldType.BOOL: BOOLEAN,
    FieldType.ARRAY: LIST,
    FieldType.JSON: ANY,
}
"""The JSON form of a type; the types not named are text."""


@dataclass(frozen=True, slots=True)
class Plain:
    """A value of one of some JSON types, and nothing more known of it.

    Attributes:
        types: of JSON Schema.
        kind: what `kind_of` says of it.
    """

    types: tuple[str, ...]
    kind: str

    def schema(self) -> dict[str, object]:
        """The types; each a schema of its own, since some clients cannot read a list of types."""
        schemas: list[dict[str, object]] = [{"type": name} for name in self.types]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """Whether it is of one of the types."""
        fits = any(isinstance(value, _PYTHON[name]) for name in self.types)
        if isinstance(value, bool):
            fits = BOOLEAN in self.types
        return [] if fits else [Fault(pointer, "type", f"must be {_WORDS[self.kind]}")]

    def normalise(self, value: object) -> object:
        """The value itself."""
        return value

    def at(self, _step: str | int) -> Shape | None:
        """Nothing."""
        return None


_PYTHON: Final[Mapping[str, tuple[type, ...]]] = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float, Decimal),
    "boolean": (bool,),
}

SOME_TEXT: Final = Plain(("string",), TEXT)
WHOLE_NUMBER: Final = Plain(("integer",), INTEGER)
INSIDE_TEXT: Final = Plain(("string", "number", "boolean"), SCALAR)
_STR: Final = Scalar(Field(name="text", type=FieldType.STR))

_TAKES: Final[Mapping[str, tuple[frozenset[str], Shape | None]]] = {
    "int": (frozenset({TEXT, INTEGER, NUMBER, SCALAR}), INSIDE_TEXT),
    "str": (frozenset({TEXT, INTEGER, NUMBER, BOOLEAN, SCALAR}), INSIDE_TEXT),
    "lower": (frozenset({TEXT, SCALAR}), _STR),
    "upper": (frozenset({TEXT, SCALAR}), _STR),
    "trim": (frozenset({TEXT, SCALAR}), _STR),
    "json": (frozenset(), None),
    "length": (frozenset({TEXT, SCALAR, LIST, OBJECT}), None),
}
"""The kinds that a filter takes (none: every), and what an input that goes through it must be."""

_NUMERIC: Final = frozenset({"int", "length"})


class UnfitValue(ValueError):
    """A value can never be what the place where it goes takes; the message says why."""


def kind_of(shape: Shape) -> str:
    """The JSON form of values of a shape."""
    while isinstance(shape, OrNull):
        shape = shape.shape
    if isinstance(shape, Scalar):
        return _KINDS.get(shape.field.type, TEXT)
    if isinstance(shape, ListOf):
        return LIST
    if isinstance(shape, Record | MapOf):
        return OBJECT
    return shape.kind if isinstance(shape, Plain) else ANY


def filtered(shape: Shape, calls: Sequence[FilterCall]) -> Shape:
    """What comes out of filters when a value of this shape goes in.

    Raises:
        UnfitValue: a filter never takes what it is given.
    """
    for call in calls:
        if call.name == "default":
            # Either the value or the literal: more is known only where the literal is of the value's own shape.
            known = shape.shape if isinstance(shape, OrNull) else shape
            shape = ANYTHING if known.check(call.argument, "") else known
            continue
        takes, _ = _TAKES[call.name]
        kind = kind_of(shape)
        if takes and kind != ANY and kind not in takes:
            message = f"the filter {call.name} takes no {kind}"
            raise UnfitValue(message)
        shape = WHOLE_NUMBER if call.name in _NUMERIC else SOME_TEXT
    return shape


def check_defaults(calls: Sequence[FilterCall], fits: Callable[[object], Sequence[Fault]]) -> None:
    """Whether the literal of each `default` fits where it ends up, behind the filters that follow it.

    Raises:
        UnfitValue: one does not.
    """
    for i, call in enumerate(calls):
        if call.name != "default" or any(later.name == "default" for later in calls[i + 1 :]):
            continue
        value = call.argument
        try:
            for later in calls[i + 1 :]:
                value = FILTERS[later.name](value)
        except InvalidInput as error:
            message = f"the default does not fit: {error.detail}"
            raise UnfitValue(message) from error
        faults = fits(value)
        if faults:
            message = f"the default does not fit here: {faults[0].detail}"
            raise UnfitValue(message)


def taken_by_filters(calls: Sequence[FilterCall]) -> Shape | None:
    """What an input must be to go through filters; None where nothing is known."""
    for call in calls:
        if call.name == "default":
            continue
        _, shape = _TAKES[call.name]
        return None if shape is None else _as_given(shape, calls)
    return None


def _as_given(shape: Shape, calls: Sequence[FilterCall]) -> Shape:
    """The shape, null allowed where a default comes first."""
    return OrNull(shape) if calls[0].name == "default" else shape


def inside_text(calls: Sequence[FilterCall]) -> Shape | None:
    """What an input must be that ends up inside a text."""
    if all(call.name == "default" for call in calls):
        return OrNull(INSIDE_TEXT) if calls else INSIDE_TEXT
    return taken_by_filters(calls)


def around(shape: Shape, steps: Sequence[str | int]) -> Shape:
    """The shape of a value in which these steps lead to a value of `shape`."""
    if steps:
        shape = without_default(shape)
    for step in reversed(steps):
        # What one item is says nothing of the others.
        shape = ListOf(ANYTHING) if isinstance(step, int) else _object_with(step, shape)
    return shape


def without_default(shape: Shape) -> Shape:
    """The shape of a part of an input: where it is missing, no default takes its place."""
    if isinstance(shape, OrNull):
        return OrNull(without_default(shape.shape))
    return Scalar(replace(shape.field, default=MISSING), shape.stored) if isinstance(shape, Scalar) else shape


def _object_with(name: str, shape: Shape) -> Shape:
    return Record({name: shape}, frozenset({name}), closed=False)


def literal_shape(value: object) -> Shape:
    """The shape of a literal of the registry."""
    if isinstance(value, bool):
        return Plain(("boolean",), BOOLEAN)
    if isinstance(value, int):
        return WHOLE_NUMBER
    if isinstance(value, float):
        return Plain(("number",), NUMBER)
    return SOME_TEXT if isinstance(value, str) else ANYTHING


_WORDS: Final[Mapping[str, str]] = {
    TEXT: "text",
    INTEGER: "a whole number",
    NUMBER: "a number",
    BOOLEAN: "true or false",
    LIST: "a list",
    OBJECT: "an object",
    SCALAR: "text, a number or a boolean",
}


def in_words(shape: Shape) -> str:
    """A shape as a few words, such as `an int of at most 150`."""
    if isinstance(shape, OrNull):
        return in_words(shape.shape)
    if not isinstance(shape, Scalar):
        return _WORDS.get(kind_of(shape), "another value")
    field = shape.field
    if field.type is FieldType.ENUM:
        return _choice(field.values)
    article = "an" if field.type.value[0] in "aeiou" else "a"
    limits = _range(field.minimum, field.maximum) or _range(field.min_length, field.max_length, " characters")
    return f"{article} {field.type.value}{limits}"


def _range(least: object, most: object, unit: str = "") -> str:
    if least is None:
        return "" if most is None else f" of at most {most}{unit}"
    return f" of at least {least}{unit}" if most is None else f" of {least} to {most}{unit}"


def _choice(words: Sequence[str]) -> str:
    return " or ".join((", ".join(words[:-1]), words[-1])) if len(words) > 1 else words[0]
