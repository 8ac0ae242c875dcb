"""The text of a CREATE TABLE as SQLite keeps it, cut into its definitions by tokens.

SQLite's pragmas show columns, keys and indexes, but neither CHECK constraints nor collations nor names of constraints.
These are read here from the tokens, without understanding expressions; https://www.sqlite.org/lang_createtable.html
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_TOKEN: Final = re.compile(
    r"""
    (?P<comment>--[^\n]*|/\*.*?(?:\*/|\Z))
    |(?P<space>\s+)
    |(?P<name>"(?:[^"]|"")*"|`(?:[^`]|``)*`|\[[^\]]*\])
    |(?P<literal>[xX]?'(?:[^']|'')*')
    |(?P<word>[\w$]+(?:\.\w+)?)
    |(?P<sign>\|\||<=|>=|<>|!=|==|<<|>>|->>?|.)
    """,
    re.VERBOSE | re.DOTALL,
)

_TABLE_CONSTRAINTS: Final = frozenset({"CONSTRAINT", "PRIMARY", "UNIQUE", "CHECK", "FOREIGN"})


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its text with names unquoted, and where it stands."""

    text: str
    kind: str
    start: int
    end: int

    @property
    def word(self) -> str:
        """The token in upper case if it is a bare word, else empty."""
        return self.text.upper() if self.kind == "word" else ""


@dataclass(frozen=True, slots=True)
class Definition:
    """What stands between two commas of a CREATE TABLE.

    Attributes:
        column: its name, or empty for a table constraint.
        text: as written.
    """

    column: str
    text: str
    tokens: Sequence[Token]


@dataclass(frozen=True, slots=True)
class Check:
    """A CHECK: its name, or empty, its expression with one blank between tokens, and the text as written."""

    name: str
    expression: str
    text: str


def tokens(sql: str) -> list[Token]:
    """All tokens but blanks and comments."""
    found: list[Token] = []
    for match in _TOKEN.finditer(sql):
        kind = match.lastgroup or ""
        if kind in {"comment", "space"}:
            continue
        text = _unquoted(match[0]) if kind == "name" else match[0]
        found.append(Token(text, kind, match.start(), match.end()))
    return found


def _unquoted(name: str) -> str:
    quote = name[0]
    return name[1:-1] if quote == "[" else name[1:-1].replace(quote * 2, quote)


def definitions(create_table: str) -> list[Definition]:
    """The columns and table constraints of a CREATE TABLE statement."""
    found: list[Definition] = []
    depth, current = 0, list[Token]()
    for token in tokens(create_table):
        if token.kind == "sign" and token.text == "(":
            depth += 1
            if depth == 1:
                continue
        elif token.kind == "sign" and token.text == ")":
            depth -= 1
            if depth == 0:
                break
        if depth == 1 and token.kind == "sign" and token.text == ",":
            found.append(_definition(create_table, current))
            current = []
        elif depth:
            current.append(token)
    if current:
        found.append(_definition(create_table, current))
    return found


def _definition(sql: str, parts: list[Token]) -> Definition:
    first = parts[0]
    column = "" if first.word in _TABLE_CONSTRAINTS else first.text
    return Definition(column, sql[first.start : parts[-1].end], parts)


def checks(definition: Definition) -> Iterator[Check]:
    """The CHECK constraints of a definition."""
    parts = definition.tokens
    for position, token in enumerate(parts):
        if token.word == "CHECK" and _depth(parts[:position]) == 0:
            named = position >= 2 and parts[position - 2].word == "CONSTRAINT"  # noqa: PLR2004 - as the line says
            inside = _bracketed(parts[position + 1 :])
            text = definition.text[inside[0].start - parts[0].start : inside[-1].end - parts[0].start]
            yield Check(parts[position - 1].text if named else "", _expression(inside), text)


def collation(definition: Definition) -> str:
    """The collation of a column, in lower case, or empty for SQLite's own."""
    parts = definition.tokens
    for position, token in enumerate(parts[:-1]):
        if token.word == "COLLATE" and _depth(parts[:position]) == 0:
            name = parts[position + 1].text.lower()
            return "" if name == "binary" else name
    return ""


def names(definition: Definition) -> Iterator[tuple[str, str]]:
    """The named constraints of a definition: the word that begins each, such as UNIQUE, and its name."""
    parts = definition.tokens
    for position, token in enumerate(parts[:-2]):
        if token.word == "CONSTRAINT" and _depth(parts[:position]) == 0:
            yield parts[position + 2].word, parts[position + 1].text


def without_not_null(definition: Definition) -> str:
    """The text of a column that may be null."""
    parts = definition.tokens
    for position, token in enumerate(parts[:-1]):
        if token.word == "NOT" and parts[position + 1].word == "NULL" and _depth(parts[:position]) == 0:
            named = position >= 2 and parts[position - 2].word == "CONSTRAINT"  # noqa: PLR2004 - as the line says
            begin = parts[position - 2 if named else position].start
            on_conflict = [each.word for each in parts[position + 2 : position + 4]] == ["ON", "CONFLICT"]
            end = parts[position + 4 if on_conflict else position + 1].end
            text, start = definition.text, parts[0].start
            return f"{text[: begin - start].rstrip()} {text[end - start :].lstrip()}".rstrip()
    return definition.text


def normalised(sql: str) -> str:
    """An expression with one blank between its tokens, names in lower case, outer brackets removed."""
    return _expression(tokens(sql))


def _depth(parts: Sequence[Token]) -> int:
    signs = [token.text for token in parts if token.kind == "sign"]
    return signs.count("(") - signs.count(")")


def _bracketed(parts: Sequence[Token]) -> Sequence[Token]:
    """What stands in the brackets that `parts` begins with."""
    depth = 0
    for position, token in enumerate(parts):
        sign = token.text if token.kind == "sign" else ""
        depth += (sign == "(") - (sign == ")")
        if depth == 0:
            return parts[1:position]
    return parts[1:]


def _expression(parts: Sequence[Token]) -> str:
    texts = [token.text.lower() if token.kind in {"word", "name"} else token.text for token in parts]
    return " ".join(_unwrapped(texts))


def _unwrapped(inside: list[str]) -> list[str]:
    while len(inside) > 2 and inside[0] == "(" and inside[-1] == ")" and _is_one_group(inside):  # noqa: PLR2004 - as the line says
        inside = inside[1:-1]
    return inside


def _is_one_group(inside: list[str]) -> bool:
    depth = 0
    for position, text in enumerate(inside):
        depth += (text == "(") - (text == ")")
        if depth == 0:
            return position == len(inside) - 1
    return False
