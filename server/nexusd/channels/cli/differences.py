"""What is not as a case expects, in lines that say where."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.wire import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_SHOWN: Final = 200
"""Characters of a value that a difference repeats."""


def differences_of(expected: object, found: object, path: str) -> Iterator[str]:
    """Where `found` is not as expected: of an object the keys that are named, of a list every item."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from differences_of(value, found[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {_shown(value)}, but there is none"
    elif isinstance(expected, list) and isinstance(found, list):
        yield from _of_lists(expected, found, path)
    elif isinstance(expected, bool) or isinstance(found, bool):
        if expected is not found:
            yield f"{path}: expected {_shown(expected)}, got {_shown(found)}"
    elif expected != found:
        yield f"{path}: expected {_shown(expected)}, got {_shown(found)}"


def _of_lists(expected: list[object], found: list[object], path: str) -> Iterator[str]:
    for i, (value, item) in enumerate(zip(expected, found, strict=False)):
        yield from differences_of(value, item, f"{path}[{i}]")
    for i in range(len(found), len(expected)):
        yield f"{path}[{i}]: expected {_shown(expected[i])}, but there is none"
    for i in range(len(expected), len(found)):
        yield f"{path}[{i}]: {_shown(found[i])} was not expected"


def row_differences(model: str, expected: Sequence[object], found: Sequence[object]) -> Iterator[str]:
    """Each expected row must be another one of those there, and none may be left."""
    rest = list(found)
    missing: list[object] = []
    for row in expected:
        match = next((each for each in rest if not any(differences_of(row, each, ""))), None)
        if match is None:
            missing.append(row)
        else:
            rest.remove(match)
    for row in missing:
        nearest = min(rest, key=lambda each: len(list(differences_of(row, each, ""))), default=None)
        lines = list(differences_of(row, nearest, f"rows.{model}[{expected.index(row)}]"))
        if nearest is None or not isinstance(row, dict) or len(lines) >= len(row):
            yield f"rows.{model}: no row is {_shown(row)}"
        else:
            rest.remove(nearest)
            yield from lines
    for row in rest:
        yield f"rows.{model}: {_shown(row)} was not expected"


def _shown(value: object) -> str:
    text = write_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
