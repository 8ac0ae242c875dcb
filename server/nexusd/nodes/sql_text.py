"""The SQL of a SqlNode, read just far enough to find its parameters, its first word and its end.

PostgreSQL's lexical rules (postgresql.org/docs/current/sql-syntax-lexical.html) for both databases: what stands in
strings, quoted names, dollar quotes and comments is left alone, and so is `::type`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

READS: Final = frozenset({"select", "with", "values", "table"})
WRITES: Final = frozenset({"insert", "update", "delete", "merge", "replace"})
_NAMING: Final = frozenset({"from", "join", "into", "update", "table", "using"})
_BEHIND_NAMES: Final = frozenset(
    {"select", "where", "set", "on", "group", "order", "having", "limit", "values", "returning", "window", "when"}
)
"""Words before and behind the names of tables."""

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>\s+|--[^\n]*)
    |(?P<comment>/\*)
    |(?P<dollar>\$(?:[A-Za-z_][A-Za-z0-9_]*)?\$)
    |(?P<text>[eE]'(?:[^'\\]|\\.|'')*' | [bBxXnN]?'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*")
    |(?P<cast>::|:=)
    |:(?P<param>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<foreign>[$@?]\d+|@[A-Za-z_]\w*)
    |(?P<word>[A-Za-z_\x80-\U0010ffff][\w$]*|\d[\w.]*)
    |(?P<end>;)
    |(?P<sign>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_COMMENT_EDGE: Final = re.compile(r"/\*|\*/")


class SqlProblem(ValueError):
    """SQL that no SqlNode can have; the message says why."""


@dataclass(frozen=True, slots=True)
class SqlText:
    """One statement, read.

    Attributes:
        pieces: what stands between the parameters, one more than there are places.
        places: the parameter of each place, by name.
        words: every word outside of strings and comments in lower case, and every quoted name.
    """

    pieces: tuple[str, ...]
    places: tuple[str, ...]
    words: tuple[str, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The parameters, as they first appear."""
        return tuple(dict.fromkeys(self.places))

    @property
    def tables(self) -> Iterator[str]:
        """The words that stand where tables are named, and some that do not."""
        named = False
        for word in self.words:
            if word.lower() in _NAMING:
                named = True
            elif word.lower() in _BEHIND_NAMES:
                named = False
            elif named:
                yield word

    @property
    def writes(self) -> bool:
        """Whether it surely changes rows."""
        if self.words[0] != "with":
            return self.words[0] in WRITES
        pairs = set(zip(self.words, self.words[1:], strict=False))
        return bool(pairs & {("insert", "into"), ("delete", "from"), ("merge", "into")})

    def numbered(self) -> str:
        """The statement with a number for each parameter, `$1` and so on; it takes `names`."""
        numbers = {name: f"${i}" for i, name in enumerate(self.names, 1)}
        marks = [numbers[name] for name in self.places]
        return "".join(piece + mark for piece, mark in zip(self.pieces, (*marks, ""), strict=True))

    def marked(self) -> str:
        """The statement with a `?` at each place of a parameter; it takes `places`."""
        return "?".join(self.pieces)


def read_sql(text: str) -> SqlText:
    """Read one statement.

    Raises:
        SqlProblem: it is none, or several, or one that a SqlNode does not run.
    """
    pieces: list[str] = [""]
    places: list[str] = []
    words: list[str] = []
    ended = False
    for kind, token in _tokens(text):
        if kind == "end":
            ended = True
            continue
        if kind == "blank":
            pieces[-1] += token if "\n" in token or token.isspace() else ""
            continue
        if ended:
            raise SqlProblem("a SqlNode runs one statement; the second begins behind the first ;")
        if kind == "foreign":
            raise SqlProblem(f"a parameter is written :name, not {token}")
        if kind == "param":
            places.append(token)
            pieces.append("")
            continue
        pieces[-1] += token
        if kind in {"word", "name"}:
            words.append(token.lower() if kind == "word" else token[1:-1].replace('""', '"'))
    if not words:
        raise SqlProblem("there is no statement")
    if words[0] not in READS | WRITES:
        known = ", ".join(word.upper() for word in sorted(READS | WRITES))
        raise SqlProblem(f"a SqlNode runs statements that begin with {known}; tables are changed by migrations")
    return SqlText(tuple(pieces), tuple(places), tuple(words))


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise SqlProblem("there is a character that SQL does not have")
        kind = match.lastgroup or "sign"
        end = match.end()
        if kind == "comment":
            kind, end = "blank", _comment_end(text, end)
        elif kind == "dollar":
            kind, end = "text", text.find(match[0], end) + len(match[0])
            if end < match.end() + len(match[0]):
                raise SqlProblem(f"the text that begins with {match[0]} has no end")
        elif kind == "sign" and match[0] in "'\"":
            raise SqlProblem("a quote has no end")
        yield kind, match[kind] if kind == "param" else text[position:end]
        position = end


def _comment_end(text: str, position: int) -> int:
    """Comments stand inside of each other."""
    depth = 1
    while depth:
        edge = _COMMENT_EDGE.search(text, position)
        if edge is None:
            raise SqlProblem("a comment has no end")
        depth += 1 if edge[0] == "/*" else -1
        position = edge.end()
    return position
