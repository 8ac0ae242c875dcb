"""How far a migration may go, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Waits:
    """How long a migration waits.

    Attributes:
        lock_s: for another process that migrates.
        table_s: for sessions that hold a table, all attempts together.
        lock_timeout: for a lock, one attempt, in PostgreSQL's notation; readers queue behind it.
    """

    lock_s: float = 300.0
    table_s: float = 120.0
    lock_timeout: str = "2s"


@dataclass(frozen=True, slots=True, kw_only=True)
class DDLOptions:
    """How far a migration may go.

    Attributes:
        auto_migrate: `true` applies what is safe, `all` what is guarded too; `verify` fails if anything is pending;
            `false` looks away.
        wait_s: how long a database that does not answer is waited for.
        runtime_role: who reads and writes rows, where it is not the role that migrates; it is granted new tables.
        contract: whether contract files are applied.
        confirmed: whether a registry that was applied before, and is not the newest, becomes the newest.
        rehearse: whether everything is rolled back at the end.
        waits: for locks.
    """

    auto_migrate: str
    wait_s: float
    app_version: str
    runtime_role: str = ""
    contract: bool = False
    confirmed: bool = False
    rehearse: bool = False
    waits: Waits = Waits()
