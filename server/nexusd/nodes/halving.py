"""Finding the rows that a database refuses.

A statement over many rows fails as a whole and names no row. Under a savepoint each half is tried by itself, and so on
down to single rows: of 1,000 rows with one bad one that takes 21 statements.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final, TypeAlias, TypeVar

from nexusd.errors import (
    CheckViolation,
    DatabaseError,
    Fault,
    RecordForbidden,
    ReferenceViolation,
    UniqueViolation,
    ValueRefused,
)

if TYPE_CHECKING:
    from nexusd.databases.database import Session

REFUSALS: Final = (UniqueViolation, ReferenceViolation, CheckViolation, ValueRefused, RecordForbidden)
"""What a row can be refused with by itself; other errors are no row's fault."""

T = TypeVar("T")

Write: TypeAlias = Callable[["Session", slice], Awaitable[T]]
"""Writes a stretch of the rows, all of it or nothing, and gives what came of it."""


async def write_all(session: Session, count: int, write: Write[T], pointer: Callable[[int], str]) -> T:
    """Write all rows in a transaction that is open.

    Raises:
        DatabaseError: the database refused a row, to the first of which the faults point. Rows before it may have
            been written; whoever holds the transaction rolls it back.
    """
    try:
        async with session.atomic() as inner:
            return await write(inner, slice(0, count))
    except REFUSALS as error:
        position = 0 if count == 1 else await _first_refused(session, count, write)
        if position is not None:
            error.faults = faults(error, pointer(position))
        raise


async def _first_refused(session: Session, count: int, write: Write[T]) -> int | None:
    """The place of the first row that is refused when those before it are there; None when none is, any more."""
    start, stop = 0, count
    while stop - start > 1:
        middle = (start + stop) // 2
        try:
            async with session.atomic() as inner:
                await write(inner, slice(start, middle))
        except REFUSALS:
            stop = middle
        else:
            start = middle
    try:
        async with session.atomic() as inner:
            await write(inner, slice(start, stop))
    except REFUSALS:
        return start
    return None


async def write_those_that_fit(
    session: Session,
    rows: slice,
    write: Write[T],
    refused: Callable[[int, DatabaseError], None],
) -> list[T]:
    """Write the rows that the database takes; tell of each other one by its place."""
    try:
        async with session.atomic() as inner:
            return [await write(inner, rows)]
    except REFUSALS as error:
        if rows.stop - rows.start == 1:
            refused(rows.start, error)
            return []
    middle = (rows.start + rows.stop) // 2
    first = await write_those_that_fit(session, slice(rows.start, middle), write, refused)
    return first + await write_those_that_fit(session, slice(middle, rows.stop), write, refused)


def faults(error: DatabaseError, pointer: str) -> tuple[Fault, ...]:
    """What is wrong with a record at `pointer`, by field where the database said which."""
    places = [f"{pointer}/{name}" for name in error.fields] or [pointer]
    return tuple(Fault(place, error.code.value, error.detail) for place in places)
