"""The database that is brought to the registry, as the migration sees it: one synchronous connection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import sqlite3
    import threading
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager

    from nexusd.databases.database import Dialect
    from nexusd.ddl.catalog import Column, Part, Table, TableSize
    from nexusd.ddl.diff import Difference
    from nexusd.ddl.options import Waits
    from nexusd.ddl.plan import Change
    from nexusd.ddl.policy import Verdict
    from nexusd.ddl.tables import WantedTable


class Catalog(Protocol):
    """What the database says of tables, those that are there and those that are wanted."""

    def table_names(self) -> set[str]:
        """All tables of the schema."""

    def fingerprints(self, tables: Collection[str]) -> dict[str, str]:
        """A hash of all that the catalog says of each of the tables that exist."""

    def tables(self, names: Collection[str]) -> dict[str, Table]:
        """Those of the tables that exist."""

    def shadows(self, tables: Iterable[WantedTable], targets: Iterable[WantedTable]) -> dict[str, Table]:
        """What the database would show of the wanted tables; `targets` are those that they refer to besides."""

    def others(self, names: Collection[str]) -> Mapping[str, str]:
        """What is called like one of the tables and is none, such as `a view`, by that name."""

    def index_is_valid(self, name: str) -> bool | None:
        """Whether an index is complete; None: there is none."""

    def size(self, table: str) -> TableSize:
        """How much is in a table."""


class Renderer(Protocol):
    """Differences as this database's statements."""

    def change(self, table: WantedTable, difference: Difference, verdict: Verdict, *, empty: bool) -> Change:
        """A difference with its verdict as a change in this database's SQL."""

    def combined(
        self, table: WantedTable, changes: Sequence[Change], extras: Sequence[Column | Part], *, anew: bool = False
    ) -> list[str]:
        """What makes the changes of one table; KEPT ones need nothing. `anew`: by building it anew, come what may."""

    def rebuilds(self, changes: Iterable[Change]) -> bool:
        """Whether one of the changes is made by building the table anew."""

    def without(self, table: WantedTable, columns: Sequence[str], extras: Sequence[Column | Part]) -> list[str]:
        """What drops extra columns, and with them what is made of them."""

    def rename_table(self, old: str, new: WantedTable) -> list[str]:
        """The statements that give a table its new name."""

    def grants(self, tables: Sequence[str], role: str, *, append_only: bool = False) -> list[str]:
        """What a role lacks to read and write rows of tables, or to add some only; none where there are no roles."""


class Target(Protocol):
    """One open connection; used by the executor's thread alone, `interrupt` aside.

    Attributes:
        now: the current time, as an expression.
        one_transaction: whether all tables are changed in one transaction.
        scope: the schema that is migrated; one ledger row each.
        where: the database and the schema for an operator, without a password.
        read_only: whether nothing can be written: a standby, a read-only session or file.
        pooled: whether a pooler stands between, so that sessions are not ours.
    """

    dialect: Dialect
    now: str
    one_transaction: bool
    scope: str
    where: str
    read_only: bool
    pooled: bool
    catalog: Catalog
    renderer: Renderer

    def has_table(self, name: str) -> bool:
        """Whether a table of that name is there."""

    def make_ledger(self, after: int) -> None:
        """Run the ledger's scripts with numbers above `after`, in order."""

    def run(self, sql: str, args: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement with `?` placeholders; its rows.

        Raises:
            DDLError: what went wrong, told for an operator.
        """

    def execute(self, sql: str) -> int:
        """Run one statement as it stands; how many rows it changed, -1 where that means nothing.

        Raises:
            DDLError: as with `run`.
        """

    def transaction(self, cancelled: threading.Event, waits: Waits) -> AbstractContextManager[None]:
        """A transaction that no other starter is in; commits at the end, rolls back on an exception.

        Raises:
            MigrationLockBusy: another starter has held the lock for too long.
            DDLCancelled: `cancelled` was set while waiting.
        """

    def session_lock(self, cancelled: threading.Event, waits: Waits) -> AbstractContextManager[None]:
        """What `transaction` locks, for statements that are no transaction.

        Raises:
            MigrationLockBusy: another starter has held the lock for too long.
            DatabaseRefused: a pooler stands between, which would give the lock to somebody else.
        """

    def limit(self, lock_timeout: str, *, whole_session: bool = False) -> None:
        """How long a statement waits for a lock, such as `2s`; in the open transaction, or in all of `session_lock`."""

    def rehearsal(self) -> AbstractContextManager[None]:
        """Inside a transaction: what is done within is undone at the end."""

    def blocker(self, table: str) -> str:
        """Who holds a table, in one line; empty if nobody does."""

    def back_up(self) -> str:
        """Copy the database before tables are built anew; the copy's name, or empty where none is needed."""

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
            DatabaseRefused: it says no; where that may change, the executor tries again for a few seconds.
            DDLError: trying again would not help.
        """
