"""What keeps a start from bringing the database to the registry; the exit codes are docs/reference.md, section 9's."""

from __future__ import annotations

from nexusd.errors import StartupError


class DDLError(StartupError):
    """The database could not be brought to the registry.

    Attributes:
        table: the table that it is about, or empty.
        hint: what to do.
    """

    exit_code = 1

    def __init__(self, detail: str = "", *, table: str = "", hint: str = "") -> None:
        super().__init__(f"{detail}\n  hint: {hint}" if hint else detail)
        self.table = table
        self.hint = hint


class StatementFailed(DDLError):
    """A statement of the migration failed; its transaction was rolled back."""


class NotInTransaction(StatementFailed):
    """A statement that no transaction takes, such as VACUUM."""


class SchemaPending(DDLError):
    """The registry wants changes that are not applied."""

    exit_code = 3


class PlanBlocked(DDLError):
    """The registry wants changes that are not safe to apply by themselves; nothing was changed."""

    exit_code = 4


class RenameHintError(DDLError):
    """A `renamed_from` cannot mean what it says; nothing was changed."""

    exit_code = 4


class SchemaAheadIncompatible(DDLError):
    """A newer version of the registry changed the database, and this one cannot work with it."""

    exit_code = 4


class SchemaDrift(DDLError):
    """The database differs from what was applied, and adding cannot repair it."""

    exit_code = 5


class MigrationLockBusy(DDLError):
    """Another process has been migrating this database for too long."""

    exit_code = 6


class TableLockTimeout(DDLError):
    """Other sessions have held a table for too long."""

    exit_code = 6


class DatabaseUnreachable(DDLError):
    """The database cannot be reached."""

    exit_code = 7


class DatabaseRefused(DDLError):
    """The database refuses the connection.

    Attributes:
        may_change: whether a server that is being set up may say something else in a moment.
    """

    exit_code = 7
    may_change = False


class LoginRefused(DatabaseRefused):
    """The role, its password or the database is not known to the server."""

    may_change = True


class InsufficientPrivilege(DDLError):
    """The database role lacks a privilege."""

    exit_code = 8


class ReadOnlyDatabase(DDLError):
    """The database takes no changes."""

    exit_code = 8


class PartialMigration(DDLError):
    """A file whose statements run by themselves stopped half-way."""

    exit_code = 9


class MigrationFileInvalid(DDLError):
    """A migration file's name or header cannot be understood."""

    exit_code = 10


class MigrationFileChanged(DDLError):
    """A migration file was changed after it was applied."""

    exit_code = 10


class MigrationFileOrder(DDLError):
    """A migration file stands below one that is applied already."""

    exit_code = 10


class DDLCancelled(DDLError):
    """The start was cancelled; what it had begun was rolled back."""

    def __init__(self, detail: str = "", *, signal_number: int = 15) -> None:
        super().__init__(detail)
        self.exit_code = 128 + signal_number


class TableBusy(StatementFailed):
    """A lock on a table was not given in time; the transaction may be tried again."""
