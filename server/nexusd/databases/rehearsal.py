"""A Database over one open transaction of another: what is kept in it is gone with that transaction."""

from __future__ import annotations

import asyncio
import contextlib
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import Bound, Dialect, Result, Session, Statement

_has_turn: Final[ContextVar[bool]] = ContextVar("has_turn", default=False)
"""Whether this task is inside a transaction already, and need not wait for its own turn."""


class _Undone(Exception):
    """Leaves a savepoint so that what was done in it is undone."""


class Rehearsal:
    """A database in which everything is a savepoint of one transaction.

    Where the database itself would run things side by side, they take turns: there is one connection.

    Args:
        session: the transaction.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self._turns = asyncio.Lock()

    @property
    def dialect(self) -> Dialect:
        """That of the transaction."""
        return self._session.dialect

    async def open(self) -> None:
        """Nothing to do: the transaction is open."""

    def session(self, _deadline: float) -> Session:
        """A session in which every statement is undone by itself if it fails."""
        return _Autocommit(self)

    def transaction(
        self,
        _deadline: float,
        *,
        read_only: bool,  # noqa: ARG002 - a savepoint cannot be
        keep: bool = True,
    ) -> AbstractAsyncContextManager[Session]:
        """A savepoint; undone when the block raises or `keep` is False."""
        return self.block(keep=keep)

    @contextlib.asynccontextmanager
    async def block(self, *, keep: bool) -> AsyncIterator[Session]:
        """A savepoint, when it is this task's turn."""
        if _has_turn.get():
            async with self._session.atomic() as inner:
                yield inner
            return
        async with self._turns:
            token = _has_turn.set(True)
            cancelled: asyncio.CancelledError | None = None
            try:
                async with self._session.atomic() as inner:
                    try:
                        yield inner
                    except asyncio.CancelledError as error:
                        # The transaction goes on without this task, so its work has to be undone here.
                        cancelled = error
                    _undo_unless(keep and cancelled is None)
            except _Undone:
                if cancelled is not None:
                    raise cancelled from None
            finally:
                _has_turn.reset(token)

    async def check(self, _statement: Statement) -> str:
        """Nothing: a statement is judged where it runs."""
        return ""

    async def tables(self, _statement: Statement) -> frozenset[str]:
        """None: see `check`."""
        return frozenset()

    async def ready(self) -> bool:
        """It is."""
        return True

    async def expire(self) -> None:
        """Nothing to do: the schema does not change meanwhile."""

    def stats(self) -> Mapping[str, int]:
        """One connection, in use."""
        return {"open": 1, "idle": 0, "busy": 1, "waiting": 0}

    async def close(self, _grace_s: float) -> None:
        """Nothing to do: the transaction is somebody else's."""


class _Autocommit:
    """Statements that each are a savepoint of their own."""

    def __init__(self, rehearsal: Rehearsal) -> None:
        self._rehearsal = rehearsal

    @property
    def dialect(self) -> Dialect:
        """That of the transaction."""
        return self._rehearsal.dialect

    async def run(self, bound: Bound) -> Result:
        """Run one statement."""
        async with self._rehearsal.block(keep=True) as session:
            return await session.run(bound)

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """A savepoint."""
        return self._rehearsal.block(keep=True)


def _undo_unless(kept: bool) -> None:  # noqa: FBT001 - the name asks the question
    if not kept:
        raise _Undone
