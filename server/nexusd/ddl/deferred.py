"""What a start leaves for later: indexes on large tables, and proof that old rows obey new constraints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.ddl.errors import DDLCancelled, DDLError
from nexusd.events import MigrationStepDone, MigrationStepFailed

if TYPE_CHECKING:
    import threading

    from nexusd.ddl.migration import Migration
    from nexusd.ddl.plan import Change
    from nexusd.events import Observer


class DeferredSteps:
    """The deferred steps of one schema, made while the server serves; nothing of them blocks readers or writers.

    Args:
        migration: on a connection of its own.
        observe: told of each step.
        cancelled: set when the server stops.
    """

    def __init__(self, migration: Migration, observe: Observer, cancelled: threading.Event) -> None:
        self._migration = migration
        self._observe = observe
        self._cancelled = cancelled

    def run(self) -> None:
        """Make all steps, one after the other; one that fails does not keep the others."""
        migration = self._migration
        try:
            with migration.target.session_lock(self._cancelled, migration.options.waits):
                # Nobody queues behind these steps, so they may wait.
                migration.target.limit("0", whole_session=True)
                for change in migration.outlook.deferred(migration.outlook.ledger.state()):
                    self._make(change)
                migration.restamp()
        except DDLCancelled:
            return
        except DDLError as error:
            self._observe(MigrationStepFailed("", "", _reason(error)))

    def _make(self, change: Change) -> None:
        if self._cancelled.is_set():
            raise DDLCancelled
        try:
            for statement in change.online:
                self._migration.target.execute(statement)
        except DDLCancelled:
            raise
        except DDLError as error:
            self._observe(MigrationStepFailed(change.table, change.name, _reason(error)))
        else:
            self._observe(MigrationStepDone(change.table, change.name))


def _reason(error: DDLError) -> str:
    """The first line alone: those that follow may hold a statement, which no event does."""
    return error.detail.partition("\n")[0]
