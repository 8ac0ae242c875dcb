"""A second opinion on a schema: Alembic's comparison against a mirror of the models that SQLAlchemy makes."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy.dialects import postgresql

from nexusd.definitions.model import Field, FieldType, Model, OnDelete
from nexusd.definitions.naming import Kind, constraint_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_POSTGRESQL: Final[Mapping[FieldType, type[sa.types.TypeEngine[Any]]]] = {
    FieldType.INT: sa.BigInteger,
    FieldType.BIGINT: sa.BigInteger,
    FieldType.FLOAT: sa.Double,
    FieldType.BOOL: sa.Boolean,
    FieldType.DATE: sa.Date,
    FieldType.TIME: sa.Time,
    FieldType.UUID: sa.Uuid,
    FieldType.JSON: postgresql.JSONB,
    FieldType.BYTES: sa.LargeBinary,
}

_SQLITE: Final[Mapping[FieldType, type[sa.types.TypeEngine[Any]]]] = {
    FieldType.INT: sa.INTEGER,
    FieldType.BIGINT: sa.INTEGER,
    FieldType.FLOAT: sa.REAL,
    FieldType.BOOL: sa.BOOLEAN,
    FieldType.BYTES: sa.BLOB,
}


class Oracle:
    """Alembic's comparison over one connection."""

    def __init__(self, url: str, models: Mapping[str, Model]) -> None:
        """Connect, and mirror the models."""
        is_sqlite = url.startswith("sqlite")
        self._engine = sa.create_engine(url if is_sqlite else url.replace("postgresql://", "postgresql+psycopg://"))
        self._metadata = sa.MetaData()
        for model in models.values():
            parts = [*_columns(model, is_sqlite=is_sqlite), *_constraints(model, models)]
            table = sa.Table(model.table, self._metadata, *parts)
            for name, fields in _indexes(model):
                arrays = [f for f in fields if model.by_name[f].type is FieldType.ARRAY]
                method = "gin" if arrays else "btree"
                columns = [table.c[field] for field in fields]
                sa.Index(name, *columns, unique=name.endswith(Kind.UNIQUE), postgresql_using=method)
        self._connection = self._engine.connect()
        self._context = _context(self._connection, models)

    def disagreements(self) -> list[object]:
        """What Alembic would change in the tables of the models; other tables aside."""
        try:
            with warnings.catch_warnings():
                # Tables that refer to each other have no order, and need none here.
                warnings.simplefilter("ignore", sa.exc.SAWarning)
                return list(compare_metadata(self._context, self._metadata))
        finally:
            self._connection.rollback()

    def close(self) -> None:
        """Disconnect."""
        self._connection.close()
        self._engine.dispose()


def disagreements(url: str, models: Mapping[str, Model]) -> list[object]:
    """What Alembic would change in the tables of the models."""
    oracle = Oracle(url, models)
    try:
        return oracle.disagreements()
    finally:
        oracle.close()


def _context(connection: sa.Connection, models: Mapping[str, Model]) -> MigrationContext:
    tables = {model.table for model in models.values()}

    def is_ours(_object: object, name: str | None, kind: str, _reflected: object, _other: object) -> bool:
        return kind != "table" or name in tables

    return MigrationContext.configure(connection, opts={"include_object": is_ours, "compare_type": True})


def _type(field: Field, *, is_sqlite: bool) -> sa.types.TypeEngine[Any]:
    if is_sqlite:
        is_number = field.type is FieldType.DECIMAL and field.precision is not None and field.precision <= 15
        return sa.NUMERIC() if is_number else _SQLITE.get(field.type, sa.TEXT)()
    if field.type is FieldType.DECIMAL:
        return sa.Numeric(field.precision, field.scale or 0) if field.precision is not None else sa.Numeric()
    if field.type is FieldType.DATETIME:
        return sa.DateTime(timezone=True)
    if field.type is FieldType.ARRAY:
        item = Field(name="item", type=field.items or FieldType.STR)
        return postgresql.ARRAY(_type(item, is_sqlite=False))
    is_short = field.type is FieldType.STR and field.max_length is not None
    return sa.String(field.max_length) if is_short else _POSTGRESQL.get(field.type, sa.Text)()


def _columns(model: Model, *, is_sqlite: bool) -> Iterator[sa.Column[object]]:
    for field in model.columns:
        yield sa.Column(
            field.name, _type(field, is_sqlite=is_sqlite), primary_key=field.primary_key, nullable=field.nullable
        )


def _constraints(model: Model, models: Mapping[str, Model]) -> Iterator[sa.Constraint]:
    for field in model.fields:
        if field.unique and not field.primary_key:
            yield sa.UniqueConstraint(field.name, name=constraint_name(model.table, (field.name,), Kind.UNIQUE))
        if field.references is not None:
            target = f"{models[field.references.model].table}.{field.references.field}"
            action = field.references.on_delete
            yield sa.ForeignKeyConstraint(
                [field.name],
                [target],
                name=constraint_name(model.table, (field.name,), Kind.FOREIGN_KEY),
                ondelete=None if action is OnDelete.NO_ACTION else action.value.replace("_", " ").upper(),
            )


def _indexes(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    for field in model.fields:
        if field.index and not (field.unique or field.primary_key):
            yield constraint_name(model.table, (field.name,), Kind.INDEX), (field.name,)
    for index in model.indexes:
        kind = Kind.UNIQUE if index.unique else Kind.INDEX
        yield constraint_name(model.table, index.fields, kind), index.fields
