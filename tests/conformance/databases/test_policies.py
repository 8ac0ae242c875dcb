"""Policies, tenants and the scopes of fields: what is not there for a caller cannot be found out by any node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from nexusd.definitions.model import Field, FieldType, Model, Reference
from nexusd.definitions.principal import Principal
from nexusd.errors import Forbidden, InvalidInput, RecordForbidden, RecordNotFound, ReferenceViolation, UniqueViolation
from tests.support.policies import DOC, TEAM, member, restricted

if TYPE_CHECKING:
    from tests.support.nodes import Nodes, OpenNodes

ANN, BOB = member("acme", sub="ann"), member("acme", sub="bob")
EVE = member("evil", "*", "admin", sub="ann")
"""Of another organisation, with every scope and Ann's own name."""


@pytest.fixture
async def docs(open_nodes: OpenNodes) -> Nodes:
    nodes = await open_nodes(TEAM, DOC)
    await nodes.by(ANN).run("TeamCreate", id="red", name="Red")
    await nodes.by(EVE).run("TeamCreate", id="black", name="Black")
    await nodes.by(ANN).run("DocCreate", id="a", title="Plan", owner="ann", rank=1, team_id="red")
    await nodes.by(ANN).run("DocCreate", id="b", title="News", owner="ann", public=True, rank=2)
    await nodes.by(EVE).run("DocCreate", id="x", title="Plot", owner="ann", public=True, rank=3, team_id="black")
    return nodes


async def answer(nodes: Nodes, node: str, **params: object) -> Any:  # noqa: ANN401 - read as JSON
    return await nodes.run(node, **params)


async def titles(nodes: Nodes, **params: object) -> list[object]:
    page = await answer(nodes, "DocList", sort=["title"], **params)
    return [record["title"] for record in page["records"]]


async def test_each_sees_what_is_there_for_them(docs: Nodes) -> None:
    assert ["News", "Plan"] == await titles(docs.by(ANN))
    assert ["News"] == await titles(docs.by(BOB))
    assert ["Plot"] == await titles(docs.by(EVE))
    assert {"count": 1} == await docs.by(BOB).run("DocCount")
    assert {"count": 0} == await docs.by(BOB).run("DocCount", filter={"title": {"$in": ["Plan", "Plot"]}})
    assert ["News"] == await titles(docs.by(BOB), filter={"$or": [{"rank": {"$gte": 0}}, {"$not": {"id": "b"}}]})


async def test_an_operator_sees_everything(docs: Nodes) -> None:
    assert ["News", "Plan", "Plot"] == await titles(docs)
    assert ["News", "Plan", "Plot"] == await titles(docs.by(Principal("key:ops", frozenset({"*"}), {"sub": "key:ops"})))


@pytest.mark.parametrize(
    "claims", [{"exp": 1}, {"org": 7, "sub": "ann"}, {"org": None, "sub": "ann"}, {"sub": "ann", "exp": 1}]
)
async def test_claims_that_do_not_say_enough_show_nothing(docs: Nodes, claims: dict[str, object]) -> None:
    nodes = docs.by(Principal("jwt:?", frozenset({"*"}), claims))
    assert [] == await titles(nodes)
    with pytest.raises(RecordForbidden):
        await nodes.run("DocCreate", id="n", title="New", owner="ann")
    assert {"deleted": 0} == await nodes.run("DocBulkDelete", all=True)


async def test_a_page_and_its_cursor_pass_over_the_rest(docs: Nodes) -> None:
    first = await answer(docs.by(ANN), "DocList", sort=["-title"], limit=1, count="exact")
    assert (["Plan"], 2) == ([record["title"] for record in first["records"]], first["total"])
    second = await answer(docs.by(EVE), "DocList", sort=["-title"], limit=1, cursor=first["next_cursor"])
    assert ([], None) == (second["records"], second["next_cursor"])


async def test_the_record_of_another_can_be_neither_read_nor_changed(docs: Nodes) -> None:
    ann = docs.by(ANN)
    for params in ({"id": "x"}, {"where": {"title": "Plot"}}):
        with pytest.raises(RecordNotFound):
            await ann.run("DocRead", **params)
        with pytest.raises(RecordNotFound):
            await ann.run("DocUpdate", **params, fields={"rank": 9})
        with pytest.raises(RecordNotFound):
            await ann.run("DocUpdate", **params, fields={})
        with pytest.raises(RecordNotFound):
            await ann.run("DocUpdate", **params, fields={"rank": 9}, if_version=7)
        assert (await answer(ann, "DocDelete", **params))["deleted"] is False
    assert {"deleted": 0} == await ann.run("DocBulkDelete", ids=["x"])
    changed = await answer(ann, "DocBulkUpdate", records=[{"id": "x", "rank": 9}])
    assert ["missing"] == [entry["outcome"] for entry in changed["results"]]
    every = await ann.run("DocBulkUpdate", filter={}, fields={"rank": 5}, all=True)
    assert {"total": 2, "updated": 2, "missing": 0, "failed": 0} == every
    assert 3 == (await answer(docs, "DocRead", id="x"))["rank"]


async def test_the_record_of_another_is_not_overwritten(docs: Nodes) -> None:
    ann = docs.by(ANN)
    record = {"id": "x", "title": "Mine", "owner": "ann"}
    for conflict_on, given in (("id", record), ("title", {**record, "id": "n", "title": "Plot"})):
        with pytest.raises(UniqueViolation):
            await ann.run("DocUpsert", record=given, conflict_on=conflict_on)
        with pytest.raises(UniqueViolation):
            await ann.run("DocBulkUpsert", records=[given], conflict_on=conflict_on)
    with pytest.raises(UniqueViolation):
        await ann.run("DocCreate", **record)
    made = await answer(ann, "DocBulkCreate", records=[record], on_conflict="skip", returning="records")
    assert [{"index": 0, "outcome": "skipped", "id": None, "version": None}] == made["results"]
    there = await answer(docs, "DocRead", id="x")
    assert ("Plot", 1) == (there["title"], there["version"])


async def test_seeing_is_not_changing(docs: Nodes) -> None:
    bob = docs.by(BOB)
    with pytest.raises(RecordNotFound):
        await bob.run("DocUpdate", id="b", rank=9)
    assert {"id": "b", "deleted": False} == await bob.run("DocDelete", id="b")
    with pytest.raises(UniqueViolation):
        await bob.run("DocUpsert", record={"id": "b", "title": "Other", "owner": "bob"})
    assert 2 == (await answer(docs, "DocRead", id="b"))["rank"]


async def test_a_record_belongs_to_who_creates_it(docs: Nodes) -> None:
    made = await answer(docs.by(ANN), "DocCreate", id="n", title="New", owner="ann", org="acme")
    assert "acme" == made["org"]
    with pytest.raises(RecordForbidden) as refused:
        await docs.by(ANN).run("DocCreate", id="m", title="Mine", owner="ann", org="evil")
    assert ["/org"] == [fault.pointer for fault in refused.value.faults]
    for params in ({"id": "a", "org": "evil"}, {"id": "a", "fields": {"org": "evil"}}):
        with pytest.raises(RecordForbidden):
            await docs.by(ANN).run("DocUpdate", **params)
    with pytest.raises(RecordForbidden):
        await docs.by(ANN).run("DocBulkUpdate", filter={}, fields={"org": "evil"}, all=True)


async def test_what_is_written_must_be_such_as_the_caller_may_write(docs: Nodes) -> None:
    ann = docs.by(ANN)
    with pytest.raises(RecordForbidden):
        await ann.run("DocCreate", id="n", title="New", owner="bob")
    with pytest.raises(RecordForbidden):
        await ann.run("DocUpdate", id="a", owner="bob")
    with pytest.raises(RecordForbidden):
        await ann.run("DocUpsert", record={"id": "a", "title": "Plan", "owner": "bob"})
    with pytest.raises(RecordForbidden):
        await ann.run("DocUpsert", record={"id": "n", "title": "New"})
    with pytest.raises(RecordForbidden):
        await ann.run("DocBulkUpdate", filter={"id": "a"}, fields={"owner": "bob"})
    with pytest.raises(RecordForbidden):
        await ann.run("DocBulkUpsert", records=[{"id": "a", "title": "Plan", "owner": "bob"}])
    assert ["News", "Plan"] == await titles(ann)
    assert {"count": 3} == await docs.run("DocCount")


async def test_of_many_records_the_forbidden_ones_fail_alone(docs: Nodes) -> None:
    records = [
        {"id": "n1", "title": "N1", "owner": "ann"},
        {"id": "n2", "title": "N2", "owner": "bob"},
        {"id": "n3", "title": "N3", "owner": "ann", "org": "evil"},
        {"id": "n4", "title": "N4", "owner": "ann", "team_id": "black"},
    ]
    made = await answer(docs.by(ANN), "DocBulkCreate", records=records, mode="partial")
    outcomes = {entry["index"]: (entry["outcome"], entry.get("error", {}).get("code")) for entry in made["results"]}
    assert {
        0: ("inserted", None),
        1: ("failed", "forbidden"),
        2: ("failed", "forbidden"),
        3: ("failed", "reference_violation"),
    } == outcomes
    with pytest.raises(RecordForbidden) as refused:
        await docs.by(ANN).run("DocBulkCreate", records=[{**records[0], "id": "m", "title": "M"}, records[1]])
    assert ["/records/1"] == [fault.pointer for fault in refused.value.faults]
    for node in ("DocBulkCreate", "DocBulkUpsert"):
        with pytest.raises(RecordForbidden) as refused:
            await docs.by(ANN).run(node, records=[records[2]])
        assert ["/records/0/org"] == [fault.pointer for fault in refused.value.faults]
        with pytest.raises(InvalidInput):
            await docs.by(ANN).run(node, records=[records[2], {"id": 5}])
    changes = [{"id": "a", "owner": "bob"}, {"id": "b", "rank": 7}]
    changed = await answer(docs.by(ANN), "DocBulkUpdate", records=changes, mode="partial")
    assert {0: "failed", 1: "updated"} == {entry["index"]: entry["outcome"] for entry in changed["results"]}


async def test_the_record_of_another_cannot_be_referred_to(docs: Nodes) -> None:
    ann = docs.by(ANN)
    for team in ("black", "none"):
        with pytest.raises(ReferenceViolation) as refused:
            await ann.run("DocCreate", id="n", title="New", owner="ann", team_id=team)
        assert ("team_id",) == refused.value.fields
        with pytest.raises(ReferenceViolation):
            await ann.run("DocUpdate", id="a", team_id=team)
        with pytest.raises(ReferenceViolation):
            await ann.run("DocBulkUpdate", records=[{"id": "a", "team_id": team}])
        with pytest.raises(ReferenceViolation):
            await ann.run("DocUpsert", record={"id": "a", "title": "Plan", "owner": "ann", "team_id": team})


async def test_a_relation_leads_to_what_is_there_alone(docs: Nodes) -> None:
    await docs.run("DocUpdate", id="a", team_id="black")  # an operator may
    assert (await answer(docs.by(ANN), "DocRead", id="a", include=["team"]))["team"] is None


async def test_a_field_with_a_scope_is_not_there_without_it(docs: Nodes) -> None:
    ann, officer = docs.by(ANN), docs.by(member("acme", "hr", sub="ann"))
    with pytest.raises(Forbidden) as refused:
        await ann.run("DocCreate", id="n", title="New", owner="ann", salary=1)
    assert ("hr",) == refused.value.scopes
    assert 5 == (await answer(officer, "DocUpdate", id="a", salary=5))["salary"]
    seen = [
        await answer(ann, "DocRead", id="a"),
        await answer(ann, "DocUpdate", id="a", rank=1),
        (await answer(ann, "DocUpsert", record={"id": "a", "title": "Plan", "owner": "ann"}))["record"],
        (await answer(ann, "DocList", filter={"id": "a"}))["records"][0],
    ]
    assert ["salary" in record for record in seen] == [False] * 4
    by_salary: list[tuple[str, dict[str, object]]] = [
        ("DocList", {"filter": {"$or": [{"salary": {"$gt": 1}}]}}),
        ("DocList", {"sort": ["salary"]}),
        ("DocList", {"fields": ["salary"]}),
        ("DocCount", {"filter": {"salary": 5}}),
        ("DocBulkDelete", {"filter": {"salary": 5}}),
        ("DocBulkUpdate", {"filter": {"salary": 5}, "fields": {"rank": 0}}),
        ("DocBulkUpdate", {"records": [{"id": "a", "salary": 9}]}),
    ]
    for node, params in by_salary:
        with pytest.raises(Forbidden):
            await ann.run(node, **params)
    assert 5 == (await answer(officer, "DocRead", id="a"))["salary"]


async def test_records_may_refer_to_those_written_with_them(open_nodes: OpenNodes) -> None:
    fields = (
        Field(name="id", type=FieldType.INT, primary_key=True),
        Field(name="org", type=FieldType.STR),
        Field(name="parent_id", type=FieldType.INT, nullable=True, references=Reference("Tree", "id")),
    )
    nodes = (await open_nodes(restricted(Model(name="Tree", table="trees", fields=fields), tenant="org"))).by(ANN)
    made = await answer(nodes, "TreeBulkCreate", records=[{"id": 1}, {"id": 2, "parent_id": 1}])
    assert made["inserted"] == 2
    assert (await answer(nodes, "TreeCreate", id=3, parent_id=3))["parent_id"] == 3


async def test_a_key_with_a_claim_of_its_own_is_under_the_policies(docs: Nodes) -> None:
    key = Principal("key:ci", frozenset({"*"}), {"sub": "ann"})
    assert [] == await titles(docs.by(key))


async def test_an_upsert_does_not_tell_what_cannot_be_seen(open_nodes: OpenNodes) -> None:
    fields = (
        Field(name="id", type=FieldType.INT, primary_key=True),
        Field(name="pay", type=FieldType.INT, default=5, read_scope="hr"),
    )
    nodes = await open_nodes(Model(name="Pay", table="pays", fields=fields))
    await nodes.run("PayCreate", id=1)
    ann = nodes.by(ANN)
    with pytest.raises(Forbidden):
        await ann.run("PayUpsert", record={"id": 1, "pay": 5})
    with pytest.raises(Forbidden):
        await ann.run("PayBulkUpsert", records=[{"id": 1, "pay": 5}])


@pytest.mark.parametrize("name", ["value", "key", "type", "id", "json", "fullkey"])
async def test_an_array_may_be_called_like_a_column_of_json_each(open_nodes: OpenNodes, name: str) -> None:
    key = Field(name="pk", type=FieldType.INT, primary_key=True)
    array = Field(name=name, type=FieldType.ARRAY, items=FieldType.STR)
    model = restricted(Model(name="Tag", table="tags", fields=(key, array)), f"not {{{{claims.sub}}}} in {name}")
    nodes = await open_nodes(model)
    await nodes.run("TagBulkCreate", records=[{"pk": 1, name: ["ann", "x"]}, {"pk": 2, name: ["bob"]}])
    assert {"count": 1} == await nodes.run("TagCount", filter={name: {"$has": "x"}})
    assert [2] == [record["pk"] for record in (await answer(nodes.by(ANN), "TagList"))["records"]]
    changed = await answer(nodes.by(ANN), "TagBulkUpdate", records=[{"pk": 1, name: []}, {"pk": 2, name: []}])
    assert ["missing", "updated"] == [entry["outcome"] for entry in changed["results"]]
