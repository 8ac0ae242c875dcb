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
    """

    id: str
    scopes: frozenset[str] = frozenset()
    claims: Mapping[str, object] = field(default_factory=dict)


ANONYMOUS: Final = Principal("anonymous", frozenset({"*"}))
"""The caller when authentication is off: allowed everything."""


def shown(principal: Principal) -> str | None:
    """Its id for the log; None where nobody has said who they are."""
    return None if principal is ANONYMOUS else principal.id
