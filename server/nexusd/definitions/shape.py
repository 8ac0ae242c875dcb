"""Shapes: what is known of a value before it exists.

A shape says its JSON Schema (2020-12), checks and normalises a value, and answers which shape a path leads to. Inputs,
node params and node results all speak it, so one validation and one schema serve HTTP, MCP and CLI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.definitions.field_schema import field_schema, stored_schema
from nexusd.definitions.wire import check_value, normalise
from nexusd.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Field


class Shape(Protocol):
    """What a value may be."""

    def schema(self) -> dict[str, object]:
        """The JSON Schema of the value."""

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with `value`, each with its pointer below `pointer`."""

    def normalise(self, value: object) -> object:
        """The wire form of a value that passed `check`."""

    def at(self, step: str | int) -> Shape | None:
        """The shape one step below; None when there surely is no such step."""


@dataclass(frozen=True, slots=True)
class Anything:
    """Any JSON value."""

    def schema(self) -> dict[str, object]:
        """The schema that allows everything."""
        return {}

    def check(self, _value: object, _pointer: str) -> list[Fault]:
        """Nothing is wrong."""
        return []

    def normalise(self, value: object) -> object:
        """The value itself."""
        return value

    def at(self, _step: str | int) -> Shape:
        """Anything again."""
        return self


ANYTHING: Final = Anything()


@dataclass(frozen=True, slots=True)
class Scalar:
    """The value of a model field or of a declared input.

    Attributes:
        stored: it comes from the database, where others may have put what a caller could not.
    """

    field: Field
    stored: bool = False

    def schema(self) -> dict[str, object]:
        """The field's schema, null included if it may be null."""
        return stored_schema(self.field) if self.stored else field_schema(self.field)

    def check(self, value: object, pointer: str) -> list[Fault]:
        """The field's own rules."""
        return check_value(self.field, value, pointer)

    def normalise(self, value: object) -> object:
        """The field's canonical wire form."""
        return normalise(self.field, value)

    def at(self, step: str | int) -> Shape | None:
        """Below json is anything, below an array its items, below the rest nothing."""
        if self.field.type == "json":
            return ANYTHING
        if self.field.type == "array" and isinstance(step, int):
            return ANYTHING
        return None


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list whose items share a shape."""

    items: Shape
    max_items: int | None = None
    nullable: bool = False

    def schema(self) -> dict[str, object]:
        """An array schema."""
        schema: dict[str, object] = {"type": "array", "items": self.items.schema()}
        if self.max_items is not None:
            schema["maxItems"] = self.max_items
        return or_null(schema) if self.nullable else schema

    def check(self, value: object, pointer: str) -> list[Fault]:
        """Every item's faults."""
        if value is None and self.nullable:
            return []
        if not isinstance(value, list):
            return [Fault(pointer, "type", "must be a list")]
        if self.max_items is not None and len(value) > self.max_items:
            return [Fault(pointer, "too_long", f"must have at most {self.max_items} items")]
        return [fault for i, item in enumerate(value) for fault in self.items.check(item, f"{pointer}/{i}")]

    def normalise(self, value: object) -> object:
        """Each item normalised."""
        return [self.items.normalise(item) for item in value] if isinstance(value, list) else value

    def at(self, step: str | int) -> Shape | None:
        """An index leads to an item."""
        return self.items if isinstance(step, int) else None


@dataclass(frozen=True, slots=True)
class Record:
    """An object with known properties; `closed` refuses others."""

    properties: Mapping[str, Shape]
    required: frozenset[str] = frozenset()
    closed: bool = True
    nullable: bool = False
    description: str = field(default="", compare=False)

    def schema(self) -> dict[str, object]:
        """An object schema."""
        schema: dict[str, object] = {
            "type": "object",
            "properties": {name: shape.schema() for name, shape in self.properties.items()},
        }
        if self.required:
            schema["required"] = [name for name in self.properties if name in self.required]
        if self.closed:
            schema["additionalProperties"] = False
        if self.description:
            schema["description"] = self.description
        return or_null(schema) if self.nullable else schema

    def check(self, value: object, pointer: str) -> list[Fault]:
        """Missing, unknown and wrong properties together."""
        if value is None and self.nullable:
            return []
        if not isinstance(value, dict):
            return [Fault(pointer, "type", "must be an object")]
        faults = [
            Fault(f"{pointer}/{escape(name)}", "required", "is required")
            for name in self.properties
            if name in self.required and name not in value
        ]
        for name, item in value.items():
            shape = self.properties.get(name)
            if shape is not None:
                faults += shape.check(item, f"{pointer}/{escape(name)}")
            elif self.closed:
                faults.append(Fault(f"{pointer}/{escape(name)}", "unknown", "is not known here"))
        return faults

    def normalise(self, value: object) -> object:
        """Each property normalised."""
        if not isinstance(value, dict):
            return value
        shapes = self.properties
        return {name: shapes[name].normalise(item) if name in shapes else item for name, item in value.items()}

    def at(self, step: str | int) -> Shape | None:
        """A name leads to its property."""
        if not isinstance(step, str):
            return None
        shape = self.properties.get(step)
        return shape if shape is not None or self.closed else ANYTHING


@dataclass(frozen=True, slots=True)
class MapOf:
    """An object of any names, whose values share a shape."""

    values: Shape

    def schema(self) -> dict[str, object]:
        """An object schema without names."""
        return {"type": "object", "additionalProperties": self.values.schema()}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """Every value's faults."""
        if not isinstance(value, dict):
            return [Fault(pointer, "type", "must be an object")]
        return [fault for name, item in value.items() for fault in self.values.check(item, f"{pointer}/{escape(name)}")]

    def normalise(self, value: object) -> object:
        """Each value normalised."""
        return {name: self.values.normalise(item) for name, item in value.items()} if isinstance(value, dict) else value

    def at(self, step: str | int) -> Shape | None:
        """A name leads to a value."""
        return self.values if isinstance(step, str) else None


@dataclass(frozen=True, slots=True)
class OrNull:
    """A value that may be null: the result of a node that may be skipped."""

    shape: Shape

    def schema(self) -> dict[str, object]:
        """The schema, null allowed."""
        schema = self.shape.schema()
        return or_null(schema) if schema else schema

    def check(self, value: object, pointer: str) -> list[Fault]:
        """What is wrong with a value that is not null."""
        return [] if value is None else self.shape.check(value, pointer)

    def normalise(self, value: object) -> object:
        """The value's own form."""
        return None if value is None else self.shape.normalise(value)

    def at(self, step: str | int) -> Shape | None:
        """What the shape leads to; below null is null."""
        below = self.shape.at(step)
        return None if below is None else OrNull(below)


@dataclass(frozen=True, slots=True)
class AnyOf:
    """A value of one of several shapes, of which it is not known which; as a whole it may be anything.

    Attributes:
        shapes: of which none is an AnyOf itself.
    """

    shapes: tuple[Shape, ...]

    def schema(self) -> dict[str, object]:
        """The schema that allows everything."""
        return {}

    def check(self, _value: object, _pointer: str) -> list[Fault]:
        """Nothing is wrong for sure."""
        return []

    def normalise(self, value: object) -> object:
        """The value itself."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """What some of the shapes lead to; None when none does."""
        return any_of(found for shape in self.shapes if (found := shape.at(step)) is not None)


def any_of(shapes: Iterable[Shape]) -> Shape | None:
    """The shape of a value that has one of these; None of none."""
    found: list[Shape] = []
    for shape in shapes:
        for each in shape.shapes if isinstance(shape, AnyOf) else (shape,):
            if each == ANYTHING:
                return ANYTHING
            if not any(each is other for other in found):
                found.append(each)
    return AnyOf(tuple(found)) if len(found) > 1 else found[0] if found else None


def or_null(schema: dict[str, object]) -> dict[str, object]:
    """The schema, null allowed; `anyOf`, since some clients cannot read a list of types."""
    choices = schema["anyOf"] if schema.keys() == {"anyOf"} else [schema]
    return {"anyOf": [*choices, {"type": "null"}] if isinstance(choices, list) else choices}


def escape(name: str) -> str:
    """A name as a step of a JSON pointer (RFC 6901, section 3)."""
    return name.replace("~", "~0").replace("/", "~1")


def pointer_of(path: Iterable[str | int]) -> str:
    """A path as a JSON pointer (RFC 6901)."""
    return "".join(f"/{escape(str(step))}" for step in path)
