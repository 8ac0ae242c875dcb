"""A model as DDL: the table, its constraints and its indexes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.columns import column_sql, is_identity, literal, quote
from nexusd.definitions.model import FieldType, OnDelete
from nexusd.definitions.naming import Kind, constraint_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.model import Field, Model

_ON_DELETE: Final = {
    OnDelete.NO_ACTION: "",
    OnDelete.RESTRICT: " ON DELETE RESTRICT",
    OnDelete.CASCADE: " ON DELETE CASCADE",
    OnDelete.SET_NULL: " ON DELETE SET NULL",
    OnDelete.SET_DEFAULT: " ON DELETE SET DEFAULT",
}


@dataclass(frozen=True, slots=True)
class Part:
    """A constraint or index: its name and the statement, or the clause in CREATE TABLE, that makes it."""

    name: str
    sql: str


def create_table(model: Model, models: Mapping[str, Model], dialect: Dialect) -> str:
    """CREATE TABLE with everything but indexes; on PostgreSQL foreign keys come later, so that any order will do."""
    lines = [_column(field, model, dialect) for field in model.columns]
    parts = [*constraints(model, dialect)]
    if dialect is Dialect.SQLITE:
        parts += foreign_keys(model, models)
    lines += [f"CONSTRAINT {quote(part.name)} {part.sql}" for part in parts]
    body = ",\n  ".join(lines)
    return f"CREATE TABLE {quote(model.table)} (\n  {body}\n)"


def _column(field: Field, model: Model, dialect: Dialect) -> str:
    if field.primary_key and dialect is Dialect.SQLITE and is_identity(field):
        # Only this form is SQLite's rowid itself; AUTOINCREMENT never gives a number twice, like an identity column.
        name = constraint_name(model.table, (field.name,), Kind.PRIMARY_KEY)
        return f"{quote(field.name)} INTEGER NOT NULL CONSTRAINT {quote(name)} PRIMARY KEY AUTOINCREMENT"
    return column_sql(field, dialect)


def constraints(model: Model, dialect: Dialect) -> Iterator[Part]:
    """Primary key, uniques of single fields, enums and checks, as clauses."""
    key = model.key
    if dialect is Dialect.POSTGRESQL or not is_identity(key):
        yield Part(constraint_name(model.table, (key.name,), Kind.PRIMARY_KEY), f"PRIMARY KEY ({quote(key.name)})")
    for field in model.fields:
        if field.unique and not field.primary_key:
            yield Part(constraint_name(model.table, (field.name,), Kind.UNIQUE), f"UNIQUE ({quote(field.name)})")
        if field.type is FieldType.ENUM:
            values = ", ".join(literal(value) for value in field.values)
            yield Part(
                constraint_name(model.table, (field.name,), Kind.ENUM), f"CHECK ({quote(field.name)} IN ({values}))"
            )
    for name, expression in model.checks.items():
        yield Part(constraint_name(model.table, (name,), Kind.CHECK), f"CHECK ({expression})")


def foreign_keys(model: Model, models: Mapping[str, Model]) -> Iterator[Part]:
    """The references, as clauses."""
    for field in model.fields:
        if field.references is not None:
            target = models[field.references.model].table
            yield Part(
                constraint_name(model.table, (field.name,), Kind.FOREIGN_KEY),
                f"FOREIGN KEY ({quote(field.name)}) REFERENCES {quote(target)} ({quote(field.references.field)})"
                f"{_ON_DELETE[field.references.on_delete]}",
            )


def indexes(model: Model, dialect: Dialect) -> Iterator[Part]:
    """The indexes, as statements."""
    for field in model.fields:
        if field.index and not (field.unique or field.primary_key):
            name = constraint_name(model.table, (field.name,), Kind.INDEX)
            method = " USING gin" if field.type is FieldType.ARRAY and dialect is Dialect.POSTGRESQL else ""
            yield Part(name, f"CREATE INDEX {quote(name)} ON {quote(model.table)}{method} ({quote(field.name)})")
    for index in model.indexes:
        name = constraint_name(model.table, index.fields, Kind.UNIQUE if index.unique else Kind.INDEX)
        unique = "UNIQUE " if index.unique else ""
        columns = ", ".join(quote(field) for field in index.fields)
        yield Part(name, f"CREATE {unique}INDEX {quote(name)} ON {quote(model.table)} ({columns})")
