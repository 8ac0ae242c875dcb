"""The few messages of PostgreSQL's protocol that asyncpg has no call for."""

from __future__ import annotations

import struct
from functools import lru_cache


@lru_cache(maxsize=256)
def ahead(commands: tuple[str, ...]) -> bytes:
    """Commands without results, to be sent in front of a statement and answered together with it.

    For each: Parse, Bind and Execute of the unnamed statement, without Sync
    (postgresql.org/docs/current/protocol-message-formats.html): one that fails has the server skip what follows.
    """
    return b"".join(
        _message(b"P", b"\0" + command.encode() + b"\0" + struct.pack("!h", 0))
        + _message(b"B", b"\0\0" + struct.pack("!hhh", 0, 0, 0))
        + _message(b"E", b"\0" + struct.pack("!i", 0))
        for command in commands
    )


def _message(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!i", len(body) + 4) + body
