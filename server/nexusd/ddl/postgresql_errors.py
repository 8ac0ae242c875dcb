"""psycopg's errors in the words of an operator."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import psycopg
from psycopg import errors

from nexusd.ddl.columns import quote
from nexusd.ddl.errors import (
    DatabaseRefused,
    DatabaseUnreachable,
    DDLCancelled,
    DDLError,
    InsufficientPrivilege,
    LoginRefused,
    NotInTransaction,
    ReadOnlyDatabase,
    StatementFailed,
    TableBusy,
)
from nexusd.settings import redacted_url

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_LATER: Final = ("refused", "could not translate host name", "name or service not known", "starting up", "timeout")
"""Parts of libpq's messages that mean: the server may be there in a moment. It gives no codes for these."""

_LONGEST_SQL: Final = 200


def connect_error(url: str, error: psycopg.OperationalError) -> DDLError:
    """Why no connection was made."""
    text = str(error).lower()
    where = redacted_url(url)
    if any(part in text for part in _LATER):
        return DatabaseUnreachable(f"the database {where} does not answer")
    if "password" in text or "authentication" in text or "pg_hba" in text:
        return LoginRefused(f"the database {where} refuses the login", hint="check user and password in database.url")
    if "does not exist" in text:
        return LoginRefused(
            f"the database or role of {where} does not exist", hint="create it, or correct database.url"
        )
    if "read-only" in text or "hot standby" in text:
        return ReadOnlyDatabase(f"the database {where} is read-only", hint="connect to the primary")
    return DatabaseRefused(f"the database {where} refuses the connection")


def statement_error(error: psycopg.Error, sql: str, scope: str, role: str) -> DDLError:
    """Why a statement failed."""
    state = error.sqlstate or ""
    if state in _KNOWN:
        return _KNOWN[state]()
    if isinstance(error, errors.InsufficientPrivilege):
        return _privilege(error, sql, scope, role)
    if state.startswith(("08", "57P")) or (not state and isinstance(error, psycopg.OperationalError)):
        return DatabaseUnreachable("the connection to the database was lost")
    kind = NotInTransaction if isinstance(error, errors.ActiveSqlTransaction) else StatementFailed
    return kind(f"the database refused a statement: {state} {_cause(error)}\n  in: {_shortened(sql)}")


_KNOWN: Final[Mapping[str, Callable[[], DDLError]]] = {
    "25006": lambda: ReadOnlyDatabase("the database is read-only", hint="connect to the primary"),
    "57014": lambda: DDLCancelled("a statement of the migration was cancelled, or took longer than 15 minutes"),
    "55P03": lambda: TableBusy("a table stayed locked by other sessions"),
    "40P01": lambda: TableBusy("a table stayed locked by other sessions"),
}


def _cause(error: psycopg.Error) -> str:
    """The error's kind and the objects it names, never a row's values."""
    words = type(error).__name__
    parts: Sequence[str | None] = (error.diag.table_name, error.diag.column_name, error.diag.constraint_name)
    named = " ".join(part for part in parts if part)
    if error.sqlstate is not None and error.sqlstate.startswith("42"):
        # Class 42 is about the statement itself: its message names objects of the schema.
        return f"{words}: {error.diag.message_primary}"
    return f"{words} {named}".rstrip()


def _privilege(error: psycopg.Error, sql: str, scope: str, role: str) -> InsufficientPrivilege:
    message = error.diag.message_primary or ""
    schema, owner = quote(scope), quote(role)
    if "must be owner" in message:
        name = message.split()[-1].strip('"')
        hint = f"ALTER TABLE {schema}.{quote(name)} OWNER TO {owner};"
    elif "for database" in message or "temporary" in message:
        name = message.split('"')[1] if '"' in message else message.rsplit(" ", 1)[-1]
        hint = f"GRANT TEMPORARY ON DATABASE {quote(name)} TO {owner};"
    elif "for table" in message:
        name = message.split()[-1].strip('"')
        hint = f"GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.{quote(name)} TO {owner};"
    else:
        hint = f"GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner};"
    detail = f"the role {role} may not do this: {message}\n  in: {_shortened(sql)}"
    return InsufficientPrivilege(detail, hint=f"as an owner or superuser run: {hint}")


def _shortened(sql: str) -> str:
    line = " ".join(sql.split())
    return line if len(line) <= _LONGEST_SQL else f"{line[:_LONGEST_SQL]} …"
