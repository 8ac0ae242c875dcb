"""BulkUpsert, alike on both databases."""

from __future__ import annotations

import pytest

from nexusd.errors import (
    InvalidInput,
    UniqueViolation,
)
from tests.support.answers import answer_of, counts_of, entries_of, outcomes_of, pointers, records_of
from tests.support.models import NOTE, TALLY
from tests.support.nodes import LATER, NOW, Nodes, OpenNodes


@pytest.fixture
async def five(crm: Nodes) -> Nodes:
    """Contacts 0 to 4."""
    given = [{"id": str(i), "name": f"n{i}", "email": f"{i}@example.com", "age": i} for i in range(5)]
    await crm.run("ContactBulkCreate", records=given)
    crm.now = LATER
    crm.statements.clear()
    return crm


async def test_bulk_upsert_tells_inserted_updated_and_unchanged(five: Nodes) -> None:
    given = [
        {"id": "0", "name": "n0"},
        {"id": "1", "name": "new"},
        {"id": "9", "name": "nine"},
        {"name": "made"},
        {"id": "2", "name": "n2", "age": 70},
    ]
    answer = await answer_of(five, "ContactBulkUpsert", records=given)
    assert [5, 2, 2, 1] == counts_of(answer)
    assert [
        (0, "unchanged", 1),
        (1, "updated", 2),
        (2, "inserted", 1),
        (3, "inserted", 1),
        (4, "updated", 2),
    ] == outcomes_of(answer)
    read = {record["id"]: (record["name"], record["age"], record["updated_at"]) for record in await records_of(five)}
    assert [("n0", 0, NOW), ("new", 1, LATER), ("n2", 70, LATER)] == [read["0"], read["1"], read["2"]]


async def test_bulk_upsert_by_unique_field_keeps_the_key(five: Nodes) -> None:
    given = [{"name": "x", "email": f"{i}@example.com"} for i in (3, 8)]
    answer = await answer_of(five, "ContactBulkUpsert", records=given, conflict_on="email")
    entries = entries_of(answer)
    assert [("updated", "3"), ("inserted", True)] == [
        (entry["outcome"], entry["id"] if entry["index"] == 0 else entry["id"] not in {"3", None}) for entry in entries
    ]


async def test_bulk_upsert_by_a_unique_set_without_versions(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(TALLY)
    given = [{"code": str(i), "region": "north", "year": 2020 + i, "count": i} for i in range(3)]
    assert [3, 3, 0, 0] == counts_of(
        await answer_of(nodes, "TallyBulkUpsert", records=given, conflict_on=["region", "year"])
    )
    again: list[dict[str, object]] = [{**row, "code": f"new{row['code']}"} for row in given]
    again[1]["count"] = 7
    answer = await answer_of(nodes, "TallyBulkUpsert", records=again, conflict_on=["region", "year"])
    assert [3, 0, 1, 2] == counts_of(answer)
    read = [(tally["code"], tally["count"]) for tally in await records_of(nodes, "Tally")]
    assert [("0", 0), ("1", 7), ("2", 2)] == read


async def test_bulk_upsert_overwrites_only_what_it_may(five: Nodes) -> None:
    given = [{"id": "0", "name": "x", "city": "Ulm"}, {"id": "1", "name": "x"}]
    answer = await answer_of(five, "ContactBulkUpsert", records=given, update=["city"])
    assert [2, 0, 1, 1] == counts_of(answer)
    assert [("n0", "Ulm"), ("n1", None)] == [
        (record["name"], record["city"]) for record in (await records_of(five))[:2]
    ]


@pytest.mark.parametrize(("choice", "name"), [("first", "a"), ("last", "c")])
async def test_bulk_upsert_of_duplicates_takes_the_chosen_one(five: Nodes, choice: str, name: str) -> None:
    given = [{"id": "0", "name": "a"}, {"id": "0", "name": "b"}, {"id": "0", "name": "c"}]
    answer = await answer_of(five, "ContactBulkUpsert", records=given, on_duplicate=choice)
    assert [3, 0, 1, 0] == counts_of(answer)
    read = await five.run("ContactRead", id="0")
    assert isinstance(read, dict)
    assert name == read["name"]
    assert 2 == [outcome for _, outcome, _ in outcomes_of(answer)].count("skipped")


async def test_bulk_upsert_of_duplicates_is_refused_by_default(five: Nodes) -> None:
    """ON CONFLICT cannot touch a row twice: PostgreSQL raises 21000."""
    given = [{"id": "0", "name": "a"}, {"id": "5", "name": "b"}, {"id": "0", "name": "c"}]
    with pytest.raises(InvalidInput) as caught:
        await five.run("ContactBulkUpsert", records=given)
    assert [("/records/2/id", "not_allowed")] == pointers(caught.value)


async def test_bulk_upsert_needs_what_identifies(five: Nodes) -> None:
    with pytest.raises(InvalidInput) as caught:
        await five.run(
            "ContactBulkUpsert", records=[{"name": "a"}, {"name": "b", "email": None}], conflict_on=["email"]
        )
    assert [("/records/0/email", "required"), ("/records/1/email", "required")] == pointers(caught.value)


async def test_bulk_upsert_points_at_a_refused_row(five: Nodes) -> None:
    given = [{"id": "8", "name": "a"}, {"id": "7", "name": "b", "email": "0@example.com"}]
    with pytest.raises(UniqueViolation) as caught:
        await five.run("ContactBulkUpsert", records=given)
    assert [("/records/1/email", "unique_violation")] == pointers(caught.value)
    assert {"count": 5} == await five.run("ContactCount")


async def test_bulk_upsert_brings_soft_deleted_records_back(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteBulkCreate", records=[{"title": "a"}, {"title": "b"}])
    await nodes.run("NoteDelete", id=1)
    answer = await answer_of(nodes, "NoteBulkUpsert", records=[{"title": "a"}, {"title": "b"}], conflict_on="title")
    assert [(0, "updated", 3), (1, "unchanged", 1)] == outcomes_of(answer)
    assert {"count": 2} == await nodes.run("NoteCount")
