"""Statements as spans of the node that runs them."""

from __future__ import annotations

import contextlib
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import Bound, Dialect, Result, Session, Statement
    from nexusd.definitions.trace import Span

_WRITES: Final = re.compile(r"\b(INSERT|UPDATE|DELETE)\b(?! SET)")


class TracedSession:
    """A session whose statements are spans named `{operation} {table}`.

    Attributes:
        session: the one that runs them.
    """

    __slots__ = ("_span", "session")

    def __init__(self, session: Session, span: Span) -> None:
        # A workflow inside another is given the session of the node that runs it.
        self.session: Session = session.session if isinstance(session, TracedSession) else session
        self._span = span

    @property
    def dialect(self) -> Dialect:
        """That of the session."""
        return self.session.dialect

    async def run(self, bound: Bound) -> Result:
        """Run one statement."""
        operation, table = named(bound.statement)
        attributes = {"db.system.name": self.dialect.value, "db.operation.name": operation}
        if table:
            attributes["db.collection.name"] = table
        with self._span.child(f"{operation} {table}".rstrip(), attributes):
            return await self.session.run(bound)

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A transaction or savepoint of the session's."""
        return self._atomic()

    @contextlib.asynccontextmanager
    async def _atomic(self) -> AsyncIterator[Session]:
        async with self.session.atomic() as inner:
            yield TracedSession(inner, self._span)


@lru_cache(maxsize=1024)
def named(statement: Statement) -> tuple[str, str]:
    """What a statement does, in a word, and the table it does it to; empty where that is not known."""
    found = _WRITES.search(statement.sql) if statement.writes else None
    return found[1] if found else "SELECT", "" if statement.model is None else statement.model.table
