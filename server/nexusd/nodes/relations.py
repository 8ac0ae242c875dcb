"""Relations: the records that references lead to, fetched for a whole page at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nexusd.databases import listings
from nexusd.definitions.policy import Access
from nexusd.definitions.shape import Record
from nexusd.nodes.rules import Rules
from nexusd.nodes.shapes import record_shape

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Field, Model
    from nexusd.nodes.node import NodeContext


@dataclass(frozen=True, slots=True)
class Relation:
    """One reference of a model.

    Attributes:
        name: the referencing field without `_id`, or its whole name; the record it leads to stands under it.
        field: the referencing field.
        target: the field it refers to.
        rules: what the policies of the model it refers to mean for a caller.
    """

    name: str
    field: str
    target: str
    model: Model
    rules: Rules

    async def attach(self, records: list[dict[str, object]], context: NodeContext) -> None:
        """Put into each record the one it refers to, or null where it refers to none that can be seen."""
        wanted = {record[self.field] for record in records} - {None}
        found: dict[object, dict[str, object]] = {}
        if wanted:
            table = self.rules.table(context, Access.READ)
            query = listings.select_listed(table, self.target, table.columns, include_deleted=False)
            result = await context.session.run(query.bind([sorted(wanted, key=str)], context.claims))
            targets = [row[self.target] for row in result.rows]
            found = dict(zip(targets, self.rules.scopes.shown(context, result.rows), strict=True))
        # The relation may have the field's own name, so all records are read before any is changed.
        for record, value in [(record, record[self.field]) for record in records]:
            record[self.name] = found.get(value)


def relations_of(model: Model, models: Mapping[str, Model]) -> dict[str, Relation]:
    """The relations of a model by name."""
    relations = {}
    for field in model.fields:
        if field.references is not None:
            target = models[field.references.model]
            name = relation_name(field)
            relations[name] = Relation(name, field.name, field.references.field, target, Rules(target))
    return relations


def relation_name(field: Field) -> str:
    """What the record behind a referencing field is called."""
    return field.name.removesuffix("_id") or field.name


def with_relations(record: Record, relations: Iterable[Relation]) -> Record:
    """The shape of a record into which relations were put."""
    related = {relation.name: record_shape(relation.model, nullable=True) for relation in relations}
    return Record({**record.properties, **related}, record.required | related.keys(), nullable=record.nullable)
