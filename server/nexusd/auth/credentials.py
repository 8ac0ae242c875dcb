"""What a request brings to be let in with: one key or token, from one header."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.errors import Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Iterable

BEARER: Final = b"bearer"

MISSING: Final = "send a key or token: Authorization: Bearer …, or X-API-Key: …"


def credential_of(headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The credential of a request, from `Authorization: Bearer` (RFC 6750, section 2.1) or `X-API-Key`.

    Tokens in query strings are not looked at: they end up in logs (RFC 6750, section 5.3).

    Raises:
        Unauthenticated: there is none, it is of another scheme, or there are two different ones.
    """
    found: bytes | None = None
    for name, value in headers:
        if name == b"authorization":
            scheme, _, credential = value.partition(b" ")
            if scheme.lower() != BEARER:
                raise Unauthenticated("only Authorization: Bearer … is taken", reason="malformed")
        elif name == b"x-api-key":
            credential = value
        else:
            continue
        credential = credential.strip(b" ")
        if not credential:
            raise Unauthenticated("the credential is empty", reason="malformed")
        if found is not None and found != credential:
            raise Unauthenticated("two different credentials were sent; send one", reason="several")
        found = credential
    if found is None:
        raise Unauthenticated(MISSING)
    return found
