"""Wire values: what a caller may send for a field, and its one canonical form (docs/reference.md, section 3).

A value comes from JSON read by `read_json`: numbers with a fraction or exponent are `Decimal`, so no digit is lost.
Nothing is coerced: `"8"` is no integer and `"false"` no boolean.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec

from nexusd.definitions.field_schema import MAX_SAFE_INTEGER
from nexusd.definitions.model import Field, FieldType
from nexusd.errors import Fault, MalformedBody

if TYPE_CHECKING:
    from collections.abc import Callable

MAX_BIGINT: Final = 2**63 - 1
_MAX_DECIMAL_DIGITS: Final = 1000
"""Digits a decimal may have in all, exponent written out; PostgreSQL's numeric takes more, no sane caller does."""

_DECIMAL: Final = re.compile(r"-?[0-9]+(\.[0-9]+)?", re.ASCII)
_INTEGER: Final = re.compile(r"-?[0-9]{1,20}", re.ASCII)
_DATETIME: Final = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d{2}):(\d{2}))", re.ASCII
)
_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
_TIME: Final = re.compile(r"(\d{2}):(\d{2}):(\d{2})(?:\.(\d{1,9}))?", re.ASCII)
_UUID: Final = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.ASCII | re.IGNORECASE)
EMAIL: Final = re.compile(
    r"[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}"
    r"@(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)*[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
)
"""What a browser's email field takes (HTML, "valid e-mail address")."""

_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
"""The characters of RFC 3986, section 2; the parts are looked at apart."""

_MICROS_PER_S: Final = 1_000_000

_reader: Final = msgspec.json.Decoder(float_hook=Decimal)
_writer: Final = msgspec.json.Encoder(decimal_format="number")


class _Refused(Exception):
    """Carries a fault's code and detail from a type's rule."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


def read_json(text: bytes | bytearray | str) -> object:
    """Read JSON, every number with all its digits (int or Decimal); of duplicate keys the last wins.

    Raises:
        MalformedBody: the text is not JSON, or not UTF-8, or nested too deeply.
    """
    try:
        value: object = _reader.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, ArithmeticError) as error:
        raise MalformedBody("the body is not valid JSON") from error
    return value


def write_json(value: object) -> bytes:
    """Write JSON; decimals as numbers with their digits, `msgspec.Raw` as it stands."""
    return _writer.encode(value)


def check_value(field: Field, value: object, pointer: str) -> list[Fault]:
    """All that is wrong with a value for `field`; empty when `normalise` will take it."""
    if value is None:
        return [] if field.nullable else [Fault(pointer, "type", "must not be null")]
    if field.type is FieldType.ARRAY:
        return _check_array(field, value, pointer)
    try:
        _RULES[field.type](field, value)
    except _Refused as refused:
        return [Fault(pointer, refused.code, refused.detail)]
    return []


def normalise(field: Field, value: object) -> object:
    """The canonical wire form of a value that `check_value` has passed."""
    if value is None:
        return None
    if field.type is FieldType.ARRAY:
        item = array_item(field)
        return [normalise(item, each) for each in value] if isinstance(value, list) else value
    return _RULES[field.type](field, value)


@lru_cache(maxsize=1024)
def array_item(field: Field) -> Field:
    """A field that stands for one item of an array."""
    return Field(name=field.name, type=field.items or FieldType.STR, values=field.values)


def _check_array(field: Field, value: object, pointer: str) -> list[Fault]:
    if not isinstance(value, list):
        return [Fault(pointer, "type", "must be a list")]
    item = array_item(field)
    return [fault for i, each in enumerate(value) for fault in check_value(item, each, f"{pointer}/{i}")]


def _text(value: object) -> str:
    if type(value) is not str:
        raise _Refused("type", "must be a string")
    if "\x00" in value:
        raise _Refused("pattern", "must not contain the NUL character")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Refused("pattern", "must be valid Unicode text") from None
    return value


def _str(field: Field, value: object) -> str:
    text = _text(value)
    if field.min_length is not None and len(text) < field.min_length:
        raise _Refused("too_short", f"must have at least {field.min_length} characters")
    if field.max_length is not None and len(text) > field.max_length:
        raise _Refused("too_long", f"must have at most {field.max_length} characters")
    if field.pattern is not None and re.search(field.pattern, text) is None:
        raise _Refused("pattern", f"must match {field.pattern}")
    if field.format == "email" and EMAIL.fullmatch(text) is None:
        raise _Refused("format", "must be an email address")
    if field.format == "uri" and not _is_uri(text):
        raise _Refused("format", "must be an absolute URI")
    return text


def _is_uri(text: str) -> bool:
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return _URI.fullmatch(text) is not None and bool(parts.netloc or parts.path)


def _bounded(field: Field, number: Decimal) -> None:
    if field.minimum is not None and number < Decimal(str(field.minimum)):
        raise _Refused("out_of_range", f"must be at least {field.minimum}")
    if field.maximum is not None and number > Decimal(str(field.maximum)):
        raise _Refused("out_of_range", f"must be at most {field.maximum}")


def _int(field: Field, value: object) -> int:
    if type(value) is not int:
        raise _Refused("type", "must be an integer")
    if not -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        raise _Refused("out_of_range", f"must lie within ±{MAX_SAFE_INTEGER}")
    if field.minimum is not None or field.maximum is not None:
        _bounded(field, Decimal(value))
    return value


def _bigint(field: Field, value: object) -> str:
    if type(value) is int and -MAX_SAFE_INTEGER <= value <= MAX_SAFE_INTEGER:
        number = value
    elif type(value) is str and _INTEGER.fullmatch(value):
        number = int(value)
    else:
        raise _Refused("type", "must be an integer as a string of digits")
    if not -MAX_BIGINT - 1 <= number <= MAX_BIGINT:
        raise _Refused("out_of_range", "must fit into 64 bits")
    _bounded(field, Decimal(number))
    return str(number)


def _float(field: Field, value: object) -> float:
    if type(value) not in (int, float, Decimal):
        raise _Refused("type", "must be a number")
    try:
        number = float(value)  # type: ignore[arg-type]
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise _Refused("out_of_range", "must be a finite double")
    _bounded(field, Decimal(number))
    return number


def _decimal(field: Field, value: object) -> str:
    if type(value) is str and _DECIMAL.fullmatch(value) and len(value) <= _MAX_DECIMAL_DIGITS:
        number = Decimal(value)
    elif type(value) in (int, float, Decimal):
        number = Decimal(str(value))
    else:
        raise _Refused("type", "must be a decimal number as a string")
    if not number.is_finite() or abs(number.adjusted()) > _MAX_DECIMAL_DIGITS:
        raise _Refused("out_of_range", "has too many digits")
    text = format(number, "f")
    whole, _, fraction = text.lstrip("-").partition(".")
    scale = field.scale if field.scale is not None or field.precision is None else 0
    if scale is not None:
        if len(fraction.rstrip("0")) > scale:
            raise _Refused("out_of_range", f"must have at most {scale} digits after the point")
        fraction = fraction[:scale].ljust(scale, "0")
    whole = whole.lstrip("0") or "0"
    if field.precision is not None and len(whole.lstrip("0")) > field.precision - (scale or 0):
        raise _Refused("out_of_range", f"must have at most {field.precision} digits")
    _bounded(field, number)
    sign = "-" if number < 0 else ""
    return f"{sign}{whole}.{fraction}" if fraction else f"{sign}{whole}"


def _bool(_field: Field, value: object) -> bool:
    if type(value) is not bool:
        raise _Refused("type", "must be true or false")
    return value


def _micros(fraction: str | None) -> tuple[int, int]:
    """Microseconds and carried seconds of a fraction of up to nine digits, rounded half up."""
    nanos = int((fraction or "0").ljust(9, "0"))
    micros = (nanos + 500) // 1000
    return (0, 1) if micros == _MICROS_PER_S else (micros, 0)


def _datetime(_field: Field, value: object) -> str:
    match = _DATETIME.fullmatch(_text(value))
    if match is None:
        raise _Refused("format", "must be an RFC 3339 date and time with an offset")
    day, hour, minute, second, fraction, _zulu, sign, off_hour, off_minute = match.groups()
    micros, carry = _micros(fraction)
    try:
        moment = datetime.combine(date.fromisoformat(day), time(int(hour), int(minute), int(second), micros, UTC))
        offset = timedelta(0)
        if sign is not None:
            if int(off_minute) > 59 or int(off_hour) > 23:  # noqa: PLR2004 - minutes and hours
                raise _Refused("format", "must have a valid offset")
            offset = timedelta(hours=int(off_hour), minutes=int(off_minute)) * (1 if sign == "+" else -1)
        moment = moment - offset + timedelta(seconds=carry)
    except (ValueError, OverflowError):
        raise _Refused("out_of_range", "must be a date and time that exists, in the years 1 to 9999 UTC") from None
    return f"{moment.year:04}-{moment:%m-%dT%H:%M:%S}.{moment.microsecond:06}Z"


def _date(_field: Field, value: object) -> str:
    text = _text(value)
    if _DATE.fullmatch(text) is None:
        raise _Refused("format", "must be a date such as 2026-01-31")
    try:
        date.fromisoformat(text)
    except ValueError:
        raise _Refused("out_of_range", "must be a date that exists") from None
    return text


def _time(_field: Field, value: object) -> str:
    match = _TIME.fullmatch(_text(value))
    if match is None:
        raise _Refused("format", "must be a time such as 13:45:00, without an offset")
    hour, minute, second, fraction = match.groups()
    micros, carry = _micros(fraction)
    try:
        moment = datetime(1, 1, 1, int(hour), int(minute), int(second), micros, UTC) + timedelta(seconds=carry)
    except ValueError:
        raise _Refused("out_of_range", "must be a time of day") from None
    if moment.day != 1:
        raise _Refused("out_of_range", "must be a time of day")
    return f"{moment:%H:%M:%S}.{moment.microsecond:06}"


def _uuid(_field: Field, value: object) -> str:
    text = _text(value)
    if _UUID.fullmatch(text) is None:
        raise _Refused("format", "must be a UUID")
    return text.lower()


def _json(_field: Field, value: object) -> msgspec.Raw:
    if isinstance(value, msgspec.Raw):
        value = read_json(bytes(value))
    text = _writer.encode(value)
    # PostgreSQL's jsonb cannot hold NUL; msgspec writes it as an escape.
    if b"\\u0000" in text and _has_nul(value):
        raise _Refused("pattern", "must not contain the NUL character")
    return msgspec.Raw(text)


def _has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\x00" in value
    if isinstance(value, list):
        return any(_has_nul(each) for each in value)
    if isinstance(value, dict):
        return any(_has_nul(name) or _has_nul(each) for name, each in value.items())
    return False


def _bytes(field: Field, value: object) -> str:
    text = _text(value)
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise _Refused("format", "must be base64") from None
    if field.max_length is not None and len(data) > field.max_length:
        raise _Refused("too_long", f"must have at most {field.max_length} bytes")
    return base64.b64encode(data).decode()


def _enum(field: Field, value: object) -> str:
    text = _text(value)
    if text not in field.values:
        raise _Refused("not_allowed", f"must be one of {', '.join(field.values)}")
    return text


_RULES: Final[dict[FieldType, Callable[[Field, object], object]]] = {
    FieldType.STR: _str,
    FieldType.INT: _int,
    FieldType.BIGINT: _bigint,
    FieldType.FLOAT: _float,
    FieldType.DECIMAL: _decimal,
    FieldType.BOOL: _bool,
    FieldType.DATETIME: _datetime,
    FieldType.DATE: _date,
    FieldType.TIME: _time,
    FieldType.UUID: _uuid,
    FieldType.JSON: _json,
    FieldType.BYTES: _bytes,
    FieldType.ENUM: _enum,
}
