"""Conditions: a subset of CEL (the Common Expression Language) for `when` and the cases of a SwitchNode; see `cel.py`.

Paths, literals, lists, `== != < <= > >=`, `in`, `&& || !`, `has()`, `size()` and parentheses, with CEL's precedence.
Parsed here; the planner decides what a path means and compiles the tree.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.definitions.template import MAX_STEPS, path_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MAX_DEPTH: Final = 32
MAX_LENGTH: Final = 4096

_TOKEN: Final = re.compile(
    r"""\s*(?:
      (?P<number>(?:\d+\.\d+|\d+)(?:[eE][+-]?\d+)?)
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
    | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
    | (?P<sign>==|!=|<=|>=|&&|\|\||[<>!()\[\],.-])
    )""",
    re.VERBOSE | re.ASCII,
)
_ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", "'": "'", '"': '"'}
_WORDS: Final[dict[str, object]] = {"true": True, "false": False, "null": None}
_COMPARISONS: Final = ("==", "!=", "<", "<=", ">", ">=", "in")
_SHOWN: Final = 12
"""Characters of the condition that an error repeats."""


class ConditionSyntaxError(ValueError):
    """A condition cannot be read; the message says where it stops making sense."""


@dataclass(frozen=True, slots=True)
class Literal:
    """A number (int or Decimal), text, true, false or null."""

    value: object


@dataclass(frozen=True, slots=True)
class Reference:
    """A path; its first step is a name."""

    path: tuple[str | int, ...]

    @property
    def text(self) -> str:
        """The path as it was written."""
        return path_text(self.path)


def reference_to(steps: Sequence[str | int]) -> Reference:
    """A path of these steps.

    Raises:
        ConditionSyntaxError: there are too many.
    """
    if len(steps) > MAX_STEPS:
        message = f"a path has at most {MAX_STEPS} steps"
        raise ConditionSyntaxError(message)
    return Reference(tuple(steps))


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Has:
    """Whether a path leads somewhere."""

    reference: Reference


@dataclass(frozen=True, slots=True)
class Size:
    """How many characters, items or keys there are."""

    operand: Condition


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    operand: Condition


@dataclass(frozen=True, slots=True)
class Conjunction:
    """Parts joined by `&&`."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Disjunction:
    """Parts joined by `||`."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Comparison:
    """`left operator right`; the operator is `==`, `!=`, `<`, `<=`, `>`, `>=` or `in`."""

    operator: str
    left: Condition
    right: Condition


@dataclass(frozen=True, slots=True)
class Cel:
    """A condition beyond the subset, in CEL with a variable for each path.

    Attributes:
        values: variables and the paths whose values they hold.
        asked: variables and the paths of which they say whether they lead somewhere (`has`).
    """

    source: str
    values: tuple[tuple[str, Reference], ...]
    asked: tuple[tuple[str, Reference], ...]


Condition: TypeAlias = Literal | Reference | Items | Has | Size | Not | Conjunction | Disjunction | Comparison


def parse_condition(text: str) -> Condition:
    """The tree of a condition.

    Raises:
        ConditionSyntaxError: it cannot be read.
    """
    if len(text) > MAX_LENGTH:
        message = f"a condition has at most {MAX_LENGTH} characters"
        raise ConditionSyntaxError(message)
    reader = _Reader(_tokens(text))
    condition = reader.read()
    if reader.kind:
        message = f"expected the end, or && or ||, before {reader.token!r}"
        raise ConditionSyntaxError(message)
    return condition


def references(condition: Condition | Cel) -> Iterator[tuple[Reference, bool]]:
    """Every path of a condition, and whether it is only asked for (`has`)."""
    if isinstance(condition, Reference):
        yield condition, False
    elif isinstance(condition, Has):
        yield condition.reference, True
    elif isinstance(condition, Cel):
        yield from ((reference, False) for _, reference in condition.values)
        yield from ((reference, True) for _, reference in condition.asked)
    for part in _parts(condition):
        yield from references(part)


def _parts(condition: Condition | Cel) -> tuple[Condition, ...]:
    if isinstance(condition, Items):
        return condition.items
    if isinstance(condition, Conjunction | Disjunction):
        return condition.parts
    if isinstance(condition, Comparison):
        return (condition.left, condition.right)
    return (condition.operand,) if isinstance(condition, Size | Not) else ()


def _tokens(text: str) -> list[tuple[str, str]]:
    """Kind and text of every token."""
    tokens: list[tuple[str, str]] = []
    position, end = 0, len(text.rstrip())
    while position < end:
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            rest = text[position:].lstrip()[:_SHOWN]
            message = f"cannot be read from {rest!r} on"
            if rest.startswith("{{"):
                message = "a condition has no braces; write the path alone"
            elif rest.startswith("="):
                message = "equality is written =="
            raise ConditionSyntaxError(message)
        tokens.append((match.lastgroup, match.group(match.lastgroup)))
        position = match.end()
    return tokens


class _Reader:
    """Recursive descent, one method for each level of precedence."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self._tokens = tokens
        self._position = 0
        self._depth = 0

    @property
    def kind(self) -> str:
        """Of the next token; empty at the end."""
        return self._tokens[self._position][0] if self._position < len(self._tokens) else ""

    @property
    def token(self) -> str:
        """The next token."""
        return self._tokens[self._position][1] if self._position < len(self._tokens) else ""

    def read(self) -> Condition:
        """A whole condition: what may stand in parentheses."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            message = f"parentheses stand in each other at most {MAX_DEPTH} deep"
            raise ConditionSyntaxError(message)
        parts = [self._read_all()]
        while self._take("||"):
            parts.append(self._read_all())
        self._depth -= 1
        return parts[0] if len(parts) == 1 else Disjunction(tuple(parts))

    def _read_all(self) -> Condition:
        parts = [self._read_comparison()]
        while self._take("&&"):
            parts.append(self._read_comparison())
        return parts[0] if len(parts) == 1 else Conjunction(tuple(parts))

    def _read_comparison(self) -> Condition:
        left = self._read_unary()
        operator = self.token
        if self.kind not in ("sign", "name") or operator not in _COMPARISONS:
            return left
        self._position += 1
        comparison = Comparison(operator, left, self._read_unary())
        if self.kind in ("sign", "name") and self.token in _COMPARISONS:
            message = "comparisons cannot be chained; join them with &&"
            raise ConditionSyntaxError(message)
        return comparison

    def _read_unary(self) -> Condition:
        count = 0
        while self._take("!"):
            count += 1
        condition = self._read_primary()
        # Two have no effect but that the value must be a boolean; more would only make the tree deep.
        for _ in range(count if count <= 2 else 2 + count % 2):  # noqa: PLR2004 - the two of the comment
            condition = Not(condition)
        return condition

    def _read_primary(self) -> Condition:
        kind, token = self.kind, self.token
        if kind == "number":
            self._position += 1
            return Literal(_number(token))
        if kind == "string":
            self._position += 1
            return Literal(_unescaped(token[1:-1]))
        if kind == "name":
            return self._read_name()
        if self._take("("):
            condition = self.read()
            self._expect(")")
            return condition
        if self._take("["):
            return self._read_items()
        if self._take("-"):
            negated = self._read_primary() if self.kind == "number" else None
            if isinstance(negated, Literal) and isinstance(negated.value, int | Decimal):
                return Literal(-negated.value)
            message = "a number must follow the minus sign"
            raise ConditionSyntaxError(message)
        message = f"a value must stand before {token!r}" if kind else "a value is missing at the end"
        raise ConditionSyntaxError(message)

    def _read_items(self) -> Items:
        items: list[Condition] = []
        while not self._take("]"):
            if items:
                self._expect(",")
            items.append(self.read())
        return Items(tuple(items))

    def _read_name(self) -> Condition:
        name = self.token
        self._position += 1
        if name in _WORDS:
            return Literal(_WORDS[name])
        if not self._take("("):
            return self._read_path(name)
        if name == "has":
            return Has(self._read_argument_path())
        if name != "size":
            message = f"there is no function {name!r}; known: has, size"
            raise ConditionSyntaxError(message)
        operand = self.read()
        self._expect(")")
        return Size(operand)

    def _read_argument_path(self) -> Reference:
        name = self.token
        if self.kind != "name" or name in _WORDS:
            message = "has takes a path, such as has(inputs.email)"
            raise ConditionSyntaxError(message)
        self._position += 1
        reference = self._read_path(name)
        self._expect(")")
        return reference

    def _read_path(self, name: str) -> Reference:
        steps: list[str | int] = [name]
        while True:
            if self._take("."):
                if self.kind != "name":
                    message = "a name must follow the point"
                    raise ConditionSyntaxError(message)
                steps.append(self.token)
                self._position += 1
            elif self._take("["):
                steps.append(self._read_step())
                self._expect("]")
            else:
                return reference_to(steps)

    def _read_step(self) -> str | int:
        kind, token = self.kind, self.token
        self._position += 1
        if kind == "number" and token.isdecimal():
            return int(token)
        if kind == "string":
            return _unescaped(token[1:-1])
        message = "an index is a whole number or a name in quotes"
        raise ConditionSyntaxError(message)

    def _take(self, sign: str) -> bool:
        """Go past the next token if it is that sign."""
        if self.token == sign and self.kind == "sign":
            self._position += 1
            return True
        return False

    def _expect(self, sign: str) -> None:
        if not self._take(sign):
            message = f"expected {sign} before {self.token!r}" if self.kind else f"{sign} is missing at the end"
            raise ConditionSyntaxError(message)


def _number(token: str) -> int | Decimal:
    return int(token) if token.isdecimal() else Decimal(token)


def _unescaped(text: str) -> str:
    def char(match: re.Match[str]) -> str:
        code, letter = match.groups()
        if code is not None:
            return chr(int(code, 16))
        if letter not in _ESCAPES:
            message = f"there is no escape \\{letter} in a text"
            raise ConditionSyntaxError(message)
        return _ESCAPES[letter]

    return _ESCAPE.sub(char, text)
