from __future__ import annotations

import pytest

from nexusd.databases.refusals import refusal
from nexusd.definitions.model import Field, FieldType, Index, Model, Reference
from nexusd.errors import CheckViolation, DatabaseError, ReferenceViolation, UniqueViolation, ValueRefused

MODEL = Model(
    name="Contact",
    table="contact",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="email", type=FieldType.STR, unique=True, references=Reference("Mailbox", "address")),
        Field(name="tier", type=FieldType.ENUM, values=("free", "pro")),
    ),
    indexes=(Index(("tier", "email"), unique=True),),
    checks={"tier_known": "tier <> ''"},
)


@pytest.mark.parametrize(
    ("kind", "constraint", "fields"),
    [
        (UniqueViolation, "contact_id_pk", ("id",)),
        (UniqueViolation, "contact_email_uq", ("email",)),
        (UniqueViolation, "contact_tier_email_uq", ("tier", "email")),
        (ReferenceViolation, "contact_email_fk", ("email",)),
        (CheckViolation, "contact_tier_enum", ("tier",)),
        (CheckViolation, "contact_tier_known_check", ()),
    ],
)
def test_constraint_gives_its_fields(kind: type[DatabaseError], constraint: str, fields: tuple[str, ...]) -> None:
    error = refusal(kind, [MODEL], constraint=constraint, table="contact")
    assert (type(error), error.constraint, error.fields) == (kind, constraint, fields)


@pytest.mark.parametrize(
    ("kind", "columns", "constraint"),
    [
        (UniqueViolation, ("id",), "contact_id_pk"),
        (UniqueViolation, ("email",), "contact_email_uq"),
        (UniqueViolation, ("tier", "email"), "contact_tier_email_uq"),
        (UniqueViolation, ("tier",), None),
        (ReferenceViolation, ("email",), "contact_email_fk"),
        (ValueRefused, ("email",), None),
    ],
)
def test_columns_give_their_constraint(
    kind: type[DatabaseError],
    columns: tuple[str, ...],
    constraint: str | None,
) -> None:
    error = refusal(kind, [MODEL], table="contact", columns=columns)
    assert (error.constraint, error.fields) == (constraint, columns)


@pytest.mark.parametrize(
    ("constraint", "table", "columns"),
    [
        ("somebody_elses", "contact", ()),
        ("contact_email_uq", "other", ()),
        (None, "contact", ("secret",)),
        (None, None, ()),
    ],
)
def test_names_that_are_not_the_models_are_not_repeated(
    constraint: str | None,
    table: str | None,
    columns: tuple[str, ...],
) -> None:
    error = refusal(UniqueViolation, [MODEL], constraint=constraint, table=table, columns=columns)
    assert (error.constraint, error.fields) == (None, ())
    assert error.detail == "A record with these unique values exists already."


def test_check_is_told_by_its_declared_name() -> None:
    error = refusal(CheckViolation, [MODEL], constraint="contact_tier_known_check")
    assert error.detail == "the values do not pass the check tier_known"
