"""What `migrate new --from-plan` writes does what it is for when it is applied, with rows in the tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from nexusd.channels.cli.program import main
from nexusd.ddl.errors import MigrationFileInvalid, PlanBlocked
from nexusd.ddl.migration import Verdict
from tests.support.migrations import contacts, migrate, plan_of, registry_of, rows, schema, tables_of
from tests.support.schema_oracle import disagreements

if TYPE_CHECKING:
    from nexusd.ddl.options import DDLOptions

V1 = """      id: {type: str, primary_key: true}
      name: str
      nick: {type: str, nullable: true}
      company: {type: str, nullable: true, index: true}
      age: {type: int, nullable: true}
      code: {type: str, max_length: 10, nullable: true, unique: true}
"""
ROWS = (
    "INSERT INTO contacts (id, name, nick, company, code, age) VALUES ('1', 'a', '7', 'c', 'k', 5)",
    "INSERT INTO contacts (id, name) VALUES ('2', 'b')",
)


class Case(NamedTuple):
    """One change: what is replaced by what, what the file still asks for and what a person answers."""

    name: str
    old: str
    new: str
    asked: str = ""
    edits: tuple[tuple[str, str], ...] = ()
    on: str = "sqlite postgresql"


FILLED = (("= NULL WHERE", "= 'x' WHERE"),)
CASES = [
    Case("required field", "      name: str\n", "      name: str\n      phone: str\n", "contacts.phone is in the rows", FILLED),
    Case(
        "required reference", "      name: str\n", "      name: str\n      boss: {type: str, references: Contact.id}\n",
        "contacts.boss is in the rows", (("= NULL WHERE", "= '1' WHERE"),),
    ),
    Case(
        "required enum", "      name: str\n", "      name: str\n      tier: {type: enum, values: [x, y]}\n",
        "contacts.tier is in the rows", FILLED,
    ),
    Case("made required", "company: {type: str, nullable: true", "company: {type: str", "no contacts.company", FILLED),
    Case("made required without gaps", "name: {type: str, nullable: true}", "name: str"),
    Case("unique", "name: str", "name: {type: str, unique: true}"),
    Case(
        "unique with rows against it", "name: {type: str, nullable: true}", "name: {type: str, nullable: true, unique: true}",
        "rows are in the way",
    ),
    Case("unique over several", "  fields:\n", "  indexes: [{fields: [name, age], unique: true}]\n    fields:\n"),
    Case("rename", "nick: {type: str, nullable: true}", "handle: {type: str, nullable: true, renamed_from: nick}", on="postgresql"),
    Case("int to text", "age: {type: int", "age: {type: str"),
    Case("text to int", "nick: {type: str", "nick: {type: int"),
    Case("text to json", "nick: {type: str", "nick: {type: json", on="postgresql"),
    Case(
        "text to date", "nick: {type: str", "nick: {type: date", "rewrite the values",
        (("-- nexusd: decide rewrite the values of contacts.nick, and put in place of this line: ", ""), ('= "nick"', "= '2026-01-01'")),
        on="sqlite",
    ),
    Case(
        "narrower", "max_length: 10", "max_length: 5", "values may not fit",
        (("-- nexusd: decide values may not fit; if that is meant, put in place of this line: ", ""),), on="postgresql",
    ),
    Case("required field removed", "      name: str\n", ""),
    Case("unique and index dropped", ", nullable: true, unique: true", ", nullable: true"),
    Case("check changed", 'checks: {old: "age > 0"}', 'checks: {old: "age > 1"}'),
    Case("enum loses a value", "values: [x, y]", "values: [x]"),
    Case("reference changed", "references: Contact.id", "references: Contact.id, on_delete: cascade"),
]  # fmt: skip
EXTRA = {
    "check changed": ("    fields:\n", '    checks: {old: "age > 0"}\n    fields:\n'),
    "enum loses a value": (
        "      name: str\n",
        "      name: str\n      tier: {type: enum, values: [x, y], default: x}\n",
    ),
    "reference changed": (
        "      name: str\n",
        "      name: str\n      boss: {type: str, nullable: true, references: Contact.id}\n",
    ),
    "made required without gaps": ("name: str", "name: {type: str, nullable: true}"),
    "unique with rows against it": ("name: str", "name: {type: str, nullable: true}"),
}


@pytest.fixture(autouse=True)
def registry_in_folder(in_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NEXUSD_REGISTRY__PATH", str(in_folder / "r.yaml"))


def written(url: str, monkeypatch: pytest.MonkeyPatch, name: str = "step") -> Path:
    monkeypatch.setenv("DATABASE_URL", url)
    assert main(["migrate", "new", name, "--from-plan"]) == 0
    return max(Path("migrations").iterdir())


def contract(options: DDLOptions) -> DDLOptions:
    return replace(options, contract=True)


@pytest.mark.parametrize(
    ("database", "case"),
    [
        pytest.param(database, case, id=f"{case.name}-{database}")
        for case in CASES
        for database in ("sqlite", "postgres")
        if database in case.on
    ],
)
def test_a_recipe_leads_to_the_registry(
    database: str, case: Case, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    database_url: str = request.getfixturevalue(f"{database}_url")
    text = f"version: 1\nmodels:\n  Contact:\n    table: contacts\n    fields:\n{V1}"
    text = text.replace(*EXTRA.get(case.name, ("", "")), 1)
    assert case.old in text
    migrate(database_url, registry_of(text))
    for statement in ROWS:
        rows(database_url, statement)
    if case.name == "unique with rows against it":
        rows(database_url, "UPDATE contacts SET name = 'a'")
    wanted = registry_of(text.replace(case.old, case.new, 1))

    file = written(database_url, monkeypatch)

    recipe = file.read_text()
    assert (case.asked in recipe) is True
    if case.asked:
        before = schema(database_url)
        assert main(["migrate", "lint"]) == 4
        with pytest.raises(PlanBlocked, match=f"(?s)wait for you to finish them.*{case.asked}"):
            migrate(database_url, wanted)
        assert schema(database_url) == before
    for old, new in case.edits:
        assert old in recipe
        recipe = recipe.replace(old, new)
    file.write_text("".join(line for line in recipe.splitlines(keepends=True) if "nexusd: decide" not in line))
    rows(database_url, "UPDATE contacts SET name = id")
    assert migrate(database_url, wanted).verdict is Verdict.APPLIED
    assert migrate(database_url, wanted).verdict is Verdict.UNCHANGED
    assert plan_of(database_url, wanted).pending is False
    assert rows(database_url, "SELECT id FROM contacts ORDER BY 1") == [("1",), ("2",)]
    if case.name != "required field removed":
        assert disagreements(database_url, wanted.models) == []


def test_names_follow_a_table_and_columns_that_are_renamed_together(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """version: 1
models:
  Firm:
    table: firms
    fields: {id: {type: int, primary_key: true}, name: {type: str, unique: true}, kind: {type: enum, values: [a], default: a}}
    checks: {some: "name <> ''"}
    indexes: [{fields: [name, kind]}]
  Person: {table: people, fields: {id: {type: str, primary_key: true}, firm_id: {type: int, references: Firm.id}}}
"""
    migrate(postgres_url, registry_of(text))
    rows(postgres_url, "INSERT INTO firms (name) VALUES ('n')")
    for old, new in (
        ("table: firms", "table: companies\n    renamed_from: firms"),
        ("name: {", "title: {renamed_from: name, "),
        ("kind: {", "sort: {renamed_from: kind, "),
        ("name <>", "title <>"),
        ("[name, kind]", "[title, sort]"),
    ):
        text = text.replace(old, new, 1)
    wanted = registry_of(text)
    written(postgres_url, monkeypatch)

    assert migrate(postgres_url, wanted).verdict is Verdict.APPLIED

    assert migrate(postgres_url, wanted).verdict is Verdict.UNCHANGED
    assert disagreements(postgres_url, wanted.models) == []
    names = "SELECT conname FROM pg_constraint WHERE conrelid = 'companies'::regclass AND contype <> 'n' ORDER BY 1"
    assert rows(postgres_url, names) == [
        ("companies_id_pk",), ("companies_some_check",), ("companies_sort_enum",), ("companies_title_uq",)
    ]  # fmt: skip
    assert rows(postgres_url, "SELECT title, sort FROM companies") == [("n", "a")]


def test_a_column_whose_constraints_have_other_names_is_renamed(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = "    timestamps: false\n    versioned: false\n"
    fields = "      id: {type: str, primary_key: true}\n      name: {type: str, unique: true}\n"
    rows(postgres_url, "CREATE TABLE contacts (id text PRIMARY KEY, name text NOT NULL CONSTRAINT mine UNIQUE)")
    rows(postgres_url, ROWS[1])
    assert migrate(postgres_url, contacts(fields, options)).verdict is Verdict.ADOPTED
    wanted = contacts(fields.replace("name: {", "title: {renamed_from: name, "), options)
    written(postgres_url, monkeypatch)

    migrate(postgres_url, wanted)

    assert rows(postgres_url, "SELECT title FROM contacts") == [("b",)]
    assert migrate(postgres_url, wanted).verdict is Verdict.UNCHANGED


def test_what_was_removed_is_dropped_by_a_contract_file(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = "version: 1\nmodels:\n  Old: {fields: {id: {type: str, primary_key: true}}}\n  Contact:\n    table: contacts\n    fields:\n"
    extra = "      code: {type: enum, values: [a], default: a, unique: true}\n      old_id: {type: str, nullable: true, references: Old.id}\n"
    migrate(
        database_url, registry_of(f'{both}{V1.replace("code:", "key:")}{extra}    checks: {{some: "code <> name"}}\n')
    )
    rows(database_url, "INSERT INTO contacts (id, name) VALUES ('1', 'n')")
    rows(database_url, "ALTER TABLE contacts ADD COLUMN theirs text")
    less = contacts(V1.replace("code:", "key:"))
    migrate(database_url, less)
    migrate(database_url, less)

    file = written(database_url, monkeypatch)

    text = file.read_text()
    assert "phase=contract" in text
    for thing in ("drop_column contacts.code", "drop_column contacts.old_id", "drop_table old"):
        assert f"-- nexusd: allow {thing}\n" in text
    assert "theirs" not in [line.rpartition(".")[2] for line in text.splitlines() if "allow" in line]
    assert migrate(database_url, less).steps == 0
    migrate(database_url, less, change=contract)

    assert "old" not in tables_of(database_url)
    assert rows(database_url, "SELECT id, name, theirs FROM contacts") == [("1", "n", None)]
    for gone in ("code", "old_id"):
        with pytest.raises(Exception, match=gone):
            rows(database_url, f"SELECT {gone} FROM contacts")
    assert migrate(database_url, less).verdict is Verdict.UNCHANGED
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["migrate", "new", "nothing", "--from-plan"]) == MigrationFileInvalid.exit_code


def test_a_contract_file_that_waits_lets_plan_and_check_pass_as_a_start_does(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrate(database_url, contacts(V1))
    for statement in ROWS:
        rows(database_url, statement)
    contacts(V1.replace("name: str", "name: {type: str, unique: true}"))
    monkeypatch.setenv("DATABASE_URL", database_url)
    assert main(["migrate", "check"]) == 4
    file = written(database_url, monkeypatch)
    text = file.read_text()
    assert main(["migrate", "check"]) == 3

    file.write_text(f"-- nexusd: phase=contract\n{text}")

    assert main(["migrate", "check"]) == 3
    assert main(["migrate", "apply"]) == 0
    assert main(["migrate", "check"]) == 0
    assert main(["migrate", "apply", "--contract"]) == 0
    assert main(["migrate", "check"]) == 0
