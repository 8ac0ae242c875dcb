"""From one registry to the next: read again, compiled, and the database brought to it, beside what is served."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nexusd import app, catalog
from nexusd.ddl.migration import Verdict
from nexusd.errors import ConfigurationError, NexusError, Problem, StartupError
from nexusd.events import RegistryLoaded, RegistryRejected, RegistryReloading
from nexusd.supervisor.reload import Reloaded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.definitions.loader import PythonSource
    from nexusd.events import Observer

_NOT_IN_MEMORY: Final = Problem(
    "a database in memory cannot be brought to other models while it is served",
    "restart the server, or keep the data in a file",
)
_NOT_FROM_PYTHON: Final = Problem("what was built in Python cannot be read again", "restart the server")


@dataclass(frozen=True, slots=True)
class _Prepared:
    loaded: app.Loaded
    outcome: DDLOutcome


class Renewal:
    """The registry that is served, and how another one takes its place.

    Args:
        loaded: the registry at first.
        outcome: of the migration to it.
        deferred: what the migrations leave for later.
        adopt: begins to serve another one; called once nothing else can fail, but may fail itself.
        observe: told how it goes.
    """

    def __init__(
        self,
        loaded: app.Loaded,
        outcome: DDLOutcome,
        deferred: Deferred,
        adopt: Callable[[app.Loaded, DDLOutcome], Awaitable[None]],
        observe: Observer,
    ) -> None:
        self._loaded = loaded
        self._outcome = outcome
        self._deferred = deferred
        self._adopt = adopt
        self._observe = observe

    async def __call__(self) -> Reloaded:
        """Serve the registry as its files are now, or go on as before.

        Raises:
            StartupError: why it is not served.
        """
        started = time.perf_counter()
        self._observe(RegistryReloading())
        try:
            fresh = await self._adopted()
        except NexusError as error:
            told = error if isinstance(error, StartupError) else StartupError(error.detail)
            self._observe(RegistryRejected(told.exit_code, reasons(told)))
            raise told from error
        self._loaded, self._outcome = fresh.loaded, fresh.outcome
        models, workflows = len(fresh.loaded.registry.models), len(fresh.loaded.plans)
        self._observe(RegistryLoaded(models, workflows, fresh.loaded.duration_s))
        return Reloaded(models, workflows, fresh.outcome.verdict.value, round(time.perf_counter() - started, 3))

    async def _adopted(self) -> _Prepared:
        """The new registry, which is served now."""
        python = self._loaded.python
        if python is None:
            raise ConfigurationError([_NOT_FROM_PYTHON])
        with python.imported_anew():
            fresh = await self._prepared(python)
            await self._adopt(fresh.loaded, fresh.outcome)
            return fresh

    async def _prepared(self, python: PythonSource) -> _Prepared:
        """The new registry, compiled, with the database brought to it."""
        before = self._loaded
        fresh = await _in_thread(lambda: app.load(before.settings, python, signer=before.signer))
        if before.settings.database.is_memory:
            if not catalog.same_tables(before.registry, fresh.registry):
                raise ConfigurationError([_NOT_IN_MEMORY])
            return _Prepared(fresh, replace(self._outcome, verdict=Verdict.UNCHANGED))
        # Steps that are still being made hold the lock that the migration needs; it finds what is left of them.
        left = await self._deferred.end()
        try:
            executor, outcome = await app.migrate_beside(fresh, self._observe)
        except StartupError:
            if left:
                self._deferred.begin(app.start_executor(before, self._observe))
            raise
        if outcome.deferred:
            self._deferred.begin(executor)
        return _Prepared(fresh, outcome)


def reasons(error: StartupError) -> tuple[str, ...]:
    """Each problem in a line."""
    if not isinstance(error, ConfigurationError):
        return tuple(error.detail.splitlines())
    return tuple(
        f"{f'{each.file}:{each.line}:{each.column}: ' if each.file else ''}{each.message}"
        f"{f' ({each.hint})' if each.hint else ''}"
        for each in error.problems
    )


async def _in_thread(work: Callable[[], app.Loaded]) -> app.Loaded:
    """What `work` gives, made in a thread that no end waits for: an operator's module may run for ever."""
    made: Future[app.Loaded] = Future()
    made.set_running_or_notify_cancel()

    def run() -> None:
        try:
            made.set_result(work())
        except BaseException as error:  # noqa: BLE001 - the thread's edge: the future carries it on
            made.set_exception(error)

    threading.Thread(target=run, name="nexusd-registry", daemon=True).start()
    return await asyncio.wrap_future(made)


class Deferred:
    """What a migration left for later: made once the server is ready; what is not done by the end, later still.

    Args:
        ready: set when every channel answers.
    """

    def __init__(self, ready: asyncio.Event) -> None:
        self._ready = ready
        self._executor: SyncDDLExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    def begin(self, executor: SyncDDLExecutor) -> None:
        """Make the steps that this one has left; those of another have ended."""

        async def work() -> None:
            await self._ready.wait()
            await asyncio.to_thread(executor.run_deferred)

        self._executor = executor
        self._task = asyncio.create_task(work())

    async def end(self) -> bool:
        """Stop once the step that is being made has ended; whether there may be others."""
        if self._executor is None or self._task is None:
            return False
        left = not self._task.done()
        self._executor.cancel()
        if not self._ready.is_set():
            self._task.cancel()
        await asyncio.wait([self._task])
        self._executor = self._task = None
        return left
