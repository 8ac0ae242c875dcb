"""How a door says which credential it wants: the `WWW-Authenticate` header (RFC 6750, section 3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.access import is_scope
from nexusd.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.errors import Forbidden

REALM = "nexusd"


def challenge(error: Unauthenticated | Forbidden, *, resource_metadata: str = "", scopes: Sequence[str] = ()) -> str:
    """The header's value.

    Args:
        error: why there is one; nothing is said of an error to who has sent no credential.
        resource_metadata: where a client learns which authorization server to ask (RFC 9728, section 5.1).
        scopes: what to ask for; empty: what the error names.
    """
    parts = [f'realm="{REALM}"']
    if not isinstance(error, Unauthenticated):
        parts += ['error="insufficient_scope"', _description(error.detail)]
    elif error.reason != "missing":
        parts += ['error="invalid_token"', _description(error.detail)]
    wanted = scopes or (() if isinstance(error, Unauthenticated) else error.scopes)
    # A token may claim to have what is no scope, and would end the header.
    wanted = [scope for scope in wanted if is_scope(scope)]
    if wanted:
        parts.append(f'scope="{" ".join(wanted)}"')
    if resource_metadata:
        parts.append(f'resource_metadata="{resource_metadata}"')
    return f"Bearer {', '.join(parts)}"


def _description(detail: str) -> str:
    """The detail within the characters that are allowed there (RFC 6750, section 3)."""
    text = "".join(c if " " <= c <= "~" and c not in '"\\\\' else "'" for c in detail)
    return f'error_description="{text}"'
