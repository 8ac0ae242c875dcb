"""The registry's tables against a target's: what is new, what differs, and what is left alone."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nexusd.ddl.catalog import PartKind, Table, TableSize
from nexusd.ddl.diff import UNKNOWN, Difference, Known, column_type, differences, table_renames
from nexusd.ddl.ledger import TableRecord
from nexusd.ddl.plan import Change, Kind, Plan, Risk
from nexusd.ddl.policy import Circumstances, classify
from nexusd.ddl.tables import creation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from nexusd.ddl.catalog import Column, Part
    from nexusd.ddl.ledger import State
    from nexusd.ddl.tables import WantedTable
    from nexusd.ddl.target import Target


@dataclass(frozen=True, slots=True)
class TableChanges:
    """The changes of one table that exists.

    Attributes:
        extras: columns and parts that the registry does not know.
        marks: all that differs, as the ledger says it.
        accepted: which of that stays.
    """

    table: WantedTable
    changes: tuple[Change, ...]
    extras: tuple[Column | Part, ...]
    marks: frozenset[str]
    accepted: frozenset[str]

    def of(self, *risks: Risk) -> tuple[Change, ...]:
        """The changes of these risks."""
        return tuple(change for change in self.changes if change.risk in risks)


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a target lacks.

    Attributes:
        new: tables to make, each after those it refers to.
        renamed: tables that still have their old name, by the new one.
        changed: tables with differences.
        plan: all of it for an operator.
        fingerprints: of the registry's tables that exist.
        accepted: what stays different in each table that was looked at.
    """

    new: tuple[WantedTable, ...]
    renamed: Mapping[str, str]
    changed: tuple[TableChanges, ...]
    plan: Plan
    fingerprints: Mapping[str, str]
    accepted: Mapping[str, frozenset[str]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """On which terms two sides are compared.

    Attributes:
        confirmed: guarded changes count as safe where a statement can make them.
        allowed: what files allow by name.
        files: names of pending files, for the plan.
        only: these tables alone.
        thorough: whether tables are looked at that are as the ledger left them, with steps still to come.
    """

    confirmed: bool = False
    allowed: Collection[str] = ()
    files: tuple[str, ...] = ()
    only: Collection[str] | None = None
    thorough: bool = False


def compare(target: Target, tables: Mapping[str, WantedTable], state: State | None, terms: Terms) -> Comparison:
    """Compare, looking only at tables that are not as the ledger left them.

    Args:
        target: the database.
        tables: what the registry wants.
        state: what the ledger remembers; None: nothing.
        terms: what counts as allowed.

    Raises:
        RenameHintError: a `renamed_from` cannot mean what it says.
        DDLError: the database cannot be read, or does not take a declaration.
    """
    existing = target.catalog.table_names()
    records = state.tables if state is not None else {}
    renamed = table_renames(tables, existing, records.keys())
    wanted = [table for table in tables.values() if terms.only is None or table.name in terms.only]
    fingerprints = target.catalog.fingerprints(list(tables))
    missing = [table for table in wanted if table.name not in existing and table.name not in renamed]
    others = target.catalog.others([table.name for table in missing]) if missing else {}
    new = tuple(table for table in missing if table.name not in others)
    suspects = [
        table
        for table in wanted
        if table.name in renamed
        or (table.name in existing and (terms.thorough or not _as_left(table, records, fingerprints)))
    ]
    changed = [each for each in _changes(target, suspects, tables, renamed, records, terms) if each.changes]
    changes = [_creation(table) for table in new]
    changes += [_in_the_way(name, what) for name, what in sorted(others.items())]
    changes += [change for each in changed for change in each.changes]
    orphans = [name for name in records if name in existing and name not in tables and name not in renamed.values()]
    changes += [_orphan(name) for name in sorted(orphans)]
    sizes = {
        each.table.name: str(target.catalog.size(each.table.name)) for each in changed if each.table.name in existing
    }
    plan = Plan(tuple(changes), target.where, sizes, terms.files)
    accepted = {table.name: frozenset[str]() for table in suspects}
    accepted |= {each.table.name: each.accepted for each in changed}
    return Comparison(new, renamed, tuple(changed), plan, fingerprints, accepted)


def record(table: WantedTable, fingerprint: str, accepted: frozenset[str], before: Mapping[str, str]) -> TableRecord:
    """What the ledger keeps of a table that is as wanted, but for what is accepted.

    Args:
        table: as wanted.
        fingerprint: of what is there.
        accepted: differences that stay.
        before: types of columns that earlier registries had, which may be there still.
    """
    types = {**before, **{name: column_type(table, name) for name in table.model.by_name}}
    return TableRecord(table.hash, fingerprint, Known(types, frozenset(table.clauses), accepted))


def _as_left(table: WantedTable, records: Mapping[str, TableRecord], fingerprints: Mapping[str, str]) -> bool:
    there = records.get(table.name)
    return there is not None and (there.wanted, there.catalog) == (table.hash, fingerprints.get(table.name))


def _creation(table: WantedTable) -> Change:
    statements = tuple(statement for _, statement in creation([table]))
    return Change(table.name, Kind.CREATE_TABLE, "", Risk.SAFE, statements=statements, online=statements)


def _in_the_way(name: str, what: str) -> Change:
    fix = "rename it or drop it in a file, or give the model another table"
    return Change(name, Kind.CREATE_TABLE, "", Risk.GUARDED, note=f"{what} is called so", fix=fix)


def _orphan(name: str) -> Change:
    note = "no model has this table any more; a file with -- nexusd: allow drop_table may drop it"
    return Change(name, Kind.EXTRA_TABLE, "", Risk.KEPT, note=note)


def _changes(
    target: Target,
    suspects: list[WantedTable],
    tables: Mapping[str, WantedTable],
    renamed: Mapping[str, str],
    records: Mapping[str, TableRecord],
    terms: Terms,
) -> Iterable[TableChanges]:
    if not suspects:
        return
    there = target.catalog.tables([renamed.get(table.name, table.name) for table in suspects])
    names = {table.name for table in suspects}
    targets = {name for table in suspects for name in table.targets} - names
    shadows = target.catalog.shadows(suspects, [table for name, table in tables.items() if name in targets])
    for table in suspects:
        old = renamed.get(table.name, table.name)
        have = _with_new_names(there[old], renamed)
        known = records[old].known if old in records else UNKNOWN
        found = list(differences(table, shadows[table.name], have, known))
        if found or table.name in renamed:
            yield _classified(target, table, found, renamed, terms)


def _with_new_names(table: Table, renamed: Mapping[str, str]) -> Table:
    """The table as it will look once tables it refers to have their new names."""
    parts = dict(table.parts)
    for new, old in renamed.items():
        words = re.compile(rf'(references )"?{re.escape(old)}"?(?=[ (])', re.IGNORECASE)
        for name, part in parts.items():
            if part.kind is PartKind.FOREIGN_KEY:
                parts[name] = replace(part, definition=words.sub(rf"\g<1>{new}", part.definition))
    return Table(table.columns, parts)


def _classified(
    target: Target, table: WantedTable, found: list[Difference], renamed: Mapping[str, str], terms: Terms
) -> TableChanges:
    size = target.catalog.size(renamed.get(table.name, table.name))
    added = {
        each.name for each in found if each.kind is Kind.ADD_COLUMN and not table.model.by_name[each.name].has_default
    }
    circumstances = Circumstances(
        table.name, target.dialect, size, confirmed=terms.confirmed, allowed=terms.allowed, added=added
    )
    changes = _judged(target, table, found, circumstances)
    if any(each.accepted for each in found) and target.renderer.rebuilds(
        each for each in changes if each.risk is Risk.SAFE
    ):
        # A table that is built anew is as the registry says, so nothing of it can stay as it is.
        found = [replace(each, accepted=False) for each in found]
        changes = _judged(target, table, found, circumstances)
    if table.name in renamed:
        changes.insert(0, _table_rename(target, table, renamed[table.name], size, confirmed=terms.confirmed))
    extras = tuple(each.have for each in found if each.kind in {Kind.EXTRA_COLUMN, Kind.EXTRA_PART} and each.have)
    never = {Kind.ADD_COLUMN, Kind.RENAME_COLUMN, Kind.EXTRA_COLUMN, Kind.EXTRA_PART}
    marks = frozenset(each.mark for each in found if each.kind not in never)
    accepted = frozenset(each.mark for each in found if each.accepted)
    return TableChanges(table, tuple(_without_settled(changes)), extras, marks, accepted)


def _judged(
    target: Target, table: WantedTable, found: Iterable[Difference], circumstances: Circumstances
) -> list[Change]:
    changes: list[Change] = []
    size = circumstances.size
    for each in found:
        verdict = classify(each, circumstances)
        changes.append(target.renderer.change(table, each, verdict, empty=size.empty))
        if _is_left_unproven(changes[-1], size):
            later = replace(each, kind=Kind.VALIDATE_CONSTRAINT, have=None)
            changes.append(target.renderer.change(table, later, classify(later, circumstances), empty=False))
    return changes


def _is_left_unproven(change: Change, size: TableSize) -> bool:
    """Whether rows that are there have not been looked at, which a later step does."""
    return (
        not size.empty and change.risk is Risk.SAFE and any(clause.endswith(" NOT VALID") for clause in change.clauses)
    )


def _without_settled(changes: Iterable[Change]) -> Iterable[Change]:
    """Without values that a file has converted, or that are none."""
    return (each for each in changes if (each.kind, each.risk) != (Kind.CONVERT_VALUES, Risk.SAFE))


def _table_rename(target: Target, table: WantedTable, old: str, size: TableSize, *, confirmed: bool) -> Change:
    circumstances = Circumstances(table.name, target.dialect, size, confirmed=confirmed)
    statements = tuple(target.renderer.rename_table(old, table))
    verdict = classify(Difference(Kind.RENAME_TABLE, table.name), circumstances)
    return Change(
        table.name,
        Kind.RENAME_TABLE,
        "",
        verdict.risk,
        detail=f"(now {old})",
        statements=statements,
        online=statements,
        note=verdict.note,
        fix=verdict.fix,
    )
