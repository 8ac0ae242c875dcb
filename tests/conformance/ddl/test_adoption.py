"""Databases that something else made: taken as they are where that works, told apart where it does not."""

from __future__ import annotations

import pytest

from nexusd.channels.cli.program import main
from nexusd.ddl.errors import PlanBlocked
from nexusd.ddl.migration import Verdict
from nexusd.ddl.plan import Risk
from tests.support.migrations import contacts, migrate, plan_of, registry_of, rows, tables_of

SHOP = """version: 1
models:
  Customer:
    table: customers
    timestamps: false
    versioned: false
    fields:
      id: {type: int, primary_key: true}
      email: {type: str, unique: true, max_length: 255}
      bio: {type: str, nullable: true}
      active: {type: bool, default: true}
      balance: {type: decimal, precision: 12, scale: 2, default: "0"}
      joined: datetime
      age: {type: int, nullable: true}
  Invoice:
    table: invoices
    timestamps: false
    versioned: false
    fields:
      id: {type: uuid, primary_key: true}
      customer_id: {type: int, references: Customer.id, on_delete: cascade}
      status: {type: enum, values: [open, paid]}
"""
SHOP_BY_HAND = (
    """CREATE TABLE customers (id serial PRIMARY KEY, email varchar(255) NOT NULL UNIQUE, bio text,
    active boolean NOT NULL DEFAULT true, balance numeric(12,2) NOT NULL DEFAULT 0.00,
    joined timestamptz NOT NULL DEFAULT now(), age integer)""",
    """CREATE TABLE invoices (id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    customer_id integer NOT NULL REFERENCES customers ON DELETE CASCADE,
    status text NOT NULL CHECK (status IN ('open', 'paid')))""",
    "CREATE TABLE something_else (a integer)",
    "INSERT INTO customers (email) VALUES ('e@x')",
    "INSERT INTO invoices (customer_id, status) VALUES (1, 'open')",
)
PEOPLE = "      id: {type: str, primary_key: true}\n      name: str\n      nick: {type: str, nullable: true}\n"
PEOPLE_BY_HAND = (
    "CREATE TABLE contacts (id varchar(20) NOT NULL PRIMARY KEY, name text)",
    "INSERT INTO contacts VALUES ('1', 'n')",
)


pytestmark = pytest.mark.usefixtures("in_folder")


def run(url: str, *statements: str) -> None:
    for statement in statements:
        rows(url, statement)


def cli(url: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    monkeypatch.setenv("DATABASE_URL", url)
    monkeypatch.setenv("NEXUSD_REGISTRY__PATH", "r.yaml")
    return main(["migrate", *words])


def test_serial_keys_narrower_integers_collations_and_defaults_of_others_stay(postgres_url: str) -> None:
    run(postgres_url, *SHOP_BY_HAND)
    before = rows(postgres_url, "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
                                " WHERE table_name IN ('customers', 'invoices') ORDER BY 1, ordinal_position")  # fmt: skip

    assert migrate(postgres_url, registry_of(SHOP)).verdict is Verdict.ADOPTED
    assert migrate(postgres_url, registry_of(SHOP)).verdict is Verdict.UNCHANGED

    wider = registry_of(SHOP.replace("      active:", "      phone: {type: str, nullable: true}\n      active:"))
    assert [change.title for change in plan_of(postgres_url, wider).of(Risk.SAFE)] == [
        'add column customers.phone text COLLATE "C"'
    ]
    migrate(postgres_url, wider)
    after = rows(postgres_url, "SELECT table_name, column_name, data_type, column_default FROM information_schema.columns"
                               " WHERE table_name IN ('customers', 'invoices') AND column_name <> 'phone'"
                               " ORDER BY 1, ordinal_position")  # fmt: skip
    assert after == before
    assert "something_else" in tables_of(postgres_url)


def test_adopted_tables_serve_every_operation(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run(postgres_url, *SHOP_BY_HAND)
    registry_of(SHOP.replace("    versioned: false\n", "    versioned: false\n    publish: true\n"))
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    monkeypatch.setenv("NEXUSD_REGISTRY__PATH", "r.yaml")
    row = '"joined": "2026-01-01T00:00:00Z"'

    for workflow, inputs, said in (
        ("customer_create", f'{{"email": "a", "age": 5, {row}}}', '"id":2'),
        ("customer_list", '{"filter": {"age": {"$in": [5, 6]}, "email": {"$gte": "a"}}, "sort": ["-bio", "id"]}', '"count":1'),
        ("customer_update", '{"id": 2, "age": 6}', '"age":6'),
        ("customer_bulk_create", f'{{"records": [{", ".join(f"""{{"email": "b{n}", {row}}}""" for n in range(4))}]}}', '"inserted":4'),
        ("customer_upsert", f'{{"record": {{"id": 2, "email": "c", {row}}}}}', '"created":false'),
        ("customer_bulk_upsert", f'{{"records": [{", ".join(f"""{{"id": {n}, "email": "d{n}", "age": 7, {row}}}""" for n in (2, 3, 4, 90))}]}}', '"inserted":1'),
        ("invoice_create", '{"customer_id": 2, "status": "paid"}', '"status":"paid"'),
        ("customer_bulk_delete", '{"filter": {"age": {"$gt": 6}}}', '"deleted":4'),
    ):  # fmt: skip
        code = main(["run", workflow, "--inputs", inputs])
        out, err = capfd.readouterr()
        assert (code, said in out.replace(" ", "")) == (0, True), (workflow, out, err)
    assert main(["run", "customer_create", "--inputs", f'{{"email": "z", "age": 3000000000, {row}}}']) == 65


def test_what_differs_at_the_baseline_stays_and_what_is_missing_is_made(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    run(database_url, *PEOPLE_BY_HAND)
    models = contacts(PEOPLE, "    timestamps: false\n    versioned: false\n")
    with pytest.raises(PlanBlocked):
        migrate(database_url, models)

    assert cli(database_url, monkeypatch, "baseline") == 0
    assert "still to be made, by the next start: add column contacts.nick" in capfd.readouterr().err
    assert migrate(database_url, models).verdict is Verdict.APPLIED
    assert migrate(database_url, models).verdict is Verdict.UNCHANGED
    rows(database_url, "INSERT INTO contacts (id) VALUES ('2')")

    wider = contacts(
        PEOPLE + "      phone: {type: str, nullable: true}\n", "    timestamps: false\n    versioned: false\n"
    )
    migrate(database_url, wider)
    assert rows(database_url, "SELECT id, name, phone FROM contacts ORDER BY 1") == [
        ("1", "n", None),
        ("2", None, None),
    ]


def test_on_sqlite_a_table_is_not_built_anew_against_its_baseline(
    sqlite_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(sqlite_url, *PEOPLE_BY_HAND, "ALTER TABLE contacts ADD COLUMN nick TEXT")
    options = "    timestamps: false\n    versioned: false\n"
    contacts(PEOPLE, options)
    assert cli(sqlite_url, monkeypatch, "baseline") == 0

    with pytest.raises(PlanBlocked) as caught:
        migrate(sqlite_url, contacts(PEOPLE, f'{options}    checks: {{short: "length(nick) < 9"}}\n'))

    assert "set not null contacts.name" in caught.value.detail


def blocked_by(url: str, statement: str) -> str:
    rows(url, statement)
    with pytest.raises(PlanBlocked) as caught:
        migrate(url, contacts(PEOPLE))
    return caught.value.detail


def test_a_view_of_a_tables_name_is_told(database_url: str) -> None:
    said = blocked_by(database_url, "CREATE VIEW contacts AS SELECT 1 AS id")

    assert "create table contacts: guarded (a view" in said
    assert "fix: rename it or drop it in a file" in said


@pytest.mark.parametrize(
    ("what", "statement"),
    [
        ("a materialized view", "CREATE MATERIALIZED VIEW contacts AS SELECT 1 AS id"),
        ("a sequence", "CREATE SEQUENCE contacts"),
        ("a type", "CREATE TYPE contacts AS (a int)"),
    ],
)
def test_something_else_of_a_tables_name_is_told(postgres_url: str, what: str, statement: str) -> None:
    assert f"create table contacts: guarded ({what} is called so)" in blocked_by(postgres_url, statement)


def test_names_that_differ_in_case_alone_are_told_on_sqlite(sqlite_url: str) -> None:
    rows(sqlite_url, 'CREATE TABLE "Contacts" (id TEXT)')
    with pytest.raises(PlanBlocked, match="a table Contacts is called so"):
        migrate(sqlite_url, contacts(PEOPLE))
    run(sqlite_url, 'DROP TABLE "Contacts"')
    migrate(sqlite_url, contacts(PEOPLE))
    rows(sqlite_url, "INSERT INTO contacts (id, name, nick) VALUES ('1', 'n', 'k')")

    with pytest.raises(PlanBlocked, match="renamed_from: nick"):
        migrate(sqlite_url, contacts(PEOPLE.replace("nick:", "Nick:")))
    migrate(sqlite_url, contacts(PEOPLE.replace("nick: {", "Nick: {renamed_from: nick, ")))

    assert rows(sqlite_url, 'SELECT "Nick" FROM contacts') == [("k",)]


def test_a_schema_of_its_own_is_migrated_beside_another_with_a_ledger(postgres_url: str) -> None:
    migrate(postgres_url, contacts(PEOPLE))
    rows(postgres_url, "CREATE SCHEMA tenant")
    url = f"{postgres_url}?options=-c%20search_path%3Dtenant,public"

    assert migrate(url, contacts(PEOPLE)).verdict is Verdict.APPLIED
    assert migrate(url, contacts(PEOPLE)).verdict is Verdict.UNCHANGED
    assert (
        migrate(url, contacts(PEOPLE + "      a: {type: str, nullable: true, index: true}\n")).verdict
        is Verdict.APPLIED
    )

    assert migrate(postgres_url, contacts(PEOPLE)).verdict is Verdict.UNCHANGED
    ledgers = "SELECT schemaname FROM pg_tables WHERE tablename = '_nexusd_schema_state' ORDER BY 1"
    assert rows(postgres_url, ledgers) == [("public",), ("tenant",)]


def test_a_partitioned_table_is_adopted_and_changed(postgres_url: str) -> None:
    run(
        postgres_url,
        'CREATE TABLE contacts (id text COLLATE "C" PRIMARY KEY, name text NOT NULL) PARTITION BY HASH (id)',
        "CREATE TABLE contacts_0 PARTITION OF contacts FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "INSERT INTO contacts VALUES ('1', 'n')",
    )
    options = "    timestamps: false\n    versioned: false\n"
    fields = (
        PEOPLE
        + "      tier: {type: enum, values: [a], default: a}\n      age: {type: int, nullable: true, index: true}\n"
    )

    assert migrate(postgres_url, contacts(fields, options)).verdict is Verdict.APPLIED

    assert rows(postgres_url, "SELECT id, tier FROM contacts_0") == [("1", "a")]
    assert migrate(postgres_url, contacts(fields, options)).verdict is Verdict.UNCHANGED
