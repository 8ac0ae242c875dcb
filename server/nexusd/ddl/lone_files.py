"""Files with `transaction=off`: statement by statement, each noted, so that one that was cut off is gone on with."""

from __future__ import annotations

import re
import time
from functools import partial
from typing import TYPE_CHECKING, Final

from nexusd.ddl.columns import quote
from nexusd.ddl.errors import DDLCancelled, DDLError, NotInTransaction
from nexusd.ddl.files import PARTIAL, batch_statement, is_batch
from nexusd.ddl.scripts import first_word

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.ledger import Ledger, Steps
    from nexusd.ddl.target import Target

_ALONE: Final = frozenset({"PRAGMA", "VACUUM", "ATTACH", "DETACH"})
"""Statements of SQLite that a transaction refuses, or ignores."""

_INDEX: Final = re.compile(
    r'\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+CONCURRENTLY\s+(?:IF\s+NOT\s+EXISTS\s+)?(?:"((?:[^"]|"")+)"|(\w+))',
    re.IGNORECASE,
)
_CONCURRENTLY: Final = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)
_FOR_EVER: Final = "0"


class LoneFiles:
    """Runs such files, inside the target's `session_lock`.

    Args:
        target: where they are applied.
        ledger: where each statement is noted.
        transaction: a transaction of the run.
        retrying: does work again while other sessions hold a table.
        cancelled: set when the run is to end.
        lock_timeout: how long a statement waits for a lock where its file says nothing.
    """

    def __init__(
        self,
        target: Target,
        ledger: Ledger,
        transaction: Callable[[], AbstractContextManager[None]],
        retrying: Callable[[Callable[[], None]], None],
        cancelled: threading.Event,
        lock_timeout: str,
    ) -> None:
        self._target = target
        self._ledger = ledger
        self._transaction = transaction
        self._retrying = retrying
        self._cancelled = cancelled
        self._lock_timeout = lock_timeout

    def run(self, file: MigrationFile, steps: Steps, done: int = 0) -> None:
        """Run a file from the statement after the `done` first ones.

        Raises:
            StatementFailed: which statement, and why; the file is half applied.
        """
        if not done:
            self._ledger.write_file(file, PARTIAL, 0, steps.run_id)
        for number, statement in enumerate(file.statements, 1):
            if number <= done:
                continue
            try:
                self._statement(file, number, statement, steps)
            except DDLError as error:
                error.detail = f"{file.path}, statement {number} of {len(file.statements)}: {error.detail}"
                error.args = (error.detail,)
                raise

    def _statement(self, file: MigrationFile, number: int, statement: str, steps: Steps) -> None:
        started = time.perf_counter()

        def note() -> None:
            status = "ok" if number == len(file.statements) else PARTIAL
            self._ledger.write_file(file, status, number, steps.run_id)
            spent_ms = (time.perf_counter() - started) * 1000
            self._ledger.step(steps, "", f"file {file.version}", statement, spent_ms)

        if file.batch and is_batch(statement):
            self._retrying(partial(self._batches, file, statement))
            note()
        elif first_word(statement) in _ALONE or _CONCURRENTLY.search(statement):
            self._alone(statement)
            note()
        else:
            self._retrying(partial(self._noted, file, statement, note))

    def _noted(self, file: MigrationFile, statement: str, note: Callable[[], None]) -> None:
        """In one transaction with its note, so that what is noted is what was done."""
        try:
            with self._transaction():
                self._target.limit(file.lock_timeout or self._lock_timeout)
                self._target.execute(statement)
                note()
        except NotInTransaction:
            self._alone(statement)
            note()

    def _batches(self, file: MigrationFile, statement: str) -> None:
        self._target.limit(file.lock_timeout or self._lock_timeout, whole_session=True)
        while not self._cancelled.is_set():
            if self._target.execute(batch_statement(statement, file.batch)) <= 0:
                return
        raise DDLCancelled

    def _alone(self, statement: str) -> None:
        """A statement that no transaction takes; nobody queues behind it, so it may wait."""
        index = _INDEX.search(statement)
        name = "" if index is None else (index[1] or index[2].lower()).replace('""', '"')
        is_valid = self._target.catalog.index_is_valid(name) if name else None
        if is_valid:
            # Cut off after it was built and before that was noted.
            return
        self._target.limit(_FOR_EVER, whole_session=True)
        if is_valid is False:
            self._target.execute(f"DROP INDEX CONCURRENTLY {quote(name)}")
        self._target.execute(statement)
