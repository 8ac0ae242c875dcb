"""What a statement uses, read from the plan that PostgreSQL makes for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterator

    import asyncpg

_QUERYING: Final = re.compile(
    r"\b((?:query|cursor|table|schema|database)_to_xml\w*|ts_stat|dblink\w*|crosstab\w*|lo_get|pg_read_\w+)\("
)
"""Functions that are told in a text what to read: a plan does not show it."""
_TEXT: Final = re.compile(r"'(?:[^']|'')*'")

_PARENTS: Final = (
    "SELECT child.relname, parent.relname FROM pg_inherits"
    " JOIN pg_class child ON child.oid = inhrelid JOIN pg_class parent ON parent.oid = inhparent"
    " WHERE child.relkind IN ('r', 'p', 'f')"
    " UNION SELECT copy.relname, source.relname FROM pg_class copy"
    " JOIN pg_rewrite ON ev_class = copy.oid"
    " JOIN pg_depend ON pg_depend.classid = 'pg_rewrite'::regclass AND objid = pg_rewrite.oid"
    " AND refclassid = 'pg_class'::regclass"
    " JOIN pg_class source ON source.oid = refobjid AND source.oid <> copy.oid"
    " WHERE copy.relkind IN ('m', 'v')"
)
"""What a plan does not name: the table of a partition, and what a materialized view was made from."""


async def tables_of(driver: asyncpg.Connection, sql: str, parameters: int) -> frozenset[str]:
    """The tables in the plan of a statement, and `name()` of functions in it that could read any.

    Nothing is run but what PostgreSQL evaluates as it plans: immutable functions of constants.

    Raises:
        asyncpg.PostgresError: there is no plan.
    """
    values = f"({', '.join(['NULL'] * parameters)})" if parameters else ""
    transaction = driver.transaction()
    await transaction.start()
    is_prepared = False
    try:
        # With the values at hand, a condition that NULL makes false would leave tables out.
        await driver.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        await driver.execute(f"PREPARE _nexusd_plan AS {sql}")
        is_prepared = True
        told = await driver.fetchval(f"EXPLAIN (VERBOSE, FORMAT JSON) EXECUTE _nexusd_plan{values}")
        parents = await driver.fetch(_PARENTS)
    finally:
        await transaction.rollback()
        if is_prepared:  # which no rollback undoes
            await driver.execute("DEALLOCATE _nexusd_plan")
    found = set(_names(msgspec.json.decode(told)))
    added = found
    while added:
        added = {parent for child, parent in parents if child in added} - found
        found |= added
    return frozenset(found)


def _names(part: Any) -> Iterator[str]:  # noqa: ANN401 - JSON
    if isinstance(part, dict):
        if "Relation Name" in part:
            yield part["Relation Name"]
        for value in part.values():
            yield from _names(value)
    elif isinstance(part, list):
        for value in part:
            yield from _names(value)
    elif isinstance(part, str):
        yield from (f"{name}()" for name in _QUERYING.findall(_TEXT.sub("''", part)))
