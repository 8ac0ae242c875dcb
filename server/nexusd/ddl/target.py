"""The database that is brought to the registry, as the executor sees it: one synchronous connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Sequence
    from contextlib import AbstractContextManager

    from nexusd.databases.database import Dialect
    from nexusd.ddl.diff import CatalogState


class Target(Protocol):
    """One open connection; used by the executor's thread alone, `interrupt` aside."""

    @property
    def dialect(self) -> Dialect:
        """Whose SQL it speaks."""

    @property
    def scope(self) -> str:
        """The schema that is migrated; one ledger row each."""

    def has_ledger(self) -> bool:
        """Whether the daemon's own tables are there."""

    def make_ledger(self) -> None:
        """Make the daemon's own tables; inside `locked`."""

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with `?` placeholders; its rows.

        Raises:
            DDLError: what went wrong, told for an operator.
        """

    def snapshot(self, tables: Sequence[str]) -> CatalogState:
        """Those of the tables that exist."""

    def locked(self, cancelled: threading.Event) -> AbstractContextManager[None]:
        """A transaction that no other starter is in; commits at the end, rolls back on an exception.

        Raises:
            MigrationLockBusy: another starter has held the lock for too long.
            DDLCancelled: `cancelled` was set while waiting.
        """

    def interrupt(self) -> None:
        """End the statement that is running; callable from any thread."""

    def hand_over(self) -> sqlite3.Connection | None:
        """The open connection of a database in memory, which nobody else could open; None: it was closed."""


class Connect(Protocol):
    """Opens a target."""

    def __call__(self) -> Target:
        """Connect once.

        Raises:
            DatabaseUnreachable: it may be there later; the executor tries again.
            DDLError: trying again would not help.
        """
