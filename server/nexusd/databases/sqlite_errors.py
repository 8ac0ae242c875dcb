"""sqlite3's exceptions as errors of the tree."""

from __future__ import annotations

import re
import sqlite3
from typing import TYPE_CHECKING, Final

from nexusd.databases.refusals import refusal
from nexusd.errors import (
    CheckViolation,
    DatabaseError,
    DatabaseUnavailable,
    DeadlineExceeded,
    InternalError,
    NexusError,
    Overloaded,
    ReferenceViolation,
    SerializationConflict,
    UniqueViolation,
    ValueRefused,
    WriteRefused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.definitions.model import Model

DRIVER_ERRORS: Final = (sqlite3.Error, sqlite3.Warning, OverflowError, UnicodeEncodeError, MemoryError)
"""What sqlite3 raises: OverflowError for integers above 64 bits, UnicodeEncodeError for lone surrogates."""

BUSY: Final = 5
BUSY_SNAPSHOT: Final = 517
INTERRUPT: Final = 9
IO_ERROR: Final = 10
FOREIGN_KEY: Final = 787
TRIGGER: Final = 1811
_RESTRICTED: Final = "FOREIGN KEY constraint failed"
"""What ON DELETE RESTRICT says under TRIGGER's code, since SQLite carries it out as a trigger."""

_REFUSALS: Final[dict[int, type[DatabaseError]]] = {
    2067: UniqueViolation,
    1555: UniqueViolation,
    2579: UniqueViolation,
    FOREIGN_KEY: ReferenceViolation,
    275: CheckViolation,
    TRIGGER: CheckViolation,
    1299: ValueRefused,
    3091: ValueRefused,
    18: ValueRefused,
    20: ValueRefused,
}
"""By extended result code (sqlite.org/rescode.html): sqlite3 reads some of their names as "unknown"."""

_READ_ONLY: Final = 8
_UNAVAILABLE: Final = frozenset({IO_ERROR, 13, 14})
_UNUSABLE: Final = (
    (r"no such column: (\S{1,64})(?s:.*)", "there is no such column: {}"),
    (r"no such table: (\S{1,64})", "there is no such table: {}"),
    (r"no such function: (\S{1,64})", "there is no such function: {}"),
    (r"ambiguous column name: (\S{1,64})", "the column could be of several tables: {}"),
    (r'near "(\S{1,64})": syntax error', "this is not SQL: {}"),
    (r"incomplete input", "this is not SQL: it ends too early"),
)
"""What is wrong with a statement that cannot be prepared, by SQLite's message."""

_LOCKED: Final = frozenset({BUSY, 6})


def result_code(error: BaseException) -> int:
    """The extended result code; 0 when the exception is sqlite3's own."""
    code = vars(error).get("sqlite_errorcode", 0)
    return code if isinstance(code, int) else 0


def translate(error: BaseException, models: Sequence[Model]) -> NexusError:
    """The error of the tree for what sqlite3 raised; `models` are those whose constraints may have been met."""
    code = result_code(error)
    kind = _REFUSALS.get(code)
    if code == TRIGGER and str(error) == _RESTRICTED:
        kind = ReferenceViolation
    if isinstance(error, (OverflowError, UnicodeEncodeError)):
        kind = ValueRefused
    if kind is not None:
        constraint, table, columns = _named(str(error)) if code else (None, None, ())
        return refusal(kind, models, constraint=constraint, table=table, columns=columns)
    if code == BUSY_SNAPSHOT:
        return SerializationConflict()
    primary = code & 0xFF
    if primary in _LOCKED:
        return Overloaded("the database file is locked by another process; try again later")
    if primary == INTERRUPT:
        return DeadlineExceeded()
    if primary == _READ_ONLY or primary in _UNAVAILABLE:
        return WriteRefused() if primary == _READ_ONLY else DatabaseUnavailable()
    return InternalError(f"SQLite, result code {code}: {why_not(error)}")


def why_not(error: BaseException) -> str:
    """Why a statement cannot be prepared, with the word of it that SQLite names; never its message."""
    for pattern, why in _UNUSABLE:
        named = re.fullmatch(pattern, str(error))
        if named is not None:
            return why.format(*named.groups())
    return "the database refuses the statement"


def _named(message: str) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Constraint, table and columns in `… constraint failed: contact.email, contact.tier`.

    Instead of columns there may be `index 'name'` or a CHECK's name or expression; `refusal` drops what is not the
    model's own.
    """
    named = message.partition(" constraint failed: ")[2]
    index = re.fullmatch(r"index '(.*)'", named)
    if index is not None:
        return index[1], None, ()
    if message.startswith("CHECK"):
        return named, None, ()
    pairs = [item.partition(".") for item in named.split(", ") if "." in item]
    return None, pairs[0][0] if pairs else None, tuple(column for _, _, column in pairs)


def is_locked(error: BaseException) -> bool:
    """Whether another connection holds a lock that was in the way."""
    return result_code(error) & 0xFF in _LOCKED
