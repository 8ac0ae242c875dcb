"""What `migrate new --from-plan` writes: how to get where a start does not go by itself, without blocking traffic."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.ddl.columns import quote
from nexusd.ddl.errors import DDLError
from nexusd.ddl.plan import Kind, Risk

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from nexusd.ddl.comparison import Comparison, TableChanges
    from nexusd.ddl.plan import Change
    from nexusd.ddl.target import Target

DECIDE: Final = "-- nexusd: decide"
_INSTEAD: Final = "put in place of this line: -- nexusd:"
_UNIQUE: Final = frozenset({Kind.ADD_CONSTRAINT, Kind.CREATE_INDEX, Kind.REBUILD_INDEX, Kind.REPLACE_CONSTRAINT})


class Recipe:
    """A migration file for what is blocked, or else for what only waits to be dropped.

    Args:
        target: the open database, asked whether its rows are in the way.
        comparison: registry against database, all tables looked at.
        ours: tables and columns, as `table` and `table.column`, that an earlier registry had.
    """

    def __init__(self, target: Target, comparison: Comparison, ours: Collection[str]) -> None:
        self._target = target
        self._comparison = comparison
        self._ours = ours

    def text(self) -> str:
        """The file's text below its first line; empty if there is nothing to write."""
        lines = list(self._blocked() if self._comparison.plan.blocked else self._drops())
        by_itself = any(word in line for line in lines for word in ("CONCURRENTLY", " VALIDATE "))
        header = ["-- nexusd: transaction=off"] if by_itself else []
        return "\n".join([*header, *lines, ""]) if lines else ""

    def _blocked(self) -> Iterator[str]:
        there = {each.table.name: each for each in self._comparison.changed}
        tables = dict.fromkeys(change.table for change in self._comparison.plan.blocked)
        for table in tables:
            blocked = [change for change in self._comparison.plan.blocked if change.table == table]
            if table in there and self._target.renderer.rebuilds(blocked):
                yield from self._rebuilt(there[table], blocked)
                continue
            for change in blocked:
                yield from _titled(change)
                yield from self._before(change, there.get(table))
                yield from map(_line, change.online)

    def _rebuilt(self, changes: TableChanges, blocked: list[Change]) -> Iterator[str]:
        """The table anew; columns that have to be filled are there before."""
        for change in blocked:
            yield from _titled(change)
            yield from self._before(change, changes)
            if change.kind is Kind.ADD_COLUMN:
                yield from map(_line, change.online)
        filled = {change.name for change in blocked if change.kind is Kind.ADD_COLUMN}
        wanted = [each for each in changes.changes if each.risk is not Risk.KEPT and each.name not in filled]
        for statement in self._target.renderer.combined(changes.table, wanted, changes.extras, anew=True):
            yield f"{statement};"

    def _before(self, change: Change, changes: TableChanges | None) -> Iterator[str]:
        """What only a person can say, each with a line that keeps the file from being run until then."""
        table, name = quote(change.table), quote(change.name)
        where = f"{change.table}.{change.name}"
        if change.risk is Risk.REFUSED:
            yield f"{DECIDE} values may not fit; if that is meant, {_INSTEAD} allow {change.kind} {where}"
        elif change.kind is Kind.CREATE_TABLE:
            yield f"{DECIDE} {change.fix}, then delete this line"
        elif change.kind is Kind.CONVERT_VALUES:
            yield f"{DECIDE} rewrite the values of {where}, and {_INSTEAD} allow convert_values {where}"
            yield f"UPDATE {table} SET {name} = {name};"  # noqa: S608 - quoted names, no values
        elif change.kind is Kind.SET_NOT_NULL and self._any(f"SELECT 1 FROM {table} WHERE {name} IS NULL LIMIT 1"):  # noqa: S608 - as above
            yield f"{DECIDE} some rows have no {where}: say what they get in place of NULL, then delete this line"
            yield f"UPDATE {table} SET {name} = NULL WHERE {name} IS NULL;"  # noqa: S608 - as above
        elif change.kind in _UNIQUE and changes is not None:
            yield from self._rows_against(changes, change)

    def _rows_against(self, changes: TableChanges, change: Change) -> Iterator[str]:
        clause = changes.table.clauses.get(change.name)
        if clause is None:
            return
        table = quote(change.table)
        if clause.sql.startswith("CHECK "):
            query = f"SELECT * FROM {table} WHERE NOT {clause.sql.removeprefix('CHECK ')}"  # noqa: S608 - the registry's own
        elif clause.columns and (clause.unique or not clause.is_index) and "REFERENCES" not in clause.sql:
            columns = ", ".join(quote(column) for column in clause.columns)
            filled = " AND ".join(f"{quote(column)} IS NOT NULL" for column in clause.columns)
            query = f"SELECT {columns} FROM {table} WHERE {filled} GROUP BY {columns} HAVING count(*) > 1"  # noqa: S608 - quoted names
        else:
            return
        if self._any(f"{query} LIMIT 1"):
            yield f"{DECIDE} rows are in the way: mend those below, then delete this line"
            yield f"-- {query};"

    def _any(self, query: str) -> bool:
        try:
            return bool(self._target.run(query))
        except DDLError:
            # A column or table that has its new name only once the file was run.
            return False

    def _drops(self) -> Iterator[str]:
        extras = [
            (each, [c.name for c in each.of(Risk.KEPT) if c.kind is Kind.EXTRA_COLUMN and self._is_ours(c)])
            for each in self._comparison.changed
        ]
        orphans = [c.table for c in self._comparison.plan.of(Risk.KEPT) if c.kind is Kind.EXTRA_TABLE]
        if orphans or any(columns for _, columns in extras):
            yield "-- nexusd: phase=contract"
        for each, columns in extras:
            if columns:
                yield from (f"-- nexusd: allow drop_column {each.table.name}.{column}" for column in columns)
                yield from map(_line, self._target.renderer.without(each.table, columns, each.extras))
        for table in orphans:
            yield f"-- nexusd: allow drop_table {table}"
            yield f"DROP TABLE {quote(table)};"

    def _is_ours(self, change: Change) -> bool:
        return f"{change.table}.{change.name}" in self._ours


def _titled(change: Change) -> Iterator[str]:
    yield ""
    yield f"-- {change.title}{f': {change.note}' if change.note else ''}"


def _line(statement: str) -> str:
    return statement if statement.startswith("--") else f"{statement};"
