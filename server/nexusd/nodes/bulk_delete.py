"""BulkDelete."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.databases import bulk_statements
from nexusd.databases.filters import Filter, Operator, Predicate, fields_in
from nexusd.definitions.policy import Access
from nexusd.definitions.shape import ListOf, Scalar
from nexusd.errors import Fault
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.bulk_results import counted_shape
from nexusd.nodes.guards import filter_rules, guarded_filter, run_limited
from nexusd.nodes.operation import ALL, MAX_AFFECTED, exclusive
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import FilterShape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Record, Shape
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.resource import Resource


class BulkDelete:
    """Many records less."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._ids = ListOf(Scalar(resource.key))
        self.params: Mapping[str, Param] = {
            "filter": Param(FilterShape(resource.model), Purpose.CHOICE, Purpose.NEED),
            "ids": Param(self._ids, Purpose.CHOICE, Purpose.NEED),
            "all": Param(ALL),
            "max_affected": Param(MAX_AFFECTED),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """Either a filter or ids."""
        exclusive(binder, declared, "filter", "ids")
        if "ids" not in given:
            filter_rules(self._resource, binder, declared, given)

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """How many records were deleted."""
        return counted_shape(("deleted",))

    def build(self, declared: Mapping[str, object]) -> Runner:
        """One DELETE."""
        resource = self._resource

        async def bulk_delete(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            if "ids" in params:
                found = self._listed(params, faults)
            else:
                found = guarded_filter(resource, params, declared.get("filter"), faults)
            most = option(MAX_AFFECTED, params, "max_affected", faults, default=None)
            refuse(faults)
            resource.rules.scopes.sees(context, fields_in(found.condition), "/filter")
            table = await resource.filtered_table(found.condition, context, Access.DELETE)
            query = bulk_statements.delete_where(table, found.condition)
            return {"deleted": await run_limited(context, query, [context.now, *found.values], most)}

        return bulk_delete

    def _listed(self, params: Mapping[str, object], faults: list[Fault]) -> Filter:
        faults += [Fault(f"/{n}", "not_allowed", "does not go with ids") for n in ("filter", "all") if n in params]
        ids = option(self._ids, params, "ids", faults, default=[])
        return Filter(Predicate(self._resource.key.name, Operator.IN), (ids,))
