"""How the command line ends: exit codes by error code, with the numbers of sysexits.h (docs/command-line.md)."""

from __future__ import annotations

from typing import Final

from nexusd.errors import Code

USAGE: Final = 2
NO_INPUT: Final = 66
CANNOT_CREATE: Final = 73
INTERNAL: Final = 70

EXIT: Final[dict[Code, int]] = {
    Code.BAD_REQUEST: 65,
    Code.MALFORMED_BODY: 65,
    Code.ROUTE_NOT_FOUND: 65,
    Code.METHOD_NOT_ALLOWED: 65,
    Code.REQUEST_TIMEOUT: 65,
    Code.MISDIRECTED_REQUEST: 65,
    Code.NOT_SUPPORTED: 65,
    Code.INVALID_INPUT: 65,
    Code.IDEMPOTENCY_MISMATCH: 65,
    Code.IDEMPOTENCY_IN_FLIGHT: 65,
    Code.UNSUPPORTED_MEDIA_TYPE: 65,
    Code.PAYLOAD_TOO_LARGE: 65,
    Code.HEADERS_TOO_LARGE: 65,
    Code.UNAUTHENTICATED: 77,
    Code.FORBIDDEN: 77,
    Code.WORKFLOW_NOT_FOUND: 66,
    Code.EXECUTION_NOT_FOUND: 66,
    Code.RECORD_NOT_FOUND: 66,
    Code.UNIQUE_VIOLATION: 65,
    Code.REFERENCE_VIOLATION: 65,
    Code.CHECK_VIOLATION: 65,
    Code.VERSION_MISMATCH: 65,
    Code.MAX_AFFECTED_EXCEEDED: 65,
    Code.RATE_LIMITED: 75,
    Code.NODE_FAILED: 70,
    Code.OVERLOADED: 69,
    Code.DATABASE_UNAVAILABLE: 69,
    Code.UNKNOWN_OUTCOME: 69,
    Code.TIMEOUT: 75,
    Code.CANCELLED: 75,
    Code.INTERNAL: 70,
}
