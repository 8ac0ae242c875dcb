"""Relations: the records that references lead to, fetched for a whole page at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexusd.databases import listings
from nexusd.databases.database import Dialect
from nexusd.databases.tables import Table
from nexusd.definitions.shape import Record
from nexusd.nodes.shapes import record_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.model import Field, Model


@dataclass(frozen=True, slots=True)
class Relation:
    """One reference of a model.

    Attributes:
        name: the referencing field without `_id`, or its whole name; the record it leads to stands under it.
        field: the referencing field.
        target: the field it refers to.
        tables: the table it refers to, in each dialect.
    """

    name: str
    field: str
    target: str
    model: Model
    tables: Mapping[Dialect, Table]

    async def attach(self, records: list[dict[str, object]], session: Session) -> None:
        """Put into each record the one it refers to, or null where it refers to none that can be seen."""
        wanted = {record[self.field] for record in records} - {None}
        found: dict[object, dict[str, object]] = {}
        if wanted:
            table = self.tables[session.dialect]
            query = listings.select_listed(table, self.target, table.columns, include_deleted=False)
            result = await session.run(query.bind([sorted(wanted, key=str)]))
            found = {row[self.target]: row for row in result.rows}
        # The relation may have the field's own name, so all records are read before any is changed.
        for record, value in [(record, record[self.field]) for record in records]:
            record[self.name] = found.get(value)


def relations_of(model: Model, models: Mapping[str, Model]) -> dict[str, Relation]:
    """The relations of a model by name."""
    relations = {}
    for field in model.fields:
        if field.references is not None:
            target = models[field.references.model]
            tables = {dialect: Table(target, dialect) for dialect in Dialect}
            name = relation_name(field)
            relations[name] = Relation(name, field.name, field.references.field, target, tables)
    return relations


def relation_name(field: Field) -> str:
    """What the record behind a referencing field is called."""
    return field.name.removesuffix("_id") or field.name


def with_relations(record: Record, relations: Iterable[Relation]) -> Record:
    """The shape of a record into which relations were put."""
    related = {relation.name: record_shape(relation.model, nullable=True) for relation in relations}
    return Record({**record.properties, **related}, record.required | related.keys(), nullable=record.nullable)
