"""Conditions, checked and compiled to closures (docs/reference.md, section 8).

Values of different types are never equal or less by chance: comparing them is an error, at load where the types are
known. Decimals and bigints, which travel as text, are compared as the numbers they are.
"""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.condition import (
    Cel,
    Comparison,
    Conjunction,
    Disjunction,
    Has,
    Items,
    Literal,
    Not,
    Reference,
    Size,
    references,
)
from nexusd.definitions.model import FieldType
from nexusd.definitions.shape import OrNull, Scalar
from nexusd.definitions.template import UNDEFINED
from nexusd.definitions.wire import read_json
from nexusd.errors import Fault, UnfitInput
from nexusd.planning.cel import compile_cel, evaluator
from nexusd.planning.render import path_getter
from nexusd.planning.values import ANY, BOOLEAN, INTEGER, LIST, NUMBER, OBJECT, SCALAR, TEXT, kind_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nexusd.definitions.condition import Condition
    from nexusd.definitions.shape import Shape
    from nexusd.planning.names import Names, Resolved
    from nexusd.planning.plan import Scope
    from nexusd.planning.render import Getter

_NULL: Final = "null"
_KINDS: Final[Mapping[type, str]] = {
    type(None): _NULL, bool: BOOLEAN, int: NUMBER, float: NUMBER, Decimal: NUMBER, str: TEXT, list: LIST,
    dict: OBJECT,
}  # fmt: skip


_NUMBERS: Final[Mapping[FieldType, type[Decimal | int]]] = {FieldType.DECIMAL: Decimal, FieldType.BIGINT: int}


class ConditionTypeError(ValueError):
    """A condition compares what cannot be compared."""


class ConditionCompiler:
    """Compiles the conditions of one node.

    Args:
        names: of the workflow.
        shape_of: what is known of the value a path leads to.
        where: the node, for errors.
    """

    def __init__(self, names: Names, shape_of: Callable[[Resolved], Shape], where: str) -> None:
        self._names = names
        self._shape_of = shape_of
        self._where = where

    def compile(self, condition: Condition | Cel) -> Callable[[Scope], bool]:
        """A function that says whether the condition holds.

        Raises:
            ConditionTypeError: it never can be true or false.
        """
        if isinstance(condition, Cel):
            return self._cel(condition)
        if self._kind(condition) not in {BOOLEAN, ANY}:
            message = f"the condition gives {self._kind(condition)}, not true or false"
            raise ConditionTypeError(message)
        return self._truth(condition)

    def _kind(self, condition: Condition) -> str:
        if isinstance(condition, Literal):
            return _KINDS[type(condition.value)]
        if isinstance(condition, Items):
            return LIST
        if isinstance(condition, Size):
            return NUMBER
        if not isinstance(condition, Reference):
            return BOOLEAN
        shape = self._shape_of(self._names.resolve(condition))
        if _number_in(shape) is not None:
            return NUMBER
        kind = kind_of(shape)
        return {INTEGER: NUMBER, SCALAR: ANY}.get(kind, kind)

    def _truth(self, condition: Condition) -> Callable[[Scope], bool]:
        kind = self._kind(condition)
        if kind not in {BOOLEAN, ANY}:
            message = f"{kind} stands where true or false must stand"
            raise ConditionTypeError(message)
        value = self._value(condition)

        def truth(scope: Scope) -> bool:
            found = value(scope)
            if not isinstance(found, bool):
                raise self._refused(f"{_kind_of_value(found)} stands where true or false must stand", condition)
            return found

        return truth

    def _value(self, condition: Condition) -> Getter:
        if isinstance(condition, Literal):
            literal = condition.value
            return lambda _scope: literal
        if isinstance(condition, Reference):
            return self._reference(condition)
        if isinstance(condition, Items):
            items = [self._value(item) for item in condition.items]
            return lambda scope: [item(scope) for item in items]
        if isinstance(condition, Size):
            return self._size(condition)
        return self._logic(condition)

    def _logic(self, condition: Has | Not | Comparison | Conjunction | Disjunction) -> Getter:
        """What gives true or false by itself."""
        if isinstance(condition, Has):
            found = path_getter(self._names.resolve(condition.reference), self._where)
            return lambda scope: found(scope) is not UNDEFINED
        if isinstance(condition, Not):
            negated = self._truth(condition.operand)
            return lambda scope: not negated(scope)
        if isinstance(condition, Comparison):
            return self._comparison(condition)
        parts = [self._truth(part) for part in condition.parts]
        return _all(parts) if isinstance(condition, Conjunction) else _any(parts)

    def _cel(self, condition: Cel) -> Callable[[Scope], bool]:
        values = {name: self._value_at(reference) for name, reference in condition.values}
        asked = {name: self._value_at(reference) for name, reference in condition.asked}
        return evaluator(compile_cel(condition), values, asked, lambda message: self._refused(message, condition))

    def _reference(self, reference: Reference) -> Getter:
        path, text = self._value_at(reference), reference.text

        def get(scope: Scope) -> object:
            value = path(scope)
            if value is UNDEFINED:
                raise self._refused(f"{text} is undefined; ask has({text}) first", reference)
            return value

        return get

    def _value_at(self, reference: Reference) -> Getter:
        """What a path leads to, UNDEFINED included; numbers that travel as text as numbers."""
        resolved = self._names.resolve(reference)
        path = path_getter(resolved, self._where)
        number = _number_in(self._shape_of(resolved))

        def get(scope: Scope) -> object:
            value = path(scope)
            if isinstance(value, msgspec.Raw):
                value = read_json(bytes(value))
            return number(value) if number is not None and isinstance(value, str) else value

        return get

    def _size(self, condition: Size) -> Getter:
        if self._kind(condition.operand) not in {TEXT, LIST, OBJECT, ANY}:
            message = f"size takes text, a list or an object, not {self._kind(condition.operand)}"
            raise ConditionTypeError(message)
        operand = self._value(condition.operand)

        def size(scope: Scope) -> object:
            value = operand(scope)
            if isinstance(value, str | list | dict):
                return len(value)
            message = f"size takes text, a list or an object, not {_kind_of_value(value)}"
            raise self._refused(message, condition)

        return size

    def _comparison(self, condition: Comparison) -> Getter:
        sign = condition.operator
        fault = _fault(sign, self._kind(condition.left), self._kind(condition.right))
        fault = fault or self._never(condition.left, condition.right) or self._never(condition.right, condition.left)
        if fault:
            raise ConditionTypeError(fault)
        left, right = self._value(condition.left), self._value(condition.right)

        def compare(scope: Scope) -> bool:
            first, second = left(scope), right(scope)
            fault = _fault(sign, _kind_of_value(first), _kind_of_value(second))
            if fault:
                raise self._refused(fault, condition)
            return _compared(sign, first, second)

        return compare

    def _never(self, path: Condition, literals: Condition) -> str:
        """Why a path to one of a few words never is one of the literals; empty where nothing is wrong."""
        if not isinstance(path, Reference):
            return ""
        words = _words_of(self._shape_of(self._names.resolve(path)))
        items = literals.items if isinstance(literals, Items) else (literals,)
        for item in items if words else ():
            if isinstance(item, Literal) and isinstance(item.value, str) and item.value not in words:
                return f"{path.text} is never {item.value!r}; it is {' or '.join(words)}"
        return ""

    def _refused(self, message: str, part: Condition | Cel) -> UnfitInput:
        """Why a part of a condition has no answer, with the inputs that the part reads."""
        pointers = dict.fromkeys(self._names.resolve(reference).pointer for reference, _ in references(part))
        faults = [Fault(pointer, "type", message) for pointer in pointers if pointer is not None]
        return UnfitInput(f"the condition of {self._where}: {message}", faults=faults)


def _fault(sign: str, left: str, right: str) -> str:
    """Why two kinds cannot be compared; empty where they can or nothing is known."""
    if sign == "in":
        return "" if right in {LIST, OBJECT, ANY} else f"in takes a list or an object, not {right}"
    if ANY in {left, right}:
        return ""
    if sign in {"==", "!="}:
        alike = left == right or _NULL in {left, right}
        return "" if alike else f"{left} and {right} are never equal"
    ordered = left == right and left in {NUMBER, TEXT}
    return "" if ordered else f"{left} {sign} {right} cannot be compared"


def _compared(sign: str, first: object, second: object) -> bool:
    if sign == "in" and isinstance(second, list):
        return any(_equal(first, item) for item in second)
    if sign == "in":
        return isinstance(second, dict) and isinstance(first, str) and first in second
    if sign == "==":
        return _equal(first, second)
    if sign == "!=":
        return not _equal(first, second)
    order = _order(_exact(first), _exact(second))
    return {"<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0}[sign]


def _order(first: object, second: object) -> int:
    """Below, at or above 0, as `first` is less than, equal to or greater than `second`."""
    if isinstance(first, str) and isinstance(second, str):
        return (first > second) - (first < second)
    if isinstance(first, int | Decimal) and isinstance(second, int | Decimal):
        return (first > second) - (first < second)
    return 0


def _equal(first: object, second: object) -> bool:
    return _kind_of_value(first) == _kind_of_value(second) and _exact(first) == _exact(second)


def _exact(value: object) -> object:
    # A float counts as the decimal it is written as: 0.1 equals the literal 0.1.
    return Decimal(repr(value)) if isinstance(value, float) else value


def _words_of(shape: Shape) -> tuple[str, ...]:
    """The words that an enum has; none for other shapes."""
    while isinstance(shape, OrNull):
        shape = shape.shape
    return shape.field.values if isinstance(shape, Scalar) and shape.field.type is FieldType.ENUM else ()


def _number_in(shape: Shape) -> type[Decimal | int] | None:
    """The number that a text of this shape is, if it is one."""
    while isinstance(shape, OrNull):
        shape = shape.shape
    return _NUMBERS.get(shape.field.type) if isinstance(shape, Scalar) else None


def _kind_of_value(value: object) -> str:
    return _KINDS.get(type(value), ANY)


def _all(parts: Iterable[Callable[[Scope], bool]]) -> Getter:
    return lambda scope: all(_each(parts, scope))


def _any(parts: Iterable[Callable[[Scope], bool]]) -> Getter:
    return lambda scope: any(_each(parts, scope))


def _each(parts: Iterable[Callable[[Scope], bool]], scope: Scope) -> Iterator[bool]:
    return (part(scope) for part in parts)
