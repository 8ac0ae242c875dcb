from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import jsonschema
import pytest

from nexusd.definitions.loader import load_registry
from nexusd.definitions.model import Field, FieldType, Index, OnDelete, Operation, Reference
from nexusd.definitions.registry_schema import registry_schema
from nexusd.documents import read_document
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.definitions.registry import Registry

HEAD = "version: 1\n"
MODEL = "models:\n  Contact:\n    fields:\n      id: str\n      name: str\n"


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield
    sys.modules.pop("beside_registry", None)


def loaded(text: str) -> Registry:
    Path("r.yaml").write_text(text)
    return load_registry("r.yaml", PythonDefinitions())


def problems(text: str) -> list[str]:
    """`line:column message` of each problem, in order."""
    with pytest.raises(ConfigurationError) as caught:
        loaded(text)
    return [f"{p.line}:{p.column} {p.message}" for p in caught.value.problems]


def test_the_shipped_registry_loads_and_fits_its_schema() -> None:
    path = ROOT / "config" / "registry.yaml"

    registry = load_registry(str(path), PythonDefinitions())

    assert sorted(registry.models) == ["Company", "Contact"]
    assert sorted(registry.workflows) == ["contact_workflow", "create_contact"]
    jsonschema.Draft202012Validator.check_schema(registry_schema())
    jsonschema.validate(read_document(path).value, registry_schema())


def test_a_model_has_what_it_declares() -> None:
    model = loaded(
        HEAD
        + """
models:
  Company: {fields: {id: {type: str, primary_key: true}}}
  LineItem:
    table: items
    fields:
      id: {type: int, primary_key: true}
      note: {type: str, nullable: true, max_length: 10, description: A note.}
      score: {type: decimal, precision: 12, scale: 2, default: 0}
      tier: {type: enum, values: [free, pro], default: free}
      tags: {type: array, items: str}
      company_id: {type: str, nullable: true, references: Company.id, on_delete: set_null}
    indexes: [{fields: [tier, note], unique: true}]
    checks: {positive: score >= 0}
    timestamps: false
"""
    ).models["LineItem"]

    assert (model.table, model.timestamps, model.versioned, model.soft_delete) == ("items", False, True, False)
    assert model.indexes == (Index(("tier", "note"), unique=True),)
    assert dict(model.checks) == {"positive": "score >= 0"}
    assert model.by_name["note"] == Field(
        name="note", type=FieldType.STR, nullable=True, max_length=10, description="A note."
    )
    assert model.by_name["score"].default == "0.00"
    assert model.by_name["company_id"].references == Reference("Company", "id", OnDelete.SET_NULL)
    assert [column.name for column in model.columns if column.managed] == ["version"]


def test_a_table_without_a_name_is_the_model_in_snake_case() -> None:
    text = HEAD + "models:\n  HTTPLogLine:\n    fields: {id: str}\n"

    assert loaded(text).models["HTTPLogLine"].table == "http_log_line"


def test_five_mistakes_are_five_problems_with_line_column_and_hint() -> None:
    text = """version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      email: {type: strr, uniqe: true}
      score: {type: int, default: "8"}
    tabel: contacts
workflows:
  create:
    nodes: {c: {params: {}}}
"""
    with pytest.raises(ConfigurationError) as caught:
        loaded(text)

    found = [(p.file, p.line, p.column, p.message, p.hint) for p in caught.value.problems]
    assert found == [
        ("r.yaml", 6, 21, "a field's type must be one of " + ", ".join(FieldType), "did you mean 'str'?"),
        ("r.yaml", 6, 27, "unknown key 'uniqe' in a field", "did you mean 'unique'?"),
        ("r.yaml", 7, 35, "must be an integer (its type is int)", ""),
        ("r.yaml", 8, 5, "unknown key 'tabel' in a model", "did you mean 'table'?"),
        ("r.yaml", 11, 16, "the node c has no type", "such as `type: ContactCreateNode`"),
    ]
    assert caught.value.exit_code == 78


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("models: {}\n", "1:1 the registry has no version"),
        ("version: 2\n", "1:10 this nexusd reads version 1 of the registry"),
        (HEAD + "modles: {}\n", "2:1 unknown key 'modles' in the registry"),
        (HEAD + "models: [a]\n", "2:9 models must be a mapping"),
        (HEAD + "models:\n  A:\n    fields: {name: str}\n", "4:13 there is no primary key"),
        (HEAD + "models:\n  A:\n    fields: {id: str, created_at: str}\n", "4:23 the field 'created_at' has a reserved name"),
        (HEAD + "models:\n  A:\n    fields: {id: float}\n", "4:14 a float cannot be a primary key"),
        (HEAD + "models:\n  A:\n    table: _nexusd_x\n    fields: {id: str}\n", "4:12 '_nexusd_x' cannot be a table's name"),
        (HEAD + "models:\n  A-b:\n    fields: {id: str}\n", "4:5 a model's name is letters and digits, beginning with a letter, such as Contact"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: int, min: 5, max: 1}}\n", "4:43 min must not be larger than max: no value would fit"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: decimal, min: 5, max: '4.99'}}\n", "4:47 min must not be larger than max: no value would fit"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: str, min_length: 5, max_length: 1}}\n", "4:50 min_length must not be larger than max_length: no value would fit"),
        (HEAD + "workflows:\n  a:\n    inputs: {b: {type: bigint, min: 5, max: 1}}\n    nodes: {n: {type: X}}\n", "4:37 min must not be larger than max: no value would fit"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: int, max_length: 3}}\n", "4:50 max_length does not apply to int"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: enum}\n", "4:26 an enum needs its values: {type: enum, values: [a, b]}"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: str, pattern: '('}}\n", "4:47 is not a regular expression: missing ), unterminated subpattern"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: str, references: B.id}}\n", "4:50 there is no model 'B'"),
        (HEAD + "models:\n  A:\n    fields: {id: str, b: {type: int, references: A.id}}\n", "4:50 A.id is a str, this field a int"),
        (HEAD + MODEL + "    indexes: [{fields: [nme]}]\n", "7:25 the model has no field 'nme'"),
        (HEAD + MODEL + "    cache: {max_age_s: 5}\n", "7:12 cache is not part of this version"),
        (HEAD + MODEL + "    publish: [raed]\n", "7:15 publish must be one of " + ", ".join(Operation)),
        (HEAD + "workflows:\n  a b: {nodes: {}}\n", "3:8 a workflow's name is letters, digits, _ and -, at most 64"),
        (HEAD + "workflows:\n  a:\n    nodes: {n: {type: X}}\n    connections: [[n, result]]\n", "5:19 a connection is [source node, output, target node, input]"),
        (HEAD + "workflows:\n  a:\n    durable: true\n    nodes: {n: {type: X}}\n", "4:14 durable is not part of this version"),
        (HEAD + "toolsets: {crm: [a]}\n", "2:18 there is no workflow 'a'"),
        (HEAD + 'python: ["nomodule_x:db"]\n', "2:10 the module nomodule_x cannot be imported: ModuleNotFoundError: No module named 'nomodule_x'"),
        (HEAD + 'python: ["os.path"]\n', "2:10 'os.path' is not of the form module:attribute"),
        (HEAD + 'workflows: {a: {from: "os:getcwd"}}\n', "2:23 os:getcwd gives a str, not a workflow; end it with WorkflowBuilder.build()"),
        (HEAD + "include: [other*.yaml]\n", "2:11 an include names one file; there are no patterns"),
        (HEAD + "include: [missing.yaml]\n", "2:11 there is no file 'missing.yaml' beside this one"),
    ],
)  # fmt: skip
def test_a_mistake_is_told_at_its_place(text: str, problem: str) -> None:
    assert problem in problems(text)


def test_tables_belong_to_one_model_each() -> None:
    text = HEAD + "models:\n  A: {table: t, fields: {id: str}}\n  B: {table: t, fields: {id: str}}\n"

    assert problems(text) == ["4:6 the table 't' belongs to the model A already"]


def test_tables_and_indexes_share_no_name() -> None:
    key = "k: {type: str, primary_key: true}"
    text = f"""{HEAD}models:
  Order: {{table: order, fields: {{{key}, item_name: {{type: str, index: true}}}}}}
  OrderItem: {{table: order_item, fields: {{{key}, name: {{type: str, index: true}}}}}}
  Case: {{table: Order, fields: {{{key}}}}}
  Twice: {{fields: {{{key}, a: {{type: str, index: true}}, b: {{type: str, unique: true}}}},
           indexes: [{{fields: [a]}}, {{fields: [a]}}, {{fields: [b], unique: true}}]}}
"""

    assert problems(text) == [
        "4:14 the index of name would be called order_item_name_ix, as that of Order (item_name) is",
        "5:9 the table 'Order' belongs to the model Order already",
    ]


def test_included_files_join_the_registry_and_keep_their_places(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "b.yaml").write_text(HEAD + "models:\n  B: {fields: {id: str}}\ninclude: [../r.yaml]\n")

    registry = loaded(HEAD + "include: [more/b.yaml]\nmodels:\n  A: {fields: {id: str}}\n")

    assert sorted(registry.models) == ["A", "B"]
    assert registry.sources.problem(("models", "B", "fields"), "x").render().startswith("more/b.yaml:3:15: x")


def test_a_name_that_two_files_define_is_told_with_both_places(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(HEAD + "models:\n  A: {fields: {id: str}}\n")

    with pytest.raises(ConfigurationError) as caught:
        loaded(HEAD + "models:\n  A: {fields: {id: str}}\ninclude: [b.yaml]\n")

    assert [p.render().splitlines()[0] for p in caught.value.problems] == [
        "b.yaml:3:6: the model 'A' is defined already"
    ]
    assert caught.value.problems[0].hint == "first in r.yaml at line 3"


def test_published_operations_are_workflows_of_one_node() -> None:
    registry = loaded(HEAD + MODEL + "    publish: [create, update, list]\n")

    assert sorted(registry.workflows) == ["contact_create", "contact_list", "contact_update"]
    create = registry.workflows["contact_create"]
    assert [(node.id, node.type) for node in create.nodes] == [("create", "ContactCreateNode")]
    assert {name: declared.required for name, declared in create.inputs.items()} == {"id": False, "name": True}
    update = registry.workflows["contact_update"]
    assert {name: declared.required for name, declared in update.inputs.items()} == {
        "id": False,
        "where": False,
        "if_version": False,
        "required": False,
        "name": False,
    }


def test_a_workflow_comes_from_a_module_beside_the_registry(tmp_path: Path) -> None:
    (tmp_path / "beside_registry.py").write_text(
        "from nexusd import DataFlow, WorkflowBuilder\n"
        "db = DataFlow()\n"
        "@db.model\n"
        "class Note:\n"
        "    id: str\n"
        "    text: str\n"
        "def note():\n"
        "    return WorkflowBuilder().add_node('NoteCreateNode', 'create', {'text': '{{text}}'}).build()\n"
    )

    registry = loaded(
        HEAD + 'python: ["beside_registry:db"]\nworkflows: {note: {from: "beside_registry:note", description: D}}\n'
    )

    assert sorted(registry.models) == ["Note"]
    assert registry.workflows["note"].description == "D"
    assert [node.type for node in registry.workflows["note"].nodes] == ["NoteCreateNode"]


@pytest.mark.parametrize("kind", ["date", "datetime", "time", "str"])
def test_bounds_of_a_type_that_has_none_are_told_at_their_place(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "r.yaml"
    path.write_text(HEAD + MODEL + f"      d: {{type: {kind}, min: 'a', max: 'b'}}\n")

    with pytest.raises(ConfigurationError) as caught:
        load_registry(str(path), PythonDefinitions())

    assert {problem.line for problem in caught.value.problems} == {7}
    assert any("does not apply" in problem.message for problem in caught.value.problems)
