"""What drivers and databases do that nobody expects, each with a test of what a caller sees.

Other traps have their test beside the node or type they belong to. Without a test, for a reason:

- An upsert that meets a record committed after its own snapshot finds it by a second statement. That takes two
  transactions in one exact order, which no test can bring about; the second statement runs whenever no row came back.
- `xmax` is refused on partitioned tables: it is only used for models without versions, and the schema executor makes no
  partitioned tables.
- `to_char` and `json_agg` (infinity, BC, no rows): records leave as columns, so neither is used.
- COPY: it would save a fifth of the time of a bulk insert, but can neither skip conflicts nor answer rows.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexusd.databases.database import Bound, Statement
from tests.support.answers import answer_of, counts_of
from tests.support.connections import WAIT_S, in_time
from tests.support.models import NOTE

if TYPE_CHECKING:
    from tests.support.nodes import Nodes, OpenNodes


async def test_column_added_by_somebody_else_disturbs_no_kept_plan(crm: Nodes) -> None:
    """PostgreSQL: cached plan must not change result type, inside a transaction without remedy."""
    await crm.run("ContactCreate", id="1", name="a")
    await crm.run("ContactRead", id="1")
    add = Statement("ALTER TABLE contacts ADD COLUMN later text", None, writes=True)
    await crm.database.session(in_time()).run(Bound(add))
    async with crm.database.transaction(in_time(), read_only=False) as session:
        inside = crm.within(session)
        before = await inside.run("ContactRead", id="1")
        updated = await inside.run("ContactUpdate", id="1", name="b")
    assert isinstance(before, dict)
    assert {**before, "name": "b", "version": 2} == updated


async def test_list_of_ten_thousand_values_is_one_argument(crm: Nodes) -> None:
    """asyncpg and SQLite take no more than 32,767 arguments."""
    await crm.run("ContactCreate", id="5", name="a")
    keys = [str(number) for number in range(10_000)]
    assert {"count": 1} == await crm.run("ContactCount", filter={"id": {"$in": keys}})
    assert {"count": 0} == await crm.run("ContactCount", filter={"id": {"$nin": keys}})


async def test_one_bad_row_in_a_thousand_costs_few_statements(crm: Nodes) -> None:
    """Halves of halves: 21 statements where rows are one argument; SQLite cuts its stretches into portions."""
    records: list[dict[str, object]] = [{"id": str(i), "name": "x"} for i in range(1000)]
    records[777]["score"] = "-1"
    crm.statements.clear()
    answer = await answer_of(crm, "ContactBulkCreate", records=records, mode="partial", returning="none")
    assert [1000, 999, 0, 1] == counts_of(answer)
    assert 21 <= len(crm.statements) <= 80


async def test_two_upserts_of_the_same_records_in_opposite_order_do_not_block_each_other(crm: Nodes) -> None:
    """Rows are written in the order of their keys, whatever order they were given in."""
    records = [{"id": str(i), "name": "x"} for i in range(50)]
    async with asyncio.timeout(WAIT_S):
        async with asyncio.TaskGroup() as group:
            for given in (records, records[::-1], records):
                group.create_task(crm.run("ContactBulkUpsert", records=given))
    assert {"count": 50} == await crm.run("ContactCount")


async def test_given_integer_keys_of_many_rows_pass_an_identity_column(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteBulkCreate", records=[{"id": 5, "title": "a"}, {"id": 3, "title": "b"}])
    await nodes.run("NoteBulkUpsert", records=[{"id": 5, "title": "c"}, {"title": "d"}])
    page = await answer_of(nodes, "NoteList", fields=["title"], sort=["title"])
    assert [{"title": "b"}, {"title": "c"}, {"title": "d"}] == page["records"]
