"""The ledger: what was applied to a database, by which run, and what its tables looked like afterwards."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.ddl.diff import Known
from nexusd.ddl.files import AppliedFile

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.ddl.files import MigrationFile
    from nexusd.ddl.target import Target

KEY_TABLE: Final = "_nexusd_idempotency"
"""What is kept of Idempotency-Keys."""

AUDIT_TABLE: Final = "_nexusd_audit"
"""Who changed what; the role that serves may add to it and no more."""

MARKS: Final = ("_nexusd_schema_state", "_nexusd_api_key", KEY_TABLE, AUDIT_TABLE)
"""For each of the ledger's scripts, in order, a table that it makes: by these is known how far a database is."""

FORMAT: Final = len(MARKS)
"""The ledger's own version."""

OLD_LEDGER: Final = "nexusd's own tables are those of an older version"
SECRET_BYTES: Final = 32


@dataclass(frozen=True, slots=True)
class TableRecord:
    """A table when it was last brought about.

    Attributes:
        wanted: hash of what the registry wanted.
        catalog: fingerprint of what the database had then.
        known: columns and parts that the registry wanted.
    """

    wanted: str
    catalog: str
    known: Known


@dataclass(frozen=True, slots=True)
class State:
    """The newest state of a schema.

    Attributes:
        model_hash: of the registry's tables.
        files_hash: of the migration files.
        tables: by name.
        deferred: how many steps are left for after the start.
        updated_at: as the database shows it.
    """

    run_id: int
    model_hash: str
    files_hash: str
    tables: Mapping[str, TableRecord]
    deferred: int
    app_version: str
    updated_at: str


@dataclass(frozen=True, slots=True)
class Run:
    """One migration run, for a report."""

    id: int
    kind: str
    status: str
    app_version: str
    host: str
    started_at: str
    error: str


@dataclass(slots=True)
class Steps:
    """The statements of a run, numbered over all its transactions."""

    run_id: int
    count: int = 0


class Ledger:
    """The daemon's own tables on one target; every method runs in the transaction that is open, if one is."""

    def __init__(self, target: Target, app_version: str) -> None:
        self._target = target
        self._app_version = app_version

    def exists(self) -> bool:
        """Whether the tables are there."""
        return self._target.has_table(MARKS[0])

    def is_current(self) -> bool:
        """Whether the tables are all that this version knows."""
        return self._target.has_table(MARKS[-1])

    def upgrade(self) -> bool:
        """Make the tables that are missing; whether any was, so that others must be let in."""
        done = next((n for n in range(FORMAT, 0, -1) if self._target.has_table(MARKS[n - 1])), 0)
        self._target.make_ledger(done)
        return done < FORMAT

    def state(self) -> State | None:
        """The newest state; None if nothing was ever applied."""
        if not self.exists():
            return None
        rows = self._target.run(
            "SELECT run_id, model_hash, files_hash, CAST(tables AS text), deferred, app_version, updated_at"
            " FROM _nexusd_schema_state WHERE scope = ?",
            [self._target.scope],
        )
        if not rows:
            return None
        run_id, model_hash, files_hash, tables, deferred, app_version, updated_at = rows[0]
        records = {name: _record(*document) for name, document in _TABLES.decode(str(tables)).items()}
        return State(
            int(str(run_id)),
            str(model_hash),
            str(files_hash),
            records,
            int(str(deferred)),
            str(app_version),
            str(updated_at),
        )

    def write_state(
        self, run_id: int, hashes: tuple[str, str], tables: Mapping[str, TableRecord], deferred: int
    ) -> None:
        """Replace the state.

        Args:
            run_id: the run that reached it.
            hashes: of models and of files.
            tables: by name.
            deferred: steps that are left.
        """
        documents = {
            name: [
                *(each.wanted, each.catalog, dict(each.known.types)),
                *(sorted(each.known.parts), sorted(each.known.accepted)),
            ]
            for name, each in tables.items()
        }
        self._target.run(
            "INSERT INTO _nexusd_schema_state"  # noqa: S608 - an expression of the target, no value
            " (scope, run_id, model_hash, files_hash, tables, deferred, format, app_version)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (scope) DO UPDATE SET run_id = excluded.run_id,"
            " model_hash = excluded.model_hash, files_hash = excluded.files_hash, tables = excluded.tables,"
            " deferred = excluded.deferred, format = excluded.format, app_version = excluded.app_version,"
            f" updated_at = {self._target.now}",
            [
                self._target.scope,
                run_id,
                *hashes,
                msgspec.json.encode(documents).decode(),
                deferred,
                FORMAT,
                self._app_version,
            ],
        )

    def knows(self, model_hash: str) -> bool:
        """Whether a run has brought the database to this registry before."""
        return bool(
            self._target.run(
                "SELECT 1 FROM _nexusd_schema_run WHERE scope = ? AND model_hash = ? AND status = 'ok' LIMIT 1",
                [self._target.scope, model_hash],
            )
        )

    def begin(self, kind: str, model_hash: str) -> Steps:
        """Note a run that has begun.

        Args:
            kind: auto, file, baseline or repair.
            model_hash: of the registry that it leads to.
        """
        rows = self._target.run(
            "INSERT INTO _nexusd_schema_run (scope, kind, model_hash, app_version, host, pid, status)"
            " VALUES (?, ?, ?, ?, ?, ?, 'running') RETURNING id",
            [self._target.scope, kind, model_hash, self._app_version, socket.gethostname(), os.getpid()],
        )
        return Steps(int(str(rows[0][0])))

    def step(self, steps: Steps, table: str, kind: str, sql: str, duration_ms: float) -> None:
        """Note a statement that was run."""
        steps.count += 1
        self._target.run(
            "INSERT INTO _nexusd_schema_step (run_id, seq, tbl, kind, sql, ms) VALUES (?, ?, ?, ?, ?, ?)",
            [steps.run_id, steps.count, table, kind, sql, round(duration_ms, 3)],
        )

    def finish(self, run_id: int, status: str, error: str | None = None) -> None:
        """Note how a run ended: ok or failed."""
        self._target.run(
            f"UPDATE _nexusd_schema_run SET status = ?, error = ?, finished_at = {self._target.now} WHERE id = ?",  # noqa: S608 - quoted names, no values
            [status, error, run_id],
        )

    def runs(self, limit: int) -> list[Run]:
        """The newest runs, newest first."""
        rows = self._target.run(
            "SELECT id, kind, status, app_version, host, started_at, error FROM _nexusd_schema_run"
            " WHERE scope = ? ORDER BY id DESC LIMIT ?",
            [self._target.scope, limit],
        )
        return [
            Run(
                id=int(str(number)),
                kind=str(kind),
                status=str(status),
                app_version=str(app_version),
                host=str(host),
                started_at=str(started_at),
                error="" if error is None else str(error),
            )
            for number, kind, status, app_version, host, started_at, error in rows
        ]

    def files(self) -> dict[str, AppliedFile]:
        """The files that were applied or stamped, by version."""
        if not self.exists():
            return {}
        rows = self._target.run("SELECT version, name, sha256, status, statements_done FROM _nexusd_migration")
        return {
            str(version): AppliedFile(str(version), str(name), str(sha), str(status), int(str(done)))
            for version, name, sha, status, done in rows
        }

    def write_file(self, file: MigrationFile, status: str, statements_done: int, run_id: int) -> None:
        """Note how far a file is."""
        self._target.run(
            "INSERT INTO _nexusd_migration (version, name, sha256, phase, status, statements_done, run_id)"  # noqa: S608 - as above
            " VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (version) DO UPDATE SET sha256 = excluded.sha256,"
            " status = excluded.status, statements_done = excluded.statements_done, run_id = excluded.run_id,"
            f" applied_at = {self._target.now}",
            [file.version, file.name, file.sha256, file.phase, status, statements_done, run_id],
        )

    def secret(self) -> bytes | None:
        """The daemon's key."""
        rows = self._target.run("SELECT value FROM _nexusd_secret WHERE id = 1")
        value = rows[0][0] if rows else None
        return bytes(value) if isinstance(value, bytes | memoryview) else None

    def ensure_secret(self) -> bytes:
        """The daemon's key, made if there is none."""
        secret = self.secret()
        if secret is None:
            secret = secrets.token_bytes(SECRET_BYTES)
            self._target.run("INSERT INTO _nexusd_secret (id, value) VALUES (1, ?)", [secret])
        return secret


def was_left(target: Target, run_id: int, model_hash: str) -> bool:
    """Whether a run after this one began to bring the database to another registry, and did not end well."""
    return bool(
        target.run(
            "SELECT 1 FROM _nexusd_schema_run r WHERE scope = ? AND id > ? AND model_hash NOT IN ('', ?)"
            " AND status <> 'ok' AND EXISTS (SELECT 1 FROM _nexusd_schema_step s WHERE s.run_id = r.id) LIMIT 1",
            [target.scope, run_id, model_hash],
        )
    )


_TABLES: Final = msgspec.json.Decoder(dict[str, tuple[str, str, dict[str, str], list[str], list[str]]])


def _record(wanted: str, catalog: str, types: dict[str, str], parts: list[str], accepted: list[str]) -> TableRecord:
    return TableRecord(wanted, catalog, Known(types, frozenset(parts), frozenset(accepted)))
