"""Who is behind an MCP request: what stands in front of the SDK leaves the principal in the ASGI scope."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from nexusd.definitions.execution import new_request_id
from nexusd.definitions.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from collections.abc import MutableMapping

    from mcp.server.context import ServerRequestContext

PRINCIPAL: Final = "nexusd.principal"
"""Its key in the scope."""


REQUEST_ID: Final = "nexusd.request_id"
"""The key of the request's id there."""


def caller_of(context: ServerRequestContext[dict[str, object], object]) -> Principal:
    """Who sent the message that is being handled; nobody in particular without authentication, and over stdio."""
    scope = getattr(context.request, "scope", None)
    return principal_in(scope) if isinstance(scope, dict) else ANONYMOUS


def request_id_of(context: ServerRequestContext[dict[str, object], object]) -> str:
    """The id of the HTTP request that is being handled; a new one over stdio."""
    scope = getattr(context.request, "scope", None)
    return request_id_in(scope) if isinstance(scope, dict) else new_request_id()


def request_id_in(scope: MutableMapping[str, Any]) -> str:
    """The id of an HTTP request."""
    request_id = scope.get(REQUEST_ID)
    return request_id if isinstance(request_id, str) else new_request_id()


def principal_in(scope: MutableMapping[str, Any]) -> Principal:
    """Who sent an HTTP request."""
    principal = scope.get(PRINCIPAL)
    return principal if isinstance(principal, Principal) else ANONYMOUS
