"""Models whose records belong to somebody, and the callers."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from nexusd.definitions.model import Field, FieldType, Model, Reference
from nexusd.definitions.policy import EVERY, Access, Claim, Policies, Tenant
from nexusd.definitions.policy_text import read_policy
from nexusd.definitions.principal import Principal


def restricted(model: Model, read: str = "", write: str = "", *, tenant: str = "") -> Model:
    """The model with these policies, as the registry would read them."""
    fields = tuple(replace(field, stamped=True) if field.name == tenant else field for field in model.fields)
    seen = read_policy(read, model.by_name) if read else EVERY
    written = read_policy(write, model.by_name) if write else seen
    rules = {access: seen if access is Access.READ else written for access in Access}
    return replace(model, fields=fields, policies=Policies(rules, Tenant(tenant, Claim(("org",))) if tenant else None))


def member(org: str, *scopes: str, sub: str = "") -> Principal:
    """Somebody of an organisation, known by a token."""
    return Principal(f"jwt:{sub or org}", frozenset(scopes), {"sub": sub or org, "org": org, "exp": 1})


TEAM: Final = restricted(
    Model(
        name="Team",
        table="teams",
        fields=(
            Field(name="id", type=FieldType.STR, primary_key=True),
            Field(name="name", type=FieldType.STR),
            Field(name="org", type=FieldType.STR),
        ),
    ),
    tenant="org",
)

DOC: Final = restricted(
    Model(
        name="Doc",
        table="docs",
        fields=(
            Field(name="id", type=FieldType.STR, primary_key=True),
            Field(name="title", type=FieldType.STR, unique=True),
            Field(name="org", type=FieldType.STR),
            Field(name="owner", type=FieldType.STR, nullable=True),
            Field(name="public", type=FieldType.BOOL, default=False),
            Field(name="rank", type=FieldType.INT, nullable=True),
            Field(name="salary", type=FieldType.INT, nullable=True, read_scope="hr", write_scope="hr"),
            Field(name="team_id", type=FieldType.STR, nullable=True, references=Reference("Team", "id")),
        ),
    ),
    "owner = {{claims.sub}} or public = true",
    "owner = {{claims.sub}}",
    tenant="org",
)
