"""Differences as PostgreSQL's statements."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.catalog import Column, Part, PartKind
from nexusd.ddl.columns import column_sql, default_sql, is_identity, literal, quote, type_name
from nexusd.ddl.plan import Change, Kind, Risk, to_be_filled
from nexusd.ddl.policy import type_change
from nexusd.definitions.model import FieldType
from nexusd.definitions.naming import Kind as NameKind
from nexusd.definitions.naming import constraint_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from nexusd.ddl.diff import Difference
    from nexusd.ddl.policy import Verdict
    from nexusd.ddl.postgresql_catalog import PostgresqlCatalog
    from nexusd.ddl.tables import Clause, WantedTable


@dataclass(frozen=True, slots=True)
class _Sql:
    """How a change is made: clauses of the table's ALTER TABLE, then statements; `online` without blocking."""

    clauses: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    detail: str = ""


@dataclass(frozen=True, slots=True)
class _Case:
    table: WantedTable
    difference: Difference
    verdict: Verdict
    empty: bool

    @property
    def name(self) -> str:
        return self.difference.name

    @property
    def clause(self) -> Clause:
        return self.table.clauses[self.difference.name]

    def alter(self, *clauses: str) -> str:
        return f"ALTER TABLE {quote(self.table.name)} {', '.join(clauses)}"

    @property
    def column(self) -> str:
        return f"ALTER COLUMN {quote(self.name)}"


class PostgresqlRenderer:
    """Differences as PostgreSQL's statements.

    Args:
        catalog: of the schema.
        role: the one that migrates, which needs no grants.
    """

    def __init__(self, catalog: PostgresqlCatalog, role: str) -> None:
        self._catalog = catalog
        self._role = role

    def change(self, table: WantedTable, difference: Difference, verdict: Verdict, *, empty: bool) -> Change:
        """A difference as PostgreSQL's statements."""
        return _change(table, difference, verdict, empty=empty)

    def combined(
        self, table: WantedTable, changes: Sequence[Change], extras: Sequence[Column | Part], *, anew: bool = False
    ) -> list[str]:
        """One ALTER TABLE with all clauses, then what is a statement of its own."""
        del extras, anew
        wanted = [change for change in changes if change.risk is not Risk.KEPT]
        clauses = [clause for change in wanted for clause in change.clauses]
        renames = [s for change in wanted if not change.clauses for s in change.statements if " RENAME " in s]
        others = [s for change in wanted for s in change.statements[bool(change.clauses) :] if s not in renames]
        alter = [f"ALTER TABLE {quote(table.name)} {', '.join(clauses)}"] if clauses else []
        return [*renames, *alter, *others]

    def rebuilds(self, changes: Iterable[Change]) -> bool:
        """Never: anything can be altered in place."""
        del changes
        return False

    def without(self, table: WantedTable, columns: Sequence[str], extras: Sequence[Column | Part]) -> list[str]:
        """One ALTER TABLE; indexes and constraints go with their columns."""
        del extras
        return [f"ALTER TABLE {quote(table.name)} {', '.join(f'DROP COLUMN {quote(name)}' for name in columns)}"]

    def rename_table(self, old: str, new: WantedTable) -> list[str]:
        """The table, and what is named for it."""
        statements = [f"ALTER TABLE {quote(old)} RENAME TO {quote(new.name)}"]
        there = self._catalog.tables([old])[old].parts
        for clause, fields in _named_for(new):
            was = constraint_name(old, fields, clause.kind)
            if was in there:
                statements.append(_rename_part(new.name, was, constraint_name(new.name, fields, clause.kind), clause))
        return statements

    def grants(self, tables: Sequence[str], role: str, *, append_only: bool = False) -> list[str]:
        """What a role that only reads and writes rows needs."""
        if role in {"", self._role} or not tables:
            return []
        rights = ("INSERT",) if append_only else ("SELECT", "INSERT", "UPDATE", "DELETE")
        missing = self._catalog.missing_rights(role, tables, rights)
        of = {"schema": "USAGE", "table": ", ".join(rights), "sequence": "USAGE"}
        return [f"GRANT {of[kind]} ON {kind.upper()} {quote(name)} TO {quote(role)}" for kind, name in missing]


def _change(table: WantedTable, difference: Difference, verdict: Verdict, *, empty: bool) -> Change:
    case = _Case(table, difference, verdict, empty)
    make = _MAKERS.get(difference.kind)
    sql = make(case) if make is not None else _Sql(detail=_extra(difference))
    statements = (case.alter(*sql.clauses), *sql.statements) if sql.clauses else sql.statements
    return Change(
        table=table.name,
        kind=difference.kind,
        name=difference.name,
        risk=verdict.risk,
        detail=sql.detail,
        clauses=sql.clauses,
        statements=statements,
        online=sql.online or statements,
        note=verdict.note,
        fix=verdict.fix,
    )


def _extra_column(case: _Case) -> _Sql:
    have = case.difference.have
    required = isinstance(have, Column) and have.must_be_given
    online = (case.alter(f"{case.column} DROP NOT NULL"),) if required else ()
    return _Sql(online=online, detail=_extra(case.difference))


def _extra(difference: Difference) -> str:
    if isinstance(difference.have, Column):
        return difference.have.type
    return difference.have.definition if isinstance(difference.have, Part) else ""


def _add_column(case: _Case) -> _Sql:
    declared = case.table.model.by_name[case.name]
    definition = column_sql(declared, Dialect.POSTGRESQL)
    detail = definition.removeprefix(f"{quote(case.name)} ")
    add = f"ADD COLUMN {definition}"
    if case.verdict.risk is Risk.SAFE:
        return _Sql(clauses=(add,), detail=detail)
    nullable = case.alter(f"ADD COLUMN {definition.replace(' NOT NULL', '')}")
    if declared.primary_key or is_identity(declared):
        return _Sql(clauses=(add,), detail=detail)
    online = (nullable, *to_be_filled(case.table.name, case.name), *_set_not_null_online(case))
    return _Sql(clauses=(add,), online=online, detail=detail)


def _rename_column(case: _Case) -> _Sql:
    old = case.difference.have
    before = old.name if isinstance(old, Column) else ""
    statements = [case.alter(f"RENAME COLUMN {quote(before)} TO {quote(case.name)}")]
    # A constraint is named for its columns, and answers find the column by the name.
    for clause, fields in _named_for(case.table):
        renamed = [new for new, old in zip(clause.columns, fields, strict=False) if new != old]
        was = constraint_name(case.table.name, fields, clause.kind)
        # A table that is renamed too has passed its new name on to them by now.
        before_table = constraint_name(case.table.model.renamed_from or case.table.name, fields, clause.kind)
        if renamed[:1] == [case.name] and {was, before_table} & case.difference.parts:
            statements.append(_rename_part(case.table.name, was, clause.name, clause))
    return _Sql(statements=tuple(statements), detail=f"(now {before})")


def _named_for(table: WantedTable) -> Iterator[tuple[Clause, tuple[str, ...]]]:
    """Constraints and indexes, and what they are named for: columns by new names and old, or the check's own name."""
    checks = {constraint_name(table.name, (name,), NameKind.CHECK): name for name in table.model.checks}
    old = {field.name: field.renamed_from or field.name for field in table.model.fields}
    for clause in table.clauses.values():
        if clause.name in checks:
            yield clause, (checks[clause.name],)
            continue
        yield clause, clause.columns
        mapped = tuple(old.get(column, column) for column in clause.columns)
        singly = [
            tuple(old[each] if each == column and each in old else each for each in clause.columns)
            for column in clause.columns
        ]
        yield from ((clause, fields) for fields in dict.fromkeys([mapped, *singly]) if fields != clause.columns)


def _rename_part(table: str, was: str, name: str, clause: Clause) -> str:
    if clause.is_index:
        return f"ALTER INDEX {quote(was)} RENAME TO {quote(name)}"
    return f"ALTER TABLE {quote(table)} RENAME CONSTRAINT {quote(was)} TO {quote(name)}"


def _alter_type(case: _Case) -> _Sql:
    declared = case.table.model.by_name[case.name]
    kind = type_name(declared, Dialect.POSTGRESQL)
    is_text = declared.type in {FieldType.STR, FieldType.ENUM} or declared.items in {FieldType.STR, FieldType.ENUM}
    have = case.difference.have
    before = have.type if isinstance(have, Column) else ""
    collation = f" COLLATE {_collation(have, kind)}" if is_text else ""
    # Where no row has to be touched, a USING would make PostgreSQL touch them all.
    using = "" if type_change(before, kind) is Risk.SAFE else f" USING {quote(case.name)}::{kind}"
    default = default_sql(declared, Dialect.POSTGRESQL)
    clauses = [f"{case.column} TYPE {kind}{collation}{using}"]
    if using and isinstance(have, Column) and have.default:
        # A default is not converted with the values.
        clauses.insert(0, f"{case.column} DROP DEFAULT")
        if default is not None:
            clauses.append(f"{case.column} SET DEFAULT {default}")
    return _Sql(clauses=tuple(clauses), detail=f"{before} -> {kind}{collation}")


def _collation(have: Column | Part | None, kind: str) -> str:
    """The one that a text has: another would make its indexes anew, and the daemon sorts by code point anyway."""
    if not isinstance(have, Column) or have.type == kind or not have.type.startswith(_TEXTS):
        return '"C"'
    return quote(have.collation or "default")


_TEXTS: Final = ("text", "character")


def _convert_values(case: _Case) -> _Sql:
    want, have = case.difference.want, case.difference.have
    names = [side.type if isinstance(side, Column) else "" for side in (have, want)]
    return _Sql(detail=" -> ".join(names))


def _set_default(case: _Case) -> _Sql:
    default = default_sql(case.table.model.by_name[case.name], Dialect.POSTGRESQL)
    return _Sql(clauses=(f"{case.column} SET DEFAULT {default}",), detail=str(default))


def _clause(text: str) -> Callable[[_Case], _Sql]:
    return lambda case: _Sql(clauses=(f"{case.column} {text}",))


def _set_not_null(case: _Case) -> _Sql:
    return _Sql(clauses=(f"{case.column} SET NOT NULL",), online=_set_not_null_online(case))


def _set_not_null_online(case: _Case) -> tuple[str, ...]:
    """Proven by a validated CHECK, so that SET NOT NULL itself scans nothing (PostgreSQL 12 and newer)."""
    proof = quote(constraint_name(case.table.name, (case.name, "not_null"), NameKind.CHECK))
    return (
        case.alter(f"ADD CONSTRAINT {proof} CHECK ({quote(case.name)} IS NOT NULL) NOT VALID"),
        case.alter(f"VALIDATE CONSTRAINT {proof}"),
        case.alter(f"{case.column} SET NOT NULL"),
        case.alter(f"DROP CONSTRAINT {proof}"),
    )


def _set_identity(case: _Case) -> _Sql:
    table, column = literal(quote(case.table.name)), quote(case.name)
    start = (
        f"SELECT setval(pg_get_serial_sequence({table}, {literal(case.name)}), coalesce(max({column}), 0) + 1, false)"  # noqa: S608 - quoted names, no values
        f" FROM {quote(case.table.name)}"
    )
    clauses = [f"{case.column} ADD GENERATED BY DEFAULT AS IDENTITY"]
    have = case.difference.have
    if isinstance(have, Column) and have.default:
        clauses.insert(0, f"{case.column} DROP DEFAULT")
    return _Sql(clauses=tuple(clauses), statements=(start,))


def _add_constraint(case: _Case) -> _Sql:
    clause = case.clause
    part = case.difference.want
    name = quote(clause.name)
    add = f"ADD CONSTRAINT {name} {clause.sql}"
    if case.empty or not isinstance(part, Part):
        return _Sql(clauses=(add,), detail=clause.sql)
    if part.kind in {PartKind.CHECK, PartKind.FOREIGN_KEY}:
        return _Sql(clauses=(f"{add} NOT VALID",), detail=clause.sql)
    columns = ", ".join(quote(column) for column in clause.columns)
    word = "PRIMARY KEY" if part.kind is PartKind.PRIMARY_KEY else "UNIQUE"
    online = (
        f"CREATE UNIQUE INDEX CONCURRENTLY {name} ON {quote(case.table.name)} ({columns})",
        case.alter(f"ADD CONSTRAINT {name} {word} USING INDEX {name}"),
    )
    return _Sql(clauses=(add,), online=online, detail=clause.sql)


def _replace_constraint(case: _Case) -> _Sql:
    have = case.difference.have
    old = quote(have.name if isinstance(have, Part) else case.name)
    if isinstance(have, Part) and have.is_index:
        added = _add_constraint(case)
        return _Sql(statements=(f"DROP INDEX {old}", case.alter(*added.clauses)), detail=case.clause.sql)
    added = _add_constraint(case)
    drop = f"DROP CONSTRAINT {old}"
    if added.online:
        # The new index is there before the old one goes; the old name is free only then.
        return _Sql(clauses=(drop, *added.clauses), detail=added.detail)
    validate = case.alter(f"VALIDATE CONSTRAINT {quote(case.name)}")
    return _Sql(
        clauses=(drop, *added.clauses), online=(case.alter(drop, *added.clauses), validate), detail=added.detail
    )


def _drop_constraint(case: _Case) -> _Sql:
    return _Sql(clauses=(f"DROP CONSTRAINT {quote(case.name)}",))


def _validate(case: _Case) -> _Sql:
    have = case.difference.have
    there = have.name if isinstance(have, Part) else case.name
    return _Sql(statements=(case.alter(f"VALIDATE CONSTRAINT {quote(there)}"),))


def _create_index(case: _Case) -> _Sql:
    clause = case.clause
    return _Sql(
        statements=(clause.create_index(),), online=(clause.create_index(concurrently=True),), detail=clause.sql
    )


def _replace_index(case: _Case) -> _Sql:
    have = case.difference.have
    old = quote(have.name if isinstance(have, Part) else case.name)
    clause = case.clause
    if not clause.is_index:
        added = _add_constraint(case)
        make = case.alter(*added.clauses)
        online = (f"DROP INDEX CONCURRENTLY {old}", *(added.online or (make,)))
        return _Sql(statements=(f"DROP INDEX {old}", make), online=online, detail=clause.sql)
    return _Sql(
        statements=(f"DROP INDEX {old}", clause.create_index()),
        online=(f"DROP INDEX CONCURRENTLY {old}", clause.create_index(concurrently=True)),
        detail=clause.sql,
    )


def _drop_index(case: _Case) -> _Sql:
    name = quote(case.name)
    return _Sql(statements=(f"DROP INDEX {name}",), online=(f"DROP INDEX CONCURRENTLY {name}",))


_MAKERS: Final[Mapping[Kind, Callable[[_Case], _Sql]]] = {
    Kind.ADD_COLUMN: _add_column,
    Kind.RENAME_COLUMN: _rename_column,
    Kind.ALTER_TYPE: _alter_type,
    Kind.CONVERT_VALUES: _convert_values,
    Kind.SET_DEFAULT: _set_default,
    Kind.DROP_DEFAULT: _clause("DROP DEFAULT"),
    Kind.SET_NOT_NULL: _set_not_null,
    Kind.DROP_NOT_NULL: _clause("DROP NOT NULL"),
    Kind.SET_IDENTITY: _set_identity,
    Kind.DROP_IDENTITY: _clause("DROP IDENTITY"),
    Kind.ADD_CONSTRAINT: _add_constraint,
    Kind.REPLACE_CONSTRAINT: _replace_constraint,
    Kind.DROP_CONSTRAINT: _drop_constraint,
    Kind.VALIDATE_CONSTRAINT: _validate,
    Kind.CREATE_INDEX: _create_index,
    Kind.REPLACE_INDEX: _replace_index,
    Kind.REBUILD_INDEX: _replace_index,
    Kind.DROP_INDEX: _drop_index,
    Kind.EXTRA_COLUMN: _extra_column,
}
