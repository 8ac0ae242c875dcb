"""BulkUpdate and BulkDelete, alike on both databases."""

from __future__ import annotations

import pytest

from nexusd.errors import (
    InvalidInput,
    MaxAffectedExceeded,
    VersionMismatch,
)
from tests.support.answers import answer_of, counts_of, errors_of, outcomes_of, pointers, records_of
from tests.support.models import NOTE
from tests.support.nodes import LATER, NOW, Nodes, OpenNodes

# BulkUpdate


@pytest.fixture
async def five(crm: Nodes) -> Nodes:
    """Contacts 0 to 4."""
    given = [{"id": str(i), "name": f"n{i}", "email": f"{i}@example.com", "age": i} for i in range(5)]
    await crm.run("ContactBulkCreate", records=given)
    crm.now = LATER
    crm.statements.clear()
    return crm


async def test_bulk_update_by_filter_changes_what_matches(five: Nodes) -> None:
    answer = await answer_of(
        five, "ContactBulkUpdate", filter={"age": {"$gte": 3}}, fields={"city": "Ulm", "email": None}
    )
    assert {"total": 2, "updated": 2, "missing": 0, "failed": 0} == answer
    assert 1 == len(five.statements)
    read = [(r["id"], r["city"], r["version"], r["updated_at"], r["created_at"]) for r in await records_of(five)]
    assert [("2", None, 1, NOW, NOW), ("3", "Ulm", 2, LATER, NOW), ("4", "Ulm", 2, LATER, NOW)] == read[2:]


async def test_bulk_update_of_everything_must_be_confirmed(five: Nodes) -> None:
    unguarded: list[dict[str, object]] = [
        {"$and": []},
        {"$or": [{"age": 1}, {}]},
        {"age": {"$nin": []}},
        {"$not": {"$or": []}},
    ]
    for empty in unguarded:
        with pytest.raises(InvalidInput) as caught:
            await five.run("ContactBulkUpdate", filter=empty, fields={"city": "Ulm"})
        assert [("/filter", "required")] == pointers(caught.value)
    with pytest.raises(InvalidInput):
        await five.run("ContactBulkUpdate", filter={}, fields={"city": "Ulm"}, all=False)
    answer = await answer_of(five, "ContactBulkUpdate", filter={}, fields={"city": "Ulm"}, all=True)
    assert [5, 5, 0, 0] == counts_of(answer)


async def test_bulk_update_above_max_affected_changes_nothing(five: Nodes) -> None:
    with pytest.raises(MaxAffectedExceeded) as caught:
        await five.run("ContactBulkUpdate", filter={"age": {"$gt": 1}}, fields={"city": "Ulm"}, max_affected=2)
    assert [("/max_affected", "max_affected_exceeded")] == pointers(caught.value)
    assert {"count": 0} == await five.run("ContactCount", filter={"city": "Ulm"})
    answer = await answer_of(
        five, "ContactBulkUpdate", filter={"age": {"$gt": 1}}, fields={"city": "Ulm"}, max_affected=3
    )
    assert [3, 3, 0, 0] == counts_of(answer)


async def test_bulk_update_of_records_says_what_became_of_each(five: Nodes) -> None:
    given = [
        {"id": "3", "name": "new"},
        {"id": "none", "name": "x"},
        {"id": "0", "city": "Ulm", "age": None},
        {"id": "1", "name": "one", "if_version": 1},
    ]
    answer = await answer_of(five, "ContactBulkUpdate", records=given)
    assert [4, 3, 1, 0] == counts_of(answer)
    assert [(0, "updated", 2), (1, "missing", None), (2, "updated", 2), (3, "updated", 2)] == outcomes_of(answer)
    read = [(record["name"], record["city"], record["age"]) for record in await records_of(five)]
    assert [("n0", "Ulm", None), ("one", None, 1), ("n2", None, 2), ("new", None, 3), ("n4", None, 4)] == read


async def test_bulk_update_of_another_version_changes_nothing(five: Nodes) -> None:
    given = [{"id": "0", "name": "x"}, {"id": "1", "name": "x", "if_version": 2}]
    with pytest.raises(VersionMismatch) as caught:
        await five.run("ContactBulkUpdate", records=given)
    assert [("/records/1/if_version", "version_mismatch")] == pointers(caught.value)
    assert {"count": 0} == await five.run("ContactCount", filter={"name": "x"})


async def test_bulk_update_in_partial_mode(five: Nodes) -> None:
    given = [
        {"id": "0", "name": "x"},
        {"id": "1", "name": "x", "if_version": 2},
        {"id": "2", "name": None},
        {"id": "2", "email": "3@example.com"},
        {"id": "none", "name": "x", "if_version": 1},
        {"id": "0", "name": "y"},
        {"name": "y"},
        {"id": "4"},
    ]
    answer = await answer_of(five, "ContactBulkUpdate", records=given, mode="partial")
    assert [8, 1, 1, 6] == counts_of(answer)
    assert [
        ("version_mismatch", "/records/1/if_version"),
        ("invalid_input", "/records/2/name"),
        ("unique_violation", "/records/3/email"),
        ("invalid_input", "/records/5/id"),
        ("invalid_input", "/records/6/id"),
        ("invalid_input", "/records/7"),
    ] == errors_of(answer)
    assert ["x", "n1", "n2", "n3", "n4"] == [record["name"] for record in await records_of(five)]


async def test_same_key_twice_is_refused(five: Nodes) -> None:
    """`UPDATE … FROM` would silently take one of the rows."""
    with pytest.raises(InvalidInput) as caught:
        await five.run("ContactBulkUpdate", records=[{"id": "0", "name": "x"}, {"id": "0", "name": "y"}])
    assert [("/records/1/id", "not_allowed")] == pointers(caught.value)


async def test_bulk_update_of_records_above_max_affected_changes_nothing(five: Nodes) -> None:
    given = [{"id": str(i), "name": "x"} for i in range(5)]
    with pytest.raises(MaxAffectedExceeded):
        await five.run("ContactBulkUpdate", records=given, max_affected=4)
    assert {"count": 0} == await five.run("ContactCount", filter={"name": "x"})


MEANINGLESS: list[tuple[dict[str, object], list[tuple[str, str]]]] = [
    ({}, [("/filter", "required"), ("/fields", "required")]),
    ({"filter": {"age": 1}}, [("/fields", "required")]),
    ({"filter": {"age": 1}, "fields": {}}, [("/fields", "required")]),
    ({"filter": {"age": 1}, "fields": {"nme": 1}}, [("/fields/nme", "unknown")]),
    ({"filter": {"age": 1}, "fields": {"name": "x"}, "mode": "partial"}, [("/mode", "not_allowed")]),
    ({"filter": {"age": 1}, "records": []}, [("/filter", "not_allowed")]),
    ({"records": [], "max_affected": -1}, [("/max_affected", "out_of_range")]),
    ({"records": {}}, [("/records", "type")]),
]


async def test_bulk_update_refuses_what_means_nothing(five: Nodes, subtests: pytest.Subtests) -> None:
    for params, faults in MEANINGLESS:
        with subtests.test(params=params):
            with pytest.raises(InvalidInput) as caught:
                await five.run("ContactBulkUpdate", **params)
            assert faults == pointers(caught.value)


async def test_bulk_update_leaves_soft_deleted_records_alone(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteBulkCreate", records=[{"title": "a"}, {"title": "b"}])
    await nodes.run("NoteDelete", id=1)
    by_filter = await answer_of(nodes, "NoteBulkUpdate", filter={}, fields={"body": "x"}, all=True)
    by_list = await answer_of(nodes, "NoteBulkUpdate", records=[{"id": 1, "body": "y"}, {"id": 2, "body": "y"}])
    assert ([1, 1, 0, 0], [2, 1, 1, 0]) == (counts_of(by_filter), counts_of(by_list))


# BulkDelete


async def test_bulk_delete_by_filter_and_by_ids(five: Nodes) -> None:
    assert {"deleted": 2} == await five.run("ContactBulkDelete", filter={"age": {"$lt": 2}})
    assert {"deleted": 1} == await five.run("ContactBulkDelete", ids=["2", "none", "2"])
    assert {"deleted": 0} == await five.run("ContactBulkDelete", ids=[])
    assert ["3", "4"] == [record["id"] for record in await records_of(five)]
    assert 4 == len(five.statements)


async def test_bulk_delete_of_everything_must_be_confirmed(five: Nodes) -> None:
    unconfirmed: list[dict[str, object]] = [{}, {"filter": {}}, {"filter": {}, "all": False}]
    for params in unconfirmed:
        with pytest.raises(InvalidInput) as caught:
            await five.run("ContactBulkDelete", **params)
        assert [("/filter", "required")] == pointers(caught.value)
    assert {"deleted": 5} == await five.run("ContactBulkDelete", filter={}, all=True)


async def test_bulk_delete_above_max_affected_deletes_nothing(five: Nodes) -> None:
    for params in ({"filter": {"age": {"$gte": 0}}}, {"ids": ["0", "1", "2"]}):
        with pytest.raises(MaxAffectedExceeded):
            await five.run("ContactBulkDelete", **params, max_affected=2)
    assert {"count": 5} == await five.run("ContactCount")


async def test_bulk_delete_refuses_what_means_nothing(five: Nodes) -> None:
    with pytest.raises(InvalidInput) as caught:
        await five.run("ContactBulkDelete", ids=["1", 2, None], filter={"age": 1})
    assert [("/filter", "not_allowed"), ("/ids/1", "type"), ("/ids/2", "type")] == pointers(caught.value)


async def test_bulk_delete_marks_where_deletes_are_soft(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteBulkCreate", records=[{"title": "a"}, {"title": "b"}, {"title": "c"}])
    assert {"deleted": 1} == await nodes.run("NoteBulkDelete", filter={"title": "a"})
    assert {"deleted": 1} == await nodes.run("NoteBulkDelete", ids=[1, 2])
    assert {"count": 3} == await nodes.run("NoteCount", include_deleted=True)
