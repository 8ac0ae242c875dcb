"""Differences as SQLite's statements: few things can be altered in place, for the rest the table is built anew.

The order of a rebuild is the one of https://www.sqlite.org/lang_altertable.html#otheralter.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.catalog import Column, Part, PartKind
from nexusd.ddl.columns import column_sql, default_sql, literal, quote
from nexusd.ddl.plan import BLOCKING, Change, Kind, Risk, to_be_filled
from nexusd.ddl.sqlite_definitions import checks, definitions, without_not_null

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nexusd.ddl.diff import Difference
    from nexusd.ddl.policy import Verdict
    from nexusd.ddl.sqlite_catalog import SqliteCatalog
    from nexusd.ddl.sqlite_definitions import Definition
    from nexusd.ddl.tables import WantedTable

_NOTHING: Final = frozenset({Kind.EXTRA_COLUMN, Kind.EXTRA_PART, Kind.EXTRA_TABLE, Kind.CONVERT_VALUES})
_STORED: Final = {
    "INTEGER": ("integer",),
    "BOOLEAN": ("integer",),
    "REAL": ("real",),
    "NUMERIC": ("integer", "real"),
    "TEXT": ("text",),
}
"""How values of a column of an affinity are stored; BLOB takes anything."""

REBUILT: Final = "rebuilds the table"


class SqliteRenderer:
    """Differences as SQLite's statements."""

    def __init__(self, catalog: SqliteCatalog) -> None:
        self._catalog = catalog

    def change(self, table: WantedTable, difference: Difference, verdict: Verdict, *, empty: bool) -> Change:
        """A difference as a change; without statements where the table is built anew."""
        del empty
        return _change(table, difference, verdict)

    def combined(
        self, table: WantedTable, changes: Sequence[Change], extras: Sequence[Column | Part], *, anew: bool = False
    ) -> list[str]:
        """Changes in place, or the table anew, as the registry says and with the extras."""
        if not (anew or self.rebuilds(changes)):
            return [statement for change in changes if change.risk is not Risk.KEPT for statement in change.statements]
        renames = [s for change in changes if change.kind is Kind.RENAME_COLUMN for s in change.statements]
        return [*renames, *_rebuild(table, changes, extras, self._catalog.statements_of(table.name))]

    def rebuilds(self, changes: Iterable[Change]) -> bool:
        """Whether one of the changes cannot be made in place."""
        return any(
            not change.statements and (change.kind not in _NOTHING or _is_loosened(change)) for change in changes
        )

    def without(self, table: WantedTable, columns: Sequence[str], extras: Sequence[Column | Part]) -> list[str]:
        """The table anew, without the columns and what is made of them: SQLite drops no column that something uses."""
        kept = [each for each in extras if not _touches(each, columns)]
        gone = {each.name for each in extras if _touches(each, columns)}
        catalog = [each for each in self._catalog.statements_of(table.name) if each[1] not in gone]
        return list(_rebuild(table, (), kept, catalog))

    def rename_table(self, old: str, new: WantedTable) -> list[str]:
        """The table; references to it follow."""
        return [f"ALTER TABLE {quote(old)} RENAME TO {quote(new.name)}"]

    def grants(self, tables: Sequence[str], role: str, *, append_only: bool = False) -> list[str]:
        """Nothing: SQLite knows no roles."""
        del tables, role, append_only
        return []


def _is_loosened(change: Change) -> bool:
    """A column that the registry does not know, and that inserts must not have to give."""
    return change.kind is Kind.EXTRA_COLUMN and change.risk in BLOCKING


def _touches(extra: Column | Part, columns: Sequence[str]) -> bool:
    if isinstance(extra, Column):
        return extra.name in columns
    return bool(set(columns).intersection(extra.columns or re.findall(r"\w+", extra.definition)))


def _change(table: WantedTable, difference: Difference, verdict: Verdict) -> Change:
    statements = tuple(_in_place(table, difference))
    note = verdict.note
    if not statements and difference.kind not in _NOTHING:
        note = f"{note}; {REBUILT}" if note else REBUILT
    return Change(
        table=table.name,
        kind=difference.kind,
        name=difference.name,
        risk=verdict.risk,
        detail=_detail(difference),
        statements=statements,
        online=statements or tuple(_filled_first(table, difference)),
        note=note,
        fix=verdict.fix,
    )


def _filled_first(table: WantedTable, difference: Difference) -> Iterator[str]:
    """A required column without a default, empty for the time being."""
    if difference.kind is Kind.ADD_COLUMN:
        column = replace(table.model.by_name[difference.name], nullable=True)
        yield f"ALTER TABLE {quote(table.name)} ADD COLUMN {column_sql(column, Dialect.SQLITE)}"
        yield from to_be_filled(table.name, difference.name)


def _detail(difference: Difference) -> str:
    want, have = difference.want, difference.have
    if difference.kind is Kind.RENAME_COLUMN and isinstance(have, Column):
        return f"(now {have.name})"
    if difference.kind in {Kind.ALTER_TYPE, Kind.CONVERT_VALUES} and isinstance(want, Column):
        before = have.type if isinstance(have, Column) else ""
        return f"{before} -> {want.type}"
    side = want or have
    if difference.kind in {Kind.SET_NOT_NULL, Kind.DROP_NOT_NULL, Kind.DROP_DEFAULT}:
        return ""
    if isinstance(side, Column):
        return side.default if difference.kind is Kind.SET_DEFAULT else side.type
    return side.definition if isinstance(side, Part) else ""


def _in_place(table: WantedTable, difference: Difference) -> Iterator[str]:
    name = quote(table.name)
    have = difference.have
    match difference.kind:
        case Kind.ADD_COLUMN:
            yield from _add_column(table, difference)
        case Kind.RENAME_COLUMN if isinstance(have, Column):
            yield f"ALTER TABLE {name} RENAME COLUMN {quote(have.name)} TO {quote(difference.name)}"
        case Kind.CREATE_INDEX:
            yield table.clauses[difference.name].create_index()
        case Kind.REPLACE_INDEX if isinstance(have, Part):
            yield f"DROP INDEX {quote(have.name)}"
            yield table.clauses[difference.name].create_index()
        case Kind.DROP_INDEX:
            yield f"DROP INDEX {quote(difference.name)}"
        case _:
            pass


def _add_column(table: WantedTable, difference: Difference) -> Iterator[str]:
    """ADD COLUMN, where SQLite takes it: with a constant default or none, not unique, nothing referred to."""
    column = table.model.by_name[difference.name]
    default = default_sql(column, Dialect.SQLITE) or ""
    alone = not any(difference.name in clause.columns and not clause.is_index for clause in table.constraints)
    if alone and not default.startswith("(") and (column.nullable or default):
        yield f"ALTER TABLE {quote(table.name)} ADD COLUMN {column_sql(column, Dialect.SQLITE)}"


def _rebuild(
    table: WantedTable,
    changes: Sequence[Change],
    extras: Sequence[Column | Part],
    catalog: Sequence[tuple[str, str, str]],
) -> Iterator[str]:
    new = f"_nexusd_new_{table.name}"
    written = definitions("".join(sql for kind, _, sql in catalog if kind == "table"))
    extra_columns = {each.name: each for each in extras if isinstance(each, Column)}
    loose = {change.name for change in changes if _is_loosened(change)}
    keep_columns = tuple(
        without_not_null(each) if each.column in loose else each.text
        for each in written
        if each.column in extra_columns
    )
    keep_parts = tuple(_part_sql(part, written) for part in extras if isinstance(part, Part) and not part.is_index)
    added = {change.name for change in changes if change.kind is Kind.ADD_COLUMN}
    columns = [name for name in table.model.by_name if name not in added]
    columns += [name for name, column in extra_columns.items() if not column.computed]
    listed = ", ".join(quote(name) for name in columns)
    yield table.create(new, keep_columns=keep_columns, keep_parts=keep_parts)
    yield f"INSERT INTO {quote(new)} ({listed}) SELECT {listed} FROM {quote(table.name)}"  # noqa: S608 - quoted names, no values
    for change in changes:
        if change.kind is Kind.ALTER_TYPE:
            yield from _proof(table.name, change)
    if any(token.word == "AUTOINCREMENT" for each in written for token in each.tokens):
        # Numbers that were given are not given again, even if their rows are gone.
        seq = f"(SELECT seq FROM sqlite_sequence WHERE name = {literal(table.name)})"  # noqa: S608 - quoted names, no values
        yield f"UPDATE sqlite_sequence SET seq = {seq} WHERE name = {literal(new)} AND {seq} IS NOT NULL"  # noqa: S608 - quoted names, no values
        yield (
            f"INSERT INTO sqlite_sequence (name, seq) SELECT {literal(new)}, seq FROM sqlite_sequence"  # noqa: S608 - quoted names, no values
            f" WHERE name = {literal(table.name)}"
            f" AND NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = {literal(new)})"
        )
    yield f"DROP TABLE {quote(table.name)}"
    # Views and other tables' triggers name a table that is gone for a moment, which only this mode puts up with.
    yield "PRAGMA legacy_alter_table = ON"
    yield f"ALTER TABLE {quote(new)} RENAME TO {quote(table.name)}"
    yield "PRAGMA legacy_alter_table = OFF"
    gone = {change.name for change in changes if change.kind in {Kind.DROP_INDEX, Kind.REPLACE_INDEX}}
    gone |= {index.name for index in table.indexes}
    for index in table.indexes:
        yield index.create_index()
    for kind, name, sql in catalog:
        if kind != "table" and name not in gone:
            yield sql


def _proof(table: str, change: Change) -> Iterator[str]:
    """Fails if a value did not take the new type: SQLite keeps it as it was, and says nothing."""
    kinds = _STORED.get(change.detail.rpartition(" ")[2])
    if kinds is None:
        return
    name = f"{table}.{change.name} has values of another type"
    yield f"CREATE TEMP TABLE _nexusd_proof (ok CONSTRAINT {quote(name)} CHECK (ok))"
    stored = f"typeof({quote(change.name)}) IN ({', '.join(literal(kind) for kind in ('null', *kinds))})"
    yield f"INSERT INTO _nexusd_proof SELECT {stored} FROM {quote(f'_nexusd_new_{table}')}"  # noqa: S608 - quoted names
    yield "DROP TABLE temp._nexusd_proof"


def _part_sql(part: Part, written: Sequence[Definition]) -> str:
    """A constraint that the registry does not know, as a constraint of the table."""
    columns = ", ".join(quote(name) for name in part.columns)
    if part.kind is PartKind.CHECK:
        found = [check for each in written for check in checks(each) if check.expression == part.definition]
        text = found[0].text if found else part.definition
        name = f"CONSTRAINT {quote(part.name)} " if found and found[0].name else ""
        return f"{name}CHECK ({text})"
    if part.kind is PartKind.FOREIGN_KEY:
        return f"FOREIGN KEY {part.definition}"
    return f"UNIQUE ({columns})"
