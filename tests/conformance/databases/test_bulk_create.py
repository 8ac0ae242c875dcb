"""BulkCreate, alike on both databases."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexusd.databases.rows import SQLITE_ROWS
from nexusd.errors import (
    CheckViolation,
    InvalidInput,
    NexusError,
    ReferenceViolation,
    UniqueViolation,
)
from tests.support.answers import answer_of, counts_of, entries_of, errors_of, outcomes_of, pointers, records_of
from tests.support.connections import in_time
from tests.support.models import NOTE

if TYPE_CHECKING:
    from tests.support.nodes import Nodes, OpenNodes


async def test_bulk_create_is_the_same_as_single_creates(crm: Nodes) -> None:
    given = [
        {"id": "1", "name": "Ann", "email": "a@example.com", "score": "1.5"},
        {"id": "2", "name": "Bob", "tier": "pro"},
        {"id": "3", "name": "Cem", "age": 7},
    ]
    answer = await answer_of(crm, "ContactBulkCreate", records=given, returning="records")
    assert [3, 3, 0, 0] == counts_of(answer)
    in_bulk = await records_of(crm)
    assert in_bulk == [entry["record"] for entry in entries_of(answer)]
    await crm.run("ContactBulkDelete", filter={}, all=True)
    assert in_bulk == [await crm.run("ContactCreate", fields=fields) for fields in given]


async def test_bulk_create_answers_ids_and_versions_in_order(crm: Nodes) -> None:
    answer = await answer_of(crm, "ContactBulkCreate", records=[{"name": str(i)} for i in range(5)])
    assert [(i, "inserted", 1) for i in range(5)] == outcomes_of(answer)
    made = [entry["id"] for entry in entries_of(answer)]
    assert [str(i) for i in range(5)] == [record["name"] for record in await records_of(crm, sort=["id"])]
    assert made == [record["id"] for record in await records_of(crm, sort=["name"])]


async def test_bulk_create_is_one_statement(crm: Nodes) -> None:
    """The same on both databases up to the portion of each."""
    crm.statements.clear()
    await crm.run("ContactBulkCreate", records=[{"name": str(i)} for i in range(SQLITE_ROWS)])
    assert 1 == len(crm.statements)


async def test_bulk_create_of_more_rows_than_a_statement_takes(crm: Nodes) -> None:
    answer = await answer_of(
        crm, "ContactBulkCreate", records=[{"name": str(i)} for i in range(5003)], returning="none"
    )
    assert ([5003, 5003, 0, 0], []) == (counts_of(answer), answer["results"])
    assert {"count": 5003} == await crm.run("ContactCount")


async def test_bulk_create_of_nothing(crm: Nodes) -> None:
    assert {"total": 0, "inserted": 0, "skipped": 0, "failed": 0, "results": []} == await answer_of(
        crm, "ContactBulkCreate", records=[]
    )


async def test_bulk_create_takes_integer_keys_from_the_database(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteCreate", title="a")
    answer = await answer_of(
        nodes, "NoteBulkCreate", records=[{"title": "b"}, {"id": 50, "title": "c"}, {"title": "d"}]
    )
    assert [2, 50, 3] == [entry["id"] for entry in entries_of(answer)]
    assert ["a", "b", "d", "c"] == [note["title"] for note in await records_of(nodes, "Note")]


async def test_missing_field_of_a_row_takes_its_default_where_others_have_it(crm: Nodes) -> None:
    """json_to_recordset reads a missing key as null, which would lose the default."""
    given = [{"id": "1", "name": "a", "tier": "pro", "score": "5"}, {"id": "2", "name": "b", "city": "Ulm"}]
    await crm.run("ContactBulkCreate", records=given)
    read = [(record["tier"], record["score"], record["city"]) for record in await records_of(crm)]
    assert [("pro", "5.00", None), ("free", "0.00", "Ulm")] == read


async def test_one_invalid_row_refuses_all(crm: Nodes) -> None:
    given = [{"name": "a"}, {"name": 1}, "x", {"nme": "b"}, {"name": "c", "version": 1}]
    with pytest.raises(InvalidInput) as caught:
        await crm.run("ContactBulkCreate", records=given)
    assert [
        ("/records/1/name", "type"),
        ("/records/2", "type"),
        ("/records/3/nme", "unknown"),
        ("/records/3/name", "required"),
        ("/records/4/version", "not_allowed"),
    ] == pointers(caught.value)
    assert {"count": 0} == await crm.run("ContactCount")


@pytest.mark.parametrize(
    ("bad", "error", "fault"),
    [
        ({"email": "7@example.com"}, UniqueViolation, ("/records/37/email", "unique_violation")),
        ({"id": "7"}, UniqueViolation, ("/records/37/id", "unique_violation")),
        ({"company_id": "none"}, ReferenceViolation, ("/records/37/company_id", "reference_violation")),
        ({"score": "-1"}, CheckViolation, ("/records/37", "check_violation")),
    ],
)
async def test_row_that_the_database_refuses_is_pointed_at(
    crm: Nodes, bad: dict[str, object], error: type[NexusError], fault: tuple[str, str]
) -> None:
    given: list[dict[str, object]] = [{"id": str(i), "name": "x", "email": f"{i}@example.com"} for i in range(100)]
    given[37] |= bad
    with pytest.raises(error) as caught:
        await crm.run("ContactBulkCreate", records=given)
    assert [fault] == pointers(caught.value)
    assert {"count": 0} == await crm.run("ContactCount")


async def test_refused_row_leaves_the_surrounding_transaction_usable(crm: Nodes) -> None:
    async with crm.database.transaction(in_time(), read_only=False) as session:
        inside = crm.within(session)
        await inside.run("ContactCreate", id="1", name="a")
        with pytest.raises(UniqueViolation):
            await inside.run("ContactBulkCreate", records=[{"name": "b"}, {"id": "1", "name": "c"}])
        await inside.run("ContactCreate", id="2", name="d")
    assert ["1", "2"] == [record["id"] for record in await records_of(crm)]


async def test_partial_mode_keeps_the_good_rows(crm: Nodes) -> None:
    given: list[dict[str, object]] = [{"id": str(i), "name": "x", "email": f"{i}@example.com"} for i in range(40)]
    given[3]["name"] = 1
    given[11]["id"] = "10"
    given[12]["email"] = "0@example.com"
    given[39]["score"] = "-1"
    answer = await answer_of(crm, "ContactBulkCreate", records=given, mode="partial")
    assert [40, 36, 0, 4] == counts_of(answer)
    assert [3, 11, 12, 39] == [index for index, outcome, _ in outcomes_of(answer) if outcome == "failed"]
    assert [
        ("invalid_input", "/records/3/name"),
        ("unique_violation", "/records/11/id"),
        ("unique_violation", "/records/12/email"),
        ("check_violation", "/records/39"),
    ] == errors_of(answer)
    assert {"count": 36} == await crm.run("ContactCount")


async def test_partial_mode_points_into_the_inputs(crm: Nodes) -> None:
    crm.pointers = {"/records": "/inputs/people"}
    answer = await answer_of(crm, "ContactBulkCreate", records=[{"name": 1}], mode="partial", returning="none")
    assert [("invalid_input", "/inputs/people/0/name")] == errors_of(answer)


async def test_partial_mode_without_a_good_row(crm: Nodes) -> None:
    answer = await answer_of(crm, "ContactBulkCreate", records=[{"name": 1}, {}], mode="partial")
    assert [2, 0, 0, 2] == counts_of(answer)


async def test_skip_leaves_out_records_that_exist(crm: Nodes) -> None:
    await crm.run("ContactCreate", id="1", name="a", email="a@example.com")
    given = [
        {"id": "1", "name": "b"},
        {"id": "2", "name": "c", "email": "a@example.com"},
        {"id": "3", "name": "d"},
        {"id": "3", "name": "e"},
    ]
    answer = await answer_of(crm, "ContactBulkCreate", records=given, on_conflict="skip")
    assert [4, 1, 3, 0] == counts_of(answer)
    assert [(0, "skipped", None), (1, "skipped", None), (2, "inserted", 1), (3, "skipped", None)] == outcomes_of(answer)
    assert ["a", "d"] == [record["name"] for record in await records_of(crm)]


async def test_skip_tells_two_records_with_one_key_apart(crm: Nodes) -> None:
    """The first is skipped for its mail, so the second one is inserted."""
    mail = "a@example.com"
    given = [{"id": "1", "name": "a", "email": mail}, {"id": "2", "name": "b", "email": mail}, {"id": "2", "name": "c"}]
    answer = await answer_of(crm, "ContactBulkCreate", records=given, on_conflict="skip")
    assert [(0, "inserted", 1), (1, "skipped", None), (2, "inserted", 1)] == outcomes_of(answer)
