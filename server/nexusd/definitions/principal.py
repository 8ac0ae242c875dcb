"""Who is calling: one type for every door."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller and what it may do.

    Attributes:
        id: stable name of the credential, such as `key:ci` or `jwt:alice`; `anonymous` without authentication.
        scopes: as in docs/reference.md, section 11; `*` allows everything.
        claims: what row policies may read.
        sight: what the caller can see of the models, told apart from what others of the same id can (`sight.py`).
    """

    id: str
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)
    sight: str = ""


ANONYMOUS: Final = Principal("anonymous", frozenset({"*"}))
"""The caller when authentication is off: allowed everything."""


EVERYTHING_SEEN: Final = "*"
"""The sight of who is under no policy."""


def is_operator(principal: Principal) -> bool:
    """Whether policies are not about this caller: who holds everything by a key, or serves without authentication.

    A token, or a key with claims, is somebody's: whatever its scopes, it is under the policies.
    """
    if principal.claims and principal.claims != {"sub": principal.id}:
        return False
    return not principal.scopes.isdisjoint({"*", "admin"})


def shown(principal: Principal) -> str | None:
    """Its id for the log; None where nobody has said who they are."""
    return None if principal is ANONYMOUS else principal.id
