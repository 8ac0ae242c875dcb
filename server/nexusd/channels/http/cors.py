"""Which foreign pages may call the server (Fetch standard, "CORS protocol")."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_ALLOWED_HEADERS: Final = (
    b"authorization, content-type, idempotency-key, last-event-id, prefer, traceparent, x-api-key, x-request-id"
)
_EXPOSED_HEADERS: Final = (
    b"etag, idempotency-replayed, location, preference-applied, ratelimit, ratelimit-policy, retry-after, "
    b"www-authenticate, x-request-id"
)
_MAX_AGE_S: Final = b"600"


class Cors:
    """The origins that are allowed, by exact match.

    Attributes:
        on: whether there are any.
    """

    def __init__(self, origins: Sequence[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self.on = bool(origins)

    def is_preflight(self, method: str, headers: Mapping[bytes, bytes]) -> bool:
        """Whether a browser asks what an allowed page may do."""
        return (
            method == "OPTIONS"
            and b"access-control-request-method" in headers
            and headers.get(b"origin") in self._origins
        )

    def preflight(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer to that, besides those of any answer."""
        return [
            (b"access-control-allow-methods", b"GET, HEAD, POST"),
            (b"access-control-allow-headers", _ALLOWED_HEADERS),
            (b"access-control-max-age", _MAX_AGE_S),
        ]

    def headers(self, headers: Mapping[bytes, bytes]) -> list[tuple[bytes, bytes]]:
        """What any answer carries, for a request with these headers."""
        vary = (b"vary", b"origin")
        origin = headers.get(b"origin")
        if origin is None or origin not in self._origins:
            return [vary]
        return [
            (b"access-control-allow-origin", origin),
            (b"access-control-expose-headers", _EXPOSED_HEADERS),
            vary,
        ]
