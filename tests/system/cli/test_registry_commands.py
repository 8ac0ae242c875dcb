from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import jsonschema

from nexusd.documents import read_document
from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"


def break_registry(folder: Path) -> None:
    registry = folder / "config" / "registry.yaml"
    text = registry.read_text(encoding="utf-8")
    text = text.replace("name: str", "name: string").replace("ContactCreateNode", "ContactCreatNode")
    registry.write_text(text.replace("publish: [read,", "publish: [reed,"), encoding="utf-8")


def test_check_says_one_line_when_all_is_well(nexusd: Nexusd, folder: Path) -> None:
    done = nexusd("check")
    assert (done.exit_code, done.err) == (0, "")
    assert done.out == "config/registry.yaml: 1 model, 3 workflows, no problems\n"
    assert not (folder / "nexusd.db").exists()


def test_check_shows_every_problem_at_its_place(nexusd: Nexusd, folder: Path) -> None:
    break_registry(folder)
    done = nexusd("check")
    assert (done.exit_code, done.out) == (78, "")
    heads = [line for line in done.err.splitlines() if line.startswith("config/")]
    assert [head.split(":")[1] for head in heads] == ["7", "12", "18"]
    assert "\n        name: string\n              ^^^^^^\n  hint: did you mean 'str'?\n" in done.err
    assert done.err.endswith("error: 3 problems\n")


def test_check_in_json_is_for_programs(nexusd: Nexusd, folder: Path) -> None:
    assert nexusd("check", "--output", "json").payload == {"problems": [], "advice": []}
    break_registry(folder)
    done = nexusd("check", "--output", "json")
    assert (done.exit_code, done.err) == (78, "")
    assert [(p["file"], p["line"]) for p in done.payload["problems"]] == [
        ("config/registry.yaml", 7),
        ("config/registry.yaml", 12),
        ("config/registry.yaml", 18),
    ]


def test_check_for_github_annotates_lines(nexusd: Nexusd, folder: Path) -> None:
    assert nexusd("check", "--output", "github").out == ""
    break_registry(folder)
    done = nexusd("check", "--output", "github")
    assert done.exit_code == 78
    assert done.out.startswith("::error file=config/registry.yaml,line=7,col=13::")


ADVISED = """  many_contacts:
    nodes:
      create: {type: ContactCreateNode, foreach: "{{rows}}", params: {name: "{{item.name}}", email: "{{item.email}}"}}
      quick: {type: ContactReadNode, foreach: "{{ids}}", params: {id: "{{item}}"}}
  held:
    transaction: all
    nodes:
      create: {type: ContactCreateNode, params: {name: a, email: a@example.com}}
      fetch: {type: HttpRequestNode, params: {method: GET, url: "https://example.com/x"}}
      short: {type: HttpRequestNode, timeout_s: 2, params: {method: GET, url: "https://example.com/x"}}
http_allow: [example.com]
"""


def test_check_advises_where_a_registry_is_right_and_could_be_better(nexusd: Nexusd, folder: Path) -> None:
    registry = folder / "config" / "registry.yaml"
    text = registry.read_text(encoding="utf-8") + ADVISED
    registry.write_text(text, encoding="utf-8")
    lines = [text[: text.index(part)].count("\n") + 1 for part in ('foreach: "{{rows', "HttpRequestNode")]

    told, as_json, as_notes = (nexusd("check", *form) for form in ((), ("--output", "json"), ("--output", "github")))

    assert (told.exit_code, as_json.exit_code, as_notes.exit_code) == (0, 0, 0)
    assert told.out.endswith("no problems\n")
    heads = [line for line in told.err.splitlines() if line.startswith("advice: ")]
    assert [int(head.split(":")[2]) for head in heads] == lines
    assert "  hint: a ContactBulkCreateNode makes all of them by one" in told.err
    assert (as_json.payload["problems"], [each["line"] for each in as_json.payload["advice"]]) == ([], lines)
    assert [line.partition("line=")[2].split(",")[0] for line in as_notes.out.splitlines()] == [str(n) for n in lines]
    assert {line.split()[0] for line in as_notes.out.splitlines()} == {"::notice"}


def test_check_finds_mistakes_in_settings(nexusd: Nexusd) -> None:
    done = nexusd("check", "--set", "http.prt=1")
    assert done.exit_code == 78
    assert done.err == "--set http.prt: no such setting\n  hint: did you mean 'http.port'?\nerror: 1 problem\n"


def test_set_needs_a_key_and_a_value(nexusd: Nexusd) -> None:
    for wrong in ("http.port", "port=1", ""):
        assert nexusd("check", "--set", wrong).exit_code == 2


def test_workflows_in_json_are_those_of_http(nexusd: Nexusd) -> None:
    workflows = nexusd("workflows", "--output", "json").payload["workflows"]
    assert [workflow["name"] for workflow in workflows] == ["contact_list", "contact_read", "create_contact"]
    assert set(workflows[0]) == {"name", "description", "inputs", "outputs", "read_only", "durable", "scopes"}


def test_workflows_in_a_table_are_a_line_each(nexusd: Nexusd) -> None:
    lines = nexusd("workflows", "--output", "table").out.splitlines()
    assert lines[0].split() == ["NAME", "READ_ONLY", "DESCRIPTION"]
    assert lines[3].split(maxsplit=2) == ["create_contact", "false", "Create a contact."]


def test_one_workflow_has_its_graph(nexusd: Nexusd) -> None:
    shown = nexusd("workflows", "create_contact", "--output", "json").payload
    assert shown["nodes"]["create"]["type"] == "ContactCreateNode"
    assert shown["connections"] == []


def test_one_workflow_in_a_table_shows_inputs_and_nodes(nexusd: Nexusd) -> None:
    lines = nexusd("workflows", "create_contact", "--output", "table").out.splitlines()
    assert lines[0] == "create_contact: Create a contact."
    assert [line.split()[:3] for line in lines[2:5]] == [
        ["INPUT", "TYPE", "REQUIRED"],
        ["name", "string", "true"],
        ["email", "string", "true"],
    ]
    assert lines[-1].split() == ["create", "ContactCreateNode"]


def test_workflow_that_is_not_there_ends_with_66(nexusd: Nexusd) -> None:
    done = nexusd("workflows", "create_contakt", "--output", "json")
    assert (done.exit_code, done.out, done.problem["code"]) == (66, "", "workflow_not_found")


def test_schema_accepts_the_registries_of_this_project(nexusd: Nexusd) -> None:
    schema = nexusd("schema").payload
    validator = jsonschema.Draft202012Validator(schema)
    validator.check_schema(schema)
    for name in ("config/registry.yaml", "examples/crm/registry.yaml", "examples/crm/deals.yaml"):
        assert list(validator.iter_errors(read_document(ROOT / name).value)) == []


def test_openapi_describes_every_workflow(nexusd: Nexusd) -> None:
    document = nexusd("openapi").payload
    assert document["openapi"].startswith("3.1")
    assert {"/workflows/create_contact/execute", "/workflows/contact_list/execute"} <= document["paths"].keys()


STATEMENT = """\
  by_name:
    nodes:
      q:
        type: SqlNode
        sql: SELECT nme FROM contacts WHERE name = :name
        params: {name: "{{name}}"}
"""


def test_statement_that_the_database_cannot_run_is_told_at_start_with_its_place(nexusd: Nexusd, folder: Path) -> None:
    path = folder / "config" / "registry.yaml"
    path.write_text(path.read_text(encoding="utf-8") + STATEMENT, encoding="utf-8")
    checked = nexusd("check")
    assert (checked.exit_code, checked.out.splitlines()[1]) == (
        0,
        "not checked: 1 SQL statement, which a start shows to the database",
    )
    started = nexusd("run", "by_name", "--name", "x")
    assert started.exit_code == 78
    line = (
        path.read_text(encoding="utf-8").splitlines().index("        sql: SELECT nme FROM contacts WHERE name = :name")
    )
    assert f"config/registry.yaml:{line + 1}:14: there is no such column: nme\n" in started.err


def test_a_workflow_is_drawn_for_the_terminal_and_as_an_image(nexusd: Nexusd) -> None:
    drawn, image = nexusd("workflows", "create_contact", "--graph"), nexusd("workflows", "create_contact", "--svg")

    assert (drawn.exit_code, image.exit_code, drawn.err, image.err) == (0, 0, "", "")
    assert "│ ContactCreateNode │" in drawn.out
    assert image.out.startswith("<svg ")
    assert "ContactCreateNode" in image.out


def test_only_one_workflow_can_be_drawn(nexusd: Nexusd) -> None:
    assert nexusd("workflows", "--graph").exit_code == 2
    assert nexusd("workflows", "create_contact", "--svg", "--output", "json").exit_code == 2
    assert nexusd("workflows", "create_contac", "--svg").exit_code == 66
