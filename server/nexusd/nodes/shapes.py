"""Shapes of the params and results of a model's nodes that are more than fields and lists of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from nexusd.databases.filters import (
    MAX_LIST,
    MAX_PATTERN,
    MAX_TESTS,
    TEXT_OPERATORS,
    Connective,
    FilterReader,
    Operator,
    operators_of,
    unknown,
)
from nexusd.databases.keyset import MAX_SORT, UNSORTABLE, read_sort
from nexusd.definitions.field_schema import field_schema
from nexusd.definitions.model import Field, FieldType, compared
from nexusd.definitions.shape import ListOf, Record, Scalar, or_null
from nexusd.definitions.wire import array_item
from nexusd.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Model
    from nexusd.definitions.shape import Shape


def integer(name: str, minimum: int, maximum: int | None = None, description: str = "") -> Scalar:
    """The shape of a whole number in a range."""
    return Scalar(Field(name=name, type=FieldType.INT, minimum=minimum, maximum=maximum, description=description))


def flag(name: str, description: str = "") -> Scalar:
    """The shape of true or false."""
    return Scalar(Field(name=name, type=FieldType.BOOL, description=description))


def text(name: str, description: str = "", *, nullable: bool = False) -> Scalar:
    """The shape of a string."""
    return Scalar(Field(name=name, type=FieldType.STR, description=description, nullable=nullable))


def one_of(name: str, *values: str, description: str = "") -> Scalar:
    """The shape of one word out of a few."""
    return Scalar(Field(name=name, type=FieldType.ENUM, values=values, description=description))


def record_shape(model: Model, names: Iterable[str] | None = None, *, nullable: bool = False) -> Record:
    """A record of the model as it is answered: every column, or those named."""
    chosen = tuple(model.by_name) if names is None else tuple(names)
    properties: dict[str, Shape] = {name: Scalar(model.by_name[name], stored=True) for name in chosen}
    required = frozenset(name for name in chosen if model.by_name[name].read_scope is None)
    return Record(properties, required, nullable=nullable)


def fields_shape(model: Model, *, required: bool) -> Record:
    """The fields a caller may give; with `required` those a new record cannot do without must be there."""
    properties: dict[str, Shape] = {column.name: Scalar(column) for column in model.writable}
    needed = [column.name for column in model.writable if required and column.required_on_create]
    return Record(properties, frozenset(needed))


def unique_shape(model: Model) -> Record:
    """The fields that can identify a record."""
    names = [name for unique in model.unique_sets for name in unique]
    return Record({name: Scalar(compared(model.by_name[name])) for name in names})


class FilterShape:
    """A filter of a model."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._reader = FilterReader(model)

    @cached_property
    def _tests(self) -> Mapping[str, FieldTest]:
        return {column.name: FieldTest(column, self._reader) for column in self._model.columns}

    def schema(self) -> dict[str, object]:
        """An object of fields and connectives; nested filters are plain objects, since a schema cannot name itself."""
        properties: dict[str, object] = {name: test.schema() for name, test in self._tests.items()}
        several = {"type": "array", "items": {"type": "object"}}
        properties |= {Connective.AND: several, Connective.OR: several, Connective.NOT: {"type": "object"}}
        return {"type": "object", "properties": properties, "additionalProperties": False}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with the filter."""
        return self._reader.read(value, pointer)[1]

    def normalise(self, value: object) -> object:
        """The filter itself; its values are normalised where it is read."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """A field leads to its test, a connective to filters."""
        if step == Connective.NOT:
            return self
        if step in {Connective.AND, Connective.OR}:
            return ListOf(self, MAX_TESTS)
        return self._tests.get(step) if isinstance(step, str) else None


class FieldTest:
    """What stands at a field in a filter: a value, or an object of operators.

    Attributes:
        value: the shape of the value.
    """

    def __init__(self, column: Field, reader: FilterReader) -> None:
        self.value = Scalar(compared(column, nullable=True))  # null asks for records without a value
        self._column = column
        self._reader = reader

    def schema(self) -> dict[str, object]:
        """The value, or its operators with no more of the value's schema repeated in each than its type."""
        kind = field_schema(compared(self._column)).get("type")
        plain: dict[str, object] = {} if kind is None else {"type": kind}
        operands = {**_OPERANDS, **dict.fromkeys((Operator.EQ, Operator.NE), or_null(plain) if plain else {})}
        operators: dict[str, object] = {
            each.value: operands.get(each, plain) for each in operators_of(self._column.type)
        }
        tests = {"type": "object", "properties": operators, "additionalProperties": False, "minProperties": 1}
        if self._column.type is FieldType.JSON:
            return {"anyOf": [{"type": "null"}, tests]}
        return {"anyOf": [field_schema(self.value.field), tests]}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with the test."""
        return self._reader.faults_of(self._column, value, pointer)

    def normalise(self, value: object) -> object:
        """The test itself."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """An operator leads to what it takes."""
        if step not in operators_of(self._column.type):
            return None
        value = Scalar(compared(self._column))
        if step in {Operator.IN, Operator.NIN, Operator.BETWEEN}:
            return ListOf(value, MAX_LIST)
        if step in TEXT_OPERATORS:
            return text(self._column.name)
        if step == Operator.NULL:
            return flag(self._column.name)
        if step == Operator.HAS:
            return Scalar(array_item(self._column))
        return self.value if step in {Operator.EQ, Operator.NE} else value


_OPERANDS: Final[Mapping[Operator, Mapping[str, object]]] = {
    Operator.IN: {"type": "array", "maxItems": MAX_LIST},
    Operator.NIN: {"type": "array", "maxItems": MAX_LIST},
    Operator.BETWEEN: {"type": "array", "minItems": 2, "maxItems": 2},
    Operator.NULL: {"type": "boolean"},
    **{operator: {"type": "string", "maxLength": MAX_PATTERN} for operator in TEXT_OPERATORS},
}
"""What an operator takes, where that does not depend on the field."""


@dataclass(frozen=True)
class SortShape:
    """A sort: names of fields, each with `-` before it for descending order."""

    model: Model

    def schema(self) -> dict[str, object]:
        """An array of all that can be sorted by."""
        names = [column.name for column in self.model.columns if column.type not in UNSORTABLE]
        words = [word for name in names for word in (name, f"-{name}")]
        return {"type": "array", "items": {"type": "string", "enum": words}, "maxItems": MAX_SORT}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with the sort."""
        return read_sort(self.model, value, pointer)[1]

    def normalise(self, value: object) -> object:
        """The sort itself."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """An index leads to a word."""
        return text("sort") if isinstance(step, int) else None


@dataclass(frozen=True, slots=True)
class NamesShape:
    """A list of distinct names out of those known, such as the fields of a record.

    Attributes:
        what: what a name stands for, as in `there is no relation named …`.
        least: how many there must be.
    """

    what: str
    known: tuple[str, ...]
    least: int = 1

    def schema(self) -> dict[str, object]:
        """An array of the known names."""
        items = {"type": "string", "enum": list(self.known)}
        return {"type": "array", "items": items, "minItems": self.least, "uniqueItems": True}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with the list."""
        if not isinstance(value, list):
            return [Fault(pointer, "type", f"must be a list of {self.what} names")]
        if len(value) < self.least:
            return [Fault(pointer, "too_short", f"must have at least {self.least} {self.what} name")]
        faults = []
        for i, name in enumerate(value):
            if not isinstance(name, str):
                faults.append(Fault(f"{pointer}/{i}", "type", f"must be a {self.what} name"))
            elif name not in self.known:
                faults.append(Fault(f"{pointer}/{i}", "unknown", unknown(self.what, name, self.known)))
            elif name in value[:i]:
                faults.append(Fault(f"{pointer}/{i}", "not_allowed", "is named twice"))
        return faults

    def normalise(self, value: object) -> object:
        """The list itself."""
        return value

    def at(self, step: str | int) -> Shape | None:
        """An index leads to a name."""
        return text(self.what) if isinstance(step, int) else None
