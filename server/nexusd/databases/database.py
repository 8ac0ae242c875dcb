"""What the rest of nexusd asks of a database: two protocols and the small values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from nexusd.definitions.model import Field, Model

Row: TypeAlias = Mapping[str, object]
"""One result row in wire values; json columns are `msgspec.Raw`."""

Decoder: TypeAlias = Callable[[Sequence[object]], dict[str, object]]
"""Turns the driver's values of one row, in the statement's column order, into a Row."""


class Dialect(StrEnum):
    """Whose SQL a statement is written in."""

    POSTGRESQL = "postgresql"
    SQLITE = "sqlite"


@dataclass(frozen=True, slots=True, eq=False)
class Open:
    """What is known beforehand of SQL of which only the database knows what it takes and gives: that of SqlNodes.

    Attributes:
        names: of its parameters, in the order of their numbers.
        fields: the models' fields that a column of the same name may show.
        max_rows: how many rows it may give; one more is fetched, so that too many can be told.
    """

    names: tuple[str, ...]
    fields: Mapping[str, Field] = field(default_factory=dict)
    max_rows: int = 10_000


class Change(StrEnum):
    """What a statement does to the records of its model."""

    INSERT = "insert"
    UPDATE = "update"
    DELETE = "delete"
    UPSERT = "upsert"


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """SQL that was rendered once and is run often; compared by identity.

    Attributes:
        sql: text with the dialect's placeholders; identifiers come from the registry only.
        decode: how a result row becomes wire values; None when no rows are wanted.
        writes: whether it changes rows (SQLite: goes to the writer).
        model: whose constraints its errors are translated by; None for SqlNode and the ledger.
        inline: a read by key, at most one row: SQLite answers it without leaving the event loop's thread.
        open: for a statement of an operator's; its arguments are wire values, `decode` is not asked, and if it is not
            said to write it is run where it cannot.
        change: what it does to records of the model.
    """

    sql: str
    decode: Decoder | None
    writes: bool
    model: Model | None = None
    inline: bool = False
    open: Open | None = None
    change: Change | None = None

    @property
    def models(self) -> tuple[Model, ...]:
        """`model`, if there is one."""
        return () if self.model is None else (self.model,)


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement with its arguments in driver form.

    Attributes:
        is_new: of an upsert whether it inserts a record, where its caller has looked because its result cannot tell.
    """

    statement: Statement
    args: tuple[object, ...] = ()
    is_new: Callable[[Row], bool] | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """What a statement gave: decoded rows, and how many rows it touched."""

    rows: list[dict[str, object]]
    affected: int


class Pooler(StrEnum):
    """What stands between the daemon and PostgreSQL."""

    NONE = "none"
    TRANSACTION = "transaction"


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolOptions:
    """The connection part of the `database` settings.

    Attributes:
        pool_min: connections that are kept open.
        pool_max: connections that may be open; on SQLite the number of reader threads.
        acquire_timeout_s: how long a statement waits for a connection, or for a lock on a SQLite file.
        statement_timeout_s: the server's own limit for one statement, also where no deadline is nearer.
        pooler: `transaction` for PgBouncer in that mode: no state is left on a connection between transactions.
    """

    pool_min: int = 1
    pool_max: int = 10
    acquire_timeout_s: float = 2.0
    statement_timeout_s: float = 30.0
    pooler: Pooler = Pooler.NONE


class Session(Protocol):
    """Where statements run: inside one transaction, or each by itself."""

    @property
    def dialect(self) -> Dialect:
        """The dialect that statements must be written in."""

    async def run(self, bound: Bound) -> Result:
        """Run one statement.

        Raises:
            DatabaseError: and its kin from `errors.py`, already translated; never a driver's exception.
            DeadlineExceeded: the deadline passed; the statement was cancelled.
        """

    def atomic(self) -> AbstractAsyncContextManager[Session]:
        """Several statements, all or nothing: a savepoint inside a transaction, a transaction otherwise."""


class Database(Protocol):
    """A pool of connections to one database."""

    @property
    def dialect(self) -> Dialect:
        """PostgreSQL or SQLite."""

    async def open(self) -> None:
        """Connect; called once, in the serving loop."""

    def session(self, deadline: float) -> Session:
        """A session in which every statement commits by itself. `deadline` is `loop.time()` based."""

    def transaction(
        self, deadline: float, *, read_only: bool, keep: bool = True
    ) -> AbstractAsyncContextManager[Session]:
        """One transaction: commits at the end of the block, rolls back when the block raises or `keep` is False.

        With `keep=False` (dry run) deferred constraints are checked before the rollback. With `read_only` all
        statements see one snapshot. A statement that fails fails the transaction, unless a savepoint is around it.

        Raises:
            SerializationConflict: it met another transaction, or a plan that the schema had outgrown; it may be
                replayed from its start, up to three times.
            ConnectionLost: surely undone; it may be replayed once.
            UnknownOutcome: the connection was lost after COMMIT was sent.
        """

    async def check(self, statement: Statement) -> str:
        """Why the database would refuse an open statement; empty where it would not. Nothing is run."""

    async def tables(self, statement: Statement) -> frozenset[str]:
        """The tables that an open statement which is not refused uses, those behind views too; it is not run.

        What functions read is not among them; one that is given a query or a table as text is, by its own name.
        """

    async def ready(self) -> bool:
        """Whether a trivial statement is answered within a second."""

    async def expire(self) -> None:
        """Forget cached statement plans (the schema has changed)."""

    def stats(self) -> Mapping[str, int]:
        """`open`, `idle`, `busy`, `waiting`."""

    async def close(self, grace_s: float) -> None:
        """Let running statements end for `grace_s`, then cut them."""
