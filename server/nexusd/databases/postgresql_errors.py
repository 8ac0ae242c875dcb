"""asyncpg's exceptions as errors of the tree."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import asyncpg

from nexusd.databases.refusals import refusal
from nexusd.errors import (
    Cancelled,
    CheckViolation,
    ConnectionLost,
    DatabaseError,
    DatabaseUnavailable,
    DeadlineExceeded,
    InternalError,
    NexusError,
    Overloaded,
    ReferenceViolation,
    SerializationConflict,
    UniqueViolation,
    UnknownOutcome,
    ValueRefused,
    WriteRefused,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.definitions.model import Model

DRIVER_ERRORS: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)
"""What asyncpg raises from a connection; OSError, and its subclass TimeoutError, come from the socket."""

STALE_PLAN: Final = (asyncpg.InvalidCachedStatementError, asyncpg.InvalidSQLStatementNameError)
"""The schema changed under a prepared statement, or somebody discarded it: prepare again.

Told by class: SQLSTATE 0A000 also stands for features that are not supported.
"""

_NOT_SENT: Final = ("cannot switch to state", "not connected")

_REFUSALS: Final[dict[str, type[DatabaseError]]] = {
    "23505": UniqueViolation,
    "23503": ReferenceViolation,
    "23001": ReferenceViolation,
    "23514": CheckViolation,
    "23P01": CheckViolation,
    "P0001": CheckViolation,
    "44000": CheckViolation,
    "23502": ValueRefused,
    "21000": ValueRefused,
    "428C9": ValueRefused,
}
"""By SQLSTATE (postgresql.org/docs/current/errcodes-appendix.html); classes 22 and 54 are ValueRefused as well."""

_CONFLICTS: Final = frozenset({"40001", "40P01"})
_LOST: Final = frozenset({"57P01", "57P02", "57P03", "57P05", "25P03", "25P04"})
_READ_ONLY: Final = frozenset({"25001", "25006"})
"""A write where only reads are allowed, and the attempt to allow it."""


def is_lost(error: BaseException, driver: asyncpg.Connection[asyncpg.Record]) -> bool:
    """Whether the connection is gone; its statement may or may not have been run."""
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        return state.startswith("08") or state in _LOST or driver.is_closed()
    if isinstance(error, ValueError):
        return False
    if isinstance(error, asyncpg.InterfaceError):
        return driver.is_closed()
    return isinstance(error, OSError) or driver.is_closed() or _was_not_sent(error)


def was_sent(error: BaseException) -> bool:
    """Whether a statement that ended with this loss may have reached the server.

    asyncpg refuses a dead connection before it writes with InterfaceError, or with InternalClientError "cannot switch
    to state" when the death was noticed but not yet handled.
    """
    return not _was_not_sent(error)


def is_full(error: BaseException) -> bool:
    """Whether the server refused a connection only because it has as many as it may."""
    return isinstance(error, asyncpg.TooManyConnectionsError)


def refused_settings(error: BaseException) -> bool:
    """Whether a pooler refused what the startup packet asks for."""
    return isinstance(error, asyncpg.ProtocolViolationError) and "startup parameter" in str(error)


def translate(error: BaseException, models: Sequence[Model], *, overdue: bool) -> NexusError:
    """The error of the tree for a server's or client's refusal; losses are the caller's to judge.

    Args:
        error: what asyncpg raised.
        models: whose constraints the statement may have met.
        overdue: whether the statement was cancelled because its deadline passed.
    """
    if overdue:
        return DeadlineExceeded()
    if isinstance(error, asyncpg.PostgresError):
        return _from_state(error, models)
    if isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        return ValueRefused()
    return InternalError(f"the driver refused a statement: {type(error).__name__}")


def _from_state(error: asyncpg.PostgresError, models: Sequence[Model]) -> NexusError:
    state = error.sqlstate or ""
    kind = _REFUSALS.get(state)
    if kind is None and state[:2] in {"22", "54"}:
        kind = ValueRefused
    if kind is not None:
        columns = (error.column_name,) if error.column_name else ()
        return refusal(kind, models, constraint=error.constraint_name, table=error.table_name, columns=columns)
    if state in _CONFLICTS:
        return SerializationConflict()
    if state == "57014":
        # Where it is not our deadline it is statement_timeout, or an operator's pg_cancel_backend.
        return Cancelled() if "user request" in str(error) else DeadlineExceeded()
    if state == "55P03":
        return Overloaded("the records are locked by another transaction; try again later")
    if state in _READ_ONLY or state.startswith("53"):
        return WriteRefused() if state in _READ_ONLY else DatabaseUnavailable()
    return InternalError(f"PostgreSQL refused a statement: {_UNUSABLE.get(state, 'SQLSTATE')} ({state})")


_UNUSABLE: Final = {
    "42703": "there is no such column",
    "42P01": "there is no such table",
    "42883": "there is no such function or operator for these types",
    "42702": "the column could be of several tables",
    "42601": "this is not SQL",
    "42804": "the types do not fit together",
    "42P18": "the type of a parameter cannot be told; write :name::type",
    "42P08": "a parameter has several types; write :name::type",
    "42501": "the database role may not do this",
    "22P02": "the literal is not of the type that stands here",
}
"""What is wrong with a statement that cannot be prepared, by SQLSTATE."""


def why_not(error: Exception, sql: str) -> str:
    """Why a statement cannot be prepared, with the word of it that the server points at; never its message."""
    if not isinstance(error, asyncpg.PostgresError):
        return "a column is of a type that has no values of its own, such as anyarray; cast it"
    state = error.sqlstate or ""
    why = _UNUSABLE.get(state, f"the database refuses the statement (SQLSTATE {state})")
    position = vars(error).get("position")
    if not isinstance(position, str) or not position.isdecimal():
        return why
    word = re.match(r"[\w.\"]{1,64}|\S", sql[int(position) - 1 :])
    return f"{why}: {word[0]}" if word else why


def lost(*, writes: bool, sent: bool) -> NexusError:
    """The error for a statement whose connection was lost."""
    if writes and sent:
        return UnknownOutcome()
    return ConnectionLost()


def _was_not_sent(error: BaseException) -> bool:
    if isinstance(error, asyncpg.InternalClientError):
        return str(error).startswith(_NOT_SENT)
    return isinstance(error, asyncpg.InterfaceError)
