"""The registry's tables against the database's: pure, the same for both dialects."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nexusd.databases.database import Dialect
from nexusd.ddl.columns import column_sql, default_sql, is_identity, quote, type_name
from nexusd.ddl.plan import Change, Plan, Risk
from nexusd.ddl.tables import Part, constraints, create_table, foreign_keys, indexes

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.model import Field, Model


@dataclass(frozen=True, slots=True)
class ColumnState:
    """A column as the catalog shows it."""

    type: str
    nullable: bool
    has_default: bool


@dataclass(frozen=True, slots=True)
class TableState:
    """A table as the catalog shows it.

    Attributes:
        names: of its constraints and indexes.
    """

    columns: Mapping[str, ColumnState]
    names: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class CatalogState:
    """The tables of the registry that exist, by name."""

    tables: Mapping[str, TableState] = field(default_factory=dict)


def diff(models: Mapping[str, Model], catalog: CatalogState, dialect: Dialect) -> Plan:
    """What has to change so that the database has what the registry declares."""
    changes: list[Change] = []
    later: list[Change] = []
    for model in models.values():
        state = catalog.tables.get(model.table)
        if state is None:
            sql = create_table(model, models, dialect)
            changes.append(Change(model.table, "create_table", "", Risk.SAFE, sql))
            later += _new_parts(model, models, dialect)
        else:
            changes += _columns(model, models, state, dialect)
            later += _parts(model, models, state, dialect)
    return Plan((*changes, *later))


def _new_parts(model: Model, models: Mapping[str, Model], dialect: Dialect) -> Iterator[Change]:
    """What a new table gets once all new tables are there."""
    for part in indexes(model, dialect):
        yield Change(model.table, "create_index", part.name, Risk.SAFE, part.sql)
    if dialect is Dialect.POSTGRESQL:
        for part in foreign_keys(model, models):
            yield Change(model.table, "add_constraint", part.name, Risk.SAFE, _add_constraint(model, part))


def _columns(model: Model, models: Mapping[str, Model], state: TableState, dialect: Dialect) -> Iterator[Change]:
    for column in model.columns:
        have = state.columns.get(column.name)
        if have is None:
            yield _added(model, models, column, dialect)
            continue
        want = type_name(column, dialect)
        if have.type.lower() != want.lower():
            message = f"the column is {have.type}, the registry wants {want}; change one of them by hand"
            yield Change(model.table, "change_type", column.name, Risk.GUARDED, hint=message)
        yield from _nullability(model, column, have, dialect)
    known = {column.name for column in model.columns}
    for name, extra in state.columns.items():
        if name not in known and not extra.nullable and not extra.has_default:
            hint = "give the column a default or make it nullable, or declare it: inserts would fail"
            yield Change(model.table, "unknown_required_column", name, Risk.GUARDED, hint=hint)


def _added(model: Model, models: Mapping[str, Model], column: Field, dialect: Dialect) -> Change:
    default = default_sql(column, dialect)
    constant = default is not None and not (dialect is Dialect.SQLITE and default.startswith("("))
    if (column.nullable or constant) and not is_identity(column) and (not column.unique or column.nullable):
        sql = f"ALTER TABLE {quote(model.table)} ADD COLUMN {column_sql(column, dialect)}"
        if dialect is Dialect.SQLITE:
            # SQLite cannot add a constraint later; it takes those of a new column with the column.
            parts = [p for p in (*constraints(model, dialect), *foreign_keys(model, models)) if _covers(p, column.name)]
            clauses = [(p.name, p.sql.removeprefix(f"FOREIGN KEY ({quote(column.name)}) ")) for p in parts]
            sql += "".join(f" CONSTRAINT {quote(n)} {c}" for n, c in clauses if not c.startswith("UNIQUE"))
        return Change(model.table, "add_column", column.name, Risk.SAFE, sql)
    hint = "make the field nullable or give it a default; existing rows have no value for it"
    return Change(model.table, "add_column", column.name, Risk.GUARDED, hint=hint)


def _nullability(model: Model, column: Field, have: ColumnState, dialect: Dialect) -> Iterator[Change]:
    if column.nullable and not have.nullable:
        if dialect is Dialect.POSTGRESQL:
            sql = f"ALTER TABLE {quote(model.table)} ALTER COLUMN {quote(column.name)} DROP NOT NULL"
            yield Change(model.table, "drop_not_null", column.name, Risk.SAFE, sql)
        else:
            hint = "SQLite changes this only by building the table anew; do that by hand, or leave the field required"
            yield Change(model.table, "drop_not_null", column.name, Risk.GUARDED, hint=hint)
    elif have.nullable and not column.nullable:
        hint = "fill the empty values and set NOT NULL by hand, or keep the field nullable"
        yield Change(model.table, "set_not_null", column.name, Risk.GUARDED, hint=hint)


def _parts(model: Model, models: Mapping[str, Model], state: TableState, dialect: Dialect) -> Iterator[Change]:
    """Constraints and indexes that an existing table lacks."""
    for part in indexes(model, dialect):
        if part.name not in state.names:
            unique = part.sql.startswith("CREATE UNIQUE")
            hint = "rows may violate it; create it by hand under this name" if unique else ""
            risk = Risk.GUARDED if unique else Risk.SAFE
            yield Change(model.table, "create_index", part.name, risk, part.sql, hint)
    new = {column.name for column in model.columns} - state.columns.keys()
    for part in (*constraints(model, dialect), *foreign_keys(model, models)):
        if part.name in state.names:
            continue
        covered = any(_covers(part, name) for name in new)
        if covered and part.sql.startswith("UNIQUE"):
            # All values of a new nullable column are null, so nothing can violate it.
            sql = f"CREATE UNIQUE INDEX {quote(part.name)} ON {quote(model.table)} {part.sql.removeprefix('UNIQUE ')}"
            yield Change(model.table, "create_index", part.name, Risk.SAFE, sql)
        elif covered and dialect is Dialect.POSTGRESQL:
            yield Change(model.table, "add_constraint", part.name, Risk.SAFE, _add_constraint(model, part))
        elif not covered:
            hint = "existing rows may violate it; create it by hand under this name"
            yield Change(model.table, "add_constraint", part.name, Risk.GUARDED, hint=hint)


def _covers(part: Part, column: str) -> bool:
    """Whether a constraint concerns this one column and nothing else."""
    name = quote(column)
    return part.sql.startswith((f"UNIQUE ({name})", f"FOREIGN KEY ({name})", f"CHECK ({name} IN"))


def _add_constraint(model: Model, part: Part) -> str:
    return f"ALTER TABLE {quote(model.table)} ADD CONSTRAINT {quote(part.name)} {part.sql}"
