"""Conditions in the whole of CEL, beyond the subset of `condition.py` (github.com/google/cel-spec).

Only as much is read here as finds the paths: each is put behind a variable of its own, so that it means the same as
everywhere else, and the rest is left to a CEL compiler.
"""

from __future__ import annotations

import re
from typing import Final, TypeAlias

from nexusd.definitions.condition import MAX_LENGTH, Cel, ConditionSyntaxError, Reference, reference_to

_TOKEN: Final = re.compile(
    r"""
    (?P<blank>\s+|//[^\n]*)
    |(?P<string>[rRbB]{0,2}(?:\"{3}.*?\"{3}|'{3}.*?'{3}|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+\.\d+|\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_][A-Za-z0-9_]*)
    |(?P<sign>==|!=|<=|>=|&&|\|\||.)
    """,
    re.VERBOSE | re.ASCII | re.DOTALL,
)
_Token: TypeAlias = tuple[str, str]
_OPENING: Final = frozenset("([{")
_CLOSING: Final = frozenset(")]}")
_LOGICAL: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in", "&&", "||", "!"})
_ARITHMETIC: Final = frozenset("+-*/%")
_MACROS: Final = frozenset({"all", "exists", "exists_one", "existsOne", "filter", "map"})
_NO_PATHS: Final = frozenset(
    {"bool", "bytes", "double", "duration", "dyn", "false", "in", "int", "list", "map", "null", "null_type", "string",
     "timestamp", "true", "type", "uint"}
)  # fmt: skip
"""Words of the language, and the names of its types."""


def read_cel(text: str) -> Cel:
    """The condition with a variable for each path.

    Raises:
        ConditionSyntaxError: it is too long, goes through a list for each item of another, or gives neither true nor
            false, as far as that shows in its outermost operator.
    """
    if len(text) > MAX_LENGTH:
        message = f"a condition has at most {MAX_LENGTH} characters"
        raise ConditionSyntaxError(message)
    tokens = _tokens(text)
    if _is_no_boolean(tokens):
        message = "it gives neither true nor false"
        raise ConditionSyntaxError(message)
    return _Reader(tokens).read()


def _tokens(text: str) -> list[_Token]:
    """Kind and text of each token, blanks aside."""
    found = ((match.lastgroup or "", match[0]) for match in _TOKEN.finditer(text))
    return [(kind, token) for kind, token in found if kind != "blank"]


def _is_no_boolean(tokens: list[_Token]) -> bool:
    """Whether what they give surely is no boolean; of `a ? b : c` neither b nor c is."""
    signs = _outermost(tokens)
    asked = next((i for i, sign in signs if sign == "?"), None)
    if asked is not None:
        depth = 0
        for i, sign in signs:
            depth += (sign == "?") - (sign == ":")
            if i > asked and depth == 0:
                return _is_no_boolean(tokens[asked + 1 : i]) and _is_no_boolean(tokens[i + 1 :])
        return False
    found = {sign for _, sign in signs}
    if found & _LOGICAL:
        return False
    return bool(found & _ARITHMETIC) or [kind for kind, _ in tokens] in (["string"], ["number"])


def _outermost(tokens: list[_Token]) -> list[tuple[int, str]]:
    """The tokens that stand in no brackets, with their indexes; texts are no signs."""
    found: list[tuple[int, str]] = []
    depth = 0
    for i, (kind, token) in enumerate(tokens):
        depth += (token in _OPENING) - (token in _CLOSING)
        if depth == 0 and kind in {"sign", "name"}:
            found.append((i, token))
    return found


class _Reader:
    """Goes through the tokens once."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._bound = {
            self._token(i + 3)
            for i in range(len(self._tokens))
            if self._is_macro(i) and self._kind(i + 3) == "name" and self._token(i + 4) == ","
        }
        self._values: dict[Reference, str] = {}
        self._asked: dict[Reference, str] = {}

    def read(self) -> Cel:
        """Put variables in the place of paths."""
        parts: list[str] = []
        depth, inside = 0, -1
        i = 0
        while i < len(self._tokens):
            if self._is_macro(i):
                if inside >= 0:
                    message = "a condition goes through one list at a time"
                    raise ConditionSyntaxError(message)
                inside = depth
            sign = self._token(i)
            depth += (sign == "(") - (sign == ")")
            if sign == ")" and depth == inside:
                inside = -1
            taken, part = self._replaced(i)
            parts.append(part)
            i += taken
        asked = tuple((name, reference) for reference, name in self._asked.items())
        return Cel(" ".join(parts), tuple((name, reference) for reference, name in self._values.items()), asked)

    def _replaced(self, i: int) -> tuple[int, str]:
        """How many tokens stand here together, and what is put in their place."""
        if self._token(i) == "has" and self._token(i + 1) == "(":
            end, reference = self._path(i + 2)
            if reference is not None and self._token(end) == ")":
                return end + 1 - i, self._asked.setdefault(reference, f"_asked{len(self._asked)}")
        end, reference = self._path(i)
        if reference is None:
            return 1, self._tokens[i][1]
        return end - i, self._values.setdefault(reference, f"_value{len(self._values)}")

    def _path(self, i: int) -> tuple[int, Reference | None]:
        """A path that begins here, and where it ends."""
        name = self._token(i)
        follows = self._token(i - 1) if i else ""
        if self._kind(i) != "name" or name in _NO_PATHS or name in self._bound or follows == "." or self._calls(i):
            return i, None
        steps: list[str | int] = [name]
        i += 1
        while True:
            if self._token(i) == "." and self._kind(i + 1) == "name" and not self._calls(i + 1):
                steps.append(self._token(i + 1))
                i += 2
            elif self._token(i) == "[" and self._token(i + 1).isdecimal() and self._token(i + 2) == "]":
                steps.append(int(self._token(i + 1)))
                i += 3
            elif self._token(i) == "[" and self._is_plain_text(i + 1) and self._token(i + 2) == "]":
                steps.append(self._token(i + 1)[1:-1])
                i += 3
            else:
                return i, reference_to(steps)

    def _is_plain_text(self, i: int) -> bool:
        token = self._token(i)
        return self._kind(i) == "string" and token[0] in "'\"" and token[1:2] != token[0] and "\\" not in token

    def _calls(self, i: int) -> bool:
        return self._token(i + 1) == "("

    def _is_macro(self, i: int) -> bool:
        return self._token(i) == "." and self._token(i + 1) in _MACROS and self._token(i + 2) == "("

    def _kind(self, i: int) -> str:
        return self._tokens[i][0] if i < len(self._tokens) else ""

    def _token(self, i: int) -> str:
        return self._tokens[i][1] if i < len(self._tokens) else ""
