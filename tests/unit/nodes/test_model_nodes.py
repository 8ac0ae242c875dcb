from __future__ import annotations

import pytest
from jsonschema import Draft202012Validator

from nexusd.definitions.model import Operation
from nexusd.definitions.workflow import Node
from nexusd.nodes.node import Effects
from tests.support.models import COMPANY, CONTACT, NOTE
from tests.support.nodes import node_types

TYPES = node_types({model.name: model for model in (COMPANY, CONTACT, NOTE)})


def node(operation: str, **params: object) -> Node:
    return Node(id="n", type=f"Contact{operation}Node", params=params)


def test_every_operation_has_a_node_type() -> None:
    assert {CONTACT.node_type(operation) for operation in Operation} <= TYPES.keys()


@pytest.mark.parametrize(
    ("operation", "effects"),
    [
        ("Read", Effects(database=True, idempotent=True)),
        ("List", Effects(database=True, idempotent=True)),
        ("Create", Effects(database=True, writes=True, keeps_answer=True)),
        ("BulkCreate", Effects(database=True, writes=True)),
        ("Update", Effects(database=True, writes=True, destructive=True)),
        ("Upsert", Effects(database=True, writes=True, destructive=True)),
        ("Delete", Effects(database=True, writes=True, destructive=True, idempotent=True)),
        ("BulkDelete", Effects(database=True, writes=True, destructive=True, idempotent=True)),
    ],
)
def test_effects(operation: str, effects: Effects) -> None:
    assert effects == TYPES[f"Contact{operation}Node"].effects(node(operation))


def test_result_shape_follows_the_params() -> None:
    read = TYPES["ContactReadNode"]
    assert {"type": "object"}.items() <= read.result(node("Read", id="1")).schema().items()
    assert "anyOf" in read.result(node("Read", id="1", required=False)).schema()
    listed = TYPES["ContactListNode"]
    record = listed.result(node("List", fields=["id"], include=["company"])).at("records")
    assert record is not None
    items = record.at(0)
    assert items is not None
    assert [True, True, False] == [items.at(name) is not None for name in ("id", "company", "name")]
    assert None is listed.result(node("List")).at("total")
    assert None is not listed.result(node("List", count="exact")).at("total")


@pytest.mark.parametrize("operation", [operation.suffix for operation in Operation])
def test_every_schema_is_a_schema(operation: str) -> None:
    """JSON Schema 2020-12; a param's slot shows its schema to callers."""
    node_type = TYPES[f"Contact{operation}Node"]
    Draft202012Validator.check_schema(node_type.result(node(operation)).schema())
    connected = frozenset({"filter", "sort", "records", "fields", "include", "conflict_on", "update", "ids", "where"})
    binding = node_type.bind(node(operation), {}, connected)
    for slot in binding.slots.values():
        Draft202012Validator.check_schema(slot.shape.schema())


def test_filter_schema_takes_what_the_filter_takes() -> None:
    slot = TYPES["ContactCountNode"].bind(node("Count"), {}, frozenset({"filter"})).slots["filter",]
    validator = Draft202012Validator(slot.shape.schema())
    taken: list[object] = [{}, {"city": None}, {"age": {"$gt": 5}}, {"$or": [{"name": "x"}]}, {"$not": {"age": 1}}]
    refused: list[object] = [{"nme": 1}, {"name": 5}, {"age": {"$like": "x"}}, {"name": {}}, {"$nor": []}, "x"]
    assert [True] * len(taken) == [validator.is_valid(found) for found in taken]
    assert [False] * len(refused) == [validator.is_valid(found) for found in refused]
