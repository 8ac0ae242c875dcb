"""The statements of `_nexusd_idempotency`: what is kept of a request that came with an Idempotency-Key.

A row is a claim until it has an answer. The database's clock decides when a row is over, so that replicas agree.
"""

# ruff: noqa: S608 - texts of our own are put together, values are arguments

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Bound, Dialect, Statement

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.databases.database import Row
    from nexusd.definitions.idempotency import Key

KEEP_S: Final = 24 * 3600
PURGE_ROWS: Final = 500
"""Rows that are removed at a time: few enough to keep nobody waiting."""


@dataclass(frozen=True, slots=True)
class Stored:
    """A row.

    Attributes:
        answer: JSON text; None: the run that claimed the key has not ended, or not well.
        holder: of a claim, who runs it; None where that cannot be known.
        is_held: whether the claim's run may still be going on.
    """

    fingerprint: bytes
    execution_id: str
    answer: str | None
    holder: str | None
    is_held: bool


@dataclass(frozen=True, slots=True)
class KeyStatements:
    """The statements in one dialect; each with the order of its arguments.

    Attributes:
        find: scope, key.
        lock: scope, key, lock number: `find` with `locked`, after an attempt to lock the key until the transaction
            ends (PostgreSQL; on SQLite there is one writer).
        record: scope, key, fingerprint, execution id, answer; touches no row if the key is taken.
        claim: scope, key, fingerprint, execution id, holder, seconds; touches no row if the key is taken.
        settle: answer, scope, key, execution id.
        release: scope, key, execution id.
        purge: none.
    """

    find: Statement
    lock: Statement | None
    record: Statement
    claim: Statement
    settle: Statement
    release: Statement
    purge: Statement


@dataclass(slots=True)
class Once:
    """An answer that is to be kept by the one statement of its run.

    Attributes:
        lock_number: what the key is called among PostgreSQL's advisory locks.
        started: `time.perf_counter()` of the run's begin.
        is_tried: a statement was run that was to keep it.
        duration_ms: how long the run took until it was kept; None: it was not.
    """

    key: Key
    execution_id: str
    lock_number: int
    started: float
    is_tried: bool = False
    duration_ms: float | None = None

    def arguments(self, node: str) -> tuple[object, ...]:
        """What `insert_once` binds behind the record's values, for the node of that id."""
        self.is_tried = True
        so_far_ms = (time.perf_counter() - self.started) * 1000
        between = f',"outputs":{{{json.dumps(node)}:'
        named = (self.key.scope, self.key.text, self.key.fingerprint, self.execution_id, self.lock_number)
        return (*named, so_far_ms, '{"spaced":true,"duration_ms":', between, "}}")

    def take(self, rows: Sequence[dict[str, object]]) -> object:
        """The record of what `insert_once` gave; None where the key is in use, and nothing was written."""
        for row in rows:
            self.duration_ms = float(str(row["duration_ms"]))
            return row["record"]
        return None


def stored(row: Row) -> Stored | None:
    """The row of `find` or `lock`; None if the key was not used."""
    found = row["found"]
    return found if isinstance(found, Stored) else None


def compact(text: bytes) -> bytes:
    """JSON without the blanks that PostgreSQL writes between its parts."""
    return msgspec.json.format(text, indent=-1)


def arguments(key: Key) -> tuple[str, str]:
    """What names a key."""
    return key.scope, key.text


def purge(dialect: Dialect) -> Bound:
    """Remove some of the rows that are over."""
    return Bound(KEY_STATEMENTS[dialect].purge)


def _decode(row: Sequence[object]) -> dict[str, object]:
    *locked, fingerprint, execution_id, answer, holder, is_held = row
    decoded: dict[str, object] = {"locked": bool(locked[0]) if locked else True, "found": None}
    if isinstance(fingerprint, bytes):
        decoded["found"] = Stored(fingerprint, str(execution_id), _text(answer), _text(holder), bool(is_held))
    return decoded


def _text(value: object) -> str | None:
    return None if value is None else str(value)


# On PostgreSQL a claim is held as long as the session that made it is there: a daemon's sessions end with it. Through a
# transaction pooler they do not, and the run's own deadline tells.
_PG_SESSION: Final = "SELECT concat(a.pid, ' ', a.backend_start) FROM pg_stat_get_activity"
_PG_COLUMNS: Final = (
    "k.fingerprint, k.execution_id, k.answer, k.holder, k.answer IS NULL AND k.until > now() AND EXISTS ("
    f"{_PG_SESSION}(split_part(k.holder, ' ', 1)::integer) AS a WHERE concat(a.pid, ' ', a.backend_start) = k.holder)"
)
_PG_NAMED: Final = "k.scope = $1 AND k.key = $2 AND k.expires_at > now()"
_PG_EXPIRY: Final = f"now() + interval '{KEEP_S} seconds'"

_LITE_NOW: Final = "CAST(strftime('%s', 'now') AS INTEGER)"
_LITE_COLUMNS: Final = f"fingerprint, execution_id, answer, holder, answer IS NULL AND until > {_LITE_NOW}"

_AGAIN: Final = (
    "ON CONFLICT (scope, key) DO UPDATE SET fingerprint = excluded.fingerprint, execution_id = excluded.execution_id,"
    " answer = excluded.answer, holder = excluded.holder, until = excluded.until, expires_at = excluded.expires_at"
)


def _postgresql() -> KeyStatements:
    return KeyStatements(
        find=Statement(f"SELECT {_PG_COLUMNS} FROM _nexusd_idempotency AS k WHERE {_PG_NAMED}", _decode, writes=False),
        lock=Statement(
            f"SELECT pg_try_advisory_xact_lock($3), {_PG_COLUMNS}"
            f" FROM (SELECT 1) AS one LEFT JOIN _nexusd_idempotency AS k ON {_PG_NAMED}",
            _decode,
            writes=False,
        ),
        record=Statement(
            "INSERT INTO _nexusd_idempotency AS k (scope, key, fingerprint, execution_id, answer, expires_at)"
            f" VALUES ($1, $2, $3, $4, $5, {_PG_EXPIRY}) {_AGAIN} WHERE k.expires_at <= now()",
            None,
            writes=True,
        ),
        claim=Statement(
            "INSERT INTO _nexusd_idempotency AS k (scope, key, fingerprint, execution_id, holder, until, expires_at)"
            f" SELECT $1, $2, $3, $4, coalesce(({_PG_SESSION}(pg_backend_pid()) AS a), $5),"
            f" now() + make_interval(secs => $6), {_PG_EXPIRY}"
            f" {_AGAIN} WHERE k.expires_at <= now() OR k.execution_id = excluded.execution_id",
            None,
            writes=True,
        ),
        settle=Statement(
            "UPDATE _nexusd_idempotency SET answer = $1, holder = NULL, until = NULL"
            " WHERE scope = $2 AND key = $3 AND execution_id = $4",
            None,
            writes=True,
        ),
        release=Statement(
            "DELETE FROM _nexusd_idempotency WHERE scope = $1 AND key = $2 AND execution_id = $3 AND answer IS NULL",
            None,
            writes=True,
        ),
        purge=Statement(
            "DELETE FROM _nexusd_idempotency WHERE ctid IN (SELECT ctid FROM _nexusd_idempotency"
            f" WHERE expires_at <= now() ORDER BY expires_at LIMIT {PURGE_ROWS} FOR UPDATE SKIP LOCKED)",
            None,
            writes=True,
        ),
    )


def _sqlite() -> KeyStatements:
    return KeyStatements(
        find=Statement(
            f"SELECT {_LITE_COLUMNS} FROM _nexusd_idempotency WHERE scope = ? AND key = ? AND expires_at > {_LITE_NOW}",
            _decode,
            writes=False,
            inline=True,
        ),
        lock=None,
        record=Statement(
            "INSERT INTO _nexusd_idempotency (scope, key, fingerprint, execution_id, answer, expires_at)"
            f" VALUES (?, ?, ?, ?, ?, {_LITE_NOW} + {KEEP_S})"
            f" {_AGAIN} WHERE _nexusd_idempotency.expires_at <= {_LITE_NOW}",
            None,
            writes=True,
        ),
        claim=Statement(
            "INSERT INTO _nexusd_idempotency (scope, key, fingerprint, execution_id, holder, until, expires_at)"
            f" VALUES (?, ?, ?, ?, ?, {_LITE_NOW} + CAST(? AS INTEGER) + 1, {_LITE_NOW} + {KEEP_S})"
            f" {_AGAIN} WHERE _nexusd_idempotency.expires_at <= {_LITE_NOW}"
            " OR _nexusd_idempotency.execution_id = excluded.execution_id",
            None,
            writes=True,
        ),
        settle=Statement(
            "UPDATE _nexusd_idempotency SET answer = ?, holder = NULL, until = NULL"
            " WHERE scope = ? AND key = ? AND execution_id = ?",
            None,
            writes=True,
        ),
        release=Statement(
            "DELETE FROM _nexusd_idempotency WHERE scope = ? AND key = ? AND execution_id = ? AND answer IS NULL",
            None,
            writes=True,
        ),
        # Rows are over in the order in which they came: no index is needed to find the first ones.
        purge=Statement(
            "DELETE FROM _nexusd_idempotency WHERE rowid IN"
            f" (SELECT rowid FROM _nexusd_idempotency ORDER BY rowid LIMIT {PURGE_ROWS})"
            f" AND expires_at <= {_LITE_NOW}",
            None,
            writes=True,
        ),
    )


KEY_STATEMENTS: Final[Mapping[Dialect, KeyStatements]] = {
    Dialect.POSTGRESQL: _postgresql(),
    Dialect.SQLITE: _sqlite(),
}
