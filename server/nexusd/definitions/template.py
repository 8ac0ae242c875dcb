"""Templates: `{{ path | filter }}` in a string (docs/reference.md, section 4).

Parsed here; the planner decides what a path means.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.wire import read_json, write_json
from nexusd.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_INDEX: Final = re.compile(r"\[(\d{1,9})\]", re.ASCII)
_FILTER: Final = re.compile(r"\s*\|\s*([a-z]+)\s*", re.ASCII)
_OPEN: Final = "{{"
_CLOSE: Final = "}}"
MAX_STEPS: Final = 64
"""Steps of a path, its first name included: an input is as deep as the paths into it."""

MAX_LITERAL: Final = 4096
"""Characters that the literal of a `default` may have: where it ends is found by trying."""

_INTEGER: Final = re.compile(r"-?[0-9]{1,30}", re.ASCII)


class Undefined(Enum):
    """What a path gives that leads nowhere, and what a param is whose optional input was left out."""

    UNDEFINED = "undefined"


UNDEFINED: Final = Undefined.UNDEFINED


class TemplateSyntaxError(ValueError):
    """A template cannot be read; the message says where it stops making sense."""


def path_text(path: tuple[str | int, ...]) -> str:
    """A path as it is written: names behind points, indexes in brackets."""
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in path).lstrip(".")


@dataclass(frozen=True, slots=True)
class FilterCall:
    """One filter; `argument` is the literal of `default(...)`."""

    name: str
    argument: object = None


@dataclass(frozen=True, slots=True)
class Expression:
    """What stands between the braces: a path, its first step a name, and filters."""

    path: tuple[str | int, ...]
    filters: tuple[FilterCall, ...] = ()

    @property
    def text(self) -> str:
        """The path as it was written."""
        return path_text(self.path)

    @property
    def has_default(self) -> bool:
        """Whether an undefined path is no error."""
        return any(call.name == "default" for call in self.filters)


@dataclass(frozen=True, slots=True)
class Template:
    """A string with at least one expression; the literal pieces stand between them.

    `pieces` has one more item than `expressions`. A whole template is one expression with blanks around it at most.
    """

    source: str
    pieces: tuple[str, ...]
    expressions: tuple[Expression, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the template's value keeps its type."""
        return len(self.expressions) == 1 and not any(piece.strip() for piece in self.pieces)


def parse_template(text: str) -> Template | str:
    """A template, or plain text if there is no expression in it; `{{{{` stands for `{{`.

    Raises:
        TemplateSyntaxError: an expression cannot be read.
    """
    pieces: list[str] = []
    expressions: list[Expression] = []
    literal = ""
    position = 0
    while True:
        start = text.find(_OPEN, position)
        if start < 0:
            literal += text[position:]
            break
        literal += text[position:start]
        if text.startswith(_OPEN * 2, start):
            literal += _OPEN
            position = start + 4
            continue
        expression, position = _parse_expression(text, start + 2)
        pieces.append(literal)
        expressions.append(expression)
        literal = ""
    if not expressions:
        return literal
    return Template(text, (*pieces, literal), tuple(expressions))


def _parse_expression(text: str, position: int) -> tuple[Expression, int]:
    """Read from behind `{{` to behind `}}`."""
    path, position = _parse_path(text, _skip_blanks(text, position))
    filters: list[FilterCall] = []
    while True:
        match = _FILTER.match(text, position)
        if match is None:
            break
        call, position = _parse_filter(text, match)
        filters.append(call)
    position = _skip_blanks(text, position)
    if not text.startswith(_CLOSE, position):
        found = text[position : position + 12]
        message = f"expected }}}} before {found!r}" if found else "the closing }} is missing"
        raise TemplateSyntaxError(message)
    return Expression(path, tuple(filters)), position + 2


def _skip_blanks(text: str, position: int) -> int:
    while position < len(text) and text[position].isspace():
        position += 1
    return position


def _parse_path(text: str, position: int) -> tuple[tuple[str | int, ...], int]:
    match = _NAME.match(text, position)
    if match is None:
        message = "a template begins with a name, such as {{ email }}"
        raise TemplateSyntaxError(message)
    steps: list[str | int] = [match.group()]
    position = match.end()
    while True:
        if text.startswith(".", position):
            match = _NAME.match(text, position + 1)
            if match is None:
                message = "a name must follow the point"
                raise TemplateSyntaxError(message)
            steps.append(match.group())
        elif (match := _INDEX.match(text, position)) is not None:
            steps.append(int(match.group(1)))
        else:
            return tuple(steps), position
        if len(steps) > MAX_STEPS:
            message = f"a path has at most {MAX_STEPS} steps"
            raise TemplateSyntaxError(message)
        position = match.end()


def _parse_filter(text: str, match: re.Match[str]) -> tuple[FilterCall, int]:
    name, position = match.group(1), match.end()
    if name not in FILTERS and name != "default":
        message = f"there is no filter {name!r}; known: default, {', '.join(sorted(FILTERS))}"
        raise TemplateSyntaxError(message)
    if name != "default":
        return FilterCall(name), position
    if not text.startswith("(", position):
        message = "default needs a value: default('none')"
        raise TemplateSyntaxError(message)
    argument, position = _parse_literal(text, _skip_blanks(text, position + 1))
    position = _skip_blanks(text, position)
    if not text.startswith(")", position):
        message = "default takes one JSON literal"
        raise TemplateSyntaxError(message)
    return FilterCall(name, argument), position + 1


def _parse_literal(text: str, position: int) -> tuple[object, int]:
    """A JSON literal, or text in single quotes, up to the parenthesis that closes the call."""
    if text.startswith("'", position):
        end = text.find("'", position + 1)
        if end < 0:
            message = "the closing quote is missing"
            raise TemplateSyntaxError(message)
        return text[position + 1 : end], end + 1
    limit = position + MAX_LITERAL
    end = text.find(")", position, limit)
    while end >= 0:
        try:
            return msgspec.json.decode(text[position:end].encode()), end
        except (msgspec.DecodeError, UnicodeEncodeError, RecursionError):
            end = text.find(")", end + 1, limit)
    message = "default takes one JSON literal"
    raise TemplateSyntaxError(message)


def step_into(value: object, step: str | int) -> object:
    """One step of a path through wire values; UNDEFINED where it leads nowhere. Dicts and lists only, no attributes."""
    if isinstance(value, msgspec.Raw):
        value = read_json(bytes(value))
    if isinstance(step, str):
        return value.get(step, UNDEFINED) if isinstance(value, dict) else UNDEFINED
    return value[step] if isinstance(value, list) and step < len(value) else UNDEFINED


def as_text(value: object) -> str:
    """A scalar inside a longer text.

    Raises:
        InvalidInput: null, a list or an object, which only `json` or `default` make text of.
    """
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, int | float):
        return write_json(value).decode()
    raise InvalidInput("null, a list or an object cannot stand inside a text; use the filter json or default")


def _text_of(value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput("the filter takes text")
    return value


def _to_int(value: object) -> int:
    if isinstance(value, str) and _INTEGER.fullmatch(value.strip()):
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float | Decimal) and value == int(value):
        return int(value)
    raise InvalidInput("the filter int takes a whole number")


def _length(value: object) -> int:
    if isinstance(value, msgspec.Raw):
        value = read_json(bytes(value))
    if isinstance(value, str | list | dict):
        return len(value)
    raise InvalidInput("the filter length takes text, a list or an object")


FILTERS: Final[Mapping[str, Callable[[object], object]]] = {
    "int": _to_int,
    "str": as_text,
    "lower": lambda value: _text_of(value).lower(),
    "upper": lambda value: _text_of(value).upper(),
    "trim": lambda value: _text_of(value).strip(),
    "json": lambda value: write_json(value).decode(),
    "length": _length,
}
"""The filters besides `default`, which is part of reading a path. Closed: there is no way to add one."""
