"""`policies:`, `tenant:` and the scopes of fields, as the registry declares them (docs/authorization.md)."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.definitions.policy import EVERY, Access, Claim, Policies, Tenant
from nexusd.definitions.policy_text import PolicySyntax, read_policy
from nexusd.documents import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.model import Model
    from nexusd.definitions.policy import FilterTree

POLICY_KEYS: Final = ("read", "write", "create", "update", "delete")
TENANT_KEYS: Final = ("field", "claim")


def with_policies(model: Model, options: Mapping[str, Entry]) -> Model:
    """The model with its policies; problems are noted in the entries."""
    for name in ("read_scope", "write_scope"):
        if getattr(model.key, name, None) is not None:
            options["fields"].wrong_key(model.key.name, f"the primary key cannot have a {name}")
    tenant = _tenant(model, options["tenant"]) if "tenant" in options else None
    if tenant is not None:
        fields = tuple(replace(f, stamped=True) if f.name == tenant.field else f for f in model.fields)
        model = replace(model, fields=fields)
    rules = _rules(model, options["policies"]) if "policies" in options else dict.fromkeys(Access, EVERY)
    if tenant is None and "policies" not in options:
        return model
    return replace(model, policies=Policies(rules, tenant))


def _rules(model: Model, entry: Entry) -> dict[Access, FilterTree]:
    """What each access asks; what is not said of a write is what is said of `write`, else of `read`."""
    given = entry.options(POLICY_KEYS, "policies")
    trees: dict[str, FilterTree] = {}
    for name, option in given.items():
        try:
            trees[name] = read_policy(option.text(), model.by_name)
        except PolicySyntax as error:
            option.wrong(f"no policy: {error}", 'such as "owner_id = {{claims.sub}}"')
    read = trees.get("read", EVERY)
    write = trees.get("write", read)
    return {access: read if access is Access.READ else trees.get(access.value, write) for access in Access}


def _tenant(model: Model, entry: Entry) -> Tenant | None:
    """Whose the records are: a field, and the claim of the same name unless another is named."""
    if isinstance(entry.value, str):
        field, at, claim = entry.value, entry, entry.value
    else:
        options = entry.options(TENANT_KEYS, "tenant")
        if "field" not in options:
            entry.wrong("tenant needs a field", "such as tenant: {field: org_id, claim: org}")
            return None
        field, at = options["field"].text(), options["field"]
        claim = options["claim"].text() if "claim" in options else field
    known = {column.name: column for column in model.fields}
    if field not in known:
        at.wrong(f"the model has no field {field!r}", did_you_mean(field, known))
        return None
    if known[field].primary_key or known[field].nullable:
        at.wrong("the field of the tenant is no primary key and not nullable")
        return None
    return Tenant(field, Claim(tuple(claim.split("."))))
