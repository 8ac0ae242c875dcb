"""Who changed what: a row of `_nexusd_audit` for each record, written by the transaction that changes it.

A session is put around the one that a writing node uses. It knows from each statement what it does, and from its result
which records that was done to; no value of theirs is kept but the key.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Bound, Change, Dialect, Statement

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import Result, Row, Session
    from nexusd.definitions.model import Model

SQL: Final = "sql"
"""The operation of a statement of the operator's own: which records it changed is not known."""

_HEAD: Final = (
    "INSERT INTO _nexusd_audit (at, principal, workflow, node, execution_id, model, operation, key, version) SELECT "
)
_WRITE: Final = {
    Dialect.POSTGRESQL: Statement(
        f"{_HEAD}$1::timestamptz, $2::text, $3::text, $4::text, $5::text, $6::text, r.operation, r.key, r.version"
        " FROM json_to_recordset($7::json) AS r(operation text, key text, version bigint)",
        None,
        writes=True,
    ),
    Dialect.SQLITE: Statement(
        f"{_HEAD}?, ?, ?, ?, ?, ?, json_extract(value, '$.operation'), json_extract(value, '$.key'),"
        " json_extract(value, '$.version') FROM json_each(?)",
        None,
        writes=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Author:
    """Who changes something, and where.

    Attributes:
        at: start of the run.
    """

    at: str
    principal: str
    workflow: str
    node: str
    execution_id: str


class AuditedSession:
    """A session whose changes are noted.

    Args:
        together: whether the session is a transaction already, so that a change and its note stand or fall together.
    """

    __slots__ = ("_author", "_session", "_together")

    def __init__(self, session: Session, author: Author, *, together: bool = False) -> None:
        self._session = session
        self._author = author
        self._together = together

    @property
    def dialect(self) -> Dialect:
        """That of the session."""
        return self._session.dialect

    async def run(self, bound: Bound) -> Result:
        """Run one statement, and note what it changed."""
        statement = bound.statement
        if not statement.writes or (statement.change is None and statement.model is not None):
            return await self._session.run(bound)
        if self._together:
            return await self._noted(self._session, bound)
        async with self._session.atomic() as transaction:
            return await self._noted(transaction, bound)

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A transaction or savepoint of the session's."""
        return self._atomic()

    @contextlib.asynccontextmanager
    async def _atomic(self) -> AsyncIterator[Session]:
        async with self._session.atomic() as inner:
            yield AuditedSession(inner, self._author, together=True)

    async def _noted(self, session: Session, bound: Bound) -> Result:
        result = await session.run(bound)
        model = bound.statement.model
        if model is None:
            notes: list[dict[str, object]] = [{"operation": SQL}] if result.affected else []
        else:
            notes = [_note(bound, model, row) for row in result.rows]
        if notes:
            author = self._author
            await session.run(
                Bound(
                    _WRITE[session.dialect],
                    (
                        author.at,
                        author.principal,
                        author.workflow,
                        author.node,
                        author.execution_id,
                        None if model is None else model.name,
                        msgspec.json.encode(notes).decode(),
                    ),
                )
            )
        return result


def _note(bound: Bound, model: Model, row: Row) -> dict[str, object]:
    """What a row of the result says of one record."""
    operation, record = str(bound.statement.change), row
    if bound.statement.change is Change.UPSERT:
        held = row["record"]
        record = held if isinstance(held, dict) else row
        is_new = row["created"] if bound.is_new is None else bound.is_new(record)
        operation = Change.INSERT if is_new else Change.UPDATE
    version = record.get("version") if model.versioned else None
    if model.versioned and operation == Change.INSERT:
        version = 1
    return {"operation": operation, "key": str(record[model.key.name]), "version": version}
