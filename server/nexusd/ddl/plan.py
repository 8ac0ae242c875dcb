"""What has to change, how risky each change is, and how a plan is shown: text, JSON or SQL."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from enum import StrEnum
from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Risk(StrEnum):
    """What happens to a change at a start.

    SAFE: made. DEFERRED: made once the server is ready, without blocking it. GUARDED: only by a migration file, since
    it may fail on the rows that are there or block traffic. REFUSED: only by a file that allows it by name, since data
    is lost. KEPT: something the registry does not know; reported and left alone.
    """

    SAFE = "safe"
    DEFERRED = "deferred"
    GUARDED = "guarded"
    REFUSED = "refused"
    KEPT = "kept"


BLOCKING: Final = frozenset({Risk.GUARDED, Risk.REFUSED})


class Kind(StrEnum):
    """The kinds of change."""

    CREATE_TABLE = "create_table"
    RENAME_TABLE = "rename_table"
    ADD_COLUMN = "add_column"
    RENAME_COLUMN = "rename_column"
    ALTER_TYPE = "alter_type"
    CONVERT_VALUES = "convert_values"
    SET_DEFAULT = "set_default"
    DROP_DEFAULT = "drop_default"
    SET_NOT_NULL = "set_not_null"
    DROP_NOT_NULL = "drop_not_null"
    SET_IDENTITY = "set_identity"
    DROP_IDENTITY = "drop_identity"
    ADD_CONSTRAINT = "add_constraint"
    REPLACE_CONSTRAINT = "replace_constraint"
    DROP_CONSTRAINT = "drop_constraint"
    VALIDATE_CONSTRAINT = "validate_constraint"
    CREATE_INDEX = "create_index"
    REPLACE_INDEX = "replace_index"
    REBUILD_INDEX = "rebuild_index"
    DROP_INDEX = "drop_index"
    EXTRA_COLUMN = "extra_column"
    EXTRA_PART = "extra_part"
    EXTRA_TABLE = "extra_table"


_SIGNS: Final = {
    Kind.CREATE_TABLE: "+",
    Kind.ADD_COLUMN: "+",
    Kind.ADD_CONSTRAINT: "+",
    Kind.CREATE_INDEX: "+",
    Kind.DROP_CONSTRAINT: "-",
    Kind.DROP_INDEX: "-",
    Kind.EXTRA_COLUMN: "-",
    Kind.EXTRA_PART: "-",
    Kind.EXTRA_TABLE: "-",
}


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between registry and database.

    Attributes:
        name: of the column, constraint or index; empty for the table itself.
        detail: what it becomes, such as `varchar(40)`, or what it is called now.
        clauses: parts of one ALTER TABLE, which a table's changes share.
        statements: whole statements that make the change, after the clauses.
        online: statements that make the change without blocking readers and writers, each in a transaction of its own;
            what `migrate new --from-plan` writes, and what a deferred change runs.
        note: what an operator should know of it.
        fix: how to get there when it is not made at a start.
    """

    table: str
    kind: Kind
    name: str
    risk: Risk
    detail: str = ""
    clauses: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()
    online: tuple[str, ...] = ()
    note: str = ""
    fix: str = ""

    @property
    def title(self) -> str:
        """One line without sign and risk: `add column contacts.phone text`."""
        where = f"{self.table}.{self.name}" if self.name else self.table
        return f"{self.kind.replace('_', ' ')} {where}{' ' if self.detail else ''}{self.detail}"

    def lines(self) -> Iterator[str]:
        """The change for an operator, notes and fix below it."""
        sign = _SIGNS.get(self.kind, "=" if self.risk is Risk.KEPT else "~")
        yield f"{sign} {self.title}: {self.risk}{f' ({self.note})' if self.note else ''}"
        if self.fix:
            yield f"    fix: {self.fix}"

    def document(self) -> dict[str, object]:
        """The change for a program."""
        return {
            "table": self.table,
            "kind": self.kind.value,
            "name": self.name,
            "detail": self.detail,
            "risk": self.risk.value,
            "note": self.note,
            "fix": self.fix,
            "sql": list(self.statements),
        }


def to_be_filled(table: str, column: str) -> tuple[str, str]:
    """What a migration file says of a new column whose values only a person knows: it is not run as it stands."""
    name = f'"{column}"'
    what = f"say in place of NULL what {table}.{column} is in the rows that are there"
    return (
        f"-- nexusd: decide {what}, then delete this line",
        f'UPDATE "{table}" SET {name} = NULL WHERE {name} IS NULL',  # noqa: S608 - names of the registry, no values
    )


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, in the order in which they are made.

    Attributes:
        where: the database and schema, without its password; one line.
        sizes: table to a short text about its size, where it exists.
        files: the migration files that are pending, in order.
    """

    changes: tuple[Change, ...]
    where: str = ""
    sizes: Mapping[str, str] = field(default_factory=dict)
    files: tuple[str, ...] = ()

    def of(self, *risks: Risk) -> tuple[Change, ...]:
        """The changes of these risks."""
        return tuple(change for change in self.changes if change.risk in risks)

    @property
    def blocked(self) -> tuple[Change, ...]:
        """What keeps a start from going on."""
        return self.of(*BLOCKING)

    @property
    def pending(self) -> bool:
        """Whether anything is left to do, files included."""
        return bool(self.files or self.of(Risk.SAFE, Risk.DEFERRED, *BLOCKING))

    def text(self) -> str:
        """The plan for an operator."""
        lines = [self.where] if self.where else []
        for table, group in groupby(self.changes, key=lambda change: change.table):
            size = self.sizes.get(table)
            lines.append(f"  {table}{f'   {size}' if size else ''}")
            lines += [f"    {line}" for change in group for line in change.lines()]
        lines += [f"  pending file {name}" for name in self.files]
        return "\n".join([*lines, self.summary()])

    def summary(self) -> str:
        """How many changes there are of each risk, in one line."""
        words = {
            Risk.SAFE: "to apply",
            Risk.DEFERRED: "after the start",
            Risk.GUARDED: "needs a file",
            Risk.REFUSED: "refused",
            Risk.KEPT: "kept",
        }
        counts = Counter(change.risk for change in self.changes)
        if counts[Risk.GUARDED] > 1:
            words[Risk.GUARDED] = "need a file"
        parts = [f"{counts[risk]} {word}" for risk, word in words.items() if counts[risk]]
        if self.files:
            parts.append(f"{len(self.files)} pending file{'s' if len(self.files) > 1 else ''}")
        return " · ".join(parts) or "nothing to do"

    def document(self) -> dict[str, object]:
        """The plan for a program."""
        return {
            "database": self.where,
            "changes": [change.document() for change in self.changes],
            "files": list(self.files),
            "blocked": bool(self.blocked),
            "pending": self.pending,
        }

    def sql(self) -> str:
        """What a start would run, then, as comments, what it would not."""
        lines = [f"{statement};" for change in self.of(Risk.SAFE) for statement in change.statements]
        for change in self.of(Risk.DEFERRED):
            lines += [f"-- after the start: {change.title}", *(f"{statement};" for statement in change.online)]
        for change in self.blocked:
            lines.append(f"-- {change.risk}: {change.title}")
            lines += [f"-- {line};" for statement in change.statements for line in statement.split("\n")]
        return "\n".join(lines)
