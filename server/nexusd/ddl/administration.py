"""What an operator does besides starting the server: look at a plan, the state and the files, stamp and repair."""

from __future__ import annotations

import re
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.errors import (
    DDLError,
    MigrationFileChanged,
    MigrationFileInvalid,
    PlanBlocked,
    SchemaAheadIncompatible,
    SchemaDrift,
    SchemaPending,
)
from nexusd.ddl.files import PARTIAL, read_files
from nexusd.ddl.ledger import OLD_LEDGER
from nexusd.ddl.migration import Migration
from nexusd.ddl.outlook import NEEDED
from nexusd.ddl.plan import Kind, Risk
from nexusd.ddl.recipes import Recipe
from nexusd.ddl.tables import wanted_tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from nexusd.ddl.files import AppliedFile, MigrationFile
    from nexusd.ddl.ledger import Steps
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.plan import Plan
    from nexusd.ddl.target import Target
    from nexusd.definitions.model import Model
    from nexusd.events import Observer

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_]*")
_SUFFIX: Final = {Dialect.POSTGRESQL: ".pg", Dialect.SQLITE: ".sqlite"}
_RUNS: Final = 10


@dataclass(frozen=True, slots=True)
class Standing:
    """How registry and database stand to each other.

    Attributes:
        plan: what differs.
        reason: why a start would not go on, with its exit code; None: it would.
    """

    plan: Plan
    reason: DDLError | None


class Administration:
    """The verbs of `nexusd migrate` on one open target, `apply` aside.

    Args:
        target: the open database.
        models: all models of the registry.
        folder: of the migration files.
        options: how far a start would go.
        observe: told of plans.
    """

    def __init__(
        self, target: Target, models: Mapping[str, Model], folder: Path, options: DDLOptions, observe: Observer
    ) -> None:
        self._target = target
        self._folder = folder
        self._files = read_files(folder, target.dialect)
        self._tables = wanted_tables(models, target.dialect)
        self._cancelled = threading.Event()
        self._migration = Migration(target, self._tables, self._files, options, observe, self._cancelled)
        self._outlook = self._migration.outlook
        self._ledger = self._outlook.ledger

    def standing(self) -> Standing:
        """What a start would do, and whether it would go on.

        Raises:
            MigrationFileChanged: an applied file is not what it was.
            MigrationFileOrder: a file stands below an applied one.
            PartialMigration: one stopped half-way.
        """
        state = self._ledger.state()
        if state is not None and self._outlook.is_older(state):
            reason: DDLError | None = None
            try:
                self._outlook.check_ahead(state)
            except SchemaAheadIncompatible as error:
                reason = error
            return Standing(replace(self._outlook.compared(state).plan, changes=()), reason)
        plan = self._outlook.compared(state).plan
        if state is not None and not self._ledger.is_current():
            return Standing(plan, SchemaPending(OLD_LEDGER, hint="nexusd migrate apply"))
        if state is not None and self._outlook.is_current(state):
            # What a contract file is still to do was found to be no hindrance.
            return Standing(replace(plan, changes=plan.of(Risk.DEFERRED, Risk.KEPT)), None)
        reason = None
        if plan.blocked and not plan.files and not self._migration.is_answered(state):
            is_same = state is not None and self._outlook.is_same(state)
            reason = (SchemaDrift if is_same else PlanBlocked)(plan.text())
        elif plan.pending:
            reason = SchemaPending(plan.text())
        return Standing(plan, reason)

    def status(self) -> dict[str, object]:
        """The state, the newest runs, the files and what the registry does not know, as a document."""
        state = self._ledger.state()
        applied = self._ledger.files()
        plan = self._outlook.compared(state, thorough=True).plan
        kept = [f"{change.table}.{change.name}" if change.name else change.table for change in plan.of(Risk.KEPT)]
        orphans = [change.table for change in plan.of(Risk.KEPT) if change.kind is Kind.EXTRA_TABLE]
        return {
            "database": self._target.where,
            "state": self._word(),
            "updated_at": None if state is None else state.updated_at,
            "app_version": None if state is None else state.app_version,
            "tables": len(self._tables),
            "deferred": 0 if state is None else state.deferred,
            "orphans": orphans,
            "extras": [name for name in kept if name not in orphans],
            "files": [
                {
                    "version": file.version,
                    "name": file.name,
                    "phase": file.phase,
                    "status": applied[file.version].status if file.version in applied else "pending",
                }
                for file in self._files
            ],
            "runs": [
                {
                    "id": run.id,
                    "kind": run.kind,
                    "status": run.status,
                    "app_version": run.app_version,
                    "host": run.host,
                    "started_at": run.started_at,
                    "error": run.error or None,
                }
                for run in (self._ledger.runs(_RUNS) if self._ledger.exists() else ())
            ],
        }

    def _word(self) -> str:
        state = self._ledger.state()
        if state is None:
            return "unknown"
        if self._outlook.is_older(state):
            return "ahead"
        if self._outlook.is_current(state):
            return "current"
        return "drifted" if self._outlook.is_same(state) else "pending"

    def baseline(self) -> list[str]:
        """Note registry and files as applied; what differs now stays so.

        Returns:
            The tables and columns that are missing: nothing works without them, so a start is to make them.
        """
        with self._migration.applier.transaction():
            self._ledger.upgrade()
            applied = self._ledger.files()
            comparison = self._outlook.compared(self._ledger.state())
            missing = [change for change in comparison.plan.changes if change.kind in NEEDED]
            models, files = self._outlook.hashes
            steps = self._ledger.begin("baseline", "" if missing else models)
            new = [file for file in self._files if file.version not in applied]
            self._outlook.runner.stamp(new, "baseline", steps.run_id)
            accepted = {**comparison.accepted, **{each.table.name: each.marks for each in comparison.changed}}
            incomplete = {change.table for change in missing}
            hashes = ("" if missing else models, files)
            self._migration.applier.stamp(steps.run_id, hashes, 0, accepted, incomplete)
            self._ledger.ensure_secret()
            self._ledger.finish(steps.run_id, "ok")
        return [change.title for change in missing]

    def repair(self, *, mark_applied: bool, accept: bool) -> Iterator[str]:
        """Deal with files that stopped half-way or were changed; what was done, a line each.

        Args:
            mark_applied: a file that stopped half-way counts as done, instead of being gone on with.
            accept: an applied file that was changed is taken as it is now.
        """
        if not self._ledger.exists():
            return
        applied = self._ledger.files()
        broken = [
            (file, there)
            for file in self._files
            if (there := applied.get(file.version)) and (there.status == PARTIAL or there.sha256 != file.sha256)
        ]
        if not broken:
            return
        # Of no registry: it mends files, and brings the database to none.
        steps = self._ledger.begin("repair", "")
        try:
            for file, there in broken:
                yield from self._mend(file, there, steps, mark_applied=mark_applied, accept=accept)
        except DDLError as error:
            self._ledger.finish(steps.run_id, "failed", error.detail)
            raise
        self._ledger.finish(steps.run_id, "ok")

    def _mend(
        self, file: MigrationFile, there: AppliedFile, steps: Steps, *, mark_applied: bool, accept: bool
    ) -> Iterator[str]:
        if there.sha256 != file.sha256:
            if not accept:
                raise MigrationFileChanged(
                    f"{file.path} was changed after it was applied",
                    hint="restore it, or take it as it is: nexusd migrate repair --accept",
                )
            self._ledger.write_file(file, there.status, there.statements_done, steps.run_id)
            yield f"{file.path.name}: taken as it is"
        if there.status == PARTIAL and mark_applied:
            self._outlook.runner.stamp([file], "ok", steps.run_id)
            yield f"{file.path.name}: marked as applied"
        elif there.status == PARTIAL:
            with self._target.session_lock(self._cancelled, self._migration.options.waits):
                self._migration.applier.run_lone(file, steps, there.statements_done)
            yield f"{file.path.name}: statements {there.statements_done + 1} to {len(file.statements)} done"

    def new_file(self, name: str, *, from_plan: bool) -> Path:
        """Write the next migration file.

        Args:
            name: of the file, in small letters, digits and underscores.
            from_plan: whether it holds what a start would not do by itself.

        Raises:
            MigrationFileInvalid: the name cannot be used, or there is nothing to write.
        """
        if not _NAME.fullmatch(name):
            raise MigrationFileInvalid(
                f"{name!r} is no name of a migration file", hint="a-z, 0-9 and _, as in add_phone"
            )
        numbers = [int(match[0]) for path in self._folder.glob("*.sql") if (match := re.match(r"\d+", path.name))]
        version = f"{max(numbers, default=0) + 1:04}"
        suffix = _SUFFIX[self._target.dialect] if from_plan else ""
        path = self._folder / f"{version}_{name}{suffix}.sql"
        text = self._recipe() if from_plan else ""
        self._folder.mkdir(parents=True, exist_ok=True)
        path.write_text(f"-- {name.replace('_', ' ')}\n{text}", encoding="utf-8")
        return path

    def _recipe(self) -> str:
        state = self._ledger.state()
        records = {} if state is None else state.tables
        ours = {f"{table}.{column}" for table, record in records.items() for column in record.known.types}
        text = Recipe(self._target, self._outlook.compared(state, thorough=True), ours).text()
        if not text:
            raise MigrationFileInvalid("nothing is blocked, so there is nothing to write", hint="nexusd migrate apply")
        return text
