from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexusd import WorkflowBuilder, catalog
from nexusd.databases.cursors import CursorSigner
from nexusd.definitions.loader import load_registry
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError, InvalidInput, MalformedBody
from nexusd.planning.plan import Strategy
from nexusd.planning.registry import compile_registry

if TYPE_CHECKING:
    from nexusd.planning.plan import Plan

MODELS = """version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      name: str
      email: {type: str, unique: true, max_length: 320}
      company: {type: str, nullable: true, index: true}
      age: {type: int, nullable: true}
      score: {type: decimal, precision: 12, scale: 2, default: "0"}
workflows:
"""


FIND = partial(PythonDefinitions().function, folder=Path())


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def plans(workflows: str) -> dict[str, Plan]:
    Path("r.yaml").write_text(MODELS + workflows)
    registry = load_registry("r.yaml", PythonDefinitions())
    return compile_registry(registry, catalog.node_types(registry, CursorSigner(b"k"), FIND))


def plan(nodes: str, more: str = "") -> Plan:
    return plans(f"  w:\n    nodes:\n{nodes}{more}")["w"]


def problems(nodes: str, more: str = "") -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        plan(nodes, more)
    return [f"{p.line}:{p.column} {p.message}" + (f" ({p.hint})" if p.hint else "") for p in caught.value.problems]


CREATE = (
    '      create: {type: ContactCreateNode, params: {name: "{{name}}", email: "{{email}}", company: "{{company}}"}}\n'
)


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
    compiled = plan(search, "    inputs: {company: {type: str, required: false}}\n")

    assert compiled.inputs.required == frozenset()
    assert compiled.decode(b"{}") == {}


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
    compiled = plan(CREATE)

    with pytest.raises(InvalidInput) as caught:
        compiled.decode(b'{"name": 7, "nmae": "x", "company": null}')

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
    compiled = plan(CREATE, "    inputs: {company: {type: str, default: Acme}}\n")

    assert compiled.decode(b'{"name": "a", "email": "b"}')["company"] == "Acme"


def test_nodes_stand_in_the_order_of_their_needs() -> None:
    nodes = (
        "      a: {type: ContactReadNode, params: {id: '{{b.id}}'}}\n"
        "      b: {type: ContactCreateNode, params: {name: x, email: '{{email}}'}}\n"
        "      c: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n"
    )
    compiled = plan(nodes)

    assert [node.id for node in compiled.nodes] == ["b", "a", "c"]
    assert [node.needs for node in compiled.nodes] == [(), (0,), (1,)]
    assert (compiled.strategy, compiled.transaction) == (Strategy.LINEAR, True)


def test_one_database_node_needs_no_transaction_and_effects_are_told() -> None:
    create, read = plan(CREATE), plan("      r: {type: ContactReadNode, params: {id: '{{id}}'}}\n")

    assert (create.transaction, create.read_only, create.destructive, create.idempotent) == (False, False, False, False)
    assert (read.transaction, read.read_only, read.destructive, read.idempotent) == (False, True, False, True)


def test_outputs_are_every_result_or_what_is_declared() -> None:
    assert list(plan(CREATE).outputs.properties) == ["create"]
    compiled = plan(CREATE, "    outputs: {key: '{{create.id}}', note: 'made {{name}}'}\n")
    schema = compiled.outputs_schema["properties"]
    assert isinstance(schema, dict)
    assert schema["key"]["type"] == "string"
    assert list(schema) == ["key", "note"]


def test_yaml_and_builder_give_equal_plans() -> None:
    from_yaml = plan(CREATE)
    built = WorkflowBuilder().add_node(
        "ContactCreateNode", "create", {"name": "{{name}}", "email": "{{email}}", "company": "{{company}}"}
    )
    Path("r.yaml").write_text(MODELS.replace("workflows:\n", ""))
    registry = load_registry("r.yaml", PythonDefinitions())
    workflows = {"w": replace(built.build(), name="w")}
    registry = type(registry)(models=registry.models, workflows=workflows, sources=registry.sources)
    from_builder = compile_registry(registry, catalog.node_types(registry, CursorSigner(b"k"), FIND))["w"]

    assert from_builder.hash == from_yaml.hash
    assert from_builder.inputs_schema == from_yaml.inputs_schema
    assert from_builder.outputs_schema == from_yaml.outputs_schema


@pytest.mark.parametrize(
    ("nodes", "more", "problem"),
    [
        ("      a: {type: ContactCreatNode}\n", "", "14:17 there is no node type 'ContactCreatNode' (did you mean 'ContactCreateNode'?)"),
        ("      a: {type: ContactCreateNode, params: {nme: x, name: x, email: y}}\n", "", "14:50 there is no param named 'nme' (did you mean 'name'?)"),
        ("      a: {type: ContactCreateNode, params: {name: x, email: y, age: '8'}}\n", "", "14:69 must be an integer"),
        ("      a: {type: ContactCreateNode, params: {name: '{{', email: y}}\n", "", "14:51 not a template: a template begins with a name, such as {{ email }}"),
        ("      a: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n", "", "14:47 the node a cannot use its own result"),
        ("      a: {type: ContactReadNode, params: {id: '{{b.id}}'}}\n      b: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n", "", "14:10 the nodes wait for each other: a -> b -> a"),
        (CREATE + "      r: {type: ContactReadNode, params: {id: '{{create.idd}}'}}\n", "", "15:47 the result of create has no idd"),
        (CREATE + "      r: {type: ContactListNode, params: {limit: '{{create.name}}'}}\n", "", "15:50 create.name is of another type than what stands here"),
        (CREATE, "    inputs: {phone: str}\n", "15:21 no template uses the input 'phone'"),
        (CREATE, "    inputs: {email: {type: str, required: false}}\n", "14:75 the input 'email' is declared required: false, but is needed here"),
        (CREATE, "    inputs: {name: int}\n", "14:56 nothing can be what the input 'name' must be here and elsewhere"),
        (CREATE, "    connections: [[create, result, serch, input]]\n", "15:36 there is no node 'serch' (known: create)"),
        (CREATE + "      r: {type: ContactReadNode}\n", "    connections: [[create, idd, r, id]]\n", "16:28 create has no output 'idd' (`result` is the whole result; a field of it by its name)"),
        (CREATE + "      r: {type: ContactReadNode, params: {id: x}}\n", "    connections: [[create, id, r, id]]\n", "16:35 the param 'id' of r is given already"),
        (CREATE + "      name: {type: ContactCountNode}\n", "    inputs: {name: str}\n", "14:56 'name' is both an input and a node; write inputs.name or nodes.name"),
        ("      a: {type: ContactCountNode, when: 'nme == 1 &&'}\n", "", "14:41 not a condition: a value is missing at the end"),
        ("      a: {type: ContactCountNode, when: 'size(b)'}\n", "", "14:41 the condition gives number, not true or false"),
        ("      a: {type: ContactCountNode, when: 'nodes.b.x == 1'}\n", "", "14:41 there is no node 'b'"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.total == 1'}\n", "", "15:41 the result of a has no total"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.count == true'}\n", "", "15:41 number and boolean are never equal"),
        ("      a: {type: ContactCountNode, concurrency: 2}\n", "", "14:48 concurrency means something only beside foreach"),
        ("      a: {type: ContactCountNode, foreach: 'a {{x}}'}\n", "", "14:44 foreach takes a list, or a template that gives one"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, foreach: '{{a.count}}'}\n", "", "15:44 a.count is of another type than what stands here"),
        ("      a: {type: ContactCountNode, on_error: b}\n", "", "14:45 on_error is fail, continue or a node; there is no node 'b' (known: a)"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.count > 1', on_error: a}\n", "", "15:66 a does not come after b"),
        ("      a: {type: ContactCountNode, on_error: b}\n      b: {type: TransformNode, params: {x: '{{a.count}}'}}\n", "", "15:44 b runs when a failed, and then a has no result (input.code and input.detail tell what went wrong)"),
        ("      a: {type: SwitchNode}\n", "", "14:10 a SwitchNode needs cases, a mapping of names to conditions"),
        ("      a: {type: SwitchNode, cases: {x: 'y ='}}\n", "", "14:40 not a condition: equality is written =="),
        ("      a: {type: MergeNode, from: [b]}\n", "", "14:35 there is no other node 'b'"),
        ("      a: {type: WorkflowNode, workflow: v}\n", "", "14:41 there is no workflow 'v'"),
        ("      a: {type: WorkflowNode, workflow: w}\n", "", "14:41 w runs w: a workflow cannot run itself"),
        ("      a: {type: ContactCountNode, call: 'm:f'}\n", "", "14:41 ContactCountNode has no key 'call'"),
        ("      a: {type: ContactReadNode, params: {id: '{{ item.id }}'}}\n", "", "14:47 item means something only in a node with foreach"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_at_load_with_its_place(nodes: str, more: str, problem: str) -> None:
    assert problem in problems(nodes, more)


def test_problems_of_all_workflows_are_told_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans("  a: {nodes: {x: {type: Nope}}}\n  b: {nodes: {y: {type: Nope}}}\n")
    assert [p.line for p in caught.value.problems] == [12, 13]


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
    from_builder = compile_registry(registry, catalog.node_types(registry, CursorSigner(b"k"), FIND))["w"]

    assert from_builder.workflow == from_yaml.workflow
    assert from_builder.hash == from_yaml.hash
    assert [node.needs for node in from_builder.nodes] == [node.needs for node in from_yaml.nodes]
    schema = from_yaml.outputs_schema["properties"]
    assert isinstance(schema, dict)
    assert schema["a"]["anyOf"][1] == {"type": "null"}


def test_function_is_found_beside_the_registry_and_its_absence_is_told_with_its_place() -> None:
    Path("scoring_beside.py").write_text("def score(name: str, bonus: int = 1) -> int:\n    return bonus\n")
    found = plan("      s: {type: FunctionNode, call: 'scoring_beside:score', params: {name: '{{name}}'}}\n")

    assert found.inputs.required == {"name"}
    assert problems(
        "      a: {type: FunctionNode, call: 'scoring_beside:nothing'}\n"
        "      b: {type: FunctionNode, call: 'no_such_here:f'}\n"
        "      c: {type: FunctionNode, params: {}}\n"
        "      d: {type: FunctionNode, call: 'scoring_beside:score', params: {name: 1, bonsu: 2}}\n"
    ) == [
        "14:37 the module scoring_beside has no 'nothing'",
        "15:37 the module no_such_here cannot be imported: ModuleNotFoundError: No module named 'no_such_here'",
        "16:10 a FunctionNode needs call, such as `call: crm.scores:score`",
        "17:76 must be a string",
        "17:86 there is no param named 'bonsu' (did you mean 'bonus'?)",
    ]


def test_function_that_is_not_pure_cannot_stand_in_a_transaction_unasked() -> None:
    Path("sending_beside.py").write_text("def send() -> None:\n    pass\n")
    send = "      send: {type: FunctionNode, call: 'sending_beside:send'}\n"

    (told,) = problems(CREATE + send)
    assert told.startswith("13:5 the workflow writes to the database and calls what a rollback cannot undo (say")
    assert plan(CREATE + send, "    transaction: all\n").transaction is True
    assert plan(CREATE + send.replace("send'}", "send', pure: true}")).transaction is True
