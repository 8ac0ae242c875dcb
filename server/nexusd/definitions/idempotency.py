"""An Idempotency-Key: what one looks like, whose it is, and when two requests under it are the same by value."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.wire import read_json
from nexusd.errors import BadRequest, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.principal import Principal

MAX_LENGTH: Final = 255

KEY_PATTERN: Final = f"^[!-~]{{1,{MAX_LENGTH}}}$"
"""Visible ASCII characters."""

_LONGEST_INTEGER: Final = 64
"""Digits up to which a whole number is written out, however its exponent was."""

_writer: Final = msgspec.json.Encoder(order="sorted")


@dataclass(frozen=True, slots=True)
class Key:
    """A key and the request that was sent under it.

    Attributes:
        scope: workflow and principal; the same text in another scope is another key.
        fingerprint: of the inputs, validated and normalised.
    """

    scope: str
    text: str
    fingerprint: bytes


def is_key(text: str) -> bool:
    """Whether it is a key; one that two parties understand otherwise would be worse than none."""
    return not text.endswith("\n") and re.match(KEY_PATTERN, text) is not None


def check_key(text: str) -> None:
    """Refuse what is no key.

    Raises:
        BadRequest: it is none.
    """
    if not is_key(text):
        raise BadRequest(f"an Idempotency-Key has 1 to {MAX_LENGTH} visible ASCII characters")


def scope_of(workflow: str, principal: Principal) -> str:
    """The scope of a caller's keys; neither a workflow's name nor a sight has a blank."""
    return f"{workflow} {principal.sight} {principal.id}" if principal.sight else f"{workflow} {principal.id}"


def fingerprint(inputs: Mapping[str, object]) -> bytes:
    """A hash that is equal for equal inputs: the order of keys and how a number is written do not matter.

    Args:
        inputs: as a plan's decoder gives them; parts may be `msgspec.Raw`.

    Raises:
        MalformedBody: they are nested too deeply.
    """
    try:
        return hashlib.sha256(_writer.encode(_canonical(inputs))).digest()
    except RecursionError as error:
        raise MalformedBody("the inputs are nested too deeply") from error


def _canonical(value: object) -> object:
    if isinstance(value, dict):
        return {name: _canonical(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_canonical(item) for item in value]
    if isinstance(value, Decimal | float):
        return _number(Decimal(str(value)))
    if isinstance(value, msgspec.Raw):
        return _canonical(read_json(bytes(value)))
    return value


def _number(number: Decimal) -> object:
    """A number by its value alone: 1.0 and 1e0 are 1, as in PostgreSQL's jsonb."""
    sign, digits, exponent = number.as_tuple()
    if not isinstance(exponent, int):
        return str(number)
    text = "".join(map(str, digits)).lstrip("0")
    kept = text.rstrip("0")
    exponent += len(text) - len(kept)
    if not kept:
        return 0
    if 0 <= exponent <= _LONGEST_INTEGER:
        return int(kept) * 10**exponent * (-1 if sign else 1)
    return msgspec.Raw(f"{'-' if sign else ''}{kept}E{exponent}".encode())
