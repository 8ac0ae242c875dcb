"""The table of API keys, for an operator: create, list, revoke; on the connection that migrations use."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec

from nexusd.auth.keys import NewKey, new_key, timestamp
from nexusd.ddl.errors import ReadOnlyDatabase
from nexusd.ddl.ledger import Ledger
from nexusd.ddl.options import Waits

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.ddl.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyEntry:
    """A key as it is listed; times are RFC 3339, UTC."""

    id: str
    name: str
    scopes: tuple[str, ...]
    claims: Mapping[str, object]
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    revoked_at: str | None

    @property
    def status(self) -> str:
        """`active`, `expired` or `revoked`."""
        if self.revoked_at is not None:
            return "revoked"
        expired = self.expires_at is not None and self.expires_at <= timestamp(datetime.now(UTC))
        return "expired" if expired else "active"


class KeyAdministration:
    """The keys of one open database.

    Args:
        target: the database.
        app_version: of this program, for the ledger.
        runtime_role: who serves, where it is another role than the one that is connected.
    """

    def __init__(self, target: Target, app_version: str, runtime_role: str) -> None:
        self._target = target
        self._ledger = Ledger(target, app_version)
        self._runtime_role = runtime_role

    def create(
        self, name: str, scopes: Sequence[str], claims: Mapping[str, object], expires_at: datetime | None
    ) -> tuple[NewKey, KeyEntry]:
        """Make a key; nexusd's own tables are made where they are missing.

        Raises:
            DDLError: the database refuses.
        """
        if self._target.read_only:
            raise ReadOnlyDatabase(f"{self._target.where} is read-only", hint="connect to the primary")
        key = new_key()
        entry = KeyEntry(
            id=key.id,
            name=name,
            scopes=tuple(scopes),
            claims=claims,
            created_at=timestamp(datetime.now(UTC)),
            expires_at=None if expires_at is None else timestamp(expires_at),
            last_used_at=None,
            revoked_at=None,
        )
        with self._target.transaction(threading.Event(), Waits()):
            if self._ledger.upgrade():
                names = sorted(each for each in self._target.catalog.table_names() if each.startswith("_nexusd_"))
                for statement in self._target.renderer.grants(names, self._runtime_role):
                    self._target.execute(statement)
            self._target.run(
                "INSERT INTO _nexusd_api_key (id, name, sha256, scopes, claims, created_at, expires_at)"
                " VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    key.id,
                    name,
                    key.sha256,
                    " ".join(scopes),
                    msgspec.json.encode(claims).decode(),
                    entry.created_at,
                    entry.expires_at,
                ],
            )
        return key, entry

    def list(self) -> list[KeyEntry]:
        """Every key, the oldest first."""
        if not self._ledger.is_current():
            return []
        rows = self._target.run(
            "SELECT id, name, scopes, claims, created_at, expires_at, last_used_at, revoked_at"
            " FROM _nexusd_api_key ORDER BY created_at, id"
        )
        return [
            KeyEntry(
                id=str(key_id),
                name=str(name),
                scopes=tuple(str(scopes).split()),
                claims=msgspec.json.decode(str(claims), type=dict[str, object]),
                created_at=str(created_at),
                expires_at=_optional(expires_at),
                last_used_at=_optional(last_used_at),
                revoked_at=_optional(revoked_at),
            )
            for key_id, name, scopes, claims, created_at, expires_at, last_used_at, revoked_at in rows
        ]

    def revoke(self, key_id: str) -> bool:
        """Let a key in no longer; whether there is one of that id. Revoking twice changes nothing."""
        if not self._ledger.is_current():
            return False
        with self._target.transaction(threading.Event(), Waits()):
            rows = self._target.run(
                "UPDATE _nexusd_api_key SET revoked_at = coalesce(revoked_at, ?) WHERE id = ? RETURNING id",
                [timestamp(datetime.now(UTC)), key_id],
            )
        return bool(rows)


def _optional(value: object) -> str | None:
    return None if value is None else str(value)
