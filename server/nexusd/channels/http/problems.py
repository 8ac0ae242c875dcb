"""How HTTP tells an error: a status and a problem document (docs/reference.md, section 6)."""

from __future__ import annotations

import math
from typing import Final

import msgspec

from nexusd.channels.challenge import challenge
from nexusd.channels.channel import problem_document
from nexusd.errors import Code, Forbidden, MethodNotAllowed, NexusError, RateLimited, Unauthenticated

STATUS: Final[dict[Code, int]] = {
    Code.BAD_REQUEST: 400,
    Code.MALFORMED_BODY: 400,
    Code.ROUTE_NOT_FOUND: 404,
    Code.METHOD_NOT_ALLOWED: 405,
    Code.REQUEST_TIMEOUT: 408,
    Code.MISDIRECTED_REQUEST: 421,
    Code.NOT_SUPPORTED: 422,
    Code.INVALID_INPUT: 422,
    Code.IDEMPOTENCY_MISMATCH: 422,
    Code.IDEMPOTENCY_IN_FLIGHT: 409,
    Code.UNSUPPORTED_MEDIA_TYPE: 415,
    Code.PAYLOAD_TOO_LARGE: 413,
    Code.HEADERS_TOO_LARGE: 431,
    Code.UNAUTHENTICATED: 401,
    Code.FORBIDDEN: 403,
    Code.WORKFLOW_NOT_FOUND: 404,
    Code.EXECUTION_NOT_FOUND: 404,
    Code.RECORD_NOT_FOUND: 404,
    Code.UNIQUE_VIOLATION: 409,
    Code.REFERENCE_VIOLATION: 409,
    Code.CHECK_VIOLATION: 409,
    Code.VERSION_MISMATCH: 412,
    Code.MAX_AFFECTED_EXCEEDED: 422,
    Code.RATE_LIMITED: 429,
    Code.NODE_FAILED: 502,
    Code.OVERLOADED: 503,
    Code.DATABASE_UNAVAILABLE: 503,
    Code.UNKNOWN_OUTCOME: 503,
    Code.TIMEOUT: 504,
    Code.CANCELLED: 499,
    Code.INTERNAL: 500,
}

RETRY_AFTER: Final = frozenset(
    {Code.OVERLOADED, Code.DATABASE_UNAVAILABLE, Code.UNKNOWN_OUTCOME, Code.IDEMPOTENCY_IN_FLIGHT}
)
"""Errors that say when to come back: in a second."""


def render_problem(error: NexusError, request_id: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, headers and body of an error's answer."""
    status = STATUS[error.code]
    body = msgspec.json.encode(problem_document(error, status=status, request_id=request_id))
    headers = [(b"content-type", b"application/problem+json")]
    if isinstance(error, RateLimited):
        headers.append((b"retry-after", str(math.ceil(error.retry_after_s)).encode()))
    elif error.code in RETRY_AFTER:
        headers.append((b"retry-after", b"1"))
    if isinstance(error, Unauthenticated | Forbidden):
        headers.append((b"www-authenticate", challenge(error).encode()))
    if isinstance(error, MethodNotAllowed):
        headers.append((b"allow", ", ".join(error.allow).encode()))
    return status, headers, body
