"""Makes changes: statements in their transactions, noted in the ledger, tried again while others hold a table."""

from __future__ import annotations

import contextlib
import random
import time
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from nexusd.ddl.comparison import Comparison, Terms, compare, record
from nexusd.ddl.errors import DDLCancelled, DDLError, TableBusy, TableLockTimeout
from nexusd.ddl.ledger import AUDIT_TABLE
from nexusd.ddl.lone_files import LoneFiles
from nexusd.ddl.plan import Kind, Risk
from nexusd.ddl.tables import creation

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence

    from nexusd.ddl.comparison import TableChanges
    from nexusd.ddl.file_runner import FileRunner
    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.ledger import Ledger, Steps
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.tables import WantedTable
    from nexusd.ddl.target import Target

_FIRST_PAUSE_S: Final = 0.5
_LONGEST_PAUSE_S: Final = 10.0
_LEDGER_PREFIX: Final = "_nexusd_"
_RENAMES: Final = frozenset({Kind.RENAME_COLUMN, Kind.RENAME_TABLE})

_Done = TypeVar("_Done")


class Applier:
    """The statements of one run.

    Args:
        target: where they are run.
        ledger: where they are noted.
        runner: of the migration files.
        tables: what the registry wants.
        options: how long locks are waited for, and who is granted new tables.
        cancelled: set when the run is to end.
    """

    def __init__(
        self,
        target: Target,
        ledger: Ledger,
        runner: FileRunner,
        tables: Mapping[str, WantedTable],
        options: DDLOptions,
        cancelled: threading.Event,
    ) -> None:
        self._target = target
        self._ledger = ledger
        self._runner = runner
        self._tables = tables
        self._options = options
        self._cancelled = cancelled
        self._retrying_any: Callable[[Callable[[], None]], None] = partial(self.retrying, tables=list(tables))
        self._lone = LoneFiles(
            target, ledger, self.transaction, self._retrying_any, cancelled, options.waits.lock_timeout
        )

    def transaction(self) -> contextlib.AbstractContextManager[None]:
        """A transaction that no other starter is in."""
        return self._target.transaction(self._cancelled, self._options.waits)

    def retrying(self, work: Callable[[], _Done], tables: Sequence[str]) -> _Done:
        """Do work that may find a table held by other sessions; again until `waits.table_s` is over.

        Raises:
            TableLockTimeout: with who holds it.
        """
        deadline = time.monotonic() + self._options.waits.table_s
        pause_s, blocker = _FIRST_PAUSE_S, ""
        while True:
            try:
                return work()
            except TableBusy as error:
                blocker = _blocker(self._target, tables) or blocker
                if time.monotonic() + pause_s > deadline:
                    who = f": {blocker}" if blocker else ""
                    raise TableLockTimeout(
                        f"other sessions have held a table for {self._options.waits.table_s:g} s{who}",
                        table=blocker.partition(" ")[0],
                        hint="end that session, or start again when it is done; nothing of this table was changed",
                    ) from error
            if self._cancelled.wait(pause_s * (0.5 + random.random())):  # noqa: S311 - spreads starters
                raise DDLCancelled
            pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)

    def run_files(self, files: Sequence[MigrationFile]) -> int:
        """Run files in order, each by itself; how many statements that were."""
        steps = self._ledger.begin("file", "")
        try:
            for file in files:
                if file.transactional:
                    self._retrying_any(partial(self._together, file, steps))
                else:
                    self.run_lone(file, steps)
        except DDLError as error:
            with contextlib.suppress(DDLError):
                self._ledger.finish(steps.run_id, "failed", error.detail)
            raise
        self._ledger.finish(steps.run_id, "ok")
        return steps.count

    def run_lone(self, file: MigrationFile, steps: Steps, done: int = 0) -> None:
        """Run a file that is no transaction, from the statement after the `done` first ones."""
        self._lone.run(file, steps, done)

    def _together(self, file: MigrationFile, steps: Steps) -> None:
        with self.transaction():
            self._runner.run_together([file], steps)

    def missing_grants(self) -> list[str]:
        """What the runtime role lacks of the registry's tables and the daemon's own."""
        role = self._options.runtime_role
        if not role:
            return []
        own = {name for name in self._target.catalog.table_names() if name.startswith(_LEDGER_PREFIX)}
        grants = self._target.renderer.grants
        usual = [*self._tables, *sorted(own - {AUDIT_TABLE})]
        return [*grants(usual, role), *grants(sorted(own & {AUDIT_TABLE}), role, append_only=True)]

    def make_new(self, comparison: Comparison, steps: Steps) -> None:
        """Make the new tables, each after those it refers to."""
        for table, statement in creation(comparison.new):
            self._run(steps, table, Kind.CREATE_TABLE, statement)

    def grant(self, steps: Steps | None = None) -> None:
        """Let the runtime role use what it lacks."""
        for statement in self.missing_grants():
            if steps is None:
                self._target.execute(statement)
            else:
                self._run(steps, "", "grant", statement)

    def change_all(self, comparison: Comparison, steps: Steps) -> None:
        """Make the safe changes of all tables, inside the open transaction."""
        for each in comparison.changed:
            if each.of(Risk.SAFE):
                self._change(each, steps)

    def change_one(self, table: WantedTable, steps: Steps) -> None:
        """Make the safe changes of one table in a transaction of its own; what they are is looked up anew in it."""

        def work() -> None:
            with self.transaction():
                for each in self._compared(table).changed:
                    self._change(each, steps)

        self.retrying(work, [table.name])

    def _compared(self, table: WantedTable) -> Comparison:
        terms = Terms(confirmed=self._options.auto_migrate == "all", only={table.name})
        return compare(self._target, self._tables, self._ledger.state(), terms)

    def _change(self, changes: TableChanges, steps: Steps) -> None:
        renames = [change for change in changes.of(Risk.SAFE) if change.kind in _RENAMES]
        for change in renames:
            for statement in change.statements:
                self._run(steps, change.table, change.kind, statement)
        if renames:
            # What else differs is said in the old names.
            for each in self._compared(changes.table).changed:
                self._change(each, steps)
            return
        safe = changes.of(Risk.SAFE)
        for statement in self._target.renderer.combined(changes.table, safe, changes.extras) if safe else ():
            self._run(steps, changes.table.name, "alter_table", statement)

    def _run(self, steps: Steps, table: str, kind: str, statement: str) -> None:
        if self._cancelled.is_set():
            raise DDLCancelled
        started = time.perf_counter()
        try:
            self._target.execute(statement)
        except TableBusy:
            raise
        except DDLError as error:
            if table:
                error.table = table
                error.detail = f"{table}: {error.detail}\n  nothing of this table was changed"
                error.args = (error.detail,)
            raise
        self._ledger.step(steps, table, kind, statement, (time.perf_counter() - started) * 1000)

    def stamp(
        self,
        run_id: int,
        hashes: tuple[str, str],
        deferred: int,
        accepted: Mapping[str, frozenset[str]],
        incomplete: Collection[str] = (),
    ) -> None:
        """Write the state that was reached.

        Args:
            run_id: the run that reached it.
            hashes: of models and files.
            deferred: steps that are left for after the start.
            accepted: differences that stay, by table; of tables that it does not name what was said before holds.
            incomplete: tables that are to be looked at again by the next start.
        """
        state = self._ledger.state()
        before = {} if state is None else state.tables
        accepted = {**{name: table.known.accepted for name, table in before.items()}, **accepted}
        fingerprints = self._target.catalog.fingerprints(list(self._tables))
        existing = self._target.catalog.table_names()
        orphans = {name: old for name, old in before.items() if name in existing and name not in self._tables}
        records = {
            name: record(
                table,
                "" if name in incomplete else fingerprints[name],
                accepted.get(name, frozenset()),
                before[name].known.types if name in before else {},
            )
            for name, table in self._tables.items()
            if name in fingerprints
        }
        self._ledger.write_state(run_id, hashes, {**orphans, **records}, deferred)


def _blocker(target: Target, tables: Sequence[str]) -> str:
    for table in tables:
        found = target.blocker(table)
        if found:
            return f"{table} is held by {found}"
    return ""
