"""What keeps a statement over many records from touching more than was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.errors import Fault, MaxAffectedExceeded
from nexusd.nodes.binding import has_placeholder
from nexusd.nodes.operation import ALL
from nexusd.nodes.resource import option
from nexusd.nodes.rules import FOREIGN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.databases.filters import Filter
    from nexusd.databases.tables import Query
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext
    from nexusd.nodes.records import Batch
    from nexusd.nodes.resource import Resource


def guarded_filter(resource: Resource, params: Mapping[str, object], declared: object, faults: list[Fault]) -> Filter:
    """The filter of a writing node; one that lets every record through needs `all: true`."""
    found = resource.filter(params, declared, faults)
    everything = option(ALL, params, "all", faults, default=False)
    if found.is_empty and not everything and not faults:
        detail = "lets every record through; give all: true if that is meant"
        faults.append(Fault("/filter", "required", detail))
    return found


def filter_rules(resource: Resource, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
    """Note a filter that surely is empty where nothing says that every record is meant."""
    if "all" in given:
        return
    if "filter" not in given:
        binder.problem((), "param 'filter' is missing", "give all: true if every record is meant")
        return
    value = declared.get("filter")
    if isinstance(value, dict) and not has_placeholder(value):
        found, faults = resource.filters.read(value, "")
        if found.is_empty and not faults:
            binder.problem(("filter",), "the filter lets every record through", "give all: true if that is meant")


def disown(resource: Resource, batch: Batch, context: NodeContext) -> None:
    """Take the rows out of a batch that are said to be another's, and refuse fields that the caller may not give."""
    rules = resource.rules
    foreign = rules.foreign(context, batch.rows)
    batch.refuse({i: Fault(f"/records/{batch.indexes[i]}/{name}", "forbidden", FOREIGN) for i, name in foreign.items()})
    if rules.scopes.limit_giving:
        for index, row in zip(batch.indexes, batch.rows, strict=True):
            rules.scopes.gives(context, row, f"/records/{index}")


async def run_limited(context: NodeContext, query: Query, values: Sequence[object], most: object) -> int:
    """Run a statement and tell how many records it changed.

    Raises:
        MaxAffectedExceeded: they were more than `most`; nothing is kept.
    """
    bound = query.bind(values, context.claims)
    if not isinstance(most, int):
        return (await context.session.run(bound)).affected
    async with context.session.atomic() as transaction:
        affected = (await transaction.run(bound)).affected
        require_at_most(most, affected)
    return affected


def require_at_most(most: object, affected: int) -> None:
    """Refuse to have changed more records than `most`, where that is a number.

    Raises:
        MaxAffectedExceeded: they were more; whoever holds the transaction rolls it back.
    """
    if isinstance(most, int) and affected > most:
        detail = f"more than max_affected ({most}) records match; nothing was changed"
        raise MaxAffectedExceeded(detail, faults=[Fault("/max_affected", "max_affected_exceeded", detail)])
