"""Declarations made in Python, in the registry's own words, so that one reader judges both.

A class or a builder becomes the mapping that would stand in the registry file; in place of line and column a problem
has the path of names that leads to its value.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions import plain
from nexusd.definitions.entry import Entry
from nexusd.documents import Document, Place
from nexusd.embedding.misuse import UsageError
from nexusd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from nexusd.documents import DocumentPath


def declared(name: str, value: object) -> Entry:
    """A mapping as the readers of the registry take it; `name` begins every problem's path."""
    document = Document(name, value)
    _note_places(document, value, (), name)
    return Entry(document, value)


def refuse_problems(entry: Entry) -> None:
    """Tell what a reader has found wrong.

    Raises:
        ConfigurationError: with every problem.
    """
    if entry.problems:
        raise ConfigurationError(
            [Problem(f"{problem.file}: {problem.message}", problem.hint) for problem in entry.problems]
        )


def _note_places(document: Document, value: object, path: DocumentPath, shown: str) -> None:
    place = Place(shown, 0, 0, "", 0)
    document.places[path] = place
    if path:
        document.keys[path] = place
    if isinstance(value, dict):
        for key, item in value.items():
            _note_places(document, item, (*path, key), f"{shown}.{key}")
    elif isinstance(value, list):
        for i, item in enumerate(value):
            _note_places(document, item, (*path, i), f"{shown}[{i}]")


def to_wire(value: object, where: str) -> object:
    """A Python value as JSON has it, as `plain.to_wire` makes it.

    Raises:
        UsageError: JSON has no such value; `where` begins the message.
    """
    try:
        return plain.to_wire(value, where)
    except plain.NotJson as error:
        raise UsageError(str(error)) from error
