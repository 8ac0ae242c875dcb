"""The filter language, read: a JSON object becomes a condition without values, and the values apart.

The condition is the shape by which a statement is kept; values never are part of it (docs/reference.md, section 5).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias, Union

from nexusd.definitions.model import Field, FieldType, compared
from nexusd.definitions.shape import escape
from nexusd.definitions.wire import array_item, check_value, normalise
from nexusd.documents import did_you_mean
from nexusd.errors import Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nexusd.definitions.model import Model

MAX_DEPTH: Final = 16
MAX_TESTS: Final = 200
MAX_LIST: Final = 10_000
MAX_PATTERN: Final = 4_096
"""Characters of a LIKE pattern; SQLite refuses very long ones, and matching them is slow on both."""


class Operator(StrEnum):
    """What a field can be tested for."""

    EQ = "$eq"
    NE = "$ne"
    GT = "$gt"
    GTE = "$gte"
    LT = "$lt"
    LTE = "$lte"
    IN = "$in"
    NIN = "$nin"
    NULL = "$null"
    BETWEEN = "$between"
    LIKE = "$like"
    ILIKE = "$ilike"
    CONTAINS = "$contains"
    ICONTAINS = "$icontains"
    STARTSWITH = "$startswith"
    ENDSWITH = "$endswith"
    HAS = "$has"


class Connective(StrEnum):
    """How conditions are joined."""

    AND = "$and"
    OR = "$or"
    NOT = "$not"


class Predicate(NamedTuple):
    """One field under one operator.

    Attributes:
        null: for `$null`, which takes no value, whether the field must be null.
    """

    field: str
    operator: Operator
    null: bool = False


class Group(NamedTuple):
    """Conditions joined; `$not` has one part."""

    connective: Connective
    parts: tuple[Condition, ...]


Condition: TypeAlias = Union[Predicate, Group]  # noqa: UP007 - evaluated, and Group is defined by it

ALL: Final = Group(Connective.AND, ())
"""The condition of an empty filter."""

NONE: Final = Group(Connective.OR, ())
"""The condition that no record meets."""


@dataclass(frozen=True, slots=True)
class Filter:
    """A filter that was read.

    Attributes:
        values: wire values in the order in which the tests need them (`$between` takes two).
    """

    condition: Condition = ALL
    values: tuple[object, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether it surely lets every record through, whatever the records hold."""
        return _truth(self.condition) is True


EVERYTHING: Final = Filter()

_EQUALITY: Final = frozenset({Operator.EQ, Operator.NE, Operator.IN, Operator.NIN, Operator.NULL})
_SIZE: Final = frozenset({Operator.GT, Operator.GTE, Operator.LT, Operator.LTE, Operator.BETWEEN})
TEXT_OPERATORS: Final = frozenset(
    {
        Operator.LIKE,
        Operator.ILIKE,
        Operator.CONTAINS,
        Operator.ICONTAINS,
        Operator.STARTSWITH,
        Operator.ENDSWITH,
    },
)
_PATTERNS: Final = frozenset({Operator.LIKE, Operator.ILIKE})
_LISTS: Final = frozenset({Operator.IN, Operator.NIN})

_OPERATORS: Final[dict[FieldType, frozenset[Operator]]] = {
    **dict.fromkeys(FieldType, _EQUALITY | _SIZE),
    FieldType.STR: _EQUALITY | _SIZE | TEXT_OPERATORS,
    FieldType.ENUM: _EQUALITY | _SIZE | TEXT_OPERATORS,
    FieldType.BOOL: _EQUALITY,
    FieldType.JSON: frozenset({Operator.NULL}),
    FieldType.ARRAY: frozenset({Operator.EQ, Operator.NE, Operator.NULL, Operator.HAS}),
}


def operators_of(kind: FieldType) -> list[Operator]:
    """The operators a field of this type takes, in the order of the documentation."""
    return [operator for operator in Operator if operator in _OPERATORS[kind]]


class FilterReader:
    """Reads filters of one model."""

    def __init__(self, model: Model) -> None:
        self.fields = model.by_name
        self.compared = {column.name: compared(column) for column in model.columns}

    def read(self, value: object, pointer: str) -> tuple[Filter, list[Fault]]:
        """Read a filter; with faults the filter must not be used."""
        reading = _Reading(self.fields, self.compared)
        condition = reading.group(value, pointer)
        return Filter(condition, tuple(reading.values)), reading.faults

    def faults_of(self, column: Field, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with what stands at one field of a filter."""
        reading = _Reading(self.fields, self.compared)
        reading.field(column, value, pointer)
        return reading.faults


@dataclass(slots=True)
class _Reading:
    """One filter being read: values and faults so far."""

    fields: Mapping[str, Field]
    compared: Mapping[str, Field]
    values: list[object] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    tests: int = 0

    def fault(self, pointer: str, code: str, detail: str) -> None:
        self.faults.append(Fault(pointer, code, detail))

    def group(self, value: object, pointer: str, depth: int = 0) -> Group:
        """An object: its keys ANDed."""
        parts: list[Condition] = []
        if not isinstance(value, dict):
            self.fault(pointer, "type", "must be an object")
        elif depth > MAX_DEPTH:
            self.fault(pointer, "too_long", f"is nested deeper than {MAX_DEPTH}")
        else:
            for key, item in value.items():
                parts += self.entry(key, item, f"{pointer}/{escape(str(key))}", depth)
        return Group(Connective.AND, tuple(parts))

    def entry(self, key: str, item: object, pointer: str, depth: int) -> list[Condition]:
        column = self.fields.get(key)
        if column is not None:
            return self.field(column, item, pointer)
        if key == Connective.NOT:
            return [Group(Connective.NOT, (self.group(item, pointer, depth + 1),))]
        if key in {Connective.AND, Connective.OR}:
            return [self.groups(Connective(key), item, pointer, depth)]
        what = "operator" if key.startswith("$") else "field"
        self.fault(pointer, "unknown", unknown(what, key, [*self.fields, *Connective]))
        return []

    def groups(self, connective: Connective, items: object, pointer: str, depth: int) -> Group:
        if not isinstance(items, list):
            self.fault(pointer, "type", "must be a list of filters")
            return ALL
        return Group(connective, tuple(self.group(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(items)))

    def field(self, column: Field, item: object, pointer: str) -> list[Condition]:
        if not isinstance(item, dict):
            return self.test(column, Operator.EQ, item, pointer)
        tests: list[Condition] = []
        for name, value in item.items():
            below = f"{pointer}/{escape(str(name))}"
            if name in _OPERATORS[column.type]:
                tests += self.test(column, Operator(name), value, below)
            else:
                self.fault(below, "unknown", _unknown_operator(name, column))
        if not item:
            self.fault(pointer, "required", "name an operator")
        return tests

    def test(self, column: Field, operator: Operator, value: object, pointer: str) -> list[Condition]:
        self.tests += 1
        if self.tests == MAX_TESTS + 1:
            self.fault(pointer, "too_long", f"a filter has at most {MAX_TESTS} conditions")
        if operator is Operator.NULL:
            if not isinstance(value, bool):
                self.fault(pointer, "type", "must be true or false")
            return [_nullness(column, null=value is True)]
        if operator in {Operator.EQ, Operator.NE} and value is None:
            return [_nullness(column, null=operator is Operator.EQ)]
        if column.type is FieldType.JSON:
            self.fault(pointer, "not_allowed", "json fields can be tested for null only")
        elif operator in _LISTS:
            items = self.list(column, value, pointer)
            if not items:
                return [ALL if operator is Operator.NIN else NONE]
            self.values.append(items)
        elif operator is Operator.BETWEEN:
            self.pair(column, value, pointer)
        elif operator in TEXT_OPERATORS:
            self.values.append(self.text(operator, value, pointer))
        else:
            tested = array_item(column) if operator is Operator.HAS else self.compared[column.name]
            self.values.append(self.value(tested, value, pointer))
        return [Predicate(column.name, operator)]

    def value(self, column: Field, value: object, pointer: str) -> object:
        faults = check_value(column, value, pointer)
        self.faults += faults
        return None if faults else normalise(column, value)

    def list(self, column: Field, items: object, pointer: str) -> list[object]:
        if not isinstance(items, list):
            self.fault(pointer, "type", "must be a list")
        elif len(items) > MAX_LIST:
            self.fault(pointer, "too_long", f"must have at most {MAX_LIST} items")
        else:
            tested = self.compared[column.name]
            return [self.value(tested, item, f"{pointer}/{i}") for i, item in enumerate(items)]
        return []

    def pair(self, column: Field, items: object, pointer: str) -> None:
        if isinstance(items, list) and len(items) == 2:  # noqa: PLR2004
            self.values += self.list(column, items, pointer)
        else:
            self.fault(pointer, "type", "must be a list of two values, the lower first")

    def text(self, operator: Operator, value: object, pointer: str) -> object:
        text = self.value(_TEXT, value, pointer)
        if not isinstance(text, str):
            return text
        if len(text) > MAX_PATTERN:
            self.fault(pointer, "too_long", f"must have at most {MAX_PATTERN} characters")
        if operator in _PATTERNS and (len(text) - len(text.rstrip("\\"))) % 2:
            self.fault(pointer, "pattern", "ends in a backslash that escapes nothing")
        return text


_TEXT: Final = Field(name="", type=FieldType.STR)


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """There is no such `what`, and which name is near: `there is no field named 'nme'; did you mean 'name'?`."""
    hint = did_you_mean(name, known)
    return f"there is no {what} named {name[:64]!r}{'; ' + hint if hint else ''}"


def _unknown_operator(name: str, column: Field) -> str:
    if name in set(Operator):
        return f"{name} does not apply to {column.type.value} fields"
    if not name.startswith("$"):
        return f"{name[:64]!r} is not an operator; operators start with $"
    return unknown("operator", name, Operator)


def fields_in(condition: Condition) -> Iterator[str]:
    """The fields that a condition tests."""
    if isinstance(condition, Predicate):
        yield condition.field
    else:
        for part in condition.parts:
            yield from fields_in(part)


def _nullness(column: Field, *, null: bool) -> Condition:
    if not column.nullable:
        return NONE if null else ALL
    return Predicate(column.name, Operator.NULL, null)


def _truth(condition: Condition) -> bool | None:
    """What the condition is for every record; None where that depends on the record."""
    if isinstance(condition, Predicate):
        return None
    parts = [_truth(part) for part in condition.parts]
    if condition.connective is Connective.NOT:
        return None if parts[0] is None else not parts[0]
    decisive = condition.connective is Connective.OR
    if decisive in parts:
        return decisive
    return None if None in parts else not decisive
