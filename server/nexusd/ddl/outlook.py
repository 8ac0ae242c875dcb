"""How registry and database stand to each other: the same, older, newer, or different."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Final

from nexusd.ddl.comparison import Comparison, Terms, compare
from nexusd.ddl.errors import SchemaAheadIncompatible
from nexusd.ddl.file_runner import FileRunner
from nexusd.ddl.files import files_hash
from nexusd.ddl.ledger import SECRET_BYTES, Ledger, was_left
from nexusd.ddl.plan import BLOCKING, Kind, Risk
from nexusd.ddl.policy import type_change
from nexusd.ddl.tables import model_hash
from nexusd.events import MigrationPlanned

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.ledger import State
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.plan import Change
    from nexusd.ddl.tables import WantedTable
    from nexusd.ddl.target import Target
    from nexusd.events import Observer


class Outlook:
    """A registry and its migration files, held against an open database; changes nothing.

    Attributes:
        ledger: of the database.
        hashes: of models and files.
        runner: of the files.
    """

    def __init__(
        self,
        target: Target,
        tables: Mapping[str, WantedTable],
        files: Sequence[MigrationFile],
        options: DDLOptions,
        observe: Observer,
    ) -> None:
        self.ledger = Ledger(target, options.app_version)
        self.hashes = (model_hash(tables), files_hash(files))
        self.runner = FileRunner(target, self.ledger, files, options)
        self._target = target
        self._tables = tables
        self._options = options
        self._observe = observe

    def is_current(self, state: State) -> bool:
        """Whether this registry and these files were applied, and the tables are still as they were left."""
        if (state.model_hash, state.files_hash) != self.hashes or not self.ledger.is_current():
            return False
        return self._target.catalog.fingerprints(list(self._tables)) == {
            name: t.catalog for name, t in state.tables.items() if name in self._tables
        }

    def is_same(self, state: State) -> bool:
        """Whether this registry is the newest that was applied, whatever the tables look like now."""
        return state.model_hash == self.hashes[0]

    def is_older(self, state: State) -> bool:
        """Whether this registry was applied before, and another one after it, if only in part."""
        if self._options.confirmed:
            return False
        models = self.hashes[0]
        if state.model_hash == models:
            return was_left(self._target, state.run_id, models)
        return self.ledger.knows(models)

    def deferred(self, state: State | None) -> tuple[Change, ...]:
        """The steps that were left for after a start, looked for in every table."""
        return compare(self._target, self._tables, state, Terms(thorough=True)).plan.of(Risk.DEFERRED)

    def compared(self, state: State | None, allowed: Collection[str] = (), *, thorough: bool = False) -> Comparison:
        """Registry against database; `thorough`: also tables that are as they were left, with what is kept in them."""
        files = self.runner.due() if self.ledger.exists() or state is None else []
        terms = Terms(
            confirmed=self._options.auto_migrate == "all",
            allowed={*allowed, *(permission for file in files for permission in file.allowed)},
            files=tuple(file.path.name for file in files),
            thorough=thorough,
        )
        comparison = compare(self._target, self._tables, state, terms)
        self._observe(MigrationPlanned(len(comparison.plan.changes), len(comparison.plan.blocked)))
        return comparison

    def check_ahead(self, state: State) -> None:
        """A newer registry was applied: this one changes nothing, and asks only whether it can work.

        Raises:
            SchemaAheadIncompatible: it cannot.
        """
        terms = Terms()
        plan = compare(self._target, self._tables, state, terms).plan
        missing = [change for change in plan.changes if _stands_in_the_way(change)]
        if missing:
            lines = "\n".join(f"  {line}" for change in missing for line in change.lines())
            raise SchemaAheadIncompatible(
                f"a newer registry (version {state.app_version}, {state.updated_at}) changed {self._target.where},"
                f" and this one lacks:\n{lines}",
                hint="start the newer version, or make this registry the newest: nexusd migrate apply --yes",
            )

    def secret(self) -> bytes:
        """The daemon's key; one for this process alone where the database has none."""
        kept = self.ledger.secret() if self.ledger.exists() else None
        return kept or secrets.token_bytes(SECRET_BYTES)


def _stands_in_the_way(change: Change) -> bool:
    """Whether an older process cannot work with what a newer one left."""
    if change.kind is Kind.ALTER_TYPE:
        before, _, after = change.detail.partition(" -> ")
        return type_change(after.removesuffix(' COLLATE "C"'), before) is not Risk.SAFE
    return change.kind in NEEDED or (change.kind is Kind.EXTRA_COLUMN and change.risk in BLOCKING)


NEEDED: Final = frozenset({Kind.CREATE_TABLE, Kind.ADD_COLUMN, Kind.RENAME_COLUMN, Kind.RENAME_TABLE})
"""What no process works without."""
