"""The whole of CEL, by the package of the extra `nexusd[cel]`; it is loaded when a condition needs it."""

from __future__ import annotations

import importlib
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol, cast

import msgspec

from nexusd.definitions.condition import ConditionSyntaxError
from nexusd.definitions.template import UNDEFINED

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.condition import Cel
    from nexusd.errors import InvalidInput
    from nexusd.planning.plan import Scope
    from nexusd.planning.render import Getter

MAX_ITEMS: Final = 1000
MAX_CHARACTERS: Final = 65_536
"""What one condition may look at: its macros take time and memory by the product of these, and nothing stops them."""

_FUNCTIONS: Final = frozenset(
    {"bytes", "contains", "double", "duration", "dyn", "endsWith", "getDate", "getDayOfMonth", "getDayOfWeek",
     "getDayOfYear", "getFullYear", "getHours", "getMilliseconds", "getMinutes", "getMonth", "getSeconds", "int",
     "matches", "size", "startsWith", "string", "timestamp", "type", "uint"}
)  # fmt: skip


class CelMissing(Exception):
    """The package that compiles CEL is not installed."""


class NotCel(Exception):
    """A text that is no condition in any way."""


class Program(Protocol):
    """A compiled condition."""

    def execute(self, context: Mapping[str, object]) -> object:
        """What it gives."""

    def functions(self) -> list[str]:
        """The functions and operators in it."""


def compile_cel(condition: Cel) -> Program:
    """Compile a condition.

    Raises:
        CelMissing: nothing can.
        NotCel: it is no CEL.
        ConditionSyntaxError: it calls what there is not.
    """
    try:
        package = importlib.import_module("cel")
    except ImportError as error:
        raise CelMissing from error
    try:
        program = cast("Program", package.compile(condition.source))
    except ValueError as error:
        # Its message repeats the condition with our variables in it.
        raise NotCel from error
    unknown = [name for name in program.functions() if name.isidentifier() and name not in _FUNCTIONS]
    if unknown:
        message = f"there is no function {unknown[0]!r}; known: {', '.join(sorted(_FUNCTIONS))}"
        raise ConditionSyntaxError(message)
    return program


def evaluator(
    program: Program, values: Mapping[str, Getter], asked: Mapping[str, Getter], refused: Callable[[str], InvalidInput]
) -> Callable[[Scope], bool]:
    """A function that says whether the condition holds."""

    def holds(scope: Scope) -> bool:
        budget = _Budget(refused)
        variables: dict[str, object] = {name: get(scope) is not UNDEFINED for name, get in asked.items()}
        for name, get in values.items():
            value = get(scope)
            # What is not there is not given, so that `has(a) && a > 1` does not ask for it.
            if value is not UNDEFINED:
                variables[name] = budget.take(value)
        try:
            found = program.execute(variables)
        except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:
            raise refused(
                _REASONS.get(type(error), "a path leads nowhere, or a function does not take what it is given")
            ) from error
        if not isinstance(found, bool):
            raise refused("it gives neither true nor false")
        return found

    return holds


_REASONS: Final[Mapping[type, str]] = {
    TypeError: "the types of its values do not go together",
    OverflowError: "a number is too large",
    ZeroDivisionError: "a number is divided by zero",
}


class _Budget:
    """Counts what a condition is given."""

    def __init__(self, refused: Callable[[str], InvalidInput]) -> None:
        self._refused = refused
        self._items = MAX_ITEMS
        self._characters = MAX_CHARACTERS

    def take(self, value: object) -> object:
        """The value as CEL takes it: decimals become doubles, JSON text becomes what it says."""
        if isinstance(value, msgspec.Raw):
            value = msgspec.json.decode(value)
        if isinstance(value, list | dict):
            self._items -= len(value)
        elif isinstance(value, str):
            self._characters -= len(value)
        if self._items < 0 or self._characters < 0:
            raise self._refused(f"it looks at {MAX_ITEMS} items and {MAX_CHARACTERS} characters at most")
        if isinstance(value, list):
            return [self.take(item) for item in value]
        if isinstance(value, dict):
            return {name: self.take(item) for name, item in value.items()}
        return float(value) if isinstance(value, Decimal) else value
