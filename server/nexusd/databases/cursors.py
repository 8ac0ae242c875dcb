"""Page cursors: the sort values of the last record, bound to sort and filter, signed.

A cursor is signed, not encrypted: whoever holds it can read the sort values of the record it stands behind.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error as NotBase64
from hashlib import sha256
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Sequence

_MAC_BYTES: Final = 16
_SCOPE_BYTES: Final = 8


class CursorSigner:
    """Makes and reads cursors with one secret key.

    Args:
        key: the server's secret (`server.secret_key`); every process that serves the registry has the same.
    """

    def __init__(self, key: bytes) -> None:
        self.use(key)

    def use(self, key: bytes) -> None:
        """Sign with this key from now on; a server learns its secret only when it has reached its database."""
        # A key of its own, so that nothing else signed with the secret can pass for a cursor.
        self._key = hmac.digest(key, b"nexusd cursor 1", "sha256")

    def write(self, scope: bytes, values: Sequence[object]) -> str:
        """The cursor behind a record whose sort columns hold these wire values; `scope` is from `scope_of`."""
        body = scope + msgspec.json.encode(values)
        return urlsafe_b64encode(self._mac(body) + body).rstrip(b"=").decode()

    def read(self, scope: bytes, cursor: str) -> list[object] | None:
        """The sort values in a cursor of this scope; None when it was changed, or made for another sort or filter."""
        try:
            data = urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
        except (NotBase64, UnicodeEncodeError):
            return None
        mac, body = data[:_MAC_BYTES], data[_MAC_BYTES:]
        if not hmac.compare_digest(mac, self._mac(body)) or body[:_SCOPE_BYTES] != scope:
            return None
        values = msgspec.json.decode(body[_SCOPE_BYTES:])
        return values if isinstance(values, list) else None

    def _mac(self, body: bytes) -> bytes:
        return hmac.digest(self._key, body, "sha256")[:_MAC_BYTES]


def scope_of(*parts: object) -> bytes:
    """What a cursor is bound to (model, sort, filter with its values), as a short digest."""
    return sha256(msgspec.json.encode(parts, order="sorted")).digest()[:_SCOPE_BYTES]
