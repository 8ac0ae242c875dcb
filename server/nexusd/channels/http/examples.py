"""Examples that fit a JSON Schema, for people who read a description of the API."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

_FORMATS: Final = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "email": "ada@example.com",
    "uri": "https://example.com/",
    "uuid": "0190b0d4-7f3e-7c8a-9b1e-3f2a5c6d7e8f",
}
_TEXTS: Final = ("text", "1", "12:00:00", "a", "A", "AB", "ABC")


def example_of(schema: object, name: str = "") -> object:
    """A value for `schema`; None where none was found.

    Args:
        schema: as `planning` makes them: no references, no conditions.
        name: of the property it is for; it hints at what a text is about.
    """
    if not isinstance(schema, Mapping):
        return None
    given = _given(schema)
    if given:
        return given[0]
    alternatives = schema.get("anyOf")
    if isinstance(alternatives, list) and alternatives:
        return example_of(alternatives[0], name)
    make = _MAKERS.get(str(schema.get("type")))
    return {} if make is None else make(schema, name)


def _given(schema: Mapping[str, object]) -> list[object]:
    """What the schema itself offers, the best first."""
    values = [schema["default"]] if "default" in schema else []
    for key in ("enum", "examples"):
        listed = schema.get(key)
        if isinstance(listed, list):
            values = [*listed, *values]
    return values


def _object(schema: Mapping[str, object], _name: str) -> dict[str, object]:
    """Every required property, and those that have an example of their own."""
    properties = schema.get("properties")
    required = schema.get("required")
    if not isinstance(properties, Mapping):
        return {}
    needed = required if isinstance(required, list) else []
    return {
        name: example_of(value, name)
        for name, value in properties.items()
        if name in needed or (isinstance(value, Mapping) and "examples" in value)
    }


def _number(schema: Mapping[str, object], _name: str) -> object:
    low, high = schema.get("minimum"), schema.get("maximum")
    if isinstance(low, int | float) and low > 1:
        return low
    return high if isinstance(high, int | float) and high < 1 else 1


def _text(schema: Mapping[str, object], name: str) -> str | None:
    known = _FORMATS.get(str(schema.get("format")))
    if known is not None:
        return known
    if schema.get("contentEncoding") == "base64":
        return "aGVsbG8="
    words = ("ada@example.com", *_TEXTS) if "email" in name else ("Ada Lovelace", *_TEXTS) if name == "name" else _TEXTS
    return next((word for word in words if _fits(word, schema)), None)


def _fits(word: str, schema: Mapping[str, object]) -> bool:
    low, high, pattern = schema.get("minLength", 0), schema.get("maxLength"), schema.get("pattern")
    if (isinstance(low, int) and len(word) < low) or (isinstance(high, int) and len(word) > high):
        return False
    return not isinstance(pattern, str) or re.search(pattern, word) is not None


_MAKERS: Final[Mapping[str, Callable[[Mapping[str, object], str], object]]] = {
    "array": lambda schema, name: [example_of(schema.get("items"), name)],
    "boolean": lambda _schema, _name: True,
    "integer": _number,
    "number": _number,
    "object": _object,
    "string": _text,
}
