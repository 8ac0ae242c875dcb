"""Runs migration files, and holds them to what they may lose."""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Final

from nexusd.ddl.errors import DDLError, PartialMigration, PlanBlocked
from nexusd.ddl.files import CONTRACT, PARTIAL, is_batch, pending
from nexusd.ddl.plan import Risk
from nexusd.ddl.policy import type_change

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from nexusd.ddl.catalog import Table
    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.ledger import Ledger, Steps
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.tables import WantedTable
    from nexusd.ddl.target import Target

_LOSSY: Final = re.compile(r"\bDROP\s+(TABLE|COLUMN)\b|\bTYPE\b", re.IGNORECASE)
_CONCURRENTLY: Final = re.compile(r"\bCONCURRENTLY\b", re.IGNORECASE)


class FileRunner:
    """The migration files of one run.

    Args:
        target: where they are applied.
        ledger: where they are noted.
        files: all files, in order.
        options: whether contract files are applied too, and how long a statement waits for a lock.
    """

    def __init__(self, target: Target, ledger: Ledger, files: Sequence[MigrationFile], options: DDLOptions) -> None:
        self._target = target
        self._ledger = ledger
        self._files = files
        self._contract = options.contract
        self._lock_timeout = options.waits.lock_timeout

    def due(self) -> list[MigrationFile]:
        """The pending files that this run applies.

        Raises:
            MigrationFileChanged: an applied file is not what it was.
            MigrationFileOrder: a file stands below an applied one.
            PartialMigration: one stopped half-way.
        """
        return [file for file in self._pending() if self._contract or file.phase != CONTRACT]

    def waiting(self) -> list[MigrationFile]:
        """The pending contract files that this run leaves for their command."""
        return [] if self._contract else [file for file in self._pending() if file.phase == CONTRACT]

    def _pending(self) -> list[MigrationFile]:
        applied = self._ledger.files()
        files = list(pending(self._files, applied))
        for file in files:
            there = applied.get(file.version)
            if there is not None and there.status == PARTIAL:
                raise PartialMigration(
                    f"{file.path} stopped after statement {there.statements_done} of {len(file.statements)}",
                    hint="nexusd migrate repair goes on from there; --mark-applied takes it as done",
                )
        return files

    def stamp(self, files: Iterable[MigrationFile], status: str, run_id: int) -> None:
        """Note files as dealt with without running them."""
        for file in files:
            self._ledger.write_file(file, status, len(file.statements), run_id)

    def run_together(self, files: Sequence[MigrationFile], steps: Steps, *, rehearse: bool = False) -> None:
        """Run files inside the open transaction; in a rehearsal also those that are none, as far as that can be.

        Raises:
            StatementFailed: which statement of which file, and why.
        """
        for file in files:
            if rehearse and not file.transactional:
                self.rehearse([file])
                continue
            self._target.limit(file.lock_timeout or self._lock_timeout)
            for number, statement in enumerate(file.statements, 1):
                self._step(file, number, statement, steps)
            self._ledger.write_file(file, "ok", len(file.statements), steps.run_id)
        if files:
            self._target.limit(self._lock_timeout)

    def _step(self, file: MigrationFile, number: int, statement: str, steps: Steps) -> None:
        started = time.perf_counter()
        try:
            self._target.execute(statement)
        except DDLError as error:
            error.detail = f"{file.path}, statement {number} of {len(file.statements)}: {error.detail}"
            error.args = (error.detail,)
            raise
        self._ledger.step(steps, "", f"file {file.version}", statement, (time.perf_counter() - started) * 1000)

    def rehearse(self, files: Iterable[MigrationFile]) -> None:
        """Run the statements that can run inside a transaction; the caller undoes them."""
        for file in files:
            for statement in file.statements:
                if not (file.batch and is_batch(statement)):
                    self._target.execute(_CONCURRENTLY.sub("", statement))


def refuse_unfinished(files: Iterable[MigrationFile]) -> None:
    """Files that wait for somebody to say how.

    Raises:
        PlanBlocked: what is to be said, and where.
    """
    undecided = [f"{file.path}:{line}: {text}" for file in files for line, text in file.undecided]
    if undecided:
        raise PlanBlocked("\n".join(["migration files wait for you to finish them; nothing was changed:", *undecided]))


def may_lose(file: MigrationFile) -> bool:
    """Whether a file has to be tried out before it runs statement by statement, each of them final."""
    return any(_LOSSY.search(statement) for statement in file.statements)


def check_losses(
    before: Mapping[str, Table], after: Mapping[str, Table], tables: Mapping[str, WantedTable], allowed: Collection[str]
) -> None:
    """Whether files lost something that none of them says it may lose.

    Raises:
        PlanBlocked: a table, a column or part of its values is gone.
    """
    renamed_tables = {table.model.renamed_from: table.name for table in tables.values()}
    for name, table in before.items():
        now = after.get(renamed_tables.get(name) or name) or after.get(name)
        if now is None:
            _demand(f"drop_table {name}", allowed)
            continue
        wanted = tables.get(renamed_tables.get(name) or name)
        renamed = {field.renamed_from: field.name for field in wanted.model.fields} if wanted is not None else {}
        for column in table.columns.values():
            there = now.columns.get(column.name) or now.columns.get(renamed.get(column.name, ""))
            if there is None:
                _demand(f"drop_column {name}.{column.name}", allowed)
            elif there.type != column.type and type_change(column.type, there.type) is Risk.REFUSED:
                _demand(f"alter_type {name}.{column.name}", allowed)


def _demand(permission: str, allowed: Collection[str]) -> None:
    if permission not in allowed:
        raise PlanBlocked(
            f"a migration file would {permission.replace('_', ' ', 1)}, and does not say so",
            hint=f"if it is meant, write the line -- nexusd: allow {permission} into the file; nothing was changed",
        )
