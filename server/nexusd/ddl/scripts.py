"""SQL files cut into statements, for either database, without understanding them."""

from __future__ import annotations

import re
from importlib import resources
from typing import Final

_PIECE: Final = re.compile(
    r"""
    (?P<line>--[^\n]*)
    |(?P<block>/\*)
    |(?P<dollar>\$(?:[A-Za-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$)
    |(?P<escaped>\b[eE]'(?:[^'\\]|''|\\.)*')
    |(?P<literal>'(?:[^']|'')*')
    |(?P<name>"(?:[^"]|"")*")
    |(?P<end>;)
    |(?P<word>[A-Za-z_\u0080-\uffff][\w$\u0080-\uffff]*)
    |(?P<other>.)
    """,
    re.VERBOSE | re.DOTALL,
)
_BLOCK: Final = re.compile(r"/\*|\*/")


def ledger_scripts(dialect: str, after: int) -> list[str]:
    """The scripts that make the daemon's own tables, those with numbers above `after`, in order."""
    folder = resources.files("nexusd.ddl").joinpath("ledger")
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(f".{dialect}.sql"))
    return [folder.joinpath(name).read_text("utf-8") for name in names if int(name[:4]) > after]


def split_statements(text: str, *, dollar_quotes: bool) -> list[str]:
    """The statements of a file, without their semicolons; comments stay inside, empty statements go.

    A CREATE TRIGGER of SQLite, whose body holds semicolons between BEGIN and END, is one statement.

    Args:
        text: the file.
        dollar_quotes: whether `$tag$ … $tag$` quotes, as in PostgreSQL.
    """
    statements: list[str] = []
    words: list[str] = []
    start = position = depth = 0
    has_code = False
    while position < len(text):
        match = _PIECE.match(text, position)
        if match is None:  # pragma: no cover - the last alternative takes anything
            break
        kind = match.lastgroup
        position = match.end()
        if kind == "block":
            position = _after_block(text, position)
        elif kind == "dollar" and dollar_quotes:
            closing = text.find(match[0], position)
            position = len(text) if closing < 0 else closing + len(match[0])
            has_code = True
        elif kind == "word":
            words.append(match[0].upper())
            depth = _depth(words, depth)
            has_code = True
        elif kind == "end" and depth == 0:
            if has_code:
                statements.append(text[start : match.start()].strip())
            start, words, has_code = position, [], False
        elif kind != "line" and not match[0].isspace():
            has_code = True
    if has_code:
        statements.append(text[start:].strip())
    return statements


def _after_block(text: str, position: int) -> int:
    """The end of a block comment; they nest in PostgreSQL, and SQLite's hold no other."""
    depth = 1
    while depth:
        match = _BLOCK.search(text, position)
        if match is None:
            return len(text)
        depth += 1 if match[0] == "/*" else -1
        position = match.end()
    return position


def _depth(words: list[str], depth: int) -> int:
    """How deep in BEGIN … END or CASE … END of a trigger, or of a function body in SQL, the last word stands."""
    if words[0] != "CREATE" or not {"TRIGGER", "FUNCTION", "PROCEDURE"} & set(words[:6]):
        return 0
    if words[-1] in {"BEGIN", "CASE"}:
        return depth + 1
    return max(0, depth - 1) if words[-1] == "END" else depth


def first_word(statement: str) -> str:
    """The keyword that a statement begins with, in upper case."""
    for match in _PIECE.finditer(statement):
        if match.lastgroup == "word":
            return match[0].upper()
        if match.lastgroup == "block":
            return first_word(statement[_after_block(statement, match.end()) :])
    return ""
