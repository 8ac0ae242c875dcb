from __future__ import annotations

import asyncpg
import pytest

from nexusd.databases.postgresql_errors import lost, translate, was_sent
from nexusd.errors import (
    Cancelled,
    CheckViolation,
    ConnectionLost,
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

SECRET = "s3cret"  # noqa: S105 -- a row value


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("23505", UniqueViolation),
        ("23503", ReferenceViolation),
        ("23001", ReferenceViolation),
        ("23514", CheckViolation),
        ("23P01", CheckViolation),
        ("P0001", CheckViolation),
        ("23502", ValueRefused),
        ("22001", ValueRefused),
        ("22021", ValueRefused),
        ("22P05", ValueRefused),
        ("21000", ValueRefused),
        ("54000", ValueRefused),
        ("40001", SerializationConflict),
        ("40P01", SerializationConflict),
        ("55P03", Overloaded),
        ("57014", DeadlineExceeded),
        ("53100", DatabaseUnavailable),
        ("53300", DatabaseUnavailable),
        ("25006", WriteRefused),
        ("42703", InternalError),
        ("0A000", InternalError),
        ("XX000", InternalError),
    ],
)
def test_state_decides_and_no_value_is_repeated(state: str, error: type[NexusError]) -> None:
    refused = asyncpg.PostgresError.new({"S": "ERROR", "C": state, "M": SECRET, "D": SECRET, "n": SECRET})
    translated = translate(refused, (), overdue=False)
    assert type(translated) is error
    assert SECRET not in translated.detail


def test_statement_that_was_stopped_at_its_deadline_is_a_timeout() -> None:
    stopped = asyncpg.PostgresError.new({"C": "57014", "M": "canceling statement due to user request"})
    assert type(translate(stopped, (), overdue=True)) is DeadlineExceeded
    assert type(translate(stopped, (), overdue=False)) is Cancelled


def test_argument_that_cannot_be_encoded_is_a_value_refused() -> None:
    assert type(translate(asyncpg.exceptions._base.DataError(SECRET), (), overdue=False)) is ValueRefused  # noqa: SLF001


@pytest.mark.parametrize(
    ("error", "sent"),
    [
        (asyncpg.InterfaceError("cannot perform operation: connection is closed"), False),
        (asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"), False),
        (asyncpg.InternalClientError("got result for unknown protocol state 3"), True),
        (asyncpg.ConnectionDoesNotExistError("connection was closed in the middle of operation"), True),
        (ConnectionResetError(), True),
    ],
)
def test_loss_tells_whether_the_statement_was_sent(error: Exception, *, sent: bool) -> None:
    assert was_sent(error) is sent


@pytest.mark.parametrize(
    ("writes", "sent", "error"),
    [(True, True, UnknownOutcome), (True, False, ConnectionLost), (False, True, ConnectionLost)],
)
def test_only_a_write_that_was_sent_has_an_unknown_outcome(
    error: type[NexusError],
    *,
    writes: bool,
    sent: bool,
) -> None:
    assert type(lost(writes=writes, sent=sent)) is error
