"""YAML documents whose every key and value knows its place.

YAML 1.2 core schema (yaml.org/spec/1.2.2, section 10.3): `no`, `on` and dates are strings. Duplicate keys, several
documents, keys that are no strings and excessive aliases are problems. Nothing in a document can name a Python object.
"""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import yaml

from nexusd.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

DocumentPath: TypeAlias = tuple[str | int, ...]
"""A place in a document: keys and indexes from its root."""

MAX_BYTES: Final = 4 << 20
_MAX_NODES: Final = 200_000
"""Values one document may expand to, aliases included: a bound on alias bombs."""

_MAX_DEPTH: Final = 64

_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's parser where PyYAML was built with it: 1,000 lines in 19 ms."""

_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"true", "True", "TRUE"})
_FALSE: Final = frozenset({"false", "False", "FALSE"})
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+", re.ASCII)
_FLOAT: Final = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", re.ASCII)
_INFINITE: Final = re.compile(r"[-+]?\.(inf|Inf|INF)", re.ASCII)
_KNOWN_TAGS: Final = frozenset(
    f"tag:yaml.org,2002:{name}"
    for name in ("str", "int", "float", "bool", "null", "map", "seq", "timestamp", "merge", "value", "binary")
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written: 1-based line and column, the line's text, the length of what stands there."""

    file: str
    line: int
    column: int
    source_line: str
    length: int

    def problem(self, message: str, hint: str = "") -> Problem:
        """A problem at this place."""
        return Problem(message, hint, self.file, self.line, self.column, self.source_line, self.length)


@dataclass(slots=True)
class Document:
    """A document as plain values.

    Attributes:
        value: dicts, lists, strings, ints, floats, booleans and None.
        places: of every value, by path.
        keys: of every mapping key, by the path of its value.
        problems: what is wrong with the text itself; `value` holds what could be read.
        faulty: the paths at which it is wrong.
    """

    file: str
    value: object = None
    places: dict[DocumentPath, Place] = field(default_factory=dict)
    keys: dict[DocumentPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    faulty: set[DocumentPath] = field(default_factory=set)
    _order: list[DocumentPath] = field(default_factory=list, repr=False)
    _indexes: dict[DocumentPath, int] = field(default_factory=dict, repr=False)

    def below(self, path: DocumentPath) -> Iterator[tuple[DocumentPath, Place]]:
        """The value at a path and all inside it, with their places."""
        if len(self._order) != len(self.places):
            self._order = list(self.places)
            self._indexes = {each: i for i, each in enumerate(self._order)}
        # What is inside a value was read right after it.
        for i in range(self._indexes[path], len(self._order)):
            each = self._order[i]
            if each[: len(path)] != path:
                return
            yield each, self.places[each]


def read_document(path: Path, shown: str | None = None) -> Document:
    """Read a file; `shown` is its name in problems. A file that cannot be read is a problem, not an exception."""
    document = Document(shown if shown is not None else str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        document.problems.append(Problem(f"cannot be read: {error.strerror}", "", document.file, 1, 1))
        return document
    if len(data) > MAX_BYTES:
        document.problems.append(Problem(f"is larger than {MAX_BYTES} bytes", "", document.file, 1, 1))
        return document
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        document.problems.append(Problem("is not UTF-8 text", "", document.file, line, 1))
        return document
    parse_document(document, text)
    return document


def parse_document(document: Document, text: str) -> None:
    """Fill a document from its text."""
    reader = _Reader(document, text)
    try:
        nodes = list(yaml.compose_all(text, Loader=_LOADER))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        message = error.problem or error.context or "is not valid YAML"
        document.problems.append(reader.place(line, column, 1).problem(f"not valid YAML: {message}"))
        return
    except yaml.YAMLError as error:
        document.problems.append(reader.place(1, 1, 1).problem(f"not valid YAML: {type(error).__name__}"))
        return
    if len(nodes) > 1:
        mark = nodes[1].start_mark
        place = reader.place(mark.line + 1, mark.column + 1, 1)
        document.problems.append(place.problem("only one document may stand in a file"))
    if nodes and nodes[0] is not None:
        document.value = reader.read(nodes[0], ())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint that names the closest known word, or lists them if they are few, or nothing."""
    words = sorted(str(word) for word in known)
    close = difflib.get_close_matches(name, words, n=1, cutoff=0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    return f"known: {', '.join(words)}" if 0 < len(words) <= 16 else ""  # noqa: PLR2004 - what fits a line


class _Reader:
    """Turns composed nodes into values and notes their places."""

    def __init__(self, document: Document, text: str) -> None:
        self._document = document
        self._lines = text.splitlines()
        self._count = 0

    def place(self, line: int, column: int, length: int) -> Place:
        source = self._lines[line - 1] if 0 < line <= len(self._lines) else ""
        return Place(self._document.file, line, column, source, max(1, min(length, len(source) - column + 1)))

    def read(self, node: yaml.Node, path: DocumentPath) -> object:
        place = self._of(node)
        self._document.places[path] = place
        self._count += 1
        if self._count > _MAX_NODES:
            if self._count == _MAX_NODES + 1:
                self._problem(place, path, f"expands to more than {_MAX_NODES} values")
            return None
        if len(path) > _MAX_DEPTH:
            self._problem(place, path, f"is nested more than {_MAX_DEPTH} levels deep")
            return None
        if node.tag not in _KNOWN_TAGS:
            self._problem(place, path, f"the tag {node.tag!r} is not allowed here")
            return None
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.read(item, (*path, i)) for i, item in enumerate(node.value)]
        return self._scalar(node, place, path) if isinstance(node, yaml.ScalarNode) else None

    def _mapping(self, node: yaml.MappingNode, path: DocumentPath) -> dict[str, object]:
        values: dict[str, object] = {}
        for key, item in node.value:
            place = self._of(key)
            if not isinstance(key, yaml.ScalarNode):
                self._problem(place, path, "a key must be a plain word")
                continue
            name = key.value
            if name in values:
                first = self._document.keys[(*path, name)]
                message = f"the key {name!r} stands here twice"
                self._problem(place, (*path, name), message, f"first at line {first.line}")
                continue
            self._document.keys[(*path, name)] = place
            values[name] = self.read(item, (*path, name))
        return values

    def _scalar(self, node: yaml.ScalarNode, place: Place, path: DocumentPath) -> object:
        text: str = node.value
        if node.style:
            return text  # quoted or block text
        value = _plain(text)
        if isinstance(value, float) and not math.isfinite(value):
            self._problem(place, path, "a number must be finite")
            return None
        return value

    def _of(self, node: yaml.Node) -> Place:
        start, end = node.start_mark, node.end_mark
        same_line = start.line == end.line
        length = end.column - start.column if same_line else len(self._line(start.line)) - start.column
        return self.place(start.line + 1, start.column + 1, length)

    def _line(self, index: int) -> str:
        return self._lines[index] if index < len(self._lines) else ""

    def _problem(self, place: Place, path: DocumentPath, message: str, hint: str = "") -> None:
        self._document.faulty.add(path)
        self._document.problems.append(place.problem(message, hint))


def _plain(text: str) -> object:
    """A plain scalar by the 1.2 core schema."""
    if text in _NULL:
        return None
    if text in _TRUE or text in _FALSE:
        return text in _TRUE
    if _INT.fullmatch(text):
        prefix = text[:2]
        return int(text, 0) if prefix == "0o" else int(text, 0) if prefix == "0x" else int(text)
    if _FLOAT.fullmatch(text) or _INFINITE.fullmatch(text):
        return float(text.replace(".inf", "inf").replace(".Inf", "inf").replace(".INF", "inf"))
    if text in {".nan", ".NaN", ".NAN"}:
        return math.nan
    return text


def as_mapping(value: object) -> Mapping[str, object]:
    """The value if it is a mapping, else an empty one; for walking what has problems elsewhere."""
    return value if isinstance(value, dict) else {}
