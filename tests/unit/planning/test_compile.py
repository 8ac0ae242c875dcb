from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nexusd import WorkflowBuilder
from nexusd.definitions.field_schema import portable
from nexusd.definitions.loader import load_registry
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import InvalidInput, MalformedBody
from nexusd.planning.plan import Scope, Strategy
from tests.support.plans import CREATE, compiled, plan, plans

if TYPE_CHECKING:
    from nexusd.definitions.workflow import Workflow


pytestmark = pytest.mark.usefixtures("in_folder")


def test_inputs_are_inferred_from_the_fields_that_templates_fill() -> None:
    schema = plan(CREATE).inputs_schema

    assert schema["required"] == ["name", "email"]
    assert schema["additionalProperties"] is False
    properties = schema["properties"]
    assert isinstance(properties, dict)
    assert properties["email"]["maxLength"] == 320
    assert [option.get("type") for option in properties["company"]["anyOf"]] == ["string", "null"]


def test_an_input_of_a_filter_is_required_though_its_field_is_nullable() -> None:
    search = '      search: {type: ContactListNode, params: {filter: {company: "{{company}}"}}}\n'

    assert plan(CREATE + search).inputs.required == {"name", "email", "company"}


def test_a_declared_input_may_leave_a_list_filter_out() -> None:
    search = '      search: {type: ContactListNode, params: {filter: {company: "{{company}}"}, limit: 10}}\n'
    found = plan(search, "    inputs: {company: {type: str, required: false}}\n")

    assert found.inputs.required == frozenset()
    assert found.decode(b"{}") == {}


def test_the_narrower_of_several_uses_counts() -> None:
    nodes = (
        CREATE
        + '      other: {type: ContactCreateNode, params: {name: "{{email}}", email: "b@b.b", company: "{{name}}"}}\n'
    )
    properties = plan(nodes).inputs_schema["properties"]

    assert isinstance(properties, dict)
    assert properties["email"]["maxLength"] == 320
    assert properties["name"]["type"] == "string"


def test_every_fault_of_the_inputs_is_told_with_its_pointer() -> None:
    found = plan(CREATE)

    with pytest.raises(InvalidInput) as caught:
        found.decode(b'{"name": 7, "nmae": "x", "company": null}')

    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [
        ("/inputs/name", "type"),
        ("/inputs/nmae", "unknown"),
        ("/inputs/email", "required"),
    ]
    assert "did you mean 'name'?" in caught.value.detail


@pytest.mark.parametrize("body", [b"[]", b"null", b"7", b"{", b'{"name": "\xff"}'])
def test_inputs_that_are_no_object_are_malformed(body: bytes) -> None:
    with pytest.raises(MalformedBody):
        plan(CREATE).decode(body)


def test_of_duplicate_keys_the_last_wins() -> None:
    assert plan(CREATE).decode(b'{"name": 1, "name": "a", "email": "b"}') == {"name": "a", "email": "b"}


def test_a_declared_default_fills_an_input_left_out() -> None:
    found = plan(CREATE, "    inputs: {company: {type: str, default: Acme}}\n")

    assert found.decode(b'{"name": "a", "email": "b"}')["company"] == "Acme"


def test_what_may_be_in_a_result_is_not_refused() -> None:
    found = plan(
        "      l: {type: ContactListNode, params: {fields: [id, '{{f}}']}}\n"
        "      m: {type: ContactBulkCreateNode, params: {records: '{{rs}}', returning: '{{r}}'}}\n"
        "      a: {type: TransformNode, params: {v: '{{x}}', l: ['{{x}}', {y: 1}], t: 'x{{x}}'}, when: y}\n"
        "      b: {type: TransformNode}\n      c: {type: MergeNode, from: [a, b]}\n"
        "      d: {type: TransformNode, foreach: '{{a.l}}', params: {y: '{{item.y}}', z: '{{item.z}}'}}\n"
        "      e: {type: TransformNode, params: {x: '{{b.n.x}}', y: '{{c.n}}', z: '{{m.results[0].record.id}}'}}\n",
        "    connections: [[l, count, b, n], [l, result, b, input]]\n"
        "    outputs: {a: '{{a.v.w}}', b: '{{a.l[0].z}}', c: '{{l.records[0].company}}', t: '{{a.t | upper}}'}\n",
    )

    assert list(found.outputs.properties) == ["a", "b", "c", "t"]


def test_nodes_stand_in_the_order_of_their_needs() -> None:
    nodes = (
        "      a: {type: ContactReadNode, params: {id: '{{b.id}}'}}\n"
        "      b: {type: ContactCreateNode, params: {name: x, email: '{{email}}'}}\n"
        "      c: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n"
    )
    found = plan(nodes)

    assert [node.id for node in found.nodes] == ["b", "a", "c"]
    assert [node.needs for node in found.nodes] == [(), (0,), (1,)]
    assert (found.strategy, found.transaction) == (Strategy.LINEAR, True)


def test_one_database_node_needs_no_transaction_and_effects_are_told() -> None:
    create, read = plan(CREATE), plan("      r: {type: ContactReadNode, params: {id: '{{id}}'}}\n")

    assert (create.transaction, create.read_only, create.destructive, create.idempotent) == (False, False, False, False)
    assert (read.transaction, read.read_only, read.destructive, read.idempotent) == (False, True, False, True)


def test_outputs_are_every_result_or_what_is_declared() -> None:
    assert list(plan(CREATE).outputs.properties) == ["create"]
    found = plan(CREATE, "    outputs: {key: '{{create.id}}', note: 'made {{name}}'}\n")
    schema = found.outputs_schema["properties"]
    assert isinstance(schema, dict)
    assert schema["key"]["type"] == "string"
    assert list(schema) == ["key", "note"]


SEARCH = "      search: {type: ContactListNode, params: {filter: {company: '{{company}}'}, limit: 10}}\n"


def seed(*, search: bool) -> Workflow:
    """The workflows of the first example, as Python builds them."""
    workflow = WorkflowBuilder()
    workflow.add_node(
        "ContactCreateNode", "create", {"name": "{{name}}", "email": "{{email}}", "company": "{{company}}"}
    )
    if search:
        workflow.add_node("ContactListNode", "search", {"filter": {"company": "{{company}}"}, "limit": 10})
        workflow.add_connection("create", "result", "search", "input")
    return replace(workflow.build(), name="w")


@pytest.mark.parametrize("search", [False, True])
def test_yaml_and_builder_give_equal_plans(search: bool) -> None:  # noqa: FBT001 - a parameter of the test
    edges = "    connections: [[create, result, search, input]]\n"
    from_yaml = plan(CREATE + SEARCH, edges) if search else plan(CREATE)
    registry = replace(load_registry("r.yaml", PythonDefinitions()), workflows={"w": seed(search=search)})
    from_builder = compiled(registry)["w"]

    assert from_builder.hash == from_yaml.hash
    assert from_builder.workflow == from_yaml.workflow
    assert from_builder.inputs_schema == from_yaml.inputs_schema
    assert from_builder.outputs_schema == from_yaml.outputs_schema
    for built, read in zip(from_builder.nodes, from_yaml.nodes, strict=True):
        assert (built.id, built.needs, built.pointers, built.effects) == (
            read.id,
            read.needs,
            read.pointers,
            read.effects,
        )
    same = ("transaction", "strategy", "read_only", "destructive", "idempotent")
    assert [getattr(from_builder, name) for name in same] == [getattr(from_yaml, name) for name in same]


def test_the_hash_of_a_plan_tells_what_it_was_made_of() -> None:
    hashes = {
        plan(CREATE).hash,
        plan(CREATE, "    timeout_s: 5\n").hash,
        plan(CREATE.replace("{{name}}", "{{nom}}")).hash,
        plans("  v: {nodes: {a: {type: ContactCountNode}}}\n  w: {nodes: {a: {type: WorkflowNode, workflow: v}}}\n")[
            "w"
        ].hash,
        plans("  v: {nodes: {b: {type: ContactCountNode}}}\n  w: {nodes: {a: {type: WorkflowNode, workflow: v}}}\n")[
            "w"
        ].hash,
    }

    assert len(hashes) == 5
    assert plan(CREATE).hash == plan(CREATE).hash


def test_what_items_must_be_is_inferred_from_what_they_fill() -> None:
    found = plan(
        "      a:\n        type: ContactCreateNode\n        foreach: '{{people}}'\n"
        "        params: {name: '{{item.name}}', email: '{{item.email | lower}}', age: '{{item.age | default(null)}}'}\n"
    )

    with pytest.raises(InvalidInput) as caught:
        found.decode(b'{"people": [{"name": "a", "email": "b"}, {"name": 7, "email": null, "more": 1}, {}]}')

    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [
        ("/inputs/people/1/name", "type"),
        ("/inputs/people/1/email", "type"),
        ("/inputs/people/2/name", "required"),
        ("/inputs/people/2/email", "required"),
    ]


def test_the_parts_of_an_object_are_inferred_too() -> None:
    found = plan(
        "      a: {type: ContactCreateNode, params: {name: '{{inputs.p.name}}', email: '{{inputs.p.at[0]}}'}}\n"
    )

    assert found.inputs_schema["properties"] == {
        "p": {
            "type": "object",
            "properties": {
                "name": {"type": "string", "pattern": "^[^\\u0000]*$"},
                "at": {"type": "array", "items": portable({})},
            },
            "required": ["name", "at"],
        }
    }


def test_an_input_inside_a_text_is_text_a_number_or_a_boolean() -> None:
    found = plan("      a: {type: ContactCreateNode, params: {name: 'Dr {{n}}', email: '{{e | trim}}'}}\n")

    assert found.decode(b'{"n": 7, "e": " a "}') == {"n": 7, "e": " a "}
    with pytest.raises(InvalidInput) as caught:
        found.decode(b'{"n": null, "e": 7}')
    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/n", "/inputs/e"]


def test_an_input_inside_a_text_may_be_compared_too() -> None:
    found = plan(
        "      a: {type: TransformNode, params: {x: 'n {{n}}'}, when: 'n > 3'}\n"
        "      b: {type: TransformNode, params: {x: 'n {{m}}'}, when: 'm'}\n"
    )

    assert found.inputs.required == {"n", "m"}


def test_a_declared_input_keeps_its_description_and_takes_the_limits_of_the_field() -> None:
    found = plan(CREATE, "    inputs: {email: {type: str, min_length: 3, description: Where to write.}}\n")

    assert found.inputs.properties["email"].schema() == {
        "type": "string",
        "minLength": 3,
        "maxLength": 320,
        "pattern": "^[^\\u0000]*$",
        "description": "Where to write.",
    }


def test_one_number_may_fill_an_integer_and_a_decimal() -> None:
    found = plan("      a: {type: ContactCreateNode, params: {name: a, email: b, age: '{{n}}', score: '{{n}}'}}\n")

    assert found.decode(b'{"n": 5}') == {"n": 5}


def test_an_output_that_is_an_input_left_out_is_null() -> None:
    search = '      search: {type: ContactListNode, params: {filter: {company: "{{company}}"}}}\n'
    found = plan(
        search,
        "    inputs: {company: {type: str, required: false}}\n"
        "    outputs: {company: '{{company}}', found: {n: '{{search.count}}', of: '{{company}}'}, text: 'n {{now}}'}\n",
    )
    schema = found.outputs_schema

    assert schema["required"] == ["company", "found", "text"]
    assert isinstance(schema["properties"], dict)
    assert schema["properties"]["company"]["anyOf"][1] == {"type": "null"}
    assert schema["properties"]["found"]["required"] == ["n"]
    assert found.render_outputs is not None
    scope = Scope({}, {"search": {"count": 3}}, "today", str)
    assert found.render_outputs(scope) == {"company": None, "found": {"n": 3}, "text": "n today"}


def test_control_keys_by_yaml_and_by_builder_give_equal_plans() -> None:
    from_yaml = plan(
        "      a: {type: ContactListNode, on_error: continue, retry: {attempts: 2, jitter: 0}}\n"
        "      s: {type: SwitchNode, cases: {few: 'size(a.records) < 2'}, default: many}\n"
        "      t: {type: TransformNode, params: {x: '{{item.id}}'}, when: \"s.case == 'few'\","
        " foreach: '{{a.records}}', concurrency: 2}\n"
        "      m: {type: MergeNode, from: [t, a]}\n"
    )
    built = (
        WorkflowBuilder()
        .add_node("ContactListNode", "a", on_error="continue", retry={"attempts": 2, "jitter": 0})
        .add_node("SwitchNode", "s", cases={"few": "size(a.records) < 2"}, default="many")
        .add_node(
            "TransformNode", "t", {"x": "{{item.id}}"}, when="s.case == 'few'", foreach="{{a.records}}", concurrency=2
        )
        .add_node("MergeNode", "m", from_=["t", "a"])
        .build()
    )
    registry = load_registry("r.yaml", PythonDefinitions())
    registry = replace(registry, workflows={"w": replace(built, name="w")})
    from_builder = compiled(registry)["w"]

    assert from_builder.workflow == from_yaml.workflow
    assert from_builder.hash == from_yaml.hash
    assert [node.needs for node in from_builder.nodes] == [node.needs for node in from_yaml.nodes]
    schema = from_yaml.outputs_schema["properties"]
    assert isinstance(schema, dict)
    assert schema["a"]["anyOf"][1] == {"type": "null"}
