"""Create, Read, Update, Delete and Upsert, alike on both databases."""

from __future__ import annotations

import pytest

from nexusd.databases.database import Dialect
from nexusd.errors import (
    CheckViolation,
    InvalidInput,
    RecordNotFound,
    ReferenceViolation,
    UniqueViolation,
    VersionMismatch,
)
from tests.support.answers import pointers
from tests.support.models import NOTE, TALLY
from tests.support.nodes import LATER, NOW, Nodes, OpenNodes

ANN = {"id": "1", "name": "Ann", "email": "ann@example.com"}


# Create


async def test_create_answers_the_whole_record(crm: Nodes) -> None:
    created = await crm.run("ContactCreate", **ANN)
    assert {
        "id": "1",
        "name": "Ann",
        "email": "ann@example.com",
        "city": None,
        "company_id": None,
        "score": "0.00",
        "tier": "free",
        "age": None,
        "created_at": NOW,
        "updated_at": NOW,
        "version": 1,
    } == created
    assert created == await crm.run("ContactRead", id="1")


async def test_create_is_one_statement(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    assert 1 == len(crm.statements)


async def test_create_takes_the_fields_flat_or_together(crm: Nodes) -> None:
    await crm.run("ContactCreate", id="1", name="Ann")
    await crm.run("ContactCreate", fields={"id": "2", "name": "Ann"})
    assert {"count": 2} == await crm.run("ContactCount", filter={"name": "Ann"})


async def test_created_text_key_is_a_uuid_of_version_7(crm: Nodes) -> None:
    created = await crm.run("ContactCreate", name="Ann")
    assert isinstance(created, dict)
    assert 36 == len(created["id"])
    assert "7" == created["id"][14]


async def test_created_integer_keys_count_up_and_never_return(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteCreate", title="a")
    await nodes.run("NoteCreate", title="b")
    await nodes.run("NoteBulkDelete", ids=[2])
    created = await nodes.run("NoteCreate", title="c")
    assert isinstance(created, dict)
    assert 3 == created["id"]


async def test_integer_key_may_be_given(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    created = await nodes.run("NoteCreate", id=77, title="a")
    assert isinstance(created, dict)
    assert 77 == created["id"]


async def test_create_without_any_field_given(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(TALLY)
    with pytest.raises(InvalidInput) as caught:
        await nodes.run("TallyCreate")
    assert [("/region", "required"), ("/year", "required")] == pointers(caught.value)


async def test_create_refuses_all_that_is_wrong_at_once(crm: Nodes) -> None:
    with pytest.raises(InvalidInput) as caught:
        await crm.run("ContactCreate", fields={"emial": "x", "email": "x", "age": "8", "tier": "gold", "version": 4})
    assert [
        ("/fields/emial", "unknown"),
        ("/fields/email", "format"),
        ("/fields/age", "type"),
        ("/fields/tier", "not_allowed"),
        ("/fields/version", "not_allowed"),
        ("/fields/name", "required"),
    ] == pointers(caught.value)
    assert "did you mean 'email'?" in caught.value.detail
    assert {"count": 0} == await crm.run("ContactCount")


async def test_create_of_a_taken_value_names_constraint_and_field(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    with pytest.raises(UniqueViolation) as caught:
        await crm.run("ContactCreate", name="Bob", email="ann@example.com")
    assert (("email",), "contacts_email_uq") == (caught.value.fields, caught.value.constraint)
    assert "ann@example.com" not in caught.value.detail


async def test_create_with_a_reference_to_nothing(crm: Nodes) -> None:
    with pytest.raises(ReferenceViolation) as caught:
        await crm.run("ContactCreate", name="Ann", company_id="none")
    assert ("company_id",) == caught.value.fields


async def test_create_against_a_check_of_the_model(crm: Nodes) -> None:
    with pytest.raises(CheckViolation) as caught:
        await crm.run("ContactCreate", name="Ann", score="-1")
    assert "contacts_score_positive_check" == caught.value.constraint


# Read


async def test_read_by_each_set_of_unique_fields(crm: Nodes, open_nodes: OpenNodes) -> None:
    await crm.run("ContactCreate", **ANN)
    assert await crm.run("ContactRead", id="1") == await crm.run("ContactRead", where={"email": "ann@example.com"})
    nodes = await open_nodes(TALLY)
    tally = await nodes.run("TallyCreate", region="north", year=2026)
    assert tally == await nodes.run("TallyRead", where={"region": "north", "year": 2026})


UNIDENTIFIED: list[tuple[dict[str, object], list[tuple[str, str]]]] = [
    ({}, [("/id", "required")]),
    ({"id": 5}, [("/id", "type")]),
    ({"id": None}, [("/id", "type")]),
    ({"id": "1", "where": {"email": "x"}}, [("/where", "not_allowed")]),
    ({"where": {"name": "Ann"}}, [("/where/name", "unknown"), ("/where", "required")]),
    ({"where": {}}, [("/where", "required")]),
    ({"where": {"email": None}}, [("/where/email", "type")]),
    ({"where": {"email": {"$ne": "x"}}}, [("/where/email", "type")]),
    ({"where": "x"}, [("/where", "type")]),
    ({"id": "1", "required": "yes"}, [("/required", "type")]),
    ({"id": "1", "include": ["owner"]}, [("/include/0", "unknown")]),
]


async def test_read_refuses_what_identifies_no_record(crm: Nodes, subtests: pytest.Subtests) -> None:
    for params, faults in UNIDENTIFIED:
        with subtests.test(params=params):
            with pytest.raises(InvalidInput) as caught:
                await crm.run("ContactRead", **params)
            assert faults == pointers(caught.value)


async def test_read_of_a_missing_record_is_an_error_unless_it_need_not_be_there(crm: Nodes) -> None:
    with pytest.raises(RecordNotFound):
        await crm.run("ContactRead", id="none")
    assert None is await crm.run("ContactRead", id="none", required=False)


async def test_read_includes_the_company(crm: Nodes) -> None:
    company = await crm.run("CompanyCreate", id="c", name="Acme")
    await crm.run("ContactCreate", **ANN, company_id="c")
    crm.statements.clear()
    read = await crm.run("ContactRead", id="1", include=["company"])
    assert isinstance(read, dict)
    assert company == read["company"]
    assert 2 == len(crm.statements)


async def test_read_includes_null_where_nothing_is_referred_to(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    read = await crm.run("ContactRead", id="1", include=["company"])
    assert isinstance(read, dict)
    assert None is read["company"]


# Update


async def test_update_changes_the_given_fields_and_the_version(crm: Nodes) -> None:
    created = await crm.run("ContactCreate", **ANN)
    crm.now = LATER
    updated = await crm.run("ContactUpdate", id="1", name="Anna", score="1.5")
    assert isinstance(created, dict)
    assert {**created, "name": "Anna", "score": "1.50", "updated_at": LATER, "version": 2} == updated
    assert updated == await crm.run("ContactRead", id="1")


async def test_update_by_unique_fields_under_fields(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    updated = await crm.run("ContactUpdate", where={"email": "ann@example.com"}, fields={"email": None})
    assert isinstance(updated, dict)
    assert (None, 2) == (updated["email"], updated["version"])


async def test_update_without_fields_is_a_read(crm: Nodes) -> None:
    created = await crm.run("ContactCreate", **ANN)
    crm.now = LATER
    assert created == await crm.run("ContactUpdate", id="1")
    assert created == await crm.run("ContactUpdate", id="1", fields={}, if_version=1)


async def test_update_to_equal_values_is_still_a_write(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    updated = await crm.run("ContactUpdate", id="1", name="Ann")
    assert isinstance(updated, dict)
    assert 2 == updated["version"]


async def test_update_of_an_expected_version(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    updated = await crm.run("ContactUpdate", id="1", name="Anna", if_version=1)
    assert isinstance(updated, dict)
    assert 2 == updated["version"]


@pytest.mark.parametrize("fields", [{"name": "Anna"}, {}])
async def test_update_of_another_version_is_a_mismatch(crm: Nodes, fields: dict[str, object]) -> None:
    created = await crm.run("ContactCreate", **ANN)
    with pytest.raises(VersionMismatch) as caught:
        await crm.run("ContactUpdate", id="1", if_version=2, fields=fields)
    assert [("/if_version", "version_mismatch")] == pointers(caught.value)
    assert created == await crm.run("ContactRead", id="1")


async def test_update_of_a_missing_record(crm: Nodes) -> None:
    for params in ({"name": "x"}, {"name": "x", "if_version": 1}, {}):
        with pytest.raises(RecordNotFound):
            await crm.run("ContactUpdate", id="none", **params)
        assert None is await crm.run("ContactUpdate", id="none", required=False, **params)


async def test_update_refuses_what_is_wrong(crm: Nodes) -> None:
    with pytest.raises(InvalidInput) as caught:
        await crm.run("ContactUpdate", id="1", name=None, created_at=NOW, if_version=0)
    assert [("/name", "type"), ("/created_at", "not_allowed"), ("/if_version", "out_of_range")] == pointers(
        caught.value
    )


async def test_update_may_change_the_key(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(TALLY)
    await nodes.run("TallyCreate", code="a", region="north", year=2026)
    updated = await nodes.run("TallyUpdate", id="a", code="b")
    assert {"code": "b", "region": "north", "year": 2026, "count": 0} == updated


# Delete


async def test_delete_says_whether_there_was_a_record(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    assert {"id": "1", "deleted": True} == await crm.run("ContactDelete", id="1")
    assert {"id": "1", "deleted": False} == await crm.run("ContactDelete", id="1")
    assert {"count": 0} == await crm.run("ContactCount")


async def test_delete_by_unique_fields_answers_the_key(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    where = {"email": "ann@example.com"}
    assert {"id": "1", "deleted": True} == await crm.run("ContactDelete", where=where)
    assert {"id": None, "deleted": False} == await crm.run("ContactDelete", where=where)


async def test_delete_of_a_missing_record_that_must_be_there(crm: Nodes) -> None:
    with pytest.raises(RecordNotFound):
        await crm.run("ContactDelete", id="none", required=True)


async def test_delete_of_another_version_is_a_mismatch(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    with pytest.raises(VersionMismatch):
        await crm.run("ContactDelete", id="1", if_version=2)
    assert {"id": "1", "deleted": True} == await crm.run("ContactDelete", id="1", if_version=1)
    assert {"id": "1", "deleted": False} == await crm.run("ContactDelete", id="1", if_version=1)


async def test_delete_of_a_record_that_is_referred_to(crm: Nodes) -> None:
    await crm.run("CompanyCreate", id="c", name="Acme")
    await crm.run("ContactCreate", **ANN, company_id="c")
    with pytest.raises(ReferenceViolation):
        await crm.run("CompanyDelete", id="c")
    assert {"count": 1} == await crm.run("CompanyCount")


# Soft delete


async def test_soft_deleted_record_is_invisible_unless_asked_for(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteCreate", title="a")
    nodes.now = LATER
    assert {"id": 1, "deleted": True} == await nodes.run("NoteDelete", id=1)
    assert {"id": 1, "deleted": False} == await nodes.run("NoteDelete", id=1)
    assert None is await nodes.run("NoteRead", id=1, required=False)
    assert None is await nodes.run("NoteUpdate", id=1, body="x", required=False)
    assert {"count": 0} == await nodes.run("NoteCount")
    assert {"count": 1} == await nodes.run("NoteCount", include_deleted=True)
    seen = await nodes.run("NoteRead", id=1, include_deleted=True)
    assert isinstance(seen, dict)
    assert (LATER, LATER, 2) == (seen["deleted_at"], seen["updated_at"], seen["version"])


async def test_upsert_brings_a_soft_deleted_record_back(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteCreate", title="a")
    await nodes.run("NoteDelete", id=1)
    upserted = await nodes.run("NoteUpsert", record={"title": "a"}, conflict_on=["title"])
    assert isinstance(upserted, dict)
    assert ("updated", 1, None) == (upserted["outcome"], upserted["record"]["id"], upserted["record"]["deleted_at"])


# Upsert


async def test_upsert_of_new_record_reports_inserted(crm: Nodes) -> None:
    upserted = await crm.run("ContactUpsert", record=ANN)
    read = await crm.run("ContactRead", id="1")
    assert {"record": read, "created": True, "outcome": "inserted"} == upserted


async def test_upsert_of_existing_row_reports_updated(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    crm.now = LATER
    upserted = await crm.run("ContactUpsert", name="Anna", email="ann@example.com", conflict_on="email")
    read = await crm.run("ContactRead", id="1")
    assert {"record": read, "created": False, "outcome": "updated"} == upserted
    assert isinstance(read, dict)
    assert ("Anna", 2, NOW, LATER) == (read["name"], read["version"], read["created_at"], read["updated_at"])


async def test_upsert_of_equal_values_reports_unchanged_and_writes_nothing(crm: Nodes) -> None:
    created = await crm.run("ContactCreate", **ANN)
    crm.now = LATER
    upserted = await crm.run("ContactUpsert", record={**ANN, "score": "0"})
    assert {"record": created, "created": False, "outcome": "unchanged"} == upserted


async def test_upsert_overwrites_only_what_it_may(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    upserted = await crm.run("ContactUpsert", record={**ANN, "name": "Anna", "city": "Ulm"}, update=["city"])
    assert isinstance(upserted, dict)
    assert ("Ann", "Ulm") == (upserted["record"]["name"], upserted["record"]["city"])
    untouched = await crm.run("ContactUpsert", record={**ANN, "name": "Anna"}, update=[])
    assert isinstance(untouched, dict)
    assert "unchanged" == untouched["outcome"]


async def test_upsert_without_version_still_tells_inserted_from_updated(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(TALLY)
    outcomes = []
    for count in (1, 2, 2):
        on = ["year", "region"]
        result = await nodes.run("TallyUpsert", region="north", year=2026, count=count, conflict_on=on)
        assert isinstance(result, dict)
        outcomes.append((result["outcome"], result["created"], result["record"]["count"]))
    assert [("inserted", True, 1), ("updated", False, 2), ("unchanged", False, 2)] == outcomes


CONFLICTS: list[tuple[dict[str, object], list[tuple[str, str]]]] = [
    ({"conflict_on": ["name"]}, [("/conflict_on", "not_allowed")]),
    ({"conflict_on": []}, [("/conflict_on", "not_allowed")]),
    ({"update": ["nme"]}, [("/update/0", "unknown")]),
    ({"update": ["id"]}, [("/update/0", "unknown")]),
    ({"conflict_on": ["email"]}, [("/record/email", "required")]),
]


async def test_upsert_refuses_what_identifies_no_record(crm: Nodes, subtests: pytest.Subtests) -> None:
    for params, faults in CONFLICTS:
        with subtests.test(params=params):
            with pytest.raises(InvalidInput) as caught:
                await crm.run("ContactUpsert", record={"id": "1", "name": "Ann"}, **params)
            assert faults == pointers(caught.value)


async def test_upsert_against_another_unique_field_is_a_violation(crm: Nodes) -> None:
    await crm.run("ContactCreate", **ANN)
    with pytest.raises(UniqueViolation) as caught:
        await crm.run("ContactUpsert", record={**ANN, "id": "2"})
    assert ("email",) == caught.value.fields


async def test_statements_name_every_column(crm: Nodes) -> None:
    """A kept plan for `*`, in RETURNING too, breaks when a column is added."""
    await crm.run("ContactUpsert", record=ANN)
    await crm.run("ContactList")
    await crm.run("ContactUpdate", id="1", name="x")
    assert not any("*" in sql for sql in crm.statements)
    assert crm.database.dialect in Dialect
