"""Every kind of change: found on both databases, made or blocked as the policy says, and not found again."""

from __future__ import annotations

from typing import NamedTuple

import pytest

from nexusd.ddl.errors import PlanBlocked
from nexusd.ddl.migration import Verdict
from nexusd.ddl.plan import BLOCKING, Risk
from tests.support.migrations import executor, migrate, plan_of, registry_of, rows, schema
from tests.support.schema_oracle import disagreements

BEFORE = """
      id: {type: str, primary_key: true}
      name: str
      email: {type: str, unique: true, max_length: 320}
      company: {type: str, nullable: true, index: true}
      age: {type: int, nullable: true}
      rank: {type: int, nullable: true}
      score: {type: decimal, precision: 12, scale: 2, default: "0"}
      tier: {type: enum, values: [free, pro], default: free}
      owner_id: {type: str, nullable: true, references: Owner.id}
"""
BASE_OPTIONS = """
    indexes: [{fields: [company, name]}, {fields: [name, age], unique: true}]
    checks: {old_enough: "age > 0"}
"""
OWNER = "  Owner: {table: owners, fields: {id: {type: str, primary_key: true}}}\n"
ROW = "INSERT INTO contacts (id, name, email, company, age) VALUES ('1', 'n', 'e@x', 'c', 5)"


class Case(NamedTuple):
    """One change: what is replaced by what, and what a plan says of it on each database."""

    name: str
    old: str
    new: str
    sqlite: str
    postgresql: str


SAFE = [
    Case(
        "nullable column",
        "      name: str\n",
        "      name: str\n      phone: {type: str, nullable: true}\n",
        "add_column phone safe",
        "add_column phone safe",
    ),
    Case(
        "column with a constant default",
        "      name: str\n",
        "      name: str\n      visits: {type: int, default: 0}\n",
        "add_column visits safe",
        "add_column visits safe",
    ),
    Case(
        "unique nullable column",
        "      name: str\n",
        "      name: str\n      code: {type: str, nullable: true, unique: true}\n",
        "add_column code safe, add_constraint contacts_code_uq safe",
        "add_column code safe, add_constraint contacts_code_uq safe",
    ),
    Case(
        "enum column",
        "      name: str\n",
        "      name: str\n      kind: {type: enum, values: [a, b], default: a}\n",
        "add_column kind safe, add_constraint contacts_kind_enum safe",
        "add_column kind safe, add_constraint contacts_kind_enum safe, validate_constraint contacts_kind_enum deferred",
    ),
    Case(
        "column that refers",
        "      name: str\n",
        "      name: str\n      boss_id: {type: str, nullable: true, references: Contact.id}\n",
        "add_column boss_id safe, add_constraint contacts_boss_id_fk safe",
        "add_column boss_id safe, add_constraint contacts_boss_id_fk safe, validate_constraint contacts_boss_id_fk deferred",
    ),
    Case(
        "default given",
        "      age: {type: int, nullable: true}",
        "      age: {type: int, nullable: true, default: 7}",
        "set_default age safe",
        "set_default age safe",
    ),
    Case("default changed", 'default: "0"}', 'default: "1.5"}', "set_default score safe", "set_default score safe"),
    Case("default removed", ', default: "0"}', "}", "drop_default score safe", "drop_default score safe"),
    Case(
        "not null dropped",
        "      name: str\n",
        "      name: {type: str, nullable: true}\n",
        "drop_not_null name safe",
        "drop_not_null name safe",
    ),
    Case("wider varchar", "max_length: 320", "max_length: 400", "", "alter_type email safe"),
    Case("varchar to text", ", max_length: 320", "", "", "alter_type email safe"),
    Case("more precision", "precision: 12", "precision: 14", "", "alter_type score safe"),
    Case(
        "enum gains a value",
        "[free, pro]",
        "[free, pro, gold]",
        "replace_constraint contacts_tier_enum safe",
        "replace_constraint contacts_tier_enum safe, validate_constraint contacts_tier_enum deferred",
    ),
    Case(
        "index",
        "      name: str\n",
        "      name: {type: str, index: true}\n",
        "create_index contacts_name_ix safe",
        "create_index contacts_name_ix safe",
    ),
    Case(
        "index over several",
        "{fields: [company, name]}",
        "{fields: [company, name]}, {fields: [tier, age]}",
        "create_index contacts_tier_age_ix safe",
        "create_index contacts_tier_age_ix safe",
    ),
    Case(
        "check",
        "checks: {",
        "checks: {named: \"name <> ''\", ",
        "add_constraint contacts_named_check safe",
        "add_constraint contacts_named_check safe, validate_constraint contacts_named_check deferred",
    ),
    Case(
        "reference",
        "      company: {type: str, nullable: true, index: true}",
        "      company: {type: str, nullable: true, index: true, references: Contact.id}",
        "",
        "",
    ),
    Case(
        "removed field is kept",
        "      rank: {type: int, nullable: true}\n",
        "",
        "extra_column rank kept",
        "extra_column rank kept",
    ),
]

GUARDED = [
    Case(
        "required column",
        "      name: str\n",
        "      name: str\n      phone: str\n",
        "add_column phone guarded",
        "add_column phone guarded",
    ),
    Case(
        "not null set",
        "company: {type: str, nullable: true",
        "company: {type: str",
        "set_not_null company guarded",
        "set_not_null company guarded",
    ),
    Case(
        "unique",
        "      name: str\n",
        "      name: {type: str, unique: true}\n",
        "add_constraint contacts_name_uq guarded",
        "add_constraint contacts_name_uq guarded",
    ),
    Case(
        "unique over several",
        "{fields: [company, name]}",
        "{fields: [company, name]}, {fields: [company, tier], unique: true}",
        "create_index contacts_company_tier_uq guarded",
        "create_index contacts_company_tier_uq guarded",
    ),
    Case(
        "unique dropped",
        "unique: true, max_length",
        "max_length",
        "drop_constraint contacts_email_uq guarded",
        "drop_constraint contacts_email_uq guarded",
    ),
    Case(
        "index dropped",
        "nullable: true, index: true}",
        "nullable: true}",
        "drop_index contacts_company_ix guarded",
        "drop_index contacts_company_ix guarded",
    ),
    Case(
        "index over others",
        "{fields: [company, name]}",
        "{fields: [company, tier]}",
        "create_index contacts_company_tier_ix safe, drop_index contacts_company_name_ix guarded",
        "create_index contacts_company_tier_ix safe, drop_index contacts_company_name_ix guarded",
    ),
    Case(
        "check dropped",
        'old_enough: "age > 0"',
        "",
        "drop_constraint contacts_old_enough_check guarded",
        "drop_constraint contacts_old_enough_check guarded",
    ),
    Case(
        "check changed",
        "age > 0",
        "age > 1",
        "replace_constraint contacts_old_enough_check guarded",
        "replace_constraint contacts_old_enough_check guarded",
    ),
    Case(
        "enum loses a value",
        "[free, pro]",
        "[free]",
        "replace_constraint contacts_tier_enum guarded",
        "replace_constraint contacts_tier_enum guarded",
    ),
    Case(
        "reference dropped",
        ", references: Owner.id",
        "",
        "drop_constraint contacts_owner_id_fk guarded",
        "drop_constraint contacts_owner_id_fk guarded",
    ),
    Case(
        "on delete changed",
        "references: Owner.id",
        "references: Owner.id, on_delete: cascade",
        "replace_constraint contacts_owner_id_fk guarded",
        "replace_constraint contacts_owner_id_fk guarded",
    ),
    Case(
        "another key",
        "      id: {type: str, primary_key: true}\n      name: str\n",
        "      id: str\n      name: {type: str, primary_key: true}\n",
        "replace_constraint contacts_name_pk guarded",
        "replace_constraint contacts_name_pk guarded",
    ),
    Case("int to text", "rank: {type: int", "rank: {type: str", "alter_type rank guarded", "alter_type rank guarded"),
    Case(
        "text to a date",
        "company: {type: str",
        "company: {type: date",
        "convert_values company guarded",
        "alter_type company guarded",
    ),
]

REFUSED = [
    Case("narrower varchar", "max_length: 320", "max_length: 100", "", "alter_type email refused"),
    Case(
        "less scale",
        "scale: 2",
        "scale: 1",
        "set_default score safe",
        "alter_type score refused, set_default score safe",
    ),
    Case(
        "float to int", "rank: {type: float", "rank: {type: int", "alter_type rank refused", "alter_type rank refused"
    ),
]

CONFIRMABLE = [case for case in GUARDED if case.name not in {"required column", "text to a date"}]


pytestmark = pytest.mark.usefixtures("in_folder")


def models(fields: str, options: str = BASE_OPTIONS) -> str:
    return f"version: 1\nmodels:\n{OWNER}  Contact:\n    table: contacts\n    fields:{fields}{options}"


def both_sides(case: Case) -> tuple[str, str]:
    """The registry before and after; of a case whose old text is new too, the one that has it."""
    before = models(BEFORE)
    if case.name == "float to int":
        before = before.replace("rank: {type: int", "rank: {type: float")
    assert case.old in before
    after = before.replace(case.old, case.new)
    if case.name == "reference":
        after = after.replace("references: Contact.id", "")
    return before, after


def migrate_and_finish(url: str, text: str, mode: str = "true") -> None:
    """A start's migration, and what it leaves for after the start."""
    run = executor(url, registry_of(text), mode)
    run.start()
    run.wait()
    run.run_deferred()


def found(url: str, text: str) -> str:
    plan = plan_of(url, registry_of(text))
    return ", ".join(f"{change.kind} {change.name} {change.risk}" for change in plan.changes)


def expected(url: str, case: Case) -> str:
    return case.sqlite if url.startswith("sqlite") else case.postgresql


def ids(cases: list[Case]) -> list[str]:
    return [case.name for case in cases]


@pytest.mark.parametrize("case", SAFE, ids=ids(SAFE))
def test_a_safe_change_is_made_and_not_found_again(database_url: str, case: Case) -> None:
    before, after = both_sides(case)
    migrate(database_url, registry_of(before))
    rows(database_url, ROW)

    assert found(database_url, after) == expected(database_url, case)
    migrate_and_finish(database_url, after)

    again = migrate(database_url, registry_of(after))
    assert (again.verdict, again.steps, again.deferred) == (Verdict.UNCHANGED, 0, 0)
    left = plan_of(database_url, registry_of(after))
    assert left.of(Risk.SAFE, Risk.DEFERRED, *BLOCKING) == ()
    assert rows(database_url, "SELECT id, email, age FROM contacts") == [("1", "e@x", 5)]
    if case.name != "removed field is kept":
        assert disagreements(database_url, registry_of(after).models) == []


@pytest.mark.parametrize("case", [*GUARDED, *REFUSED], ids=ids([*GUARDED, *REFUSED]))
def test_a_risky_change_blocks_and_changes_nothing(database_url: str, case: Case) -> None:
    before, after = both_sides(case)
    migrate(database_url, registry_of(before))
    rows(database_url, ROW)
    there = schema(database_url)

    assert found(database_url, after) == expected(database_url, case)
    if plan_of(database_url, registry_of(after)).blocked:
        with pytest.raises(PlanBlocked) as caught:
            migrate(database_url, registry_of(after))
        assert "fix: " in caught.value.detail
    assert schema(database_url) == there


@pytest.mark.parametrize("case", CONFIRMABLE, ids=ids(CONFIRMABLE))
def test_a_risky_change_that_is_wanted_is_made_and_not_found_again(database_url: str, case: Case) -> None:
    before, after = both_sides(case)
    migrate(database_url, registry_of(before))
    rows(database_url, ROW)

    migrate_and_finish(database_url, after, "all")

    assert [c for c in plan_of(database_url, registry_of(after)).changes if c.risk is not Risk.DEFERRED] == []
    assert disagreements(database_url, registry_of(after).models) == []
    assert rows(database_url, "SELECT id, email FROM contacts") == [("1", "e@x")]


@pytest.mark.parametrize("case", [*SAFE, *GUARDED, *REFUSED], ids=ids([*SAFE, *GUARDED, *REFUSED]))
def test_on_an_empty_table_everything_but_drops_is_made(database_url: str, case: Case) -> None:
    before, after = both_sides(case)
    migrate(database_url, registry_of(before))
    if " drop_constraint" in f" {case.postgresql}" or "drop_index" in case.postgresql:
        assert plan_of(database_url, registry_of(after)).blocked
        return

    migrate(database_url, registry_of(after))

    assert migrate(database_url, registry_of(after)).verdict is Verdict.UNCHANGED
    if case.name != "removed field is kept":
        assert disagreements(database_url, registry_of(after).models) == []
