"""`nexusd test`: cases from files, each on an empty database."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"

PASSING = """\
cases:
  - name: created
    workflow: create_contact
    given: {Contact: [{name: Bob, email: b@x.y}]}
    inputs: {name: Ann, email: a@x.y, tags: [vip]}
    expect:
      outputs: {create: {name: Ann, active: true, tags: [vip]}}
      rows: {Contact: [{name: Ann}, {name: Bob}]}
  - name: refused
    workflow: create_contact
    inputs: {age: -1}
    expect: {error: invalid_input, pointers: [/inputs/name, /inputs/email, /inputs/age], rows: {Contact: []}}
"""


def write_cases(folder: Path, text: str, name: str = "contacts.yaml") -> None:
    (folder / "tests").mkdir(exist_ok=True)
    (folder / "tests" / name).write_text(text, encoding="utf-8")


def one_case(expect: str, given: str = "{}", inputs: str = "{name: Ann, email: a@x.y}") -> str:
    return (
        "cases:\n  - name: one\n    workflow: create_contact\n"
        f"    given: {given}\n    inputs: {inputs}\n    expect: {expect}\n"
    )


def test_cases_that_hold_end_with_zero(nexusd: Nexusd, folder: Path) -> None:
    write_cases(folder, PASSING)
    done = nexusd("test")
    assert done.exit_code == 0
    assert done.out == "ok     tests/contacts.yaml:2 created\nok     tests/contacts.yaml:9 refused\n"
    assert done.err == "2 cases, 0 failed\n"
    assert not (folder / "nexusd.db").exists()


@pytest.mark.parametrize(
    ("text", "difference"),
    [
        (one_case("{outputs: {create: {name: Bob}}}"), 'outputs.create.name: expected "Bob", got "Ann"'),
        (one_case("{error: unique_violation}"), "error: expected unique_violation, but the workflow completed"),
        (one_case("{outputs: {}}", inputs="{}"), "error: the workflow ended with invalid_input: "),
        (
            one_case("{error: invalid_input, pointers: [/inputs/age]}", inputs="{name: Ann}"),
            "pointers: expected /inputs/age, got /inputs/email",
        ),
        (one_case("{rows: {Contact: [{name: Bob}]}}"), 'rows.Contact: no row is {"name":"Bob"}'),
        (one_case("{rows: {Contact: []}}"), 'rows.Contact: {"id":'),
        (one_case("{outputs: {}}", given="{Contact: [{name: 1}]}"), "given: invalid_input: "),
    ],
    ids=["outputs", "no error", "error", "pointers", "row missing", "row too many", "given"],
)
def test_case_that_does_not_hold_says_why_and_ends_with_one(
    nexusd: Nexusd, folder: Path, text: str, difference: str
) -> None:
    write_cases(folder, text)
    done = nexusd("test")
    lines = done.out.splitlines()
    assert (done.exit_code, lines[0]) == (1, "FAILED tests/contacts.yaml:2 one")
    assert lines[1].startswith(f"       {difference}")
    assert done.err == "1 case, 1 failed\n"


def test_one_file_may_be_named(nexusd: Nexusd, folder: Path) -> None:
    write_cases(folder, PASSING)
    write_cases(folder, one_case("{error: internal}"), "broken.yaml")
    assert nexusd("test", "tests/contacts.yaml").exit_code == 0
    assert nexusd("test").exit_code == 1


def test_results_are_there_for_programs(nexusd: Nexusd, folder: Path) -> None:
    write_cases(folder, PASSING)
    done = nexusd("test", "--output", "json", "--junit", "report.xml")
    assert (done.exit_code, done.payload["failed"]) == (0, 0)
    assert [(case["name"], case["passed"]) for case in done.payload["cases"]] == [("created", True), ("refused", True)]
    suite = ET.parse(folder / "report.xml").getroot()  # noqa: S314 - written a moment ago
    assert [case.get("name") for case in suite] == ["created", "refused"]


def test_every_mistake_in_cases_is_told_at_its_place(nexusd: Nexusd, folder: Path) -> None:
    write_cases(
        folder,
        "cases:\n"
        "  - {name: a, workflow: creat_contact, expect: {outputs: {}}}\n"
        "  - {name: b, workflow: create_contact, expect: {}}\n"
        "  - {name: c, workflow: create_contact, mocks: {}, expect: {error: nonsense}}\n"
        "  - {name: d, workflow: create_contact, given: {Contact: [{nam: x}]}, expect: {rows: {Company: []}}}\n"
        "  - {name: e, workflow: create_contact}\n",
    )
    done = nexusd("test")
    assert (done.exit_code, done.out) == (78, "")
    messages = [line.split(": ", 1)[1] for line in done.err.splitlines() if line.startswith("tests/")]
    assert [message.partition(" must be")[0] for message in messages] == [
        "there is no workflow 'creat_contact'",
        "expects nothing",
        "unknown key 'mocks' in a case",
        "an error",
        "unknown key 'nam' in a row of Contact",
        "there is no model 'Company'",
        "the case has no expect",
    ]


def test_nothing_to_run_ends_with_66(nexusd: Nexusd) -> None:
    done = nexusd("test")
    assert (done.exit_code, done.out, done.err) == (66, "", "error: tests: no file of cases is there\n")


def test_database_cannot_be_chosen(nexusd: Nexusd, folder: Path) -> None:
    write_cases(folder, PASSING)
    assert nexusd("test", "--database-url", "sqlite:///x.db").exit_code == 2
    assert nexusd("--database-url", "sqlite:///x.db", "test").exit_code == 2
