"""SyncDDLExecutor: brings the database to the registry on a thread of its own, before any event loop exists."""

from __future__ import annotations

import signal
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.ddl.deferred import DeferredSteps
from nexusd.ddl.errors import DatabaseRefused, DatabaseUnreachable, DDLCancelled, DDLError, StatementFailed
from nexusd.ddl.files import read_files
from nexusd.ddl.ledger import KEY_TABLE
from nexusd.ddl.migration import Migration, Verdict
from nexusd.ddl.tables import wanted_tables
from nexusd.events import DatabaseWaiting, MigrationApplied, MigrationStepFailed

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping
    from pathlib import Path

    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.target import Connect, Target
    from nexusd.definitions.model import Model
    from nexusd.events import Observer

_JOIN_S: Final = 0.1
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0
_REFUSED_GRACE_S: Final = 5.0
"""A server that is being set up refuses a role or database that it has a moment later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DDLOutcome:
    """What a start found and did.

    Attributes:
        steps: statements applied.
        deferred: steps that `run_deferred` is to make once the server is ready.
        secret: the daemon's key, the same for every process on this database.
        keeps_keys: whether there is a table for Idempotency-Keys.
        connection: of a database in memory, open; the data layer goes on with it.
        backup: the copy made before tables of a SQLite file were built anew, or empty.
    """

    verdict: Verdict
    steps: int
    deferred: int
    secret: bytes
    keeps_keys: bool
    connection: sqlite3.Connection | None
    backup: str
    duration_s: float


class SyncDDLExecutor:
    """One migration run on the thread `nexusd-ddl`.

    Args:
        connect: opens the database; called again while it is not reachable.
        models: all models of the registry by name.
        migrations_dir: the folder of migration files.
        options: how far it may go.
        observe: told of waiting, plans and results.
    """

    def __init__(
        self,
        connect: Connect,
        models: Mapping[str, Model],
        migrations_dir: Path,
        options: DDLOptions,
        observe: Observer,
    ) -> None:
        self._connect = connect
        self._models = models
        self._migrations_dir = migrations_dir
        self._options = options
        self._observe = observe
        self._future: Future[DDLOutcome] = Future()
        self._cancelled = threading.Event()
        self._signal = signal.SIGTERM
        self._target: Target | None = None
        self._connecting = True
        self._thread = threading.Thread(target=self._run, name="nexusd-ddl", daemon=True)

    def start(self) -> Future[DDLOutcome]:
        """Begin; the future is done when the thread ends."""
        self._thread.start()
        return self._future

    def wait(self) -> DDLOutcome:
        """The outcome; waits in short steps, so that signal handlers of the main thread run.

        Raises:
            DDLError: why the database is not as the registry wants it.
        """
        while self._thread.is_alive():
            self._thread.join(_JOIN_S)
            if self._connecting and self._cancelled.is_set():
                # A connection attempt cannot be interrupted: the thread is left to it, and makes nothing of it.
                raise DDLCancelled(signal_number=self._signal)
        return self._future.result()

    def cancel(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the run as soon as possible; what it had begun is rolled back."""
        self._signal = number
        self._cancelled.set()
        if self._target is not None:
            self._target.interrupt()

    def run_deferred(self) -> None:
        """Make the steps that were left for after the start; in a thread of the caller's, ended by `cancel`.

        What fails is told to the observer and tried again by the next start.
        """
        try:
            target = self._target = self._reach()
        except DDLError as error:
            self._observe(MigrationStepFailed("", "", error.detail.partition("\n")[0]))
            return
        try:
            DeferredSteps(self._migration(target), self._observe, self._cancelled).run()
        finally:
            self._target = None
            target.hand_over()

    def _run(self) -> None:
        try:
            outcome = self._migrate()
        except DDLCancelled as error:
            error.exit_code = 128 + self._signal
            self._future.set_exception(error if self._cancelled.is_set() else StatementFailed(error.detail))
        except BaseException as error:  # noqa: BLE001 - the thread's edge: the future carries it to the main thread
            self._future.set_exception(error)
        else:
            self._future.set_result(outcome)
        finally:
            self._target = None

    def _migration(self, target: Target) -> Migration:
        tables = wanted_tables(self._models, target.dialect)
        files = read_files(self._migrations_dir, target.dialect)
        return Migration(target, tables, files, self._options, self._observe, self._cancelled)

    def _migrate(self) -> DDLOutcome:
        started = time.perf_counter()
        target = self._target = self._reach()
        self._connecting = False
        if self._cancelled.is_set():
            target.hand_over()
            raise DDLCancelled
        try:
            result = self._migration(target).bring()
            keeps_keys = target.has_table(KEY_TABLE)
        except BaseException:
            connection = target.hand_over()
            if connection is not None:
                connection.close()
            raise
        duration_s = round(time.perf_counter() - started, 4)
        if result.verdict is not Verdict.SKIPPED:
            self._observe(
                MigrationApplied(result.verdict.value, result.steps, result.deferred, result.backup, duration_s)
            )
        return DDLOutcome(
            verdict=result.verdict,
            steps=result.steps,
            deferred=result.deferred,
            secret=result.secret,
            keeps_keys=keeps_keys,
            connection=target.hand_over(),
            backup=result.backup,
            duration_s=duration_s,
        )

    def _reach(self) -> Target:
        """Connect; a database that may still be starting is tried again until `wait_s` is over."""
        started = time.monotonic()
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._connect()
            except DatabaseUnreachable as error:
                if time.monotonic() + pause_s > started + self._options.wait_s:
                    message = f"{error.detail} (waited {self._options.wait_s:g} s)"
                    raise DatabaseUnreachable(message) from error
                reason: DatabaseUnreachable | DatabaseRefused = error
            except DatabaseRefused as error:
                grace_s = min(_REFUSED_GRACE_S, self._options.wait_s) if error.may_change else 0.0
                if time.monotonic() + pause_s > started + grace_s:
                    raise
                reason = error
            self._observe(DatabaseWaiting(reason.detail.partition("\n")[0]))
            if self._cancelled.wait(pause_s):
                raise DDLCancelled
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
