from __future__ import annotations

import sqlite3

import pytest

from nexusd.databases.sqlite_errors import is_locked, result_code, translate
from nexusd.definitions.model import Field, FieldType, Model
from nexusd.errors import (
    CheckViolation,
    DatabaseUnavailable,
    DeadlineExceeded,
    InternalError,
    NexusError,
    Overloaded,
    SerializationConflict,
    UniqueViolation,
    ValueRefused,
    WriteRefused,
)

MODEL = Model(
    name="Contact",
    table="contact",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="email", type=FieldType.STR, unique=True),
    ),
)


def failure(code: int, message: str = "") -> sqlite3.Error:
    error = sqlite3.Error(message)
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "error"),
    [
        (2067, UniqueViolation),
        (1555, UniqueViolation),
        (2579, UniqueViolation),
        (275, CheckViolation),
        (1811, CheckViolation),
        (1299, ValueRefused),
        (3091, ValueRefused),
        (18, ValueRefused),
        (20, ValueRefused),
        (5, Overloaded),
        (261, Overloaded),
        (6, Overloaded),
        (517, SerializationConflict),
        (9, DeadlineExceeded),
        (8, WriteRefused),
        (10, DatabaseUnavailable),
        (266, DatabaseUnavailable),
        (13, DatabaseUnavailable),
        (14, DatabaseUnavailable),
        (1, InternalError),
        (11, InternalError),
    ],
)
def test_result_code_decides(code: int, error: type[NexusError]) -> None:
    assert type(translate(failure(code), ())) is error


def test_error_without_a_code_is_internal() -> None:
    assert result_code(sqlite3.ProgrammingError("Incorrect number of bindings")) == 0
    assert type(translate(sqlite3.ProgrammingError("Incorrect number of bindings"), ())) is InternalError


@pytest.mark.parametrize("error", [OverflowError(), UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates")])
def test_value_that_cannot_be_bound_is_refused(error: Exception) -> None:
    assert type(translate(error, ())) is ValueRefused


@pytest.mark.parametrize(
    ("code", "message", "constraint", "fields"),
    [
        (2067, "UNIQUE constraint failed: contact.email", "contact_email_uq", ("email",)),
        (2067, "UNIQUE constraint failed: index 'contact_email_uq'", "contact_email_uq", ("email",)),
        (2067, "UNIQUE constraint failed: index 'somebody_elses'", None, ()),
        (1555, "UNIQUE constraint failed: contact.id", "contact_id_pk", ("id",)),
        (1299, "NOT NULL constraint failed: contact.email", None, ("email",)),
        (1299, "NOT NULL constraint failed: other.email", None, ()),
        (275, "CHECK constraint failed: length(email) > 3", None, ()),
    ],
)
def test_message_gives_only_names_that_the_model_knows(
    code: int,
    message: str,
    constraint: str | None,
    fields: tuple[str, ...],
) -> None:
    error = translate(failure(code, message), (MODEL,))
    assert (vars(error)["constraint"], vars(error)["fields"]) == (constraint, fields)


def test_locks_are_told_from_other_errors() -> None:
    assert [is_locked(failure(code)) for code in (5, 261, 6, 10)] == [True, True, True, False]
