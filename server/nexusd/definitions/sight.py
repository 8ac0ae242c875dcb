"""What callers can see, told apart: those with one name and different claims do not get each other's answers."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from nexusd.definitions.policy import claims_in
from nexusd.definitions.principal import EVERYTHING_SEEN, is_operator

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexusd.definitions.model import Model
    from nexusd.definitions.principal import Principal


class Sights:
    """Tells apart what callers can see of these models.

    Only what policies, tenants and the scopes of fields name counts: who has a renewed token is the same caller.
    """

    def __init__(self, models: Iterable[Model]) -> None:
        restricted = [model for model in models if model.is_restricted]
        policies = [model.policies for model in restricted if model.policies is not None]
        self._is_needed = bool(restricted)
        self._paths = sorted({claim.path for each in policies for claim in claims_in(each)})
        self._scopes = {field.read_scope for model in restricted for field in model.fields if field.read_scope}

    def of(self, principal: Principal) -> str:
        """The caller's: empty where all callers see the same, EVERYTHING_SEEN for who is under no policy."""
        if not self._is_needed:
            return ""
        if is_operator(principal):
            return EVERYTHING_SEEN
        values = []
        for path in self._paths:
            found: object = principal.claims
            for name in path:
                found = found.get(name) if isinstance(found, dict) else None
            values.append(found)
        held = sorted(self._scopes & principal.scopes) if principal.scopes.isdisjoint({"*", "admin"}) else "all"
        return hashlib.sha256(msgspec.json.encode([values, held])).hexdigest()[:32]
