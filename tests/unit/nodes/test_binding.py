"""What a node type says of its params: slots for templates, problems with their place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.shape import Scalar
from nexusd.definitions.workflow import Node
from tests.support.models import COMPANY, CONTACT, NOTE
from tests.support.nodes import node_types

if TYPE_CHECKING:
    from nexusd.nodes.node import Binding


@dataclass(frozen=True)
class Placeholder:
    """A template as the planner hands it over."""

    is_whole: bool = True
    pieces: tuple[str, ...] = ("", "")


WHOLE = Placeholder()
PART = Placeholder(is_whole=False, pieces=("x", ""))
TYPES = node_types({model.name: model for model in (COMPANY, CONTACT, NOTE)})


def bind(node_type: str, params: dict[str, object], *connected: str) -> Binding:
    """Bind params of a node such as `ContactCreate`."""
    node = Node(id="n", type=f"{node_type}Node", params=params)
    return TYPES[node.type].bind(node, params, frozenset(connected))


def slots(binding: Binding) -> dict[str, str]:
    """For each template how its input may be left out: needed, optional or droppable."""
    return {
        "/".join(map(str, path)): "optional" if slot.optional else "droppable" if slot.droppable else "needed"
        for path, slot in binding.slots.items()
    }


def problems(binding: Binding) -> list[tuple[str, str]]:
    """Where the problems are, and message with hint."""
    return [
        ("/".join(map(str, problem.path)), f"{problem.message}; {problem.hint}".removesuffix("; "))
        for problem in binding.problems
    ]


@pytest.mark.parametrize(
    ("node_type", "params", "expected"),
    [
        ("ContactCreate", {"name": WHOLE, "email": WHOLE, "tier": WHOLE}, ["needed", "optional", "optional"]),
        ("ContactCreate", {"fields": {"name": PART, "id": WHOLE}}, ["needed", "optional"]),
        ("ContactCreate", {"fields": WHOLE}, ["needed"]),
        ("ContactUpdate", {"id": WHOLE, "name": WHOLE, "email": WHOLE}, ["needed", "droppable", "optional"]),
        ("ContactUpdate", {"id": WHOLE, "where": WHOLE, "name": "x"}, ["droppable", "droppable"]),
        ("ContactBulkDelete", {"filter": WHOLE, "ids": WHOLE, "all": True}, ["needed", "needed"]),
        ("ContactUpdate", {"where": {"email": WHOLE}, "fields": {"name": WHOLE}}, ["needed", "droppable"]),
        ("ContactUpdate", {"id": "1", "name": "x", "if_version": WHOLE}, ["droppable"]),
        ("ContactList", {"filter": {"city": WHOLE, "$or": [{"age": {"$in": WHOLE}}]}}, ["droppable", "droppable"]),
        ("ContactList", {"filter": WHOLE, "sort": WHOLE, "limit": WHOLE}, ["droppable", "optional", "optional"]),
        ("ContactList", {"sort": [WHOLE, "name"], "fields": ["id", WHOLE]}, ["needed", "needed"]),
        ("ContactBulkUpdate", {"filter": {"city": WHOLE}, "fields": {"age": WHOLE}}, ["needed", "optional"]),
        ("ContactBulkDelete", {"filter": WHOLE, "ids": WHOLE, "all": WHOLE}, ["droppable", "droppable", "optional"]),
        ("ContactBulkDelete", {"ids": [WHOLE, "1"]}, ["needed"]),
        ("ContactBulkCreate", {"records": [{"name": WHOLE, "city": WHOLE}]}, ["needed", "optional"]),
        ("ContactUpsert", {"record": WHOLE, "conflict_on": WHOLE}, ["needed", "optional"]),
    ],
)
def test_template_is_needed_where_leaving_it_out_would_widen_what_is_touched(
    node_type: str, params: dict[str, object], expected: list[str]
) -> None:
    binding = bind(node_type, params)
    assert [] == problems(binding)
    assert expected == list(slots(binding).values())


def test_slot_has_the_shape_of_its_place() -> None:
    binding = bind("ContactList", {"filter": {"city": WHOLE, "age": {"$gt": WHOLE}, "email": {"$contains": WHOLE}}})
    shapes = [slot.shape for slot in binding.slots.values()]
    assert all(isinstance(shape, Scalar) for shape in shapes)
    assert [("city", "str", True), ("age", "int", False), ("email", "str", False)] == [
        (shape.field.name, shape.field.type, shape.field.nullable) for shape in shapes if isinstance(shape, Scalar)
    ]


@pytest.mark.parametrize(
    ("node_type", "params", "expected"),
    [
        (
            "ContactCreate",
            {"nam": "x", "name": "y"},
            [("params/nam", "there is no param named 'nam'; did you mean 'name'?")],
        ),
        ("ContactCreate", {}, [("params", "field 'name' is required")]),
        ("ContactCreate", {"fields": {}}, [("params/fields", "'name' is required")]),
        ("ContactCreate", {"name": 5}, [("params/name", "must be a string")]),
        (
            "ContactCreate",
            {"name": "x", "fields": {"name": "x"}},
            [("params/name", "stands beside 'fields'; put it into 'fields'")],
        ),
        ("ContactCreate", {"name": "x", "age": PART}, [("params/age", "a template inside a text gives text")]),
        (
            "ContactCreate",
            {"fields": {"name": WHOLE, "emial": WHOLE}},
            [("params/fields/emial", "there is no field named 'emial'; did you mean 'email'?")],
        ),
        ("ContactRead", {}, [("params", "which record is meant is missing; give id or where")]),
        ("ContactRead", {"id": "1", "where": {"email": "x"}}, [("params/where", "id and where are both given")]),
        ("ContactRead", {"where": {"email": WHOLE, "name": WHOLE}}, [("params/where/name", "there is no field")]),
        ("NoteRead", {"where": {}}, [("params/where", "the fields do not identify one record; give id or title")]),
        ("ContactList", {"filter": {"cty": WHOLE}}, [("params/filter/cty", "there is no field named 'cty'")]),
        ("ContactList", {"filter": {"age": {"$lk": WHOLE}}}, [("params/filter/age/$lk", "there is no operator")]),
        ("ContactList", {"sort": ["-nme"]}, [("params/sort/0", "there is no field named 'nme'")]),
        ("ContactList", {"limit": 1001}, [("params/limit", "must be at most 1000")]),
        ("ContactList", {"cursor": "x", "offset": 1}, [("params/offset", "cursor and offset are both given")]),
        ("ContactList", {"include": ["boss"]}, [("params/include/0", "there is no relation named 'boss'")]),
        ("NoteList", {"include": ["boss"]}, [("params/include", "there is no param named 'include'")]),
        ("ContactList", {"include_deleted": True}, [("params/include_deleted", "there is no param")]),
        ("ContactBulkCreate", {}, [("params", "param 'records' is missing")]),
        (
            "ContactBulkCreate",
            {"records": [{"name": "x"}, {"name": 1}]},
            [("params/records/1/name", "must be a string")],
        ),
        ("ContactBulkDelete", {}, [("params", "param 'filter' is missing")]),
        ("ContactBulkDelete", {"filter": {}}, [("params/filter", "the filter lets every record through")]),
        ("ContactBulkUpdate", {"filter": {"age": 1}}, [("params", "param 'fields' is missing")]),
        ("ContactBulkUpdate", {"records": [], "filter": {}}, [("params/records", "filter and records are both")]),
        ("ContactUpsert", {"record": {"name": "x"}, "conflict_on": "name"}, [("params/conflict_on", "must be id or")]),
    ],
)
def test_problem_has_its_place_and_a_hint(
    node_type: str, params: dict[str, object], expected: list[tuple[str, str]]
) -> None:
    found = problems(bind(node_type, params))
    assert [place for place, _ in expected] == [place for place, _ in found]
    assert [] == [
        (message, start) for (_, message), (_, start) in zip(found, expected, strict=True) if start not in message
    ]


def test_connected_params_count_as_given() -> None:
    binding = bind("ContactRead", {}, "id", "input")
    assert ([], {"id": "needed"}) == (problems(binding), slots(binding))
    assert [("params/nme", "there is no param named 'nme'; did you mean 'name'?")] == problems(
        bind("ContactCreate", {"name": "x"}, "nme")
    )


def test_records_are_left_to_the_node_where_the_mode_may_be_partial() -> None:
    invalid = [{"name": 1}]
    strict = bind("ContactBulkCreate", {"records": WHOLE}).slots["records",]
    assert ["/records/0/name"] == [fault.pointer for fault in strict.shape.check(invalid, "/records")]
    for mode in ("partial", WHOLE):
        lenient = bind("ContactBulkCreate", {"records": WHOLE, "mode": mode}).slots["records",]
        assert [] == lenient.shape.check(invalid, "/records")
        assert ["/records"] == [fault.pointer for fault in lenient.shape.check({}, "/records")]
