"""`nexusd run` in this process, against a real database file."""

from __future__ import annotations

import io
import json
import sqlite3
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"
ANN = ("--name", "Ann", "--email", "ann@example.com")


def stored(folder: Path) -> list[Any]:
    with sqlite3.connect(folder / "nexusd.db") as connection:
        rows = connection.execute("SELECT name, email FROM contacts").fetchall()
    connection.close()
    return rows


def test_run_prints_the_outputs_object_and_stores_the_row(nexusd: Nexusd, folder: Path) -> None:
    done = nexusd("run", "create_contact", *ANN, "--age", "7", "--no-active", "--tags", '["a"]')
    assert (done.exit_code, done.err) == (0, "")
    assert list(done.payload) == ["create"]
    created = done.payload["create"]
    expected = {"name": "Ann", "email": "ann@example.com", "age": 7, "active": False, "tags": ["a"]}
    assert {key: created[key] for key in expected} == expected
    assert stored(folder) == [("Ann", "ann@example.com")]


@pytest.mark.parametrize(
    ("words", "active"),
    [
        (["--active"], True),
        (["--active", "true"], True),
        (["--active=false"], False),
        (["--active", "false"], False),
        (["--no-active"], False),
        ([], True),
    ],
    ids=str,
)
def test_boolean_is_a_switch_or_a_value(nexusd: Nexusd, words: list[str], active: bool) -> None:  # noqa: FBT001
    assert nexusd("run", "create_contact", *ANN, *words).payload["create"]["active"] is active


@pytest.mark.parametrize("source", ["text", "file", "stdin"])
def test_inputs_come_as_text_file_or_standard_input(
    nexusd: Nexusd, folder: Path, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    text = json.dumps({"name": "Zoë 🎈", "email": "zoe@example.com"}, ensure_ascii=False)
    (folder / "inputs.json").write_text(text, encoding="utf-8")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    given = {"text": text, "file": "@inputs.json", "stdin": "-"}[source]
    assert nexusd("run", "create_contact", "--inputs", given).payload["create"]["name"] == "Zoë 🎈"


def test_options_complete_what_inputs_gives(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contact", "--inputs", '{"name": "Ann"}', "--email", "ann@example.com")
    assert done.payload["create"]["email"] == "ann@example.com"


def test_input_that_is_given_twice_is_wrong_use(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contact", *ANN, "--inputs", '{"name": "Bob"}')
    assert (done.exit_code, done.out) == (2, "")
    assert "the input 'name' is given twice" in done.err


@pytest.mark.parametrize("inputs", ["{", "[]", "null", '"x"'])
def test_inputs_that_are_no_object_are_malformed(nexusd: Nexusd, inputs: str) -> None:
    done = nexusd("run", "create_contact", "--inputs", inputs, "--output", "json")
    assert (done.exit_code, done.out, done.problem["code"]) == (65, "", "malformed_body")


def test_inputs_file_that_is_not_there_is_wrong_use(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contact", "--inputs", "@nowhere.json")
    assert (done.exit_code, done.out) == (2, "")
    assert "nowhere.json cannot be read: No such file or directory" in done.err


@pytest.mark.parametrize(
    ("words", "inputs", "faults"),
    [
        (["--name", "Ann"], {"name": "Ann"}, [("/inputs/email", "required")]),
        (
            [*ANN, "--age", "old", "--active", "maybe", "--tags", "a"],
            {"name": "Ann", "email": "ann@example.com", "age": "old", "active": "maybe", "tags": "a"},
            [("/inputs/age", "type"), ("/inputs/active", "type"), ("/inputs/tags", "type")],
        ),
        (
            [*ANN, "--age", "-1"],
            {"name": "Ann", "email": "ann@example.com", "age": -1},
            [("/inputs/age", "out_of_range")],
        ),
    ],
    ids=["missing", "types", "range"],
)
def test_fault_is_the_same_by_option_and_by_json(
    nexusd: Nexusd, words: list[str], inputs: dict[str, object], faults: list[tuple[str, str]]
) -> None:
    by_option = nexusd("run", "create_contact", *words, "--output", "json")
    by_json = nexusd("run", "create_contact", "--inputs", json.dumps(inputs), "--output", "json")
    assert (by_option.exit_code, by_json.exit_code) == (65, 65)
    assert by_option.problem["errors"] == by_json.problem["errors"]
    assert [(fault["pointer"], fault["code"]) for fault in by_option.problem["errors"]] == faults


def test_fault_is_told_to_people_with_its_pointer(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contact", "--name", "Ann")
    assert done.err == "error: the inputs are not valid (invalid_input)\n  /inputs/email: is required\n"


def test_duplicate_is_told_without_the_value(nexusd: Nexusd) -> None:
    nexusd("run", "create_contact", *ANN)
    done = nexusd("run", "create_contact", *ANN)
    assert (done.exit_code, done.out) == (65, "")
    assert "(unique_violation)" in done.err
    assert "ann@example.com" not in done.err


def test_record_that_is_not_there_ends_with_66(nexusd: Nexusd) -> None:
    assert nexusd("run", "contact_read", "--id", "nobody").exit_code == 66


def test_unknown_workflow_ends_with_66_and_the_nearest(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contakt", *ANN)
    assert (done.exit_code, done.out) == (66, "")
    assert "did you mean 'create_contact'?" in done.err


@pytest.mark.parametrize("words", [["--phone", "1"], ["--nam=x"], ["extra"], ["--email"]], ids=str)
def test_unknown_words_are_wrong_use(nexusd: Nexusd, folder: Path, words: list[str]) -> None:
    done = nexusd("run", "create_contact", *ANN, *words)
    assert (done.exit_code, done.out) == (2, "")
    assert not (folder / "nexusd.db").exists()


def test_dry_run_keeps_nothing(nexusd: Nexusd, folder: Path) -> None:
    done = nexusd("run", "create_contact", *ANN, "--dry-run")
    assert (done.exit_code, done.payload["create"]["name"]) == (0, "Ann")
    assert stored(folder) == []


def test_table_shows_fields_by_row(nexusd: Nexusd) -> None:
    lines = nexusd("run", "create_contact", *ANN, "--output", "table").out.splitlines()
    assert lines[:2] == ["create:", "FIELD       VALUE"]
    assert "name        Ann" in lines


def test_help_of_a_workflow_lists_its_inputs(nexusd: Nexusd, folder: Path) -> None:
    done = nexusd("run", "create_contact", "--help")
    assert done.exit_code == 0
    assert done.out.startswith("Usage: nexusd run create_contact [OPTIONS]\n\n  Create a contact.\n")
    assert "--active [true|false]" in done.out
    assert not (folder / "nexusd.db").exists()


def test_help_without_a_workflow_lists_what_all_have(nexusd: Nexusd) -> None:
    done = nexusd("run", "--help")
    assert done.exit_code == 0
    assert done.out.startswith("Usage: nexusd run WORKFLOW [OPTIONS]")
    assert "--idempotency-key" in done.out


def test_run_without_a_workflow_is_wrong_use(nexusd: Nexusd) -> None:
    done = nexusd("run")
    assert (done.exit_code, done.out) == (2, "")
    assert "name the workflow to run" in done.err


@pytest.mark.parametrize(
    "words",
    [
        ("--registry", "other.yaml", "run", "create_contact", *ANN),
        ("run", "--registry", "other.yaml", "create_contact", *ANN),
        ("run", "create_contact", *ANN, "--registry", "other.yaml"),
        ("run", "create_contact", *ANN, "--set", "registry.path=other.yaml"),
    ],
    ids=["before the verb", "before the name", "last", "set"],
)
def test_settings_may_stand_anywhere(nexusd: Nexusd, folder: Path, words: tuple[str, ...]) -> None:
    (folder / "config" / "registry.yaml").rename(folder / "other.yaml")
    assert nexusd(*words).exit_code == 0


def test_registry_with_mistakes_ends_with_78_and_shows_them(nexusd: Nexusd, folder: Path) -> None:
    registry = folder / "config" / "registry.yaml"
    registry.write_text(registry.read_text(encoding="utf-8").replace("name: str", "name: string"), encoding="utf-8")
    in_words = nexusd("run", "create_contact", *ANN)
    assert (in_words.exit_code, in_words.out) == (78, "")
    assert in_words.err.startswith("config/registry.yaml:7:13: ")
    assert in_words.err.endswith("error: 1 problem\n")
    document = nexusd("run", "create_contact", *ANN, "--output", "json").problem
    assert (document["code"], document["problems"][0]["line"]) == ("configuration_error", 7)


def test_key_without_a_server_is_refused(nexusd: Nexusd) -> None:
    done = nexusd("run", "create_contact", *ANN, "--api-key", "k")
    assert (done.exit_code, done.out) == (2, "")
    assert "--api-key is for --server" in done.err


SPEAKING = """
  speak:
    nodes:
      s: {type: FunctionNode, call: "speaking:speak", params: {word: "{{word}}"}}
"""

FUNCTION = """
from nexusd import Context


async def speak(word: str, ctx: Context) -> str:
    await ctx.progress(1, 2, "half")
    await ctx.log("done", "warning")
    answer = await ctx.elicit("sure", "Sure?", {"type": "object", "properties": {}})
    return answer.action if word == "ask" else str(1 / 0)
"""


def test_what_a_function_says_goes_to_standard_error(nexusd: Nexusd, folder: Path) -> None:
    path = folder / "config" / "registry.yaml"
    path.write_text(path.read_text(encoding="utf-8") + SPEAKING, encoding="utf-8")
    (folder / "config" / "speaking.py").write_text(FUNCTION, encoding="utf-8")

    spoken = nexusd("run", "speak", "--word", "ask")
    assert (spoken.exit_code, spoken.payload, spoken.err) == (0, {"s": "cancel"}, "1/2 half\nwarning: done\n")
    assert nexusd("run", "speak", "--word", "ask", "--output", "json").err == ""

    failed = nexusd("run", "speak", "--word", "x")
    assert (failed.exit_code, failed.out) == (70, "")
    assert "s failed:\nbuiltins.ZeroDivisionError\n" in failed.err
    assert "speaking.py:9 speak\n" in failed.err
    assert nexusd("run", "speak", "--word", "x", "--output", "json").problem["code"] == "node_failed"
