"""Python values as JSON has them, and JSON values as Python has them."""

from __future__ import annotations

import base64
import dataclasses
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from enum import Enum
from uuid import UUID

import msgspec


class NotJson(ValueError):
    """A value that JSON has no form for; the message says where, and of which type it is."""


def to_wire(value: object, where: str) -> object:
    """A Python value as JSON has it: exact numbers and dates as text, bytes as base64, an enum's member as its value.

    A dataclass becomes the object of its fields.

    Raises:
        NotJson: `where` begins the message.
    """
    if value is None or type(value) in (bool, int, str):
        return value
    if isinstance(value, dict):
        return {_key(key, where): to_wire(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_wire(item, f"{where}[{i}]") for i, item in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        names = [each.name for each in dataclasses.fields(value)]
        return {name: to_wire(getattr(value, name), f"{where}.{name}") for name in names}
    return _scalar(value, where)


def _scalar(value: object, where: str) -> object:
    if isinstance(value, Enum):
        return to_wire(value.value, where)
    if isinstance(value, int | str) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, datetime | date | time):
        return _moment(value)
    if isinstance(value, bytes | bytearray | memoryview):
        return base64.b64encode(value).decode()
    if isinstance(value, UUID) or (isinstance(value, Decimal) and value.is_finite()):
        return format(value, "f") if isinstance(value, Decimal) else str(value)
    raise NotJson(f"{where}: {type(value).__name__} is not a value that JSON has")


def _moment(value: date | time) -> str:
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC)
        return value.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return value.isoformat()


def _key(key: object, where: str) -> str:
    if not isinstance(key, str):
        raise NotJson(f"{where}: the key {key!r} is not text")
    return key


def from_wire(value: object) -> object:
    """A JSON value of no declared type as Python's own reader would give it: numbers with a fraction are floats."""
    if isinstance(value, msgspec.Raw):
        return msgspec.json.decode(value)
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, dict):
        return {name: from_wire(item) for name, item in value.items()}
    if isinstance(value, list):
        return [from_wire(item) for item in value]
    return value
