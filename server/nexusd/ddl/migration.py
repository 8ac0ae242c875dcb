"""One migration run on one open target: from what the database has to what the registry wants."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from nexusd.ddl.applier import Applier
from nexusd.ddl.errors import DDLError, PlanBlocked, ReadOnlyDatabase, SchemaDrift, SchemaPending
from nexusd.ddl.file_runner import check_losses, may_lose, refuse_unfinished
from nexusd.ddl.ledger import OLD_LEDGER
from nexusd.ddl.outlook import Outlook
from nexusd.ddl.plan import Kind, Risk
from nexusd.events import MigrationBlocked, MigrationKept

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Collection, Mapping, Sequence

    from nexusd.ddl.comparison import Comparison, TableChanges
    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.ledger import State, Steps
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.tables import WantedTable
    from nexusd.ddl.target import Target
    from nexusd.events import Observer


class Verdict(StrEnum):
    """How a start ended.

    UNCHANGED: nothing to do. APPLIED: changes were made. JOINED: another starter made them meanwhile. ADOPTED: a
    database without ledger was as the registry wants it. AHEAD: a newer version of the registry was applied, and this
    one can work with it. SKIPPED: not looked at.
    """

    UNCHANGED = "unchanged"
    APPLIED = "applied"
    JOINED = "joined"
    ADOPTED = "adopted"
    AHEAD = "ahead"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Result:
    """How a run ended.

    Attributes:
        steps: statements that were run.
        deferred: steps that are left for after the start.
        secret: the daemon's key.
        backup: the copy that was made before tables were built anew, or empty.
    """

    verdict: Verdict
    steps: int
    deferred: int
    secret: bytes
    backup: str = ""


class _Rehearsed(Exception):
    """Ends a rehearsal, so that its transaction is rolled back."""

    def __init__(self, result: Result) -> None:
        super().__init__()
        self.result = result


class Migration:
    """One run.

    Args:
        target: the open database.
        tables: what the registry wants, each table after those it refers to.
        files: the migration files.
        options: how far it may go.
        observe: told of plans and results.
        cancelled: set when the run is to end.
    """

    def __init__(
        self,
        target: Target,
        tables: Mapping[str, WantedTable],
        files: Sequence[MigrationFile],
        options: DDLOptions,
        observe: Observer,
        cancelled: threading.Event,
    ) -> None:
        self.target = target
        self.tables = tables
        self.options = options
        self.outlook = Outlook(target, tables, files, options, observe)
        self._ledger = self.outlook.ledger
        self._files = files
        self._observe = observe
        self._cancelled = cancelled
        self.applier = Applier(target, self._ledger, self.outlook.runner, tables, options, cancelled)
        self._backup = ""

    def bring(self) -> Result:
        """Bring the database to the registry.

        Raises:
            DDLError: why not.
        """
        if self.options.auto_migrate == "false":
            return Result(Verdict.SKIPPED, 0, 0, self.outlook.secret())
        state = self._ledger.state()
        if (
            state is not None
            and self._is_current(state)
            and (self.target.read_only or not self.applier.missing_grants())
        ):
            return Result(Verdict.UNCHANGED, 0, state.deferred, self.outlook.secret())
        if self.options.auto_migrate == "verify":
            return self._verify(state)
        if self.target.read_only:
            raise ReadOnlyDatabase(
                f"{self.target.where} is read-only, and changes are pending", hint="connect to the primary"
            )
        if self.options.rehearse:
            return self._rehearsed(state)
        steps = self._run_lone_files()
        self._backup = self._back_up(state)
        return self.applier.retrying(lambda: self._apply(state, steps), list(self.tables))

    def _rehearsed(self, state: State | None) -> Result:
        """Everything in one transaction that is rolled back."""
        try:
            self._apply(state, 0)
        except _Rehearsed as end:
            return end.result
        raise AssertionError("a rehearsal ends by its exception")

    def restamp(self) -> None:
        """Write the state anew after steps that were left for later, if it is still this registry's."""
        with self.applier.transaction():
            state = self._ledger.state()
            if state is not None and self.outlook.is_same(state):
                left = len(self.outlook.deferred(state))
                self.applier.stamp(state.run_id, (state.model_hash, state.files_hash), left, {})

    def _verify(self, state: State | None) -> Result:
        if state is not None and not self._ledger.is_current():
            raise SchemaPending(f"database.auto_migrate is verify, and {OLD_LEDGER}", hint="nexusd migrate apply")
        if state is not None and self.outlook.is_older(state):
            return self._ahead(state)
        plan = self.outlook.compared(state).plan
        if plan.pending:
            raise SchemaPending(f"database.auto_migrate is verify, and changes are pending:\n{plan.text()}")
        return Result(Verdict.UNCHANGED, 0, 0, self.outlook.secret())

    def _ahead(self, state: State) -> Result:
        """A newer registry was applied: this one changes nothing, and asks only whether it can work."""
        self.outlook.check_ahead(state)
        return Result(Verdict.AHEAD, 0, state.deferred, self.outlook.secret())

    def _run_lone_files(self) -> int:
        """Files that are no transaction, and those before them, ahead of everything else; how many statements."""
        if not self._ledger.exists():
            return 0
        due = self.outlook.runner.due()
        last = max((number for number, file in enumerate(due) if not file.transactional), default=-1)
        if last < 0:
            return 0
        with self.target.session_lock(self._cancelled, self.options.waits):
            # Another starter may have been here.
            names = {file.version for file in due[: last + 1]}
            files = [file for file in self.outlook.runner.due() if file.version in names]
            refuse_unfinished(files)
            if any(may_lose(file) for file in files):
                with self.applier.transaction(), self.target.rehearsal():
                    self._run_held(lambda: self.outlook.runner.rehearse(files), files, None)
            return self.applier.run_files(files)

    def _back_up(self, state: State | None) -> str:
        """A copy, before a table with rows is built anew or renamed in a database whose files can be copied."""
        if not self.target.one_transaction or state is None:
            return ""
        if any(may_lose(file) for file in self.outlook.runner.due()):
            return self.target.back_up()
        comparison = self.outlook.compared(state)
        if comparison.plan.blocked or not any(_is_rebuilt(self.target, each) for each in comparison.changed):
            return ""
        return self.target.back_up()

    def _apply(self, before: State | None, steps_before: int) -> Result:
        with self.applier.transaction():
            self._ledger.upgrade()
            state = self._ledger.state()
            if state is not None and self._is_current(state):
                self.applier.grant()
                joined = before is None or before.run_id != state.run_id
                verdict = Verdict.JOINED if joined else Verdict.UNCHANGED
                verdict = Verdict.APPLIED if steps_before else verdict
                return Result(verdict, steps_before, state.deferred, self.outlook.secret())
            if state is not None and self.outlook.is_older(state):
                return self._ahead(state)
            steps = self._ledger.begin("auto", self.outlook.hashes[0])
            comparison = self._with_files(state, steps)
            for change in comparison.plan.of(Risk.KEPT):
                self._observe(MigrationKept(change.table, change.name, change.note))
            self.applier.make_new(comparison, steps)
            at_once = self.target.one_transaction or self.options.rehearse
            if at_once or not any(each.of(Risk.SAFE) for each in comparison.changed):
                self.applier.change_all(comparison, steps)
                result = self._finished(comparison, steps, steps_before, before)
                if self.options.rehearse:
                    raise _Rehearsed(result)
                return result
        try:
            for each in comparison.changed:
                if each.of(Risk.SAFE):
                    self.applier.change_one(each.table, steps)
            with self.applier.transaction():
                return self._finished(comparison, steps, steps_before, before)
        except DDLError as error:
            with contextlib.suppress(DDLError):
                self._ledger.finish(steps.run_id, "failed", error.detail)
            raise

    def _with_files(self, state: State | None, steps: Steps) -> Comparison:
        """Run the pending files, and compare: what is left to do, nothing of it blocked.

        Raises:
            PlanBlocked: something is, and no contract file deals with it.
            SchemaDrift: something is, and the registry is the one that was applied.
        """
        due = self.outlook.runner.due()
        is_fresh = state is None and not self.target.catalog.fingerprints(list(self.tables))
        if state is None and not is_fresh and due:
            comparison = self.outlook.compared(state)
            if not (comparison.plan.blocked or comparison.plan.of(Risk.SAFE)):
                self.outlook.runner.stamp(due, "baseline", steps.run_id)
                return comparison
        refuse_unfinished(due)
        allowed = {permission for file in due for permission in file.allowed}
        if is_fresh:
            self.outlook.runner.stamp([file for file in self._files if not file.always], "fresh", steps.run_id)
        elif due:
            runner, rehearse = self.outlook.runner, self.options.rehearse
            self._run_held(lambda: runner.run_together(due, steps, rehearse=rehearse), due, state)
        comparison = self.outlook.compared(state, allowed)
        if comparison.plan.blocked and not self._answered(state, allowed):
            self._observe(MigrationBlocked(len(comparison.plan.blocked)))
            if state is not None and self.outlook.is_same(state) and not due:
                raise SchemaDrift(f"the database is not as it was left:\n{comparison.plan.text()}")
            raise PlanBlocked(f"the registry wants changes that are not made by themselves:\n{comparison.plan.text()}")
        return comparison

    def _run_held(self, work: Callable[[], None], files: Sequence[MigrationFile], state: State | None) -> None:
        """Run files, and hold them to what they say they lose."""
        names = {*self.tables, *(state.tables if state is not None else ())}
        before = self.target.catalog.tables(names)
        work()
        allowed = {permission for file in files for permission in file.allowed}
        check_losses(before, self.target.catalog.tables(names), self.tables, allowed)

    def is_answered(self, state: State | None) -> bool:
        """Whether a start goes on because contract files wait that deal with all that is blocked."""
        if not self.outlook.runner.waiting():
            return False
        with self.applier.transaction():
            return self._answered(state, ())

    def _answered(self, state: State | None, allowed: Collection[str]) -> bool:
        """Whether contract files that wait for their command will deal with all that is blocked."""
        waiting = self.outlook.runner.waiting()
        if not waiting or any(file.undecided for file in waiting):
            return False
        with self.target.rehearsal():
            self.outlook.runner.rehearse(waiting)
            permissions = {permission for file in waiting for permission in file.allowed}
            return not self.outlook.compared(state, {*allowed, *permissions}).plan.blocked

    def _finished(self, comparison: Comparison, steps: Steps, steps_before: int, before: State | None) -> Result:
        late = [file for file in self._files if file.always and file.version not in self._ledger.files()]
        if late:
            self.outlook.runner.run_together(late, steps)
        self.applier.grant(steps)
        nothing = steps.count + steps_before == 0
        verdict = Verdict.APPLIED
        if before is None and nothing and comparison.fingerprints:
            verdict = Verdict.ADOPTED
        elif nothing and before is not None and self.outlook.is_same(before):
            verdict = Verdict.UNCHANGED
        deferred = len(comparison.plan.of(Risk.DEFERRED))
        if before is not None and before.deferred:
            # Tables that were not looked at have steps to come too.
            deferred = len(self.outlook.deferred(before))
        self.applier.stamp(steps.run_id, self.outlook.hashes, deferred, comparison.accepted)
        self._ledger.finish(steps.run_id, "ok")
        return Result(verdict, steps.count + steps_before, deferred, self._ledger.ensure_secret(), self._backup)

    def _is_current(self, state: State) -> bool:
        """Whether there is nothing to do, not even for contract files."""
        return self.outlook.is_current(state) and not (self.options.contract and self.outlook.runner.due())


def _is_rebuilt(target: Target, changes: TableChanges) -> bool:
    safe = changes.of(Risk.SAFE)
    kinds = {change.kind for change in safe}
    return bool(kinds & {Kind.RENAME_COLUMN, Kind.RENAME_TABLE}) or target.renderer.rebuilds(safe)
