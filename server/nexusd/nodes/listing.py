"""List and Count."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from nexusd.databases import listings
from nexusd.databases.cursors import scope_of
from nexusd.databases.filters import fields_in
from nexusd.databases.keyset import read_sort
from nexusd.definitions.shape import ListOf, Record
from nexusd.errors import Fault
from nexusd.nodes.binding import Param, Purpose, has_placeholder
from nexusd.nodes.operation import INCLUDE_DELETED, exclusive, include_params, included, including, seeing_params
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import FilterShape, NamesShape, SortShape, integer, one_of, record_shape, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.filters import Filter
    from nexusd.databases.keyset import SortKey
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.relations import Relation
    from nexusd.nodes.resource import Resource

DEFAULT_LIMIT: Final = 50
LIMIT: Final = integer("limit", 0, 1000, f"How many records at most; {DEFAULT_LIMIT} by default.")
OFFSET: Final = integer("offset", 0, 10_000, "How many records to skip; a cursor is quicker.")
CURSOR: Final = text("cursor", "next_cursor of the page before; null for the first page.", nullable=True)
COUNT: Final = one_of(
    "count",
    "none",
    "capped",
    "exact",
    description=f"Whether total is answered; capped counts up to {listings.COUNT_CAP}, which then means at least that.",
)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """What one run of a List asks for."""

    filter: Filter
    sort: tuple[SortKey, ...]
    limit: int
    offset: int
    behind: tuple[object, ...] | None
    fields: tuple[str, ...]
    count: str
    include_deleted: bool
    scope: bytes
    relations: list[Relation]


class List:
    """A page of records."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        model = resource.model
        self._fields = NamesShape("field", tuple(model.by_name))
        self.params: Mapping[str, Param] = {
            "filter": Param(FilterShape(model), Purpose.SELECT, Purpose.SELECT),
            "sort": Param(SortShape(model)),
            "limit": Param(LIMIT),
            "cursor": Param(CURSOR),
            "offset": Param(OFFSET),
            "fields": Param(self._fields),
            "count": Param(COUNT),
            **include_params(resource),
            **seeing_params(resource),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], _given: frozenset[str]) -> None:
        """A page begins behind a cursor or at an offset."""
        exclusive(binder, declared, "cursor", "offset")

    def result(self, declared: Mapping[str, object]) -> Shape:
        """The records and how to go on; `total` only where it may be asked for."""
        names = declared.get("fields")
        chosen = None
        if isinstance(names, list) and not has_placeholder(names):
            chosen = [name for name in names if isinstance(name, str)]
        known = chosen is None or set(chosen) <= set(self._resource.model.by_name)
        record = record_shape(self._resource.model, chosen if known else None)
        if "fields" in declared and (chosen is None or not known):
            record = Record(record.properties)
        record = including(self._resource, record, declared)
        properties: dict[str, Shape] = {
            "records": ListOf(record),
            "count": integer("count", 0),
            "limit": integer("limit", 0),
            "next_cursor": text("next_cursor", nullable=True),
        }
        required = frozenset(properties)
        if declared.get("count", "none") != "none":
            properties["total"] = integer("total", 0)
        return Record(properties, required)

    def build(self, declared: Mapping[str, object]) -> Runner:
        """One SELECT, and one for the total when it is asked for."""
        resource = self._resource

        async def page(params: Mapping[str, object], context: NodeContext) -> object:
            request = self._read(params, declared.get("filter"))
            self._sees(params, request, context)
            table = await resource.filtered_table(request.filter.condition, context)
            internal = (*(key.field for key in request.sort), *(relation.field for relation in request.relations))
            columns = tuple(dict.fromkeys((*request.fields, *internal)))
            nulls = None if request.behind is None else tuple(value is None for value in request.behind)
            shape = listings.PageShape(
                columns=columns,
                condition=request.filter.condition,
                values=len(request.filter.values),
                sort=request.sort,
                nulls=nulls,
                offset=request.offset > 0,
                include_deleted=request.include_deleted,
            )
            values = [*request.filter.values, *(request.behind or ()), request.limit + 1, request.offset]
            result = await context.session.run(listings.select_page(table, shape).bind(values, context.claims))
            answer = await self._page(request, result.rows, context)
            if request.count != "none":
                query = listings.count(
                    table,
                    request.filter.condition,
                    include_deleted=request.include_deleted,
                    capped=request.count == "capped",
                )
                counted = await context.session.run(query.bind(request.filter.values, context.claims))
                answer["total"] = counted.rows[0]["count"]
            return answer

        return page

    def _read(self, params: Mapping[str, object], declared_filter: object) -> PageRequest:
        resource = self._resource
        faults: list[Fault] = []
        found = resource.filter(params, declared_filter, faults)
        sort, wrong = read_sort(resource.model, params.get("sort", []), "/sort")
        faults += wrong
        offset = cast("int", option(OFFSET, params, "offset", faults, default=0))
        include_deleted = option(INCLUDE_DELETED, params, "include_deleted", faults, default=False) is True
        scope = scope_of(resource.model.name, sort, params.get("filter") or {}, include_deleted)
        fields = cast("list[str]", option(self._fields, params, "fields", faults, default=resource.model.by_name))
        request = PageRequest(
            filter=found,
            sort=sort,
            limit=cast("int", option(LIMIT, params, "limit", faults, default=DEFAULT_LIMIT)),
            offset=offset,
            behind=self._behind(params, scope, offset, faults),
            fields=tuple(fields),
            count=cast("str", option(COUNT, params, "count", faults, default="none")),
            include_deleted=include_deleted,
            scope=scope,
            relations=included(resource, params, faults),
        )
        refuse(faults)
        return request

    def _sees(self, params: Mapping[str, object], request: PageRequest, context: NodeContext) -> None:
        rules = self._resource.rules
        rules.scopes.sees(context, fields_in(request.filter.condition), "/filter")
        rules.scopes.sees(context, (key.field for key in request.sort), "/sort")
        rules.scopes.sees(context, (relation.field for relation in request.relations), "/include")
        if "fields" in params:
            rules.scopes.sees(context, request.fields, "/fields")

    def _behind(
        self,
        params: Mapping[str, object],
        scope: bytes,
        offset: int,
        faults: list[Fault],
    ) -> tuple[object, ...] | None:
        cursor = option(CURSOR, params, "cursor", faults, default=None)
        if not isinstance(cursor, str):
            return None
        if offset:
            faults.append(Fault("/offset", "not_allowed", "give cursor or offset, not both"))
        values = self._resource.cursors.read(scope, cursor)
        if values is None:
            detail = "is not a cursor of this list with the same sort and filter; begin without one"
            faults.append(Fault("/cursor", "not_allowed", detail))
            return None
        return tuple(values)

    async def _page(
        self, request: PageRequest, rows: list[dict[str, object]], context: NodeContext
    ) -> dict[str, object]:
        more = len(rows) > request.limit
        rows = rows[: request.limit]
        cursor = None
        if more and rows:
            cursor = self._resource.cursors.write(request.scope, [rows[-1][key.field] for key in request.sort])
        for relation in request.relations:
            await relation.attach(rows, context)
        shown = {*request.fields, *(relation.name for relation in request.relations)}
        if rows and len(rows[0]) > len(shown):
            rows = [{name: value for name, value in row.items() if name in shown} for row in rows]
        rows = self._resource.rules.scopes.shown(context, rows)
        return {"records": rows, "count": len(rows), "limit": request.limit, "next_cursor": cursor}


class Count:
    """How many records there are."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.params: Mapping[str, Param] = {
            "filter": Param(FilterShape(resource.model), Purpose.SELECT, Purpose.SELECT),
            **seeing_params(resource),
        }

    def rules(self, _binder: Binder, _declared: Mapping[str, object], _given: frozenset[str]) -> None:
        """No more than what holds for every operation."""

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """The number."""
        return Record({"count": integer("count", 0)}, frozenset({"count"}))

    def build(self, declared: Mapping[str, object]) -> Runner:
        """One SELECT."""
        resource = self._resource

        async def count(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            found = resource.filter(params, declared.get("filter"), faults)
            include_deleted = option(INCLUDE_DELETED, params, "include_deleted", faults, default=False) is True
            refuse(faults)
            resource.rules.scopes.sees(context, fields_in(found.condition), "/filter")
            table = await resource.filtered_table(found.condition, context)
            query = listings.count(table, found.condition, include_deleted=include_deleted)
            result = await context.session.run(query.bind(found.values, context.claims))
            return result.rows[0]

        return count
