"""Models for tests: a small CRM, and one model with a field of every type."""

from __future__ import annotations

from typing import Final

from nexusd.definitions.model import Field, FieldType, Index, Model, OnDelete, Reference

COMPANY: Final = Model(
    name="Company",
    table="companies",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="name", type=FieldType.STR, unique=True),
    ),
)

CONTACT: Final = Model(
    name="Contact",
    table="contacts",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="name", type=FieldType.STR, max_length=100),
        Field(name="email", type=FieldType.STR, nullable=True, unique=True, format="email"),
        Field(name="city", type=FieldType.STR, nullable=True),
        Field(
            name="company_id",
            type=FieldType.STR,
            nullable=True,
            references=Reference("Company", "id", OnDelete.RESTRICT),
        ),
        Field(name="score", type=FieldType.DECIMAL, precision=12, scale=2, default="0"),
        Field(name="tier", type=FieldType.ENUM, values=("free", "pro"), default="free"),
        Field(name="age", type=FieldType.INT, nullable=True, minimum=0, maximum=150),
    ),
    indexes=(Index(("city", "name")),),
    checks={"score_positive": "score >= 0"},
)

NOTE: Final = Model(
    name="Note",
    table="notes",
    fields=(
        Field(name="id", type=FieldType.INT, primary_key=True),
        Field(name="title", type=FieldType.STR, unique=True),
        Field(name="body", type=FieldType.STR, default="empty"),
    ),
    soft_delete=True,
)
"""Integer keys, made by the database, and soft deletes."""

TALLY: Final = Model(
    name="Tally",
    table="tallies",
    fields=(
        Field(name="code", type=FieldType.STR, primary_key=True),
        Field(name="region", type=FieldType.STR),
        Field(name="year", type=FieldType.INT),
        Field(name="count", type=FieldType.INT, default=0),
    ),
    indexes=(Index(("region", "year"), unique=True),),
    timestamps=False,
    versioned=False,
)
"""A key not named id, a unique set of two fields, and nothing that the server keeps."""


def _scalar(kind: FieldType) -> Field:
    return Field(name=f"{kind.value}_value", type=kind, nullable=True)


EVERY: Final = Model(
    name="Every",
    table="every",
    fields=(
        Field(name="id", type=FieldType.UUID, primary_key=True),
        *(_scalar(kind) for kind in FieldType if kind not in {FieldType.ENUM, FieldType.ARRAY}),
        Field(name="enum_value", type=FieldType.ENUM, values=("a", "b"), nullable=True),
        Field(name="money", type=FieldType.DECIMAL, precision=15, scale=4, nullable=True),
        Field(name="long_money", type=FieldType.DECIMAL, precision=38, scale=10, nullable=True),
        *(
            Field(name=f"{kind.value}_list", type=FieldType.ARRAY, items=kind, nullable=True)
            for kind in FieldType
            if kind not in {FieldType.ENUM, FieldType.ARRAY, FieldType.JSON}
        ),
    ),
)
"""A field of every type, and a list of every type that lists can hold."""
