"""How MCP tells an error: a JSON-RPC error, an HTTP status, or a tool result with `isError`.

The table is that of docs/reference.md, section 6.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from nexusd.errors import Code


class Placement(StrEnum):
    """Where an error of some code appears to an MCP client."""

    TOOL_RESULT = "tool_result"
    INVALID_PARAMS = "invalid_params"
    INVALID_REQUEST = "invalid_request"
    HTTP_STATUS = "http_status"


PLACEMENT: Final[dict[Code, Placement]] = {
    Code.BAD_REQUEST: Placement.INVALID_REQUEST,
    Code.MALFORMED_BODY: Placement.INVALID_REQUEST,
    Code.ROUTE_NOT_FOUND: Placement.HTTP_STATUS,
    Code.METHOD_NOT_ALLOWED: Placement.HTTP_STATUS,
    Code.REQUEST_TIMEOUT: Placement.HTTP_STATUS,
    Code.MISDIRECTED_REQUEST: Placement.HTTP_STATUS,
    Code.NOT_SUPPORTED: Placement.TOOL_RESULT,
    Code.INVALID_INPUT: Placement.TOOL_RESULT,
    Code.IDEMPOTENCY_MISMATCH: Placement.TOOL_RESULT,
    Code.IDEMPOTENCY_IN_FLIGHT: Placement.TOOL_RESULT,
    Code.UNSUPPORTED_MEDIA_TYPE: Placement.HTTP_STATUS,
    Code.PAYLOAD_TOO_LARGE: Placement.HTTP_STATUS,
    Code.HEADERS_TOO_LARGE: Placement.HTTP_STATUS,
    Code.UNAUTHENTICATED: Placement.HTTP_STATUS,
    Code.FORBIDDEN: Placement.HTTP_STATUS,
    Code.WORKFLOW_NOT_FOUND: Placement.INVALID_PARAMS,
    Code.EXECUTION_NOT_FOUND: Placement.INVALID_PARAMS,
    Code.RECORD_NOT_FOUND: Placement.TOOL_RESULT,
    Code.UNIQUE_VIOLATION: Placement.TOOL_RESULT,
    Code.REFERENCE_VIOLATION: Placement.TOOL_RESULT,
    Code.CHECK_VIOLATION: Placement.TOOL_RESULT,
    Code.VERSION_MISMATCH: Placement.TOOL_RESULT,
    Code.MAX_AFFECTED_EXCEEDED: Placement.TOOL_RESULT,
    Code.RATE_LIMITED: Placement.TOOL_RESULT,
    Code.NODE_FAILED: Placement.TOOL_RESULT,
    Code.OVERLOADED: Placement.TOOL_RESULT,
    Code.DATABASE_UNAVAILABLE: Placement.TOOL_RESULT,
    Code.UNKNOWN_OUTCOME: Placement.TOOL_RESULT,
    Code.TIMEOUT: Placement.TOOL_RESULT,
    Code.CANCELLED: Placement.TOOL_RESULT,
    Code.INTERNAL: Placement.TOOL_RESULT,
}
