"""What keeps a start from bringing the database to the registry; the exit codes are docs/reference.md, section 9's."""

from __future__ import annotations

from nexusd.errors import StartupError


class DDLError(StartupError):
    """The database could not be brought to the registry; nothing was changed."""

    exit_code = 1

    def __init__(self, detail: str = "", *, table: str = "", hint: str = "") -> None:
        super().__init__(f"{detail}\n  hint: {hint}" if hint else detail)
        self.table = table
        self.hint = hint


class StatementFailed(DDLError):
    """A statement of the migration failed; nothing of it was kept."""


class SchemaPending(DDLError):
    """The registry wants changes that are not applied."""

    exit_code = 3


class PlanBlocked(DDLError):
    """The registry wants changes that are not safe to apply by themselves; nothing was changed."""

    exit_code = 4


class MigrationLockBusy(DDLError):
    """Another process has been migrating this database for too long."""

    exit_code = 6


class DatabaseUnreachable(DDLError):
    """The database cannot be reached."""

    exit_code = 7


class DatabaseRefused(DDLError):
    """The database refuses the connection."""

    exit_code = 7


class InsufficientPrivilege(DDLError):
    """The database role lacks a privilege."""

    exit_code = 8


class ReadOnlyDatabase(DDLError):
    """The database takes no changes."""

    exit_code = 8


class DDLCancelled(DDLError):
    """The start was cancelled; nothing was changed."""

    def __init__(self, detail: str = "", *, signal_number: int = 15) -> None:
        super().__init__(detail)
        self.exit_code = 128 + signal_number
