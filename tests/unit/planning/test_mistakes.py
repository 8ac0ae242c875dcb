from __future__ import annotations

from pathlib import Path

import pytest

from nexusd.definitions.loader import load_registry, read_registry
from nexusd.definitions.model import FieldType
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError
from tests.support.plans import CREATE, compiled, plan, plans, problems

pytestmark = pytest.mark.usefixtures("in_folder")


@pytest.mark.parametrize(
    ("nodes", "more", "problem"),
    [
        ("      a: {type: ContactCreatNode}\n", "", "14:17 there is no node type 'ContactCreatNode' (did you mean 'ContactCreateNode'?)"),
        ("      a: {type: ContactCreateNode, params: {nme: x, name: x, email: y}}\n", "", "14:50 there is no param named 'nme' (did you mean 'name'?)"),
        ("      a: {type: ContactCreateNode, params: {name: x, email: y, age: '8'}}\n", "", "14:69 must be an integer"),
        ("      a: {type: ContactCreateNode, params: {name: '{{', email: y}}\n", "", "14:51 not a template: a template begins with a name, such as {{ email }}"),
        ("      a: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n", "", "14:47 the node a cannot use its own result (an input of that name is inputs.a)"),
        ("      a: {type: ContactReadNode, params: {id: '{{b.id}}'}}\n      b: {type: ContactReadNode, params: {id: '{{a.id}}'}}\n", "", "14:10 the nodes wait for each other: a -> b -> a"),
        (CREATE + "      r: {type: ContactReadNode, params: {id: '{{create.idd}}'}}\n", "", "15:47 the result of create has no idd"),
        (CREATE + "      r: {type: ContactListNode, params: {limit: '{{create.name}}'}}\n", "", "15:50 create.name is a str; here must stand an int of 0 to 1000"),
        (CREATE, "    inputs: {phone: str}\n", "15:21 no template uses the input 'phone'"),
        (CREATE, "    inputs: {email: {type: str, required: false}}\n", "14:75 the input 'email' is declared required: false, but is needed here"),
        (CREATE, "    inputs: {name: int}\n", "14:56 the input 'name' must be a str here, and an int at r.yaml:15:20 (no value is both)"),
        (CREATE, "    connections: [[create, result, serch, input]]\n", "15:36 there is no node 'serch' (known: create)"),
        (CREATE + "      r: {type: ContactReadNode}\n", "    connections: [[create, idd, r, id]]\n", "16:28 create has no output 'idd' (`result` is the whole result; a field of it by its name)"),
        (CREATE + "      r: {type: ContactReadNode, params: {id: x}}\n", "    connections: [[create, id, r, id]]\n", "16:35 the param 'id' of r is given already"),
        (CREATE + "      name: {type: ContactCountNode}\n", "    inputs: {name: str}\n", "14:56 'name' is both an input and a node; write inputs.name or nodes.name"),
        ("      a: {type: ContactCountNode, when: 'nme == 1 &&'}\n", "", "14:41 not a condition: a value is missing at the end"),
        ("      a: {type: ContactCountNode, when: 'size(b)'}\n", "", "14:41 the condition gives number, not true or false"),
        ("      a: {type: ContactCountNode, when: 'nodes.b.x == 1'}\n", "", "14:41 there is no node 'b'"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.total == 1'}\n", "", "15:41 the result of a has no total (its parts: count)"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.count == true'}\n", "", "15:41 number and boolean are never equal"),
        ("      a: {type: ContactCountNode, concurrency: 2}\n", "", "14:48 concurrency means something only beside foreach"),
        ("      a: {type: ContactCountNode, foreach: 'a {{x}}'}\n", "", "14:44 foreach takes a list, or a template that gives one"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, foreach: '{{a.count}}'}\n", "", "15:44 a.count is an int of at least 0; here must stand a list"),
        ("      a: {type: ContactCountNode, on_error: b}\n", "", "14:45 on_error is fail, continue or a node; there is no node 'b' (known: a)"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactCountNode, when: 'a.count > 1', on_error: a}\n", "", "15:66 a does not come after b"),
        ("      a: {type: ContactCountNode, on_error: b}\n      b: {type: TransformNode, params: {x: '{{a.count}}'}}\n", "", "15:44 b runs when a failed, and then a has no result (input.code and input.detail tell what went wrong)"),
        ("      a: {type: TransformNode, params: {v: 1}}\n      b: {type: TransformNode, params: {w: '{{a.vv}}'}}\n", "", "15:44 the result of a has no vv (its parts: v)"),
        ("      a: {type: TransformNode, params: {v: 1}}\n", "    outputs: {o: '{{a.v}}', p: '{{a.vv}}'}\n", "15:32 the result of a has no vv (its parts: v)"),
        ("      a: {type: TransformNode, params: {v: {w: '{{x}}'}}}\n", "    outputs: {p: '{{a.v.x}}'}\n", "15:18 the result of a has no v.x (its parts: v)"),
        ("      a: {type: TransformNode, params: {v: [{w: 1}, {x: 2}]}}\n", "    outputs: {p: '{{a.v[0].y}}'}\n", "15:18 the result of a has no v[0].y (its parts: v)"),
        ("      a: {type: TransformNode, params: {v: 1}, foreach: [1]}\n", "    outputs: {p: '{{a[0].vv}}'}\n", "15:18 the result of a has no [0].vv"),
        ("      a: {type: TransformNode, params: {v: 1}}\n      b: {type: TransformNode, params: {w: x}}\n", "    connections: [[b, v, a, x]]\n", "16:23 b has no output 'v' (`result` is the whole result; a field of it by its name)"),
        ("      a: {type: TransformNode, params: {v: 1}}\n", "    outputs: {p: '{{a.v | lower}}'}\n", "15:18 a.v: the filter lower takes no integer"),
        ("      a: {type: SwitchNode, cases: {x: 'y'}}\n", "    outputs: {p: '{{a.kase}}'}\n", "15:18 the result of a has no kase (its parts: case)"),
        ("      a: {type: TransformNode, params: {v: 1}, when: y}\n      b: {type: ContactCountNode}\n      c: {type: MergeNode, from: [a, b]}\n      d: {type: MergeNode, from: [c]}\n", "    outputs: {p: '{{d.v}}', q: '{{d.count}}', r: '{{d.w}}'}\n", "18:50 the result of d has no w"),
        ("      a: {type: HttpRequestNode, params: {url: '{{url}}'}}\n", "", "14:48 http_allow lists no host (list those that it may ask)"),
        ("      a: {type: HttpRequestNode}\n      b: {type: TransformNode, params: {v: x}}\n", "    connections: [[b, v, a, url]]\n", "14:10 http_allow lists no host (list those that it may ask)"),
        ("      a: {type: ContactUpsertNode, params: {name: x, email: '" + "e" * 321 + "{{x}}'}}\n", "", "14:61 the text around the template has 321 characters already; at most 320 fit"),
        ("      a: {type: ContactListNode, params: {count: 'x{{y}}'}}\n", "", "14:50 this text is never one of none, capped, exact, whatever the template gives"),
        ("      a: {type: ContactListNode, params: {count: '{{y}}e{{z}}'}}\n      b: {type: ContactListNode, params: {count: '{{y}}exactly'}}\n", "", "15:50 this text is never one of none, capped, exact, whatever the template gives"),
        ("      a: {type: SwitchNode}\n", "", "14:10 a SwitchNode needs cases, a mapping of names to conditions"),
        ("      a: {type: SwitchNode, cases: {x: 'y ='}}\n", "", "14:40 not a condition: equality is written =="),
        ("      a: {type: MergeNode, from: [b]}\n", "", "14:35 there is no other node 'b'"),
        ("      a: {type: WorkflowNode, workflow: v}\n", "", "14:41 there is no workflow 'v'"),
        ("      a: {type: WorkflowNode, workflow: w}\n", "", "14:41 w runs w: a workflow cannot run itself"),
        ("      a: {type: ContactCountNode, call: 'm:f'}\n", "", "14:41 ContactCountNode has no key 'call'"),
        ("      a: {type: ContactReadNode, params: {id: '{{ item.id }}'}}\n", "", "14:47 item means something only in a node with foreach"),
        ("", "", "13:11 a workflow needs at least one node"),
        ("      continue: {type: ContactCountNode}\n", "", "14:7 'continue' cannot be a node's id: it is a word of on_error"),
        (CREATE + "      r: {type: ContactReadNode, params: {id: '{{crate.id}}'}}\n", "", "15:47 there is no node 'crate' (did you mean 'create'?) (an input that is an object is declared, or written inputs.crate)"),
        (CREATE, "    outputs: {x: '{{crate.id}}', y: '{{create.idd}}'}\n", "15:37 the result of create has no idd"),
        (CREATE, "    outputs: {x: '{{nodes.crate.id}}'}\n", "15:18 there is no node 'crate'"),
        (CREATE, "    inputs: {now: str}\n", "15:19 no template uses the input 'now' ({{ now }} means something else; the input is {{ inputs.now }})"),
        (CREATE, "    inputs: {name: {type: str, default: 7}}\n", "15:41 must be a string (its type is str)"),
        (CREATE, "    inputs: {name: {type: str, default: Zed, required: true}}\n", "15:56 the input 'name' is required and has a default (an input with a default may be left out; say one of the two)"),
        ("      a: {type: ContactListNode, params: {limit: '{{n}}'}}\n", "    inputs: {n: {type: int, default: -1}}\n", "15:38 the default does not fit where the input is used: must be at least 0"),
        ("      a: {type: ContactListNode, params: {limit: '{{n}}'}}\n", "    inputs: {n: {type: int, min: 2000}}\n", "14:50 the input 'n' must be an int of 0 to 1000 here, and an int of at least 2000 at r.yaml:15:17 (no value is both)"),
        ("      a: {type: ContactListNode, params: {limit: '{{n | default(-1)}}'}}\n", "", "14:50 the default does not fit here: must be at least 0"),
        ("      a: {type: ContactReadNode, params: {id: '{{n | length}}'}}\n", "", "14:47 n is a whole number; here must stand a str"),
        ("      a: {type: TransformNode, params: {x: '{{n.m}}'}}\n", "    inputs: {n: str}\n", "14:44 the input 'n' must be an object here, and a str at r.yaml:15:17 (no value is both)"),
        ("      a: {type: ContactListNode}\n      b: {type: TransformNode, params: {x: '{{a.records | lower}}'}}\n", "", "15:44 a.records: the filter lower takes no list"),
        ("      a: {type: ContactListNode}\n      b: {type: TransformNode, params: {x: 'of {{a.records}}'}}\n", "", "15:44 a.records is a list, which cannot stand inside a text (use the filter json, or let the template stand alone)"),
        ("      a: {type: TransformNode, params: {'{{x}}': 1}}\n", "", "14:50 a template stands in a value, never in a name"),
        ("      a: {type: TransformNode, params: {x: '{{input.y}}'}}\n", "", "14:44 nothing is connected to the input of a (write inputs. before the name of an input)"),
        ("      a: {type: ContactCountNode}\n      b: {type: TransformNode, params: {x: '{{input.y}}'}}\n", "    connections: [[a, result, b, input]]\n", "15:44 what is connected to input has no y"),
        ("      a: {type: ContactCountNode, on_error: b}\n      b: {type: TransformNode, params: {x: '{{input.cod}}'}}\n", "", "15:44 what is connected to input has no cod"),
        ("      a: {type: ContactCountNode}\n      b: {type: ContactReadNode}\n", "    connections: [[a, count, b, id]]\n", "16:23 a delivers an int of at least 0; id of b takes a str"),
        ("      a: {type: ContactListNode}\n      b: {type: ContactCountNode}\n", "    connections: [[a, 'records | length', b, input]]\n", "16:23 a has no output 'records | length' (`result` is the whole result; a field of it by its name)"),
        (CREATE + "      r: {type: ContactReadNode}\n", "    connections: [[create, id, r, id], [create, name, r, id]]\n", "16:58 another connection gives the param 'id' of r already"),
        ("      a: {type: ContactCountNode, on_error: b}\n      b: {type: TransformNode}\n", "    connections: [[a, count, b, n]]\n", "16:20 b runs when a failed, and then a has no result (without a connection input tells what went wrong)"),
        (CREATE + "      r: {type: ContactReadNode}\n", "    connections: [[create, id, r, idd]]\n", "16:35 there is no param named 'idd' (did you mean 'id'?)"),
        (CREATE + "      s: {type: SwitchNode, cases: {x: y}}\n", "    connections: [[create, result, s, input], [create, id, s, n]]\n", "16:63 a SwitchNode has no param 'n'"),
        (CREATE + "      v: {type: ContactUpdateNode, params: {id: x, fields: {name: y}}}\n", "    connections: [[create, name, v, email]]\n", "16:37 stands beside 'fields' (put it into 'fields')"),
        ("      v: {type: ContactCountNode}\n      h: {type: HttpRequestNode}\n", "    connections: [[v, count, h, urll]]\n", "16:33 there is no param named 'urll' (did you mean 'url'?)"),
        ("      s: {type: SwitchNode, cases: {big: 'n > 1'}, default: small}\n      b: {type: ContactCountNode, when: \"s.case == 'bg'\"}\n", "", "15:41 s.case is never 'bg'; it is big or small"),
        ("      a: {type: ContactCountNode, when: true}\n", "", "14:41 must be text"),
        ("      a: {type: ContactCountNode, when: 'name'}\n" + CREATE, "", "14:41 the condition gives text, not true or false"),
        ("      a: {type: TransformNode, foreach: '{{xs | default(1)}}'}\n", "", "14:41 the default does not fit here: must be a list"),
        ("      a: {type: ContactListNode}\n      b: {type: ContactReadNode, foreach: '{{a.records}}', params: {id: '{{item.idd}}'}}\n", "", "15:73 an item has no idd"),
        ("      b: {type: ContactReadNode, foreach: [{id: x}, {}], params: {id: '{{item.id}}'}}\n", "", "14:71 an item has no id"),
        ("      b: {type: ContactCreateNode, foreach: '{{xs}}', params: {name: '{{item}}', email: x, age: '{{item}}'}}\n", "", "14:97 no item is an int here and fits r.yaml:14:70 too"),
        ("      a: {type: ContactCountNode, on_error: h}\n      b: {type: TransformNode, params: {x: '{{a.count}}'}}\n      h: {type: TransformNode, params: {x: '{{b.x}}'}}\n", "", "14:45 h waits for b, which has no result when a failed (it would never run)"),
        ("      a: {type: ContactCountNode, on_error: b}\n      b: {type: ContactCountNode, on_error: a}\n", "", "14:10 the nodes wait for each other: a -> b -> a"),
        ("      a: {type: ContactCountNode, retry: {jitter: 2}}\n", "", "14:51 must be a number from 0 to 1"),
        ("      a: {type: ContactReadNode, params: {id: '{{id}}'}}\n", "    inputs: {id: {type: str, required: false}}\n", "14:47 the input 'id' is declared required: false, but is needed here"),
        ("      a: {type: ContactBulkDeleteNode, params: {filter: '{{f}}', all: true}}\n", "    inputs: {f: {type: json, required: false}}\n", "14:57 the input 'f' is declared required: false, but is needed here"),
    ],
)  # fmt: skip
def test_a_mistake_is_found_at_load_with_its_place(nodes: str, more: str, problem: str) -> None:
    assert problem in problems(nodes, more)


def test_workflows_that_run_each_other_are_refused() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans(
            "  a: {nodes: {x: {type: WorkflowNode, workflow: b}}}\n"
            "  b: {nodes: {x: {type: WorkflowNode, workflow: c}}}\n"
            "  c: {nodes: {x: {type: WorkflowNode, workflow: a}}}\n"
        )
    assert [(p.line, p.column, p.message) for p in caught.value.problems] == [
        (14, 49, "a runs b runs c runs a: a workflow cannot run itself")
    ]


def test_two_models_cannot_have_node_types_of_one_name() -> None:
    Path("r.yaml").write_text("version: 1\nmodels:\n  A: {fields: {id: str}}\n  ABulk: {fields: {id: str}}\n")
    registry = load_registry("r.yaml", PythonDefinitions())
    with pytest.raises(ConfigurationError, match=r"r\.yaml:4:10: the models A and ABulk would both have a ABulkCreate"):
        compiled(registry)


def test_problems_of_all_workflows_are_told_together() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans("  a: {nodes: {x: {type: Nope}}}\n  b: {nodes: {y: {type: Nope}}}\n")
    assert [p.line for p in caught.value.problems] == [12, 13]


BROKEN = """version: 1
models:
  A:
    table: as
    fields: {id: str, n: {type: int, max_length: 3}, name: str}
    publish: true
  B:
    fields: {id: str, a_id: {type: str, references: A.id}}
    publish: [create]
  C:
    fields: {id: str, name: strr}
  D:
    fields: {id: str, name: str, name: str}
  E:
    fields: {id: str, z_id: {type: str, references: Z.id}}
  F: {}
  G:
    fields: {id: str, name: str}
http_allow: ["http://x"]
toolsets: {t: [a_create, b_create, f_list, retried, nowhere]}
workflows:
  retried: {nodes: {a: {type: GCountNode, retry: {attempts: 0}}}}
  unknown_key: {nodes: {a: {type: GCountNode, retri: 1, params: {nope: 1}}}}
  mode: {transaction: maybe, nodes: {a: {type: GCountNode, params: {nope: 1}}}}
  twice: {nodes: {a: {type: GCountNode}, a: {type: GCountNode}}}
  calls:
    inputs: {n: int, o: {type: str, required: false}}
    nodes:
      a: {type: WorkflowNode, workflow: retried, params: {x: "{{o}}", y: [1]}}
      b: {type: TransformNode, params: {x: "{{a.nope.x}}", y: "{{g.nope}}"}}
      c: {type: ACreateNode, params: {name: 1, n: "{{n}}", more: "{{o}}"}, when: "a.x == 1"}
      d: {type: BListNode, params: {include: [a], filter: {x: "{{c.y.z}}"}}}
      e: {type: DReadNode}
      f: {type: WorkflowNode, workflow: a_create, params: {x: 1}}
      g: {type: GCountNode}
      h: {type: HttpRequestNode, allow_status: [404], params: {url: "https://x/"}}
      i: {type: WorkflowNode, workflow: twice}
      j: {type: FCreateNode, foreach: "{{d.records}}", params: {x: "{{item.id}}"}}
    connections: [[a, result, c, z], [c, id, e, id]]
  wrong: {nodes: {a: {type: GCountNode, params: {nope: 1}}}}
resources:
  "x://{id}": {workflow: retried}
"""


def test_mistakes_of_form_and_of_graphs_are_told_together_and_none_twice() -> None:
    Path("r.yaml").write_text(BROKEN)
    with pytest.raises(ConfigurationError) as caught:
        compiled(*read_registry("r.yaml", PythonDefinitions()))

    assert [(p.line, p.message) for p in caught.value.problems] == [
        (5, "max_length does not apply to int"),
        (11, "a field's type must be one of " + ", ".join(t.value for t in FieldType if t is not FieldType.ARRAY)),
        (13, "the key 'name' stands here twice"),
        (15, "there is no model 'Z'"),
        (16, "the model F has no fields"),
        (19, "is no host"),
        (20, "there is no workflow 'nowhere'"),
        (22, "must be an integer of at least 1"),
        (23, "unknown key 'retri' in a node"),
        (24, "transaction must be one of auto, all, none"),
        (25, "the key 'a' stands here twice"),
        (30, "the result of g has no nope"),
        (40, "there is no param named 'nope'"),
    ]


@pytest.mark.parametrize(
    "more",
    ["workflow: {}\n", "include: [no.yaml]\n", "python: ['no_such_here:db']\n", "models: {}\n", "workflows: []\n"],
)
def test_where_it_is_not_known_what_is_declared_nothing_is_judged_by_it(more: str) -> None:
    text = "version: 1\nworkflows: {w: {nodes: {a: {type: ContactCountNode}}}}\ntoolsets: {t: [v]}\nmodels: {}\n"
    Path("r.yaml").write_text(text + more)
    with pytest.raises(ConfigurationError) as caught:
        compiled(*read_registry("r.yaml", PythonDefinitions()))

    assert [p.line for p in caught.value.problems] == [5]


def test_mistakes_beside_the_definitions_hide_none_in_them() -> None:
    Path("r.yaml").write_text("version: 2\nprompts: {p: {}}\nworkflows: {w: {nodes: {a: {type: Nope}}}}\n")
    with pytest.raises(ConfigurationError) as caught:
        compiled(*read_registry("r.yaml", PythonDefinitions()))

    assert [p.line for p in caught.value.problems] == [1, 2, 3]


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


def test_host_that_is_not_listed_is_told_with_its_place() -> None:
    ask = "      ask: {type: HttpRequestNode, params: {url: 'https://api.example.com/{{x}}'}}\n"
    listed = (
        f"  w:\n    nodes:\n{ask}http_allow: ['API.example.com:443', 'bad host', 'http://x', 10.0.0.0/8, '[::1]:80']\n"
    )

    assert problems(ask) == ["14:50 the host api.example.com is not in http_allow (list it there)"]
    with pytest.raises(ConfigurationError) as caught:
        plans(listed)
    assert [(each.line, each.column, each.message) for each in caught.value.problems] == [
        (15, 37, "is no host"),
        (15, 49, "is no host"),
    ]
    allowed = plans(listed.replace("'bad host', 'http://x', ", ""))["w"]
    assert (allowed.read_only, allowed.inputs.required) == (True, frozenset({"x"}))


def test_asking_outside_beside_a_database_write_needs_a_mode() -> None:
    ask = "      ask: {type: HttpRequestNode, params: {url: '{{url}}'}}\n"
    allow = "http_allow: [example.com]\n"

    (told,) = problems(CREATE + ask, allow)
    assert told.startswith("13:5 the workflow writes to the database and calls what a rollback cannot undo (say")
    assert plan(CREATE + ask, f"    transaction: none\n{allow}").transaction is False


def test_text_that_never_fits_an_input_of_a_workflow_inside_is_told() -> None:
    with pytest.raises(ConfigurationError) as caught:
        plans(
            "  v:\n    inputs: {n: {type: int}, s: {type: str, max_length: 3, nullable: true}}\n"
            "    nodes: {a: {type: TransformNode, params: {n: '{{n}}', s: '{{s}}'}}}\n"
            "  w: {nodes: {a: {type: WorkflowNode, workflow: v, params: {n: 'x{{x}}', s: 'long{{x}}'}}}}\n"
        )
    assert [each.message for each in caught.value.problems] == [
        "a template inside a text gives text, which does not fit here",
        "the text around the template has 4 characters already; at most 3 fit",
    ]
