"""What a database's catalog says of tables, in a form in which equal tables are equal values.

Both sides of a comparison come from a database: the tables that are there, and those that the registry's statements
make in a place where nobody sees them. So the database itself normalises types, defaults and expressions.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


class PartKind(StrEnum):
    """What a constraint or index is. A unique index over plain columns counts as a unique constraint."""

    PRIMARY_KEY = "primary key"
    UNIQUE = "unique"
    FOREIGN_KEY = "foreign key"
    CHECK = "check"
    INDEX = "index"


@dataclass(frozen=True, slots=True)
class Column:
    """A column.

    Attributes:
        type: as the database shows it; two columns with equal types store alike.
        default: the expression, or empty.
        identity: whether the database numbers the rows by itself.
        collation: empty for the type's own.
        computed: whether its value is generated from other columns.
        compares_bytes: whether texts are equal only if their bytes are, whatever order the collation gives them.
    """

    name: str
    type: str
    nullable: bool
    default: str = ""
    identity: bool = False
    collation: str = ""
    computed: bool = False
    compares_bytes: bool = True

    @property
    def must_be_given(self) -> bool:
        """Whether an insert that leaves it out fails."""
        return not (self.nullable or self.default or self.identity or self.computed)


@dataclass(frozen=True, slots=True)
class Part:
    """A constraint or index.

    Attributes:
        definition: everything but the name; equal text means an equal constraint.
        columns: those it covers, as far as they are plain columns.
        valid: whether all rows are known to obey it, or the index is complete.
        is_index: whether it is an index and no constraint, so that DROP INDEX removes it.
    """

    name: str
    kind: PartKind
    definition: str
    columns: tuple[str, ...] = ()
    valid: bool = True
    is_index: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """A table: columns in order, and its parts by name."""

    columns: Mapping[str, Column]
    parts: Mapping[str, Part] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TableSize:
    """How much is in a table.

    Attributes:
        rows: an estimate; None where none is known.
        size_bytes: on disk, without indexes; None where it is not known.
        empty: looked up, not estimated.
    """

    rows: int | None
    size_bytes: int | None
    empty: bool

    def __str__(self) -> str:
        if self.empty:
            return "empty"
        rows = "" if self.rows is None else f"about {self.rows} row{'' if self.rows == 1 else 's'}"
        size = "" if self.size_bytes is None else _readable(self.size_bytes)
        return ", ".join(part for part in (rows, size) if part)


def _readable(size_bytes: int) -> str:
    return f"{size_bytes / 2**20:.0f} MB" if size_bytes >= 2**20 else f"{size_bytes // 2**10} kB"
