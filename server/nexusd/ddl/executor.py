"""SyncDDLExecutor: brings the database to the registry on a thread of its own, before any event loop exists."""

from __future__ import annotations

import hashlib
import os
import secrets
import signal
import socket
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from nexusd.ddl.diff import diff
from nexusd.ddl.errors import DatabaseUnreachable, DDLCancelled, PlanBlocked, SchemaPending
from nexusd.ddl.tables import create_table, foreign_keys, indexes
from nexusd.events import DatabaseWaiting, MigrationApplied, MigrationBlocked, MigrationPlanned

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Mapping

    from nexusd.databases.database import Dialect
    from nexusd.ddl.plan import Plan
    from nexusd.ddl.target import Connect, Target
    from nexusd.definitions.model import Model
    from nexusd.events import Observer

FORMAT: Final = 1
"""The ledger's own version."""

SECRET_BYTES: Final = 32
_JOIN_S: Final = 0.1
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 2.0


class Verdict(StrEnum):
    """How a start ended: nothing to do, changes made, another starter made them, or not looked at."""

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    JOINED = "joined"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True, kw_only=True)
class DDLOptions:
    """How far the executor may go.

    Attributes:
        auto_migrate: `true` and `all` apply what is safe; `verify` fails if anything is pending; `false` looks away.
        wait_s: how long a database that does not answer is waited for.
    """

    auto_migrate: str
    wait_s: float
    app_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class DDLOutcome:
    """What a start found and did.

    Attributes:
        steps: statements applied.
        secret: the daemon's key, the same for every process on this database.
        connection: of a database in memory, open; the data layer goes on with it.
    """

    verdict: Verdict
    steps: int
    secret: bytes
    connection: sqlite3.Connection | None
    duration_s: float


class SyncDDLExecutor:
    """One migration run on the thread `nexusd-ddl`.

    Args:
        connect: opens the database; called again while it is not reachable.
        models: all models of the registry by name.
        observe: told of waiting, plans and results.
    """

    def __init__(
        self,
        connect: Connect,
        models: Mapping[str, Model],
        options: DDLOptions,
        observe: Observer,
    ) -> None:
        self._connect = connect
        self._models = models
        self._options = options
        self._observe = observe
        self._future: Future[DDLOutcome] = Future()
        self._cancelled = threading.Event()
        self._signal = signal.SIGTERM
        self._target: Target | None = None
        self._thread = threading.Thread(target=self._run, name="nexusd-ddl", daemon=True)

    def start(self) -> Future[DDLOutcome]:
        """Begin; the future is done when the thread ends."""
        self._thread.start()
        return self._future

    def wait(self) -> DDLOutcome:
        """The outcome; waits in short steps, so that signal handlers of the main thread run.

        Raises:
            DDLError: nothing was changed.
        """
        while self._thread.is_alive():
            self._thread.join(_JOIN_S)
        return self._future.result()

    def cancel(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End the run as soon as possible; what it had begun is rolled back."""
        self._signal = number
        self._cancelled.set()
        if self._target is not None:
            self._target.interrupt()

    def _run(self) -> None:
        try:
            outcome = self._migrate()
        except DDLCancelled as error:
            error.exit_code = 128 + self._signal
            self._future.set_exception(error)
        except BaseException as error:  # noqa: BLE001 - the thread's edge: the future carries it to the main thread
            self._future.set_exception(error)
        else:
            self._future.set_result(outcome)

    def _migrate(self) -> DDLOutcome:
        started = time.perf_counter()
        target = self._target = self._reach()
        try:
            verdict, steps, secret = self._bring(target)
        except BaseException:
            connection = target.hand_over()
            if connection is not None:
                connection.close()
            raise
        duration_s = round(time.perf_counter() - started, 4)
        if verdict is not Verdict.SKIPPED:
            self._observe(MigrationApplied(verdict.value, steps, duration_s))
        return DDLOutcome(
            verdict=verdict, steps=steps, secret=secret, connection=target.hand_over(), duration_s=duration_s
        )

    def _reach(self) -> Target:
        """Connect; a database that may still be starting is tried again until `wait_s` is over."""
        deadline = time.monotonic() + self._options.wait_s
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                return self._connect()
            except DatabaseUnreachable as error:
                if time.monotonic() + pause_s > deadline:
                    message = f"{error.detail} (waited {self._options.wait_s:g} s)"
                    raise DatabaseUnreachable(message) from error
                self._observe(DatabaseWaiting(error.detail))
                if self._cancelled.wait(pause_s):
                    raise DDLCancelled from error
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def _bring(self, target: Target) -> tuple[Verdict, int, bytes]:
        mode = self._options.auto_migrate
        if mode == "false":
            secret = _secret(target) if target.has_ledger() else None
            return Verdict.SKIPPED, 0, secret or secrets.token_bytes(SECRET_BYTES)
        wanted = model_hash(self._models, target.dialect)
        if self._is_current(target, wanted):
            return Verdict.UNCHANGED, 0, _secret(target) or secrets.token_bytes(SECRET_BYTES)
        if mode == "verify":
            self._verify(target)
        with target.locked(self._cancelled):
            if not target.has_ledger():
                target.make_ledger()
            elif self._is_current(target, wanted):
                return Verdict.JOINED, 0, _secret(target) or secrets.token_bytes(SECRET_BYTES)
            plan = self._plan(target)
            if plan.blocked:
                self._observe(MigrationBlocked(len(plan.blocked)))
                raise PlanBlocked(f"the registry wants changes that are not applied by themselves:\n{plan.text()}")
            for change in plan.changes:
                target.run(change.sql)
            secret = _secret(target) or _new_secret(target)
            _record(target, wanted, plan, self._options.app_version)
        return Verdict.APPLIED, len(plan.changes), secret

    def _verify(self, target: Target) -> None:
        plan = self._plan(target)
        if plan.changes or not target.has_ledger():
            raise SchemaPending(f"database.auto_migrate is verify, and changes are pending:\n{plan.text()}")

    def _plan(self, target: Target) -> Plan:
        tables = [model.table for model in self._models.values()]
        plan = diff(self._models, target.snapshot(tables), target.dialect)
        self._observe(MigrationPlanned(len(plan.changes), len(plan.blocked)))
        return plan

    def _is_current(self, target: Target, wanted: str) -> bool:
        """Whether the ledger says that this registry was applied and its tables are still as it wants them."""
        if not target.has_ledger():
            return False
        rows = target.run("SELECT model_hash FROM _nexusd_schema_state WHERE scope = ?", [target.scope])
        if not rows or rows[0][0] != wanted:
            return False
        tables = [model.table for model in self._models.values()]
        return not diff(self._models, target.snapshot(tables), target.dialect).changes


def model_hash(models: Mapping[str, Model], dialect: Dialect) -> str:
    """SHA-256 over the statements that would make the tables; descriptions and the like do not matter."""
    text = hashlib.sha256()
    for model in sorted(models.values(), key=lambda each: each.table):
        parts = (*foreign_keys(model, models), *indexes(model, dialect))
        for line in (create_table(model, models, dialect), *(part.sql for part in parts)):
            text.update(line.encode() + b"\0")
    return text.hexdigest()


def _secret(target: Target) -> bytes | None:
    rows = target.run("SELECT value FROM _nexusd_secret WHERE id = 1")
    value = rows[0][0] if rows else None
    return bytes(value) if isinstance(value, bytes | memoryview) else None


def _new_secret(target: Target) -> bytes:
    secret = secrets.token_bytes(SECRET_BYTES)
    target.run("INSERT INTO _nexusd_secret (id, value) VALUES (1, ?)", [secret])
    return secret


def _record(target: Target, wanted: str, plan: Plan, app_version: str) -> None:
    """Write the run, its steps and the new state."""
    run_id = target.run(
        "INSERT INTO _nexusd_schema_run (scope, kind, model_hash, app_version, host, pid, status, finished_at)"
        " VALUES (?, 'auto', ?, ?, ?, ?, 'ok', CURRENT_TIMESTAMP) RETURNING id",
        [target.scope, wanted, app_version, socket.gethostname(), os.getpid()],
    )[0][0]
    for number, change in enumerate(plan.changes, 1):
        target.run(
            "INSERT INTO _nexusd_schema_step (run_id, seq, tbl, kind, risk, sql) VALUES (?, ?, ?, ?, ?, ?)",
            [run_id, number, change.table, change.kind, change.risk.value, change.sql],
        )
    target.run(
        "INSERT INTO _nexusd_schema_state (scope, run_id, model_hash, format, app_version) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (scope) DO UPDATE SET run_id = excluded.run_id, model_hash = excluded.model_hash,"
        " format = excluded.format, app_version = excluded.app_version, updated_at = CURRENT_TIMESTAMP",
        [target.scope, run_id, wanted, FORMAT, app_version],
    )
