"""One PostgreSQL connection: how it is set up, how a statement runs on it, how it is cut off."""

from __future__ import annotations

import asyncio
import contextlib
import select
from typing import TYPE_CHECKING, Final, cast

import asyncpg
from asyncpg.connect_utils import SessionAttribute

from nexusd.databases.database import Pooler, Result
from nexusd.databases.open_statements import postgresql_arguments, postgresql_decoder
from nexusd.databases.postgresql_wire import ahead as messages
from nexusd.errors import InvalidInput

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asyncpg.prepared_stmt import PreparedStatement

    from nexusd.databases.database import Bound, Open, PoolOptions, Statement

    AsyncpgConnection = asyncpg.Connection[asyncpg.Record]
else:
    AsyncpgConnection = asyncpg.Connection  # generic in its stubs only

CONNECT_TIMEOUT_S: Final = 5.0
IDLE_IN_TRANSACTION_S: Final = 10.0
CUT_OFF_GRACE_S: Final = 0.08
"""How long after its deadline a statement may take to answer the cancel before the connection is dropped."""

MAX_PREPARED: Final = 512
"""As many statements as the renderer keeps; the oldest goes first."""

TEXT_TYPES: Final = (
    "date",
    "interval",
    "json",
    "jsonb",
    "numeric",
    "time",
    "timestamp",
    "timestamptz",
    "timetz",
    "uuid",
)
"""Types whose values cross as PostgreSQL's own text: exact, and without Python objects in between."""

ARRAY_TYPES: Final = {
    "json": (199, 114),
    "bool": (1000, 16),
    "bytea": (1001, 17),
    "int2": (1005, 21),
    "int4": (1007, 23),
    "varchar": (1015, 1043),
    "int8": (1016, 20),
    "float4": (1021, 700),
    "float8": (1022, 701),
    "timestamp": (1115, 1114),
    "date": (1182, 1082),
    "time": (1183, 1083),
    "timestamptz": (1185, 1184),
    "numeric": (1231, 1700),
    "uuid": (2951, 2950),
    "jsonb": (3807, 3802),
}
"""Item type to the fixed OIDs of its array and of itself (PostgreSQL's pg_type.dat).

Told to asyncpg beforehand: it would ask the catalog on every new connection, and set `jit` for the session while it
asks, which a transaction pooler hands to somebody else.
"""


class Driver(AsyncpgConnection):
    """asyncpg's connection with a cancel after which the statement's real outcome is still waited for.

    asyncpg's own timeout abandons the statement as it asks the server to cancel it; whether a write was kept can then
    not be told any more.
    """

    __slots__ = ()

    def cancel_statement(self) -> asyncio.Future[None]:
        """Send a cancel request (by a connection of its own, as the protocol demands); done when it was delivered."""
        delivered: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._cancel_current_command(delivered)  # type: ignore[attr-defined]  # inner part, hence the bound on asyncpg
        return delivered

    def send_ahead(self, messages: bytes) -> None:
        """Send protocol messages in front of the next statement, which ends them with its Sync."""
        self._transport.write(messages)  # type: ignore[attr-defined]

    @property
    def descriptor(self) -> int:
        """The socket's file descriptor."""
        return int(self._transport.get_extra_info("socket").fileno())  # type: ignore[attr-defined]


class Connection:
    """A pooled connection.

    Attributes:
        driver: asyncpg's connection.
        clean: no statement is unfinished; outside a transaction it may be lent to the next one as it is.
        overdue: the running statement was told to stop because its deadline passed.
        sent: the running statement may have reached the server.
        epoch: the pool's count of losses when the connection was last known to work.
        loop: the event loop it belongs to.
        idle_since: `loop.time()` when it was last given back.
    """

    __slots__ = (
        "_cancel",
        "_cut_off",
        "_poll",
        "_prepared",
        "clean",
        "driver",
        "epoch",
        "idle_since",
        "loop",
        "overdue",
        "sent",
    )

    def __init__(self, driver: Driver, loop: asyncio.AbstractEventLoop) -> None:
        self.driver = driver
        self.clean = True
        self.overdue = False
        self.sent = False
        self.epoch = 0
        self.idle_since = loop.time()
        self.loop = loop
        self._poll = select.poll()
        self._poll.register(driver.descriptor, select.POLLIN)
        self._prepared: dict[Statement, PreparedStatement[asyncpg.Record]] = {}
        self._cancel: asyncio.Future[None] | None = None
        self._cut_off: asyncio.TimerHandle | None = None

    @property
    def is_idle(self) -> bool:
        """Whether it is open, and no transaction is: a statement may have been a BEGIN."""
        return not (self.driver.is_closed() or self.driver.is_in_transaction())

    @property
    def has_news(self) -> bool:
        """Whether the idle connection's socket has something to read: most likely its end."""
        return bool(self._poll.poll(0))

    async def run(self, bound: Bound, deadline: float, ahead: Sequence[str] = ()) -> Result:
        """Run one statement; asyncpg's exceptions pass through, `clean`, `overdue` and `sent` tell the rest.

        Args:
            bound: the statement and its arguments.
            deadline: when to stop it.
            ahead: commands to run before it, in the same round trip if the statement was prepared before.
        """
        statement = bound.statement
        self.clean = self.overdue = self.sent = False
        timer = self.loop.call_at(deadline, self._stop)
        try:
            prepared = self._prepared.get(statement)
            if prepared is None:
                prepared = await self._prepare_behind(ahead, statement)
                ahead = ()
            if statement.open is not None:
                return await self._run_open(statement.open, prepared, bound, ahead)
            if ahead:
                self.driver.send_ahead(messages(tuple(ahead)))
            self.sent = True
            records = await prepared.fetch(*bound.args)
        except InvalidInput:
            # Told before anything of this statement was sent.
            self.clean = not self.overdue
            raise
        except asyncpg.PostgresError:
            self.clean = not (self.overdue or self.driver.is_closed())
            raise
        except ValueError:
            # An argument could not be encoded: nothing was sent but what went ahead.
            self.clean = not (ahead or self.overdue)
            raise
        except (asyncpg.InterfaceError, asyncpg.InternalClientError):
            # What asyncpg knew of the statement may be why.
            self.forget_plans()
            raise
        finally:
            timer.cancel()
            if self._cut_off is not None:
                self._cut_off.cancel()
        self.clean = not self.overdue
        decode = statement.decode
        if decode is None:
            return Result([], affected(prepared.get_statusmsg()))
        return Result([decode(row) for row in cast("list[Sequence[object]]", records)], len(records))

    async def _run_open(
        self, known: Open, prepared: PreparedStatement[asyncpg.Record], bound: Bound, ahead: Sequence[str]
    ) -> Result:
        """Run a statement whose types were told when it was prepared."""
        types = [each.name for each in prepared.get_parameters()]
        try:
            arguments = postgresql_arguments(known.names, types, bound.args)
        except InvalidInput:
            if ahead:
                # The transaction goes on as if they had been sent.
                await self.driver.execute("; ".join(ahead))
            raise
        if ahead:
            self.driver.send_ahead(messages(tuple(ahead)))
        self.sent = True
        columns = [(each.name, each.type.name) for each in prepared.get_attributes()]
        # Inner part, hence the bound on asyncpg: its fetch has no limit.
        fetch = prepared._PreparedStatement__bind_execute  # type: ignore[attr-defined]  # noqa: SLF001
        records = await fetch(arguments, known.max_rows + 1, None)
        self.clean = not self.overdue
        if not columns:
            return Result([], affected(prepared.get_statusmsg()))
        decode = postgresql_decoder(columns, known)
        return Result([decode(row) for row in records], len(records))

    async def command(self, sql: str, deadline: float, *, stop: bool = True) -> str:
        """Run transaction control or settings in one round trip.

        Args:
            sql: one or more commands, separated by semicolons.
            deadline: when to end it.
            stop: False for a commit, which is only waited for: a cancel that meets a commit waiting for its replica
                has it reported as done (postgresql.org/docs/current/warm-standby.html).

        Returns:
            The tag of the last command, such as `COMMIT`.
        """
        self.clean = self.overdue = False
        self.sent = True
        timer = self.loop.call_at(deadline, self._stop if stop else self._give_grace)
        try:
            tag = await self.driver.execute(sql)
        except asyncpg.PostgresError:
            self.clean = not (self.overdue or self.driver.is_closed())
            raise
        finally:
            timer.cancel()
            if self._cut_off is not None:
                self._cut_off.cancel()
        self.clean = not self.overdue
        return tag

    async def reset(self) -> None:
        """Wait until a cancelled statement has ended, and leave its transaction."""
        if self._cancel is not None:
            # A late cancel would hit the next statement.
            await self._cancel
            self._cancel = None
        with contextlib.suppress(asyncpg.InFailedSQLTransactionError):
            await self.driver.execute("SELECT 1")
        if self.driver.is_in_transaction():
            await self.driver.execute("ROLLBACK")
        self.clean, self.overdue = True, False

    def forget_plans(self) -> None:
        """Prepare every statement anew at its next use."""
        self._prepared.clear()

    async def _prepare_behind(self, ahead: Sequence[str], statement: Statement) -> PreparedStatement[asyncpg.Record]:
        if ahead:
            await self.driver.execute("; ".join(ahead))
        return await self._prepare(statement)

    async def _prepare(self, statement: Statement) -> PreparedStatement[asyncpg.Record]:
        # With asyncpg's statement cache off the result is unnamed and parsed again by every use, in the same packet.
        prepared = await self.driver.prepare(statement.sql)
        if len(self._prepared) >= MAX_PREPARED:
            del self._prepared[next(iter(self._prepared))]
        self._prepared[statement] = prepared
        return prepared

    def _stop(self) -> None:
        self._give_grace()
        self._cancel = self.driver.cancel_statement()

    def _give_grace(self) -> None:
        self.overdue = True
        self._cut_off = self.loop.call_later(CUT_OFF_GRACE_S, self.driver.terminate)


async def connect(url: str, options: PoolOptions) -> Connection:
    """Open a connection and set it up, without a query of its own; of several hosts to the first that takes writes.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError: no server
            answered, or it refused.
    """
    *others, last = _alternatives(url)
    for alternative in others:
        try:
            return await _connect(alternative, options, SessionAttribute.read_write)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError):
            continue
    return await _connect(last, options, SessionAttribute.read_write if others else None)


async def _connect(url: str, options: PoolOptions, attribute: SessionAttribute | None) -> Connection:
    pooled = options.pooler is Pooler.TRANSACTION
    driver = await asyncpg.connect(
        url,
        timeout=CONNECT_TIMEOUT_S,
        connection_class=Driver,
        # Statements are kept by Connection; a transaction pooler forbids named ones.
        statement_cache_size=0 if pooled else 8,
        max_cached_statement_lifetime=0,
        server_settings=startup_settings(options),
        target_session_attrs=attribute,
    )
    for name in TEXT_TYPES:
        await driver.set_builtin_type_codec(name, schema="pg_catalog", codec_name="text", format="text")
    driver.get_settings().register_data_types(_array_type(name, *oids) for name, oids in ARRAY_TYPES.items())
    return Connection(driver, asyncio.get_running_loop())


def startup_settings(options: PoolOptions) -> dict[str, str]:
    """Settings that ride in the startup packet; of those a transaction pooler keeps only what it tracks by itself.

    PgBouncer tracks TimeZone, DateStyle and application_name and refuses others (pgbouncer.org/config.html).
    """
    settings = {"TimeZone": "UTC", "DateStyle": "ISO, MDY", "application_name": "nexusd"}
    if options.pooler is Pooler.NONE:
        settings |= limits(options)
    return settings


def limits(options: PoolOptions) -> dict[str, str]:
    """The server's own limits, in milliseconds: they hold when the daemon cannot cancel any more."""
    return {
        "statement_timeout": str(int(options.statement_timeout_s * 1000)),
        "idle_in_transaction_session_timeout": str(int(IDLE_IN_TRANSACTION_S * 1000)),
    }


def affected(tag: str | None) -> int:
    """The row count at the end of a command tag (`INSERT 0 3`); 0 for commands without one."""
    count = (tag or "").rpartition(" ")[2]
    return int(count) if count.isdecimal() else 0


def _alternatives(url: str) -> list[str]:
    """A URL for each of several hosts: asyncpg has one timeout for all, and the first may hang.

    Where the URL says which kind of server it wants, asyncpg compares them itself.
    """
    scheme, separator, rest = url.partition("://")
    authority, slash, path = rest.partition("/")
    user, at, hosts = authority.rpartition("@")
    if "target_session_attrs=" in url:
        return [url]
    return [f"{scheme}{separator}{user}{at}{host}{slash}{path}" for host in hosts.split(",")]


def _array_type(name: str, array_oid: int, item_oid: int) -> dict[str, object]:
    return {
        "oid": array_oid,
        "ns": "pg_catalog",
        "name": f"_{name}",
        "kind": b"b",
        "basetype": None,
        "elemtype": item_oid,
        "elemdelim": ",",
        "elemtype_name": name,
        "range_subtype": None,
        "attrtypoids": None,
    }
