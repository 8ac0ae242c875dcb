"""List and Count: filters, sorts, pages, totals, selected fields and relations, alike on both databases."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, cast

import pytest

from nexusd.errors import InvalidInput
from tests.support.answers import answer_of, pointers, records_of
from tests.support.models import NOTE

if TYPE_CHECKING:
    from tests.support.nodes import Nodes, OpenNodes

PEOPLE = [
    {"id": "1", "name": "Ann", "city": "Ulm", "score": "10", "age": 30, "tier": "pro"},
    {"id": "2", "name": "bob", "city": None, "score": "9.5", "age": None},
    {"id": "3", "name": "Élodie", "city": "Ulm", "score": "100", "age": 41},
    {"id": "4", "name": "100%_\\", "city": "Bonn", "score": "0.1", "age": 30},
    {"id": "5", "name": "ΟΔΟΣ", "city": None, "score": "9.50", "age": 5, "email": "e@example.com"},
]


@pytest.fixture
async def people(crm: Nodes) -> Nodes:
    """Five contacts."""
    await crm.run("ContactBulkCreate", records=PEOPLE)
    crm.statements.clear()
    return crm


async def page(nodes: Nodes, **params: object) -> dict[str, object]:
    return await answer_of(nodes, "ContactList", **params)


async def ids(nodes: Nodes, **params: object) -> str:
    """The keys of a page, in its order."""
    return "".join(str(record["id"]) for record in await records_of(nodes, **params))


# Filters


FOUND: list[tuple[dict[str, object], str]] = [
    ({}, "12345"),
    ({"name": "Ann"}, "1"),
    ({"city": None}, "25"),
    ({"name": "Ann", "city": "Bonn"}, ""),
    ({"city": {"$eq": "Ulm"}}, "13"),
    ({"city": {"$eq": None}}, "25"),
    ({"city": {"$ne": "Ulm"}}, "245"),
    ({"city": {"$ne": None}}, "134"),
    ({"name": {"$ne": "Ann"}}, "2345"),
    ({"score": {"$gt": "9.5"}}, "13"),
    ({"score": {"$gte": "9.50"}}, "1235"),
    ({"score": {"$lt": "9.505"}}, "245"),
    ({"score": {"$lte": "0.1"}}, "4"),
    ({"age": {"$gt": 5, "$lt": 41}}, "14"),
    ({"age": {"$lt": 1000000}}, "1345"),
    ({"age": {"$in": [30, 5]}}, "145"),
    ({"age": {"$in": []}}, ""),
    ({"age": {"$nin": [30, 5]}}, "23"),
    ({"age": {"$nin": []}}, "12345"),
    ({"city": {"$null": True}}, "25"),
    ({"city": {"$null": False}}, "134"),
    ({"age": {"$between": [5, 30]}}, "145"),
    ({"name": {"$between": ["A", "Z"]}}, "1"),
    ({"score": {"$in": ["9.5", "10.00"]}}, "125"),
    ({"tier": {"$in": ["pro"]}}, "1"),
    ({"name": {"$like": "A_n"}}, "1"),
    ({"name": {"$like": "a%"}}, ""),
    ({"name": {"$like": "100\\%%"}}, "4"),
    ({"name": {"$like": "%\\\\"}}, "4"),
    ({"name": {"$ilike": "a%"}}, "1"),
    ({"name": {"$ilike": "élo%"}}, "3"),
    ({"name": {"$ilike": "ÉLO%"}}, "3"),
    ({"name": {"$contains": "0%_"}}, "4"),
    ({"name": {"$contains": "_"}}, "4"),
    ({"name": {"$contains": "\\"}}, "4"),
    ({"name": {"$contains": ""}}, "12345"),
    ({"name": {"$contains": "BOB"}}, ""),
    ({"name": {"$icontains": "BOB"}}, "2"),
    ({"name": {"$icontains": "LODIE"}}, "3"),
    ({"name": {"$icontains": "οδοσ"}}, "5"),
    ({"name": {"$icontains": "οδος"}}, "5"),
    ({"name": {"$startswith": "10"}}, "4"),
    ({"name": {"$startswith": "%"}}, ""),
    ({"name": {"$endswith": "die"}}, "3"),
    ({"city": {"$contains": "l"}}, "13"),
    ({"city": {"$icontains": "UL"}}, "13"),
    ({"name": {"$ilike": "İ%"}}, ""),
    ({"age": {"$in": list(range(10000))}}, "1345"),
    ({"$not": {"city": "Ulm"}}, "245"),
    ({"$not": {"city": {"$gt": "C"}}}, "245"),
    ({"$not": {"$not": {"city": "Ulm"}}}, "13"),
    ({"$not": {}}, ""),
    ({"$not": {"city": {"$nin": ["Ulm"]}}}, "13"),
    ({"$not": {"city": {"$ne": "Ulm"}}}, "13"),
    ({"$not": {"city": {"$null": True}}}, "134"),
    ({"$or": [{"name": "Ann"}, {"name": "bob"}]}, "12"),
    ({"$or": []}, ""),
    ({"$and": []}, "12345"),
    ({"$and": [{"city": "Ulm"}, {"age": 41}]}, "3"),
    ({"$or": [{"city": "Bonn"}, {"$and": [{"city": None}, {"age": 5}]}]}, "45"),
    ({"$not": {"$or": [{"city": "Bonn"}, {"age": {"$gt": 40}}]}}, "125"),
    ({"city": {"$nin": ["Ulm"], "$ne": "Bonn"}}, "25"),
    ({"created_at": {"$gte": "2026-03-01T13:00:00+01:00"}}, "12345"),
    ({"created_at": {"$lt": "2026-03-01T12:00:00Z"}}, ""),
    ({"version": 1}, "12345"),
]


async def test_filter_finds_what_it_says(people: Nodes, subtests: pytest.Subtests) -> None:
    for found, expected in FOUND:
        with subtests.test(filter=found):
            assert expected == await ids(people, filter=found, sort=["id"])
            assert {"count": len(expected)} == await people.run("ContactCount", filter=found)


MEANINGLESS: list[tuple[object, tuple[str, str]]] = [
    ({"nme": 1}, ("/filter/nme", "unknown")),
    ({"$nor": []}, ("/filter/$nor", "unknown")),
    ({"name": {"$regex": "x"}}, ("/filter/name/$regex", "unknown")),
    ({"name": {"like": "x"}}, ("/filter/name/like", "unknown")),
    ({"name": {}}, ("/filter/name", "required")),
    ({"name": 5}, ("/filter/name", "type")),
    ({"name": ["x"]}, ("/filter/name", "type")),
    ({"age": "30"}, ("/filter/age", "type")),
    ({"age": {"$gt": None}}, ("/filter/age/$gt", "type")),
    ({"age": {"$in": [1, None]}}, ("/filter/age/$in/1", "type")),
    ({"age": {"$nin": [None]}}, ("/filter/age/$nin/0", "type")),
    ({"age": {"$in": 5}}, ("/filter/age/$in", "type")),
    ({"age": {"$in": list(range(10001))}}, ("/filter/age/$in", "too_long")),
    ({"age": {"$between": [1]}}, ("/filter/age/$between", "type")),
    ({"age": {"$null": 1}}, ("/filter/age/$null", "type")),
    ({"age": {"$contains": "1"}}, ("/filter/age/$contains", "unknown")),
    ({"name": {"$like": "a\\"}}, ("/filter/name/$like", "pattern")),
    ({"name": {"$has": "a"}}, ("/filter/name/$has", "unknown")),
    ({"tier": "gold"}, ("/filter/tier", "not_allowed")),
    ({"name": {"$contains": "x\0"}}, ("/filter/name/$contains", "pattern")),
    ({"$or": {"name": "x"}}, ("/filter/$or", "type")),
    ({"$or": [{"name": "x"}, 5]}, ("/filter/$or/1", "type")),
    ({"$and": [{"$or": [{"nme": 1}]}]}, ("/filter/$and/0/$or/0/nme", "unknown")),
    ("name", ("/filter", "type")),
    (None, ("/filter", "type")),
]


async def test_filter_that_means_nothing_is_refused(people: Nodes, subtests: pytest.Subtests) -> None:
    for found, fault in MEANINGLESS:
        for node in ("ContactList", "ContactCount"):
            with subtests.test(node=node, fault=fault):
                with pytest.raises(InvalidInput) as caught:
                    await people.run(node, filter=found)
                assert [fault] == pointers(caught.value)


async def test_filter_that_is_too_large_is_refused(people: Nodes) -> None:
    deep: dict[str, object] = {}
    for _ in range(5000):
        deep = {"$not": deep}
    for found in (deep, {"$or": [{"name": "x"}] * 201}):
        with pytest.raises(InvalidInput) as caught:
            await people.run("ContactCount", filter=found)
        assert ["too_long"] == [fault.code for fault in caught.value.faults]


async def test_template_cannot_bring_operators_into_a_filter(people: Nodes) -> None:
    """A workflow that declares `filter: {name: "{{name}}"}` compares; a caller's object must not become operators."""
    declared = {"name": "{{name}}", "$or": [{"city": "{{city}}"}]}
    rendered = {"name": {"$ne": "x"}, "$or": [{"city": {"$null": False}}]}
    with pytest.raises(InvalidInput) as caught:
        await people.declaring(filter=declared).run("ContactCount", filter=rendered)
    assert [("/filter/name", "type"), ("/filter/$or/0/city", "type")] == pointers(caught.value)


async def test_names_in_a_refusal_are_those_of_the_filter(people: Nodes) -> None:
    with pytest.raises(InvalidInput) as caught:
        await people.run("ContactList", filter={"nmae": 1}, sort=["-agee"])
    details = [fault.detail for fault in caught.value.faults]
    assert [
        "there is no field named 'nmae'; did you mean 'name'?",
        "there is no field named 'agee'; did you mean 'age'?",
    ] == details


# Sorting


SORTED: list[tuple[list[str], str]] = [
    ([], "12345"),
    (["-id"], "54321"),
    (["name"], "41235"),
    (["-name"], "53214"),
    (["city"], "41325"),
    (["-city"], "25134"),
    (["age", "-id"], "54132"),
    (["-age", "name"], "23415"),
    (["score"], "42513"),
    (["-score", "-id"], "31524"),
    (["tier", "-score"], "32541"),
    (["-created_at"], "12345"),
    (["id", "name"], "12345"),
]


async def test_sort_puts_nulls_last_ascending_and_first_descending(people: Nodes, subtests: pytest.Subtests) -> None:
    for sort, expected in SORTED:
        with subtests.test(sort=sort):
            assert expected == await ids(people, sort=sort)


UNSORTED: list[tuple[object, tuple[str, str]]] = [
    (["nme"], ("/sort/0", "unknown")),
    (["--name"], ("/sort/0", "unknown")),
    (["name", "-name"], ("/sort/1", "not_allowed")),
    ([5], ("/sort/0", "type")),
    ("name", ("/sort", "type")),
    (["name"] * 9, ("/sort", "too_long")),
]


async def test_sort_that_means_nothing_is_refused(people: Nodes, subtests: pytest.Subtests) -> None:
    for sort, fault in UNSORTED:
        with subtests.test(sort=sort):
            with pytest.raises(InvalidInput) as caught:
                await people.run("ContactList", sort=sort)
            assert [fault] == pointers(caught.value)


# Pages


SORTS = [
    ["id"],
    ["-id"],
    ["name"],
    ["city"],
    ["-city"],
    ["city", "-age"],
    ["-city", "age"],
    ["age", "score"],
    ["-age", "-score", "-id"],
    ["score"],
    ["tier", "-name"],
]


async def test_pages_by_cursor_are_the_whole_list(people: Nodes, subtests: pytest.Subtests) -> None:
    for sort, limit in itertools.product(SORTS, [1, 2, 4]):
        with subtests.test(sort=sort, limit=limit):
            assert await ids(people, sort=sort) == await read_through(people, sort, limit)


async def read_through(nodes: Nodes, sort: list[str], limit: int) -> str:
    """The keys of all pages, one behind the other."""
    read = ""
    cursor = None
    for _ in range(6):
        part = await page(nodes, sort=sort, limit=limit, cursor=cursor, fields=["id"])
        records = cast("list[dict[str, str]]", part["records"])
        assert len(records) == part["count"]
        read += "".join(record["id"] for record in records)
        cursor = part["next_cursor"]
        if cursor is None:
            return read
    return f"{read} and so on"


async def test_page_says_its_count_and_limit(people: Nodes) -> None:
    part = await page(people, limit=2)
    assert (2, 2, True) == (part["count"], part["limit"], isinstance(part["next_cursor"], str))
    whole = await page(people)
    assert (5, 50, None) == (whole["count"], whole["limit"], whole["next_cursor"])
    none = await page(people, limit=0, count="exact")
    assert {"records": [], "count": 0, "limit": 0, "next_cursor": None, "total": 5} == none


async def test_page_by_offset(people: Nodes) -> None:
    assert "345" == await ids(people, offset=2)
    assert "" == await ids(people, offset=10000)


async def test_page_after_a_cursor_skips_no_record_that_came_meanwhile(people: Nodes) -> None:
    first = await page(people, sort=["name"], limit=2)
    await people.run("ContactCreate", id="0", name="1st")
    assert "235" == await ids(people, sort=["name"], cursor=first["next_cursor"])


async def test_cursor_belongs_to_one_sort_and_filter(people: Nodes) -> None:
    first = await page(people, sort=["name"], limit=2, filter={"age": {"$null": False}, "tier": "free"})
    cursor = first["next_cursor"]
    assert isinstance(cursor, str)
    reordered = {"tier": "free", "age": {"$null": False}}
    assert "5" == await ids(people, sort=["name"], cursor=cursor, filter=reordered)
    others: list[dict[str, object]] = [
        {"sort": ["-name"], "cursor": cursor, "filter": reordered},
        {"sort": ["name"], "cursor": cursor},
        {"sort": ["name"], "cursor": cursor, "filter": {**reordered, "tier": "pro"}},
        {"sort": ["name"], "cursor": cursor[:-2] + "AA", "filter": reordered},
        {"sort": ["name"], "cursor": "é", "filter": reordered},
        {"sort": ["name"], "cursor": "", "filter": reordered},
    ]
    for params in others:
        with pytest.raises(InvalidInput) as caught:
            await people.run("ContactList", **params)
        assert [("/cursor", "not_allowed")] == pointers(caught.value)


OPTIONS: list[tuple[dict[str, object], tuple[str, str]]] = [
    ({"limit": 1001}, ("/limit", "out_of_range")),
    ({"limit": -1}, ("/limit", "out_of_range")),
    ({"limit": "5"}, ("/limit", "type")),
    ({"limit": None}, ("/limit", "type")),
    ({"offset": 10001}, ("/offset", "out_of_range")),
    ({"offset": -1}, ("/offset", "out_of_range")),
    ({"count": "all"}, ("/count", "not_allowed")),
    ({"fields": []}, ("/fields", "too_short")),
    ({"fields": ["id", "nme"]}, ("/fields/1", "unknown")),
    ({"fields": ["id", "id"]}, ("/fields/1", "not_allowed")),
    ({"fields": "id"}, ("/fields", "type")),
    ({"include": ["boss"]}, ("/include/0", "unknown")),
]


async def test_option_that_means_nothing_is_refused(people: Nodes, subtests: pytest.Subtests) -> None:
    for params, fault in OPTIONS:
        with subtests.test(params=params):
            with pytest.raises(InvalidInput) as caught:
                await people.run("ContactList", **params)
            assert [fault] == pointers(caught.value)


async def test_cursor_and_offset_do_not_go_together(people: Nodes) -> None:
    first = await page(people, limit=2)
    with pytest.raises(InvalidInput) as caught:
        await people.run("ContactList", cursor=first["next_cursor"], offset=1)
    assert [("/offset", "not_allowed")] == pointers(caught.value)


# Totals, fields, relations


async def test_total_is_answered_when_asked_for(people: Nodes) -> None:
    assert "total" not in await page(people)
    assert 5 == (await page(people, limit=1, count="exact"))["total"]
    assert 2 == (await page(people, limit=1, count="capped", filter={"city": "Ulm"}))["total"]
    assert 2 == len([sql for sql in people.statements if "count(*)" in sql])


async def test_capped_total_stops_behind_a_thousand(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(NOTE)
    await nodes.run("NoteBulkCreate", records=[{"title": str(i)} for i in range(1005)], returning="none")
    totals = [await nodes.run("NoteList", limit=1, count=mode) for mode in ("capped", "exact")]
    assert [1001, 1005] == [cast("dict[str, int]", total)["total"] for total in totals]


async def test_selected_fields_are_all_there_is(people: Nodes) -> None:
    part = await page(people, fields=["name", "id"], sort=["-score"], limit=1, filter={"city": "Ulm"})
    assert [{"name": "Élodie", "id": "3"}] == part["records"]


async def test_page_includes_companies_by_one_statement(crm: Nodes) -> None:
    acme = await crm.run("CompanyCreate", id="a", name="Acme")
    await crm.run("CompanyCreate", id="b", name="Beta")
    for i, company in enumerate(["a", None, "a"]):
        await crm.run("ContactCreate", id=str(i), name="x", company_id=company)
    crm.statements.clear()
    part = await page(crm, include=["company"], fields=["id"])
    assert [{"id": "0", "company": acme}, {"id": "1", "company": None}, {"id": "2", "company": acme}] == part["records"]
    assert 2 == len(crm.statements)


async def test_relation_of_a_page_without_references_costs_nothing(people: Nodes) -> None:
    part = await page(people, include=["company"], limit=1)
    assert None is cast("list[dict[str, object]]", part["records"])[0]["company"]
    assert 1 == len(people.statements)


async def test_statement_is_rendered_once_for_a_shape(people: Nodes) -> None:
    for name, limit in itertools.product(["Ann", "bob'; DROP TABLE contacts; --"], [1, 2]):
        await people.run("ContactList", filter={"name": name}, limit=limit)
    assert 1 == len(set(people.statements))


async def test_deep_page_by_cursor_needs_no_sort_of_the_whole_table(crm: Nodes) -> None:
    """A row comparison lets an index of the sort begin behind the cursor."""
    records = [{"id": str(i), "name": "x", "city": "Ulm"} for i in range(20)]
    await crm.run("ContactBulkCreate", records=records)
    first = await page(crm, limit=5, sort=["id"])
    crm.statements.clear()
    await page(crm, limit=5, sort=["id"], cursor=first["next_cursor"])
    assert [True] == [" > (" in sql for sql in crm.statements]
