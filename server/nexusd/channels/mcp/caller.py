"""Who is behind an MCP request: what stands in front of the SDK leaves the principal in the ASGI scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from mcp.server.context import ServerRequestContext

PRINCIPAL: Final = "nexusd.principal"
"""Its key in the scope."""


def caller_of(context: ServerRequestContext[dict[str, object], object]) -> Principal:
    """Who sent the message that is being handled; nobody in particular without authentication, and over stdio."""
    scope = getattr(context.request, "scope", None)
    principal = scope.get(PRINCIPAL) if isinstance(scope, dict) else None
    return principal if isinstance(principal, Principal) else ANONYMOUS
