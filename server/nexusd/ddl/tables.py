"""A model as DDL: the table, its constraints and its indexes, and a hash of all of it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.columns import column_sql, is_identity, literal, quote
from nexusd.definitions.model import FieldType, OnDelete
from nexusd.definitions.naming import Kind, constraint_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nexusd.definitions.model import Field, Model

_ON_DELETE: Final = {
    OnDelete.NO_ACTION: "",
    OnDelete.RESTRICT: " ON DELETE RESTRICT",
    OnDelete.CASCADE: " ON DELETE CASCADE",
    OnDelete.SET_NULL: " ON DELETE SET NULL",
    OnDelete.SET_DEFAULT: " ON DELETE SET DEFAULT",
}


@dataclass(frozen=True, slots=True)
class Clause:
    """A constraint or index as SQL.

    Attributes:
        sql: of a constraint, what stands after `CONSTRAINT name`; of an index, what stands after its name.
        unique: of an index: whether it is one.
        columns: those it covers; none for a check.
    """

    name: str
    kind: Kind
    sql: str
    columns: tuple[str, ...] = ()
    is_index: bool = False
    unique: bool = False

    def create_index(self, *, concurrently: bool = False) -> str:
        """The statement that makes the index."""
        unique = "UNIQUE " if self.unique else ""
        online = "CONCURRENTLY " if concurrently else ""
        return f"CREATE {unique}INDEX {online}{quote(self.name)} {self.sql}"


@dataclass(frozen=True)
class WantedTable:
    """What one model wants of the database.

    Attributes:
        models: all models of the registry, which references are resolved in.
    """

    model: Model
    models: Mapping[str, Model]
    dialect: Dialect

    @property
    def name(self) -> str:
        """The table's name."""
        return self.model.table

    @cached_property
    def constraints(self) -> tuple[Clause, ...]:
        """Primary key, uniques of single fields, enums, checks and references."""
        return (*_constraints(self.model, self.dialect), *_foreign_keys(self.model, self.models))

    @cached_property
    def indexes(self) -> tuple[Clause, ...]:
        """The indexes."""
        return tuple(_indexes(self.model, self.dialect))

    @cached_property
    def clauses(self) -> Mapping[str, Clause]:
        """Constraints and indexes by their name."""
        return {clause.name: clause for clause in (*self.constraints, *self.indexes)}

    @property
    def foreign_keys(self) -> tuple[Clause, ...]:
        """The references."""
        return tuple(clause for clause in self.constraints if clause.kind is Kind.FOREIGN_KEY)

    @property
    def targets(self) -> set[str]:
        """The tables it refers to, itself left out."""
        names = {self.models[f.references.model].table for f in self.model.fields if f.references is not None}
        return names - {self.name}

    def create(
        self, name: str | None = None, *, keep_columns: tuple[str, ...] = (), keep_parts: tuple[str, ...] = ()
    ) -> str:
        """CREATE TABLE with everything but indexes.

        On PostgreSQL foreign keys come later, so that any order of tables will do; SQLite knows them only here.

        Args:
            name: of the table, where it is not the model's.
            keep_columns: definitions of further columns, as they stand.
            keep_parts: definitions of further constraints.
        """
        inside = [c for c in self.constraints if self.dialect is Dialect.SQLITE or c.kind is not Kind.FOREIGN_KEY]
        columns = [*(_column(field, self.model, self.dialect) for field in self.model.columns), *keep_columns]
        constraints = [*(f"CONSTRAINT {quote(c.name)} {c.sql}" for c in inside), *keep_parts]
        body = ",\n  ".join([*columns, *constraints])
        return f"CREATE TABLE {quote(name or self.name)} (\n  {body}\n)"

    @cached_property
    def hash(self) -> str:
        """SHA-256 over the statements that would make the table; descriptions and the like do not matter."""
        lines = [self.create(), *(index.create_index() for index in self.indexes)]
        if self.dialect is Dialect.POSTGRESQL:
            lines += [f"{quote(key.name)} {key.sql}" for key in self.foreign_keys]
        # SQLite stores several types alike, and then only the registry tells them apart.
        lines += [f"{field.name} {field.type} {field.items}" for field in self.model.columns]
        return hashlib.sha256("\0".join(lines).encode()).hexdigest()


def wanted_tables(models: Mapping[str, Model], dialect: Dialect) -> dict[str, WantedTable]:
    """What the models want, by table, each table after those it refers to (circles in any order)."""
    by_table = {model.table: WantedTable(model, models, dialect) for model in models.values()}
    ordered: dict[str, WantedTable] = {}

    def visit(table: WantedTable, above: frozenset[str]) -> None:
        if table.name in ordered or table.name in above:
            return
        for target in sorted(table.targets):
            visit(by_table[target], above | {table.name})
        ordered[table.name] = table

    for table in by_table.values():
        visit(table, frozenset())
    return ordered


def creation(tables: Iterable[WantedTable]) -> list[tuple[str, str]]:
    """The statements that make new tables, each with its table: tables with their indexes, then what refers to them."""
    tables = list(tables)
    made = [
        (table.name, statement)
        for table in tables
        for statement in (table.create(), *(index.create_index() for index in table.indexes))
    ]
    return [*made, *((table.name, statement) for table in tables for statement in references(table))]


def references(table: WantedTable) -> tuple[str, ...]:
    """The references of a new PostgreSQL table: nothing is in it, so they are valid at once."""
    if table.dialect is Dialect.SQLITE or not table.foreign_keys:
        return ()
    keys = ", ".join(f"ADD CONSTRAINT {quote(key.name)} {key.sql}" for key in table.foreign_keys)
    return (f"ALTER TABLE {quote(table.name)} {keys}",)


def model_hash(tables: Mapping[str, WantedTable]) -> str:
    """SHA-256 over the hashes of all tables."""
    return hashlib.sha256("".join(tables[name].hash for name in sorted(tables)).encode()).hexdigest()


def _column(field: Field, model: Model, dialect: Dialect) -> str:
    if field.primary_key and dialect is Dialect.SQLITE and is_identity(field):
        # Only this form is SQLite's rowid itself; AUTOINCREMENT never gives a number twice, like an identity column.
        name = constraint_name(model.table, (field.name,), Kind.PRIMARY_KEY)
        return f"{quote(field.name)} INTEGER NOT NULL CONSTRAINT {quote(name)} PRIMARY KEY AUTOINCREMENT"
    return column_sql(field, dialect)


def _constraints(model: Model, dialect: Dialect) -> Iterator[Clause]:
    key = model.key
    if dialect is Dialect.POSTGRESQL or not is_identity(key):
        yield _clause(model, (key.name,), Kind.PRIMARY_KEY, f"PRIMARY KEY ({quote(key.name)})")
    for field in model.fields:
        if field.unique and not field.primary_key:
            yield _clause(model, (field.name,), Kind.UNIQUE, f"UNIQUE ({quote(field.name)})")
        if field.type is FieldType.ENUM:
            values = ", ".join(literal(value) for value in field.values)
            yield _clause(model, (field.name,), Kind.ENUM, f"CHECK ({quote(field.name)} IN ({values}))")
    for name, expression in model.checks.items():
        yield Clause(constraint_name(model.table, (name,), Kind.CHECK), Kind.CHECK, f"CHECK ({expression})")


def _clause(model: Model, columns: tuple[str, ...], kind: Kind, sql: str) -> Clause:
    return Clause(constraint_name(model.table, columns, kind), kind, sql, columns)


def _foreign_keys(model: Model, models: Mapping[str, Model]) -> Iterator[Clause]:
    for field in model.fields:
        if field.references is not None:
            target = f"{quote(models[field.references.model].table)} ({quote(field.references.field)})"
            action = _ON_DELETE[field.references.on_delete]
            sql = f"FOREIGN KEY ({quote(field.name)}) REFERENCES {target}{action}"
            yield _clause(model, (field.name,), Kind.FOREIGN_KEY, sql)


def _indexes(model: Model, dialect: Dialect) -> Iterator[Clause]:
    for field in model.fields:
        if field.index and not (field.unique or field.primary_key):
            name = constraint_name(model.table, (field.name,), Kind.INDEX)
            method = "USING gin " if field.type is FieldType.ARRAY and dialect is Dialect.POSTGRESQL else ""
            sql = f"ON {quote(model.table)} {method}({quote(field.name)})"
            yield Clause(name, Kind.INDEX, sql, (field.name,), is_index=True)
    for index in dict.fromkeys(model.indexes):
        if len(index.fields) == 1 and _is_indexed(model.by_name[index.fields[0]], unique=index.unique):
            continue
        kind = Kind.UNIQUE if index.unique else Kind.INDEX
        columns = ", ".join(quote(field) for field in index.fields)
        sql = f"ON {quote(model.table)} ({columns})"
        name = constraint_name(model.table, index.fields, kind)
        yield Clause(name, kind, sql, index.fields, is_index=True, unique=index.unique)


def _is_indexed(field: Field, *, unique: bool) -> bool:
    """Whether the field's own declaration makes the same index."""
    if unique:
        return field.unique and not field.primary_key
    return field.index and not (field.unique or field.primary_key)
