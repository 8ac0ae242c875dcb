"""The table of API keys while serving: found by id, and when each was last used written now and then."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.auth.keys import KeyRecord, key_principal, timestamp
from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.database import Database, Session

LOOK_UP_S: Final = 5.0
FLUSH_S: Final = 10.0
MAX_KNOWN: Final = 65536

_FIND: Final = "SELECT name, sha256, scopes, claims, expires_at, revoked_at FROM _nexusd_api_key WHERE id = "
_ANY: Final = Statement("SELECT 1 FROM _nexusd_api_key WHERE revoked_at IS NULL LIMIT 1", lambda _: {}, writes=False)
_THERE: Final = {
    Dialect.POSTGRESQL: "SELECT 1 WHERE to_regclass('_nexusd_api_key') IS NOT NULL",
    Dialect.SQLITE: "SELECT 1 FROM sqlite_master WHERE name = '_nexusd_api_key'",
}
_USED: Final = {
    Dialect.POSTGRESQL: "UPDATE _nexusd_api_key SET last_used_at = $1"
    " WHERE id IN (SELECT jsonb_array_elements_text(CAST($2 AS text)::jsonb))",
    Dialect.SQLITE: "UPDATE _nexusd_api_key SET last_used_at = ? WHERE id IN (SELECT value FROM json_each(?))",
}
"""With the ids as a JSON list: one statement for any number of keys."""


class KeyTable:
    """Keys by id; none where the table is not there yet, since nothing was migrated or made."""

    def __init__(self, database: Database) -> None:
        self._database = database
        placeholder = "$1" if database.dialect is Dialect.POSTGRESQL else "?"
        self._find = Statement(_FIND + placeholder, _decode, writes=False, inline=True)
        self._write_used = Statement(_USED[database.dialect], None, writes=True)
        self._find_table = Statement(_THERE[database.dialect], lambda _: {}, writes=False)
        self._is_there = False
        self._used: set[str] = set()
        self._flushing: asyncio.Task[None] | None = None
        self._known: OrderedDict[str, None] = OrderedDict()

    async def is_empty(self) -> bool:
        """Whether there is no key that could let anybody in."""
        session = await self._session()
        return session is None or not (await session.run(Bound(_ANY))).rows

    async def _session(self) -> Session | None:
        """Where statements run; None while there is no table for them."""
        session = self._database.session(asyncio.get_running_loop().time() + LOOK_UP_S)
        if not self._is_there:
            self._is_there = bool((await session.run(Bound(self._find_table))).rows)
        return session if self._is_there else None

    def knows(self, key_id: str) -> bool:
        """Whether this process has let this key in before."""
        return key_id in self._known

    async def find(self, key_id: str) -> KeyRecord | None:
        """The key of that id, as it is in the database now.

        Raises:
            DatabaseError: it cannot be looked up.
        """
        session = await self._session()
        if session is None:
            return None
        rows = (await session.run(Bound(self._find, (key_id,)))).rows
        return _record(key_id, rows[0]) if rows else None

    def note_use(self, key_id: str) -> None:
        """Remember that a key was used just now; written together with others, at the latest when the server stops."""
        self._known[key_id] = None
        if len(self._known) > MAX_KNOWN:
            self._known.popitem(last=False)
        self._used.add(key_id)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._flush_later())

    async def _flush_later(self) -> None:
        await asyncio.sleep(FLUSH_S)
        self._flushing = None
        await self._flush()

    async def _flush(self) -> None:
        used, self._used = self._used, set()
        if not used:
            return
        session = self._database.session(asyncio.get_running_loop().time() + LOOK_UP_S)
        ids = msgspec.json.encode(sorted(used)).decode()
        try:
            await session.run(Bound(self._write_used, (timestamp(datetime.now(UTC)), ids)))
        except NexusError:
            # A read-only or absent database is told elsewhere; when a key was used last is not worth a failure.
            self._used |= used

    async def close(self) -> None:
        """Write what is left."""
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        await self._flush()


def _decode(values: Sequence[object]) -> dict[str, object]:
    names = ("name", "sha256", "scopes", "claims", "expires_at", "revoked_at")
    return dict(zip(names, values, strict=True))


def _record(key_id: str, row: dict[str, object]) -> KeyRecord:
    sha256, expires_at, revoked_at = row["sha256"], row["expires_at"], row["revoked_at"]
    return KeyRecord(
        principal=key_principal(
            key_id,
            frozenset(str(row["scopes"]).split()),
            msgspec.json.decode(str(row["claims"]), type=dict[str, object]),
        ),
        sha256=bytes(sha256) if isinstance(sha256, bytes | memoryview) else b"",
        expires_at=None if expires_at is None else str(expires_at),
        revoked_at=None if revoked_at is None else str(revoked_at),
    )
