"""`nexusd test`: cases from files, each on an empty database."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias
from xml.etree import ElementTree as ET

import psycopg
import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable

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
        "  - {name: c, workflow: create_contact, mockd: {}, expect: {error: nonsense}}\n"
        "  - {name: d, workflow: create_contact, given: {Contact: [{nam: x}]}, expect: {rows: {Company: []}}}\n"
        "  - {name: e, workflow: create_contact}\n"
        "  - {name: f, workflow: create_contact, now: today, mocks: {creat: {result: 1}, create: {}}, expect: {error: internal}}\n"
        "  - {name: g, workflow: create_contact, mocks: {create: {error: no}}, expect: {node: create}}\n",
    )
    done = nexusd("test")
    assert (done.exit_code, done.out) == (78, "")
    messages = [line.split(": ", 1)[1] for line in done.err.splitlines() if line.startswith("tests/")]
    assert [message.partition(" must be")[0] for message in messages] == [
        "there is no workflow 'creat_contact'",
        "expects nothing",
        "unknown key 'mockd' in a case",
        "an error",
        "unknown key 'nam' in a row of Contact",
        "there is no model 'Company'",
        "the case has no expect",
        "must be an RFC 3339 date and time with an offset",
        "the workflow has no node 'creat'",
        "a mock gives a result or an error",
        "an error",
        "node belongs to an error; say which",
    ]


def test_nothing_to_run_ends_with_66(nexusd: Nexusd) -> None:
    done = nexusd("test")
    assert (done.exit_code, done.out, done.err) == (66, "", "error: tests: no file of cases is there\n")


LEDGER: Final = """\
version: 1
models:
  Account:
    table: accounts
    fields: {id: int, owner: {type: str, unique: true}, opened_at: datetime}
  Entry:
    table: entries
    fields:
      id: int
      account_id: {type: int, references: Account.id}
      amount: {type: decimal, precision: 12, scale: 2}
workflows:
  open_account:
    nodes:
      account: {type: AccountCreateNode, params: {owner: "{{owner}}", opened_at: "{{now}}"}}
      bonus: {type: FunctionNode, call: "bonuses:bonus", params: {owner: "{{owner}}"}}
      entry: {type: EntryCreateNode, params: {account_id: "{{account.id}}", amount: "{{bonus.amount}}"}}
    transaction: all
  open_each:
    transaction: none
    nodes:
      a: {type: AccountCreateNode, params: {owner: "{{first}}", opened_at: "{{now}}"}}
      b: {type: AccountCreateNode, params: {owner: "{{second}}", opened_at: "{{now}}"}}
    connections: [[a, result, b, input]]
  open_twice:
    nodes:
      one: {type: WorkflowNode, workflow: open_account, params: {owner: "{{owner}}"}}
    transaction: all
"""

CASES: Final = """\
cases:
  - name: a mock stands for a node, and now for the clock
    workflow: open_account
    now: 2026-03-01T12:00:00+01:00
    given: {Entry: [{account_id: 1, amount: "1"}], Account: [{owner: Bob, opened_at: 2020-01-01T00:00:00Z}]}
    inputs: {owner: Ann}
    mocks: {bonus: {result: {amount: "5.5"}}}
    expect:
      outputs: {account: {id: 2, opened_at: "2026-03-01T11:00:00.000000Z"}, entry: {amount: "5.50", account_id: 2}}
      rows: {Account: [{owner: Ann}, {owner: Bob}], Entry: [{amount: "1.00"}, {amount: "5.50"}]}
  - name: what a mock raises undoes the run
    workflow: open_account
    inputs: {owner: Ann}
    mocks: {bonus: {error: node_failed, detail: no luck}}
    expect: {error: node_failed, node: bonus, rows: {Account: []}}
  - name: a function runs, and knows that it is a dry run
    workflow: open_account
    inputs: {owner: Ann}
    expect: {outputs: {account: {id: 1}, bonus: {amount: "7", dry: true}}}
  - name: a node of a workflow inside can be mocked
    workflow: open_twice
    inputs: {owner: Ann}
    mocks: {one.bonus: {result: {amount: "3"}}}
    expect: {outputs: {one: {entry: {amount: "3.00"}}}}
  - name: without a transaction the first node stays
    workflow: open_each
    inputs: {first: Ann, second: Ann}
    expect: {error: unique_violation, rows: {Account: [{owner: Ann}]}}
  - name: a case that fails leaves nothing either
    workflow: open_account
    inputs: {owner: Ann}
    mocks: {bonus: {result: {amount: "5.5"}}}
    expect: {rows: {Account: [{owner: Eve}], Entry: [{amount: "5.50", account_id: 7}]}}
"""

FUNCTION: Final = """\
def bonus(owner: str, ctx) -> dict:
    return {"amount": "7", "dry": ctx.dry_run}
"""


def count_rows(url: str) -> dict[str, int]:
    """The rows of every table of an application."""
    if url.startswith("postgresql"):
        with psycopg.connect(url) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class c JOIN pg_namespace n ON n.oid = relnamespace WHERE relkind = 'r'"
                " AND nspname NOT IN ('pg_catalog', 'information_schema') AND relname NOT LIKE '\\_nexusd%'"
            ).fetchall()
            return {name: one(connection.execute(f'SELECT count(*) FROM "{name}"'.encode())) for (name,) in tables}
    path = url.removeprefix("sqlite:///")
    if not Path(path).exists():
        return {}
    with contextlib.closing(sqlite3.connect(path)) as connection:
        names = connection.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE '\\_nexusd%' ESCAPE '\\'"
            " AND name NOT LIKE 'sqlite%'"
        ).fetchall()
        return {name: one(connection.execute(f'SELECT count(*) FROM "{name}"')) for (name,) in names}


def one(cursor: sqlite3.Cursor | psycopg.Cursor[tuple[object, ...]]) -> int:
    row = cursor.fetchone()
    assert row is not None
    return int(str(row[0]))


def ledger(folder: Path, function: str = FUNCTION) -> None:
    # A module of another folder that has the same name would be refused.
    module = f"bonuses_of_{folder.name}"
    (folder / "config" / "registry.yaml").write_text(LEDGER.replace("bonuses:", f"{module}:"), encoding="utf-8")
    (folder / "config" / f"{module}.py").write_text(function, encoding="utf-8")


def test_cases_run_on_the_configured_database_and_leave_nothing(
    nexusd: Nexusd, folder: Path, database_url: str
) -> None:
    ledger(folder)
    write_cases(folder, CASES)
    assert nexusd("migrate", "apply", "--database-url", database_url).exit_code == 0
    made = nexusd("run", "open_each", "--first", "Ann", "--second", "Bob", "--database-url", database_url)
    before = count_rows(database_url)

    done = nexusd("test", "--database-url", database_url)

    assert made.exit_code == 0
    assert [line for line in done.out.splitlines() if not line.startswith("ok ")] == [
        "FAILED tests/contacts.yaml:29 a case that fails leaves nothing either",
        '       rows.Account: no row is {"owner":"Eve"}',
        f"       rows.Account: {done.out.split('rows.Account: ')[2].splitlines()[0]}",
        "       rows.Entry[0].account_id: expected 7, got 1",
    ]
    assert (done.exit_code, done.err) == (1, "6 cases, 1 failed\n")
    assert count_rows(database_url) == before
    assert before["accounts"] == 2


def test_tables_need_not_be_there(nexusd: Nexusd, folder: Path, database_url: str) -> None:
    write_cases(folder, PASSING)

    assert nexusd("test", "--database-url", database_url).exit_code == 0
    assert count_rows(database_url) == {}


def test_a_killed_run_leaves_nothing(folder: Path, postgres_url: str) -> None:
    sleeping = "print('began', file=sys.stderr)\n    time.sleep(60)"
    ledger(folder, f"import sys, time\ndef bonus(owner: str) -> dict:\n    {sleeping}\n")
    write_cases(folder, CASES.replace("mocks: {bonus: {error: node_failed, detail: no luck}}", ""))
    process = Daemon(folder, verb=("test", "--database-url", postgres_url))
    process.start()
    process.wait_for("text")

    assert process.stop(signal.SIGKILL) == -signal.SIGKILL
    assert count_rows(postgres_url) == {}


def test_a_database_that_is_not_there_is_told(nexusd: Nexusd, folder: Path) -> None:
    write_cases(folder, PASSING)
    done = nexusd("test", "--database-url", "postgresql://nobody@127.0.0.1:1/x")
    assert (done.exit_code, done.out) == (69, "")
