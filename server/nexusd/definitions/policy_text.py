"""A row policy as the registry writes it: an expression over fields and claims.

`owner_id = {{claims.sub}} or (public = true and state in ['open', 'done'])`. Read into the filter language, with a
`Claim` in the place of a value that each caller brings.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import FieldType, compared
from nexusd.definitions.policy import EVERY, NO_ONE, Claim
from nexusd.definitions.wire import array_item, check_value, normalise
from nexusd.documents import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from nexusd.definitions.model import Field
    from nexusd.definitions.policy import FilterTree


class PolicySyntax(Exception):
    """The expression cannot be read; the text says where and why."""


_TOKEN: Final = re.compile(
    r"""\s*(?:
        \{\{\s*claims\.(?P<claim>[A-Za-z_][\w-]*(?:\.[A-Za-z_][\w-]*)*)\s*\}\}
      | (?P<text>'(?:[^']|'')*')
      | (?P<number>-?\d+(?:\.\d+)?)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<sign><=|>=|<>|!=|==|[=<>()\[\],])
    )""",
    re.VERBOSE | re.ASCII,
)
_COMPARED: Final[Mapping[str, str]] = {
    "=": "$eq", "==": "$eq", "!=": "$ne", "<>": "$ne", "<": "$lt", "<=": "$lte", ">": "$gt", ">=": "$gte",
}  # fmt: skip
_TURNED: Final[Mapping[str, str]] = {"$lt": "$gt", "$lte": "$gte", "$gt": "$lt", "$gte": "$lte"}
_WORDS: Final = frozenset({"and", "or", "not", "in", "is", "null", "true", "false"})
_UNSIZED: Final = frozenset({FieldType.BOOL, FieldType.ARRAY, FieldType.JSON})


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int

    @property
    def shown(self) -> str:
        """The token as a message names it."""
        return repr(self.text) if self.text else "the end"

    @property
    def word(self) -> str:
        """The keyword it is, in lower case; else its own text."""
        return self.text.lower() if self.kind == "word" and self.text.lower() in _WORDS else self.text


def read_policy(text: str, fields: Mapping[str, Field]) -> FilterTree:
    """The expression as a filter of a model with these fields.

    Raises:
        PolicySyntax: it cannot be read, or does not fit the fields.
    """
    return _Reader(list(_tokens(text)), fields).whole()


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None:
            rest = text[position:].strip()[:20]
            hint = "; a claim is written {{claims.name}}" if rest.startswith("{{") else ""
            raise PolicySyntax(f"it cannot be read from {rest!r} on{hint}")
        kind = match.lastgroup or ""
        yield _Token(kind, match[kind], match.start(kind))
        position = match.end()
    yield _Token("end", "", len(text))


class _Reader:
    """Reads by recursive descent; `or` binds least, then `and`, then `not`."""

    def __init__(self, tokens: list[_Token], fields: Mapping[str, Field]) -> None:
        self._tokens = tokens
        self._fields = fields
        self._next = 0

    def whole(self) -> FilterTree:
        """The whole text."""
        found = self._joined("or", "$or", lambda: self._joined("and", "$and", self._negated))
        if self._token.kind != "end":
            raise PolicySyntax(f"{self._token.text!r} was not expected here")
        return found

    @property
    def _token(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, *words: str) -> bool:
        if self._token.kind in {"word", "sign"} and self._token.word in words:
            self._next += 1
            return True
        return False

    def _expect(self, word: str) -> None:
        if not self._take(word):
            raise PolicySyntax(f"{word!r} was expected before {self._token.shown}")

    def _joined(self, word: str, connective: str, part: Callable[[], FilterTree]) -> FilterTree:
        parts = [part()]
        while self._take(word):
            parts.append(part())
        return parts[0] if len(parts) == 1 else {connective: parts}

    def _negated(self) -> FilterTree:
        if self._take("not"):
            return {"$not": self._negated()}
        if self._take("("):
            found = self._joined("or", "$or", lambda: self._joined("and", "$and", self._negated))
            self._expect(")")
            return found
        if self._tokens[min(self._next + 1, len(self._tokens) - 1)].word in {"", "and", "or", ")"}:
            if self._take("true"):
                return EVERY
            if self._take("false"):
                return NO_ONE
        return self._test()

    def _test(self) -> FilterTree:
        if self._token.kind == "word" and self._token.word not in _WORDS:
            return self._field_test(self._field())
        value = self._raw_value()
        if self._take("in"):
            field = self._field()
            if field.type is not FieldType.ARRAY or field.items is None:
                raise PolicySyntax(f"{field.name!r} is no array that something could be in")
            return {field.name: {"$has": self._checked(array_item(field), value)}}
        operator = self._comparison()
        field = self._field()
        return {field.name: {_TURNED.get(operator, operator): self._compared(field, operator, value)}}

    def _field_test(self, field: Field) -> FilterTree:
        if self._take("is"):
            negated = self._take("not")
            self._expect("null")
            return {field.name: {"$null": not negated}}
        if self._take("not"):
            self._expect("in")
            return _in_list(field, self._list(field), "$nin", "$ne", "$and")
        if self._take("in"):
            return _in_list(field, self._list(field), "$in", "$eq", "$or")
        operator = self._comparison()
        return {field.name: {operator: self._compared(field, operator, self._raw_value())}}

    def _field(self) -> Field:
        token = self._token
        if token.kind != "word" or token.word in _WORDS:
            raise PolicySyntax(f"a field was expected before {token.shown}")
        field = self._fields.get(token.text)
        if field is None:
            hint = did_you_mean(token.text, self._fields)
            raise PolicySyntax(f"the model has no field {token.text!r}{'; ' + hint if hint else ''}")
        self._next += 1
        return field

    def _comparison(self) -> str:
        operator = _COMPARED.get(self._token.text)
        if operator is None:
            raise PolicySyntax(f"a comparison was expected before {self._token.shown}")
        self._next += 1
        return operator

    def _compared(self, field: Field, operator: str, value: object) -> object:
        if field.type is FieldType.JSON or (field.type in _UNSIZED and operator not in {"$eq", "$ne"}):
            raise PolicySyntax(f"{field.name!r} is a {field.type.value} field, which cannot be compared so")
        if value is None:
            raise PolicySyntax("null is tested with `is null`")
        return self._checked(field, value)

    def _list(self, field: Field) -> list[object] | Claim:
        if field.type in {FieldType.JSON, FieldType.ARRAY}:
            raise PolicySyntax(f"{field.name!r} is a {field.type.value} field, which is in no list")
        if self._token.kind == "claim":
            claim = self._raw_value()
            assert isinstance(claim, Claim)  # noqa: S101 - the token's kind says so
            return claim
        self._expect("[")
        values = [self._checked(field, self._raw_value())]
        while self._take(","):
            values.append(self._checked(field, self._raw_value()))
        self._expect("]")
        return values

    def _raw_value(self) -> object:
        token = self._token
        self._next += 1
        if token.kind == "claim":
            return Claim(tuple(token.text.split(".")))
        if token.kind == "text":
            return token.text[1:-1].replace("''", "'")
        if token.kind == "number":
            return Decimal(token.text) if "." in token.text else int(token.text)
        if token.word in {"true", "false"}:
            return token.word == "true"
        if token.word == "null":
            return None
        raise PolicySyntax(f"a value was expected before {token.shown}")

    def _checked(self, field: Field, value: object) -> object:
        if isinstance(value, Claim):
            return value
        bare = compared(field)
        faults = check_value(bare, value, "")
        if faults:
            raise PolicySyntax(f"what {field.name!r} is compared with {faults[0].detail}")
        return normalise(bare, value)


def _in_list(field: Field, values: list[object] | Claim, listed: str, single: str, connective: str) -> FilterTree:
    """A test against a list; claims among its values are tests of their own."""
    if isinstance(values, Claim):
        return {field.name: {listed: values}}
    literals = [value for value in values if not isinstance(value, Claim)]
    parts: list[FilterTree] = [{field.name: {single: claim}} for claim in values if isinstance(claim, Claim)]
    if literals:
        parts.insert(0, {field.name: {listed: literals}})
    return parts[0] if len(parts) == 1 else {connective: parts}
