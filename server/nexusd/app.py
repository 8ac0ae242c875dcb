"""What a process is made of, in the order in which it is: registry, plans, schema, database, runtime."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nexusd import __version__, catalog
from nexusd.databases.cursors import CursorSigner
from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.databases.rehearsal import Rehearsal
from nexusd.definitions.loader import PythonSource, read_registry
from nexusd.definitions.registry import NOTHING_UNREAD
from nexusd.errors import ConfigurationError, Problem
from nexusd.events import ignore
from nexusd.planning.registry import compile_registry
from nexusd.planning.statements import check_statements, statements
from nexusd.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import Database, Session
    from nexusd.ddl.administration import Administration
    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.ddl.keys import KeyAdministration
    from nexusd.ddl.options import DDLOptions
    from nexusd.definitions.registry import Registry
    from nexusd.events import Observer
    from nexusd.planning.plan import Plan
    from nexusd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """A configuration that holds together: settings, registry, and a plan for every workflow.

    Attributes:
        python: where the registry's Python definitions come from; None: the registry was built in Python altogether.
        started: `time.perf_counter()` when loading began.
        duration_s: how long it took.
    """

    settings: Settings
    registry: Registry
    plans: Mapping[str, Plan]
    python: PythonSource | None
    signer: CursorSigner
    started: float
    duration_s: float


def load(
    settings: Settings, python: PythonSource, registry: Registry | None = None, signer: CursorSigner | None = None
) -> Loaded:
    """Read the registry, or take the one that was built in Python, and compile it.

    Args:
        settings: say where the registry is.
        python: where its Python definitions come from.
        registry: one that was built in Python altogether.
        signer: of the registry before this one, so that cursors which are out with clients stay good.

    Raises:
        ConfigurationError: with every mistake that was found.
    """
    started = time.perf_counter()
    catalog.check_auth(settings.auth)
    has_files = registry is None
    unread = NOTHING_UNREAD
    if registry is None:
        registry, unread = read_registry(settings.registry.path, python)
    signer = signer or CursorSigner(settings.server.secret_key.encode())
    find = partial(python.function, folder=Path(settings.registry.path).parent)
    plans = compile_registry(
        registry,
        catalog.node_types(registry, signer, find, settings.registry.secrets, audited=settings.monitoring.audit),
        unread,
    )
    return Loaded(
        settings=settings,
        registry=registry,
        plans=plans,
        python=python if has_files else None,
        signer=signer,
        started=started,
        duration_s=round(time.perf_counter() - started, 4),
    )


@contextlib.asynccontextmanager
async def open_runtime(loaded: Loaded, observe: Observer = ignore) -> AsyncIterator[Runtime]:
    """A runtime in this process without any channel; the schema is brought to the registry as `serve` does.

    Raises:
        StartupError: the database cannot be reached or brought to the registry.
    """
    _, outcome = await migrate_beside(loaded, observe)
    async with open_database(loaded, outcome, observe) as runtime:
        yield runtime


async def migrate_beside(loaded: Loaded, observe: Observer) -> tuple[SyncDDLExecutor, DDLOutcome]:
    """Bring the schema to the registry while a loop runs; the executor, which has deferred steps, and the outcome.

    Raises:
        StartupError: the database cannot be reached or brought to the registry.
    """
    executor = start_executor(loaded, observe)
    executor.start()
    try:
        return executor, await asyncio.to_thread(executor.wait)
    except asyncio.CancelledError:
        # A thread cannot be cancelled: it ends because the executor does.
        executor.cancel(signal.SIGINT)
        raise


async def check_database(loaded: Loaded, outcome: DDLOutcome, observe: Observer) -> None:
    """Have the database say whether it could run what the registry's SqlNodes say, where nothing else will ask it.

    Raises:
        ConfigurationError: with each statement that it could not.
    """
    dialect = Dialect.SQLITE if catalog.is_sqlite(loaded.settings.database.url) else Dialect.POSTGRESQL
    if any(statements(loaded.registry, dialect)):
        async with open_database(loaded, outcome, observe):
            pass


def start_executor(loaded: Loaded, observe: Observer) -> SyncDDLExecutor:
    """The executor that does what a start may do."""
    options = catalog.ddl_options(loaded.settings, __version__)
    return catalog.ddl_executor(loaded.settings, loaded.registry, options, observe)


def apply_migrations(
    loaded: Loaded, observe: Observer, *, contract: bool, confirmed: bool, rehearse: bool
) -> DDLOutcome:
    """Do what a start would do to the database, and what it leaves for later.

    Args:
        loaded: whose registry.
        observe: told of what happens.
        contract: whether contract files are applied too.
        confirmed: whether this registry becomes the newest although a newer one was applied.
        rehearse: whether everything is rolled back at the end.

    Raises:
        StartupError: why the database is not as the registry wants it.
    """
    options = _applying(loaded.settings)
    options = replace(options, contract=contract, confirmed=confirmed, rehearse=rehearse)
    executor = catalog.ddl_executor(loaded.settings, loaded.registry, options, observe)
    outcome = migrate(executor, _nothing)
    if outcome.connection is not None:
        outcome.connection.close()
    if outcome.deferred and not rehearse:
        executor.run_deferred()
    return outcome


@contextlib.contextmanager
def open_migrations(loaded: Loaded) -> Iterator[Administration]:
    """The database of the settings for an operator: plan, state, files.

    Raises:
        StartupError: the database cannot be reached, or a migration file cannot be used.
    """
    target = catalog.ddl_connect(loaded.settings.database)()
    try:
        yield catalog.ddl_administration(loaded.settings, loaded.registry, target, _applying(loaded.settings))
    finally:
        connection = target.hand_over()
        if connection is not None:
            connection.close()


@contextlib.contextmanager
def open_keys(settings: Settings) -> Iterator[KeyAdministration]:
    """The API keys in the database of the settings, for an operator.

    Raises:
        ConfigurationError: it is a database in memory, whose keys nobody else could use.
        StartupError: it cannot be reached.
    """
    if settings.database.is_memory:
        raise ConfigurationError([Problem("database.url: a key in a database in memory would be gone at once")])
    target = catalog.ddl_connect(settings.database)()
    try:
        yield catalog.key_administration(settings, target, __version__)
    finally:
        target.hand_over()


def migration_files(settings: Settings) -> list[Path]:
    """The migration files of the settings, names and headers checked.

    Raises:
        StartupError: one cannot be used.
    """
    return catalog.migration_files(settings.database)


def _applying(settings: Settings) -> DDLOptions:
    """How far a migration goes that an operator asks for, whatever a start would do."""
    options = catalog.ddl_options(settings, __version__)
    return options if options.auto_migrate == "all" else replace(options, auto_migrate="true")


def _nothing() -> None:
    """Nothing to do meanwhile."""


def migrate(executor: SyncDDLExecutor, meanwhile: Callable[[], None]) -> DDLOutcome:
    """Run the executor to its end, and `meanwhile` beside it; SIGTERM and SIGINT cancel it."""
    is_main = threading.current_thread() is threading.main_thread()
    numbers = (signal.SIGTERM, signal.SIGINT) if is_main else ()
    before = {
        number: signal.signal(number, lambda received, _frame: executor.cancel(signal.Signals(received)))
        for number in numbers
    }
    try:
        executor.start()
        meanwhile()
        return executor.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.asynccontextmanager
async def open_database(
    loaded: Loaded, outcome: DDLOutcome, observe: Observer, turns: int | None = None
) -> AsyncIterator[Runtime]:
    """A runtime on the database that an executor has brought to the registry.

    Args:
        loaded: what it runs.
        outcome: of that executor.
        observe: told what happens.
        turns: see `catalog.database`.

    Raises:
        ConfigurationError: the database could not run a statement of a SqlNode.
    """
    if not loaded.settings.server.secret_key:
        loaded.signer.use(outcome.secret)
    database = catalog.database(loaded.settings.database, outcome, observe, turns)
    await database.open()
    try:
        await check_statements(loaded.registry, database)
        engine = catalog.engine(loaded.settings.executions.engine)
        runtime = Runtime(loaded.plans, engine, database, observe, loaded.registry, keeps_keys=outcome.keeps_keys)
        runtime.secret = loaded.settings.server.secret_key.encode() or outcome.secret
        yield runtime
    finally:
        await database.close(loaded.settings.server.grace_s)


REHEARSAL_S: Final = 3600.0
"""When a rehearsal is cut off that nothing else has ended."""

_MAY_MAKE_TEMPORARY: Final = "SELECT has_database_privilege(current_database(), 'TEMP')"
_SEARCH_FIRST: Final = "SELECT set_config('search_path', '{}, ' || current_setting('search_path'), true)"


@contextlib.asynccontextmanager
async def open_rehearsals(loaded: Loaded) -> AsyncIterator[Callable[[], AbstractAsyncContextManager[Database]]]:
    """A function that opens a database with the registry's tables, all of them empty, of which nothing is ever kept.

    Each is one transaction that is rolled back. On PostgreSQL it is one of the configured server's, with temporary
    tables that hide those of the same names; SQLite has a database in memory instead of the configured file.

    Raises:
        StartupError, NexusError: the database cannot be used.
    """
    settings = loaded.settings.database
    executor = outcome = None
    if catalog.is_sqlite(settings.url):
        settings = replace(settings, url="sqlite:///:memory:", ddl_url="", auto_migrate="true")
        loaded = replace(loaded, settings=replace(loaded.settings, database=settings))
        executor, outcome = await migrate_beside(loaded, ignore)
    loaded.signer.use(os.urandom(32))
    database = catalog.database(replace(settings, pool_min=0, pool_max=1), outcome, ignore)
    await database.open()
    tables = [] if executor else catalog.new_tables(loaded.registry, database.dialect)
    try:
        yield partial(_rehearse, database, tables)
    finally:
        await database.close(loaded.settings.server.grace_s)


@contextlib.asynccontextmanager
async def _rehearse(database: Database, tables: Sequence[str]) -> AsyncIterator[Database]:
    deadline = asyncio.get_running_loop().time() + REHEARSAL_S
    async with database.transaction(deadline, read_only=False, keep=False) as session:
        if database.dialect is Dialect.POSTGRESQL:
            await _hide(session)
        for sql in tables:
            await session.run(Bound(Statement(sql, None, writes=True)))
        yield Rehearsal(session)


async def _hide(session: Session) -> None:
    """Have new tables made where nobody else sees them, and found before all others."""
    asked = await session.run(Bound(Statement(_MAY_MAKE_TEMPORARY, lambda row: {"may": row[0]}, writes=False)))
    space = "pg_temp"
    if not asked.rows[0]["may"]:
        space = f'"_nexusd_case_{os.getpid()}"'
        await session.run(Bound(Statement(f"CREATE SCHEMA {space}", None, writes=True)))
    await session.run(Bound(Statement(_SEARCH_FIRST.format(space), None, writes=True)))
