"""What is to be done: changes, each with its risk, and the plan over them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Risk(StrEnum):
    """Whether a change is applied by itself.

    SAFE: at start. GUARDED: not, since it may fail on the rows that are there, block traffic or lose data.
    """

    SAFE = "safe"
    GUARDED = "guarded"


@dataclass(frozen=True, slots=True)
class Change:
    """One difference between registry and database.

    Attributes:
        kind: `create_table`, `add_column`, `drop_not_null`, `create_index`, `add_constraint`, `column_type`, …
        name: of the column, constraint or index; empty for the table itself.
        sql: the statement that makes the change; empty where none is safe.
        hint: how to get there when it is not applied.
    """

    table: str
    kind: str
    name: str
    risk: Risk
    sql: str = ""
    hint: str = ""

    def line(self) -> str:
        """One line for an operator."""
        where = f"{self.table}.{self.name}" if self.name else self.table
        text = f"{self.kind.replace('_', ' ')} {where}: {self.risk}"
        return f"{text}\n    fix: {self.hint}" if self.hint and self.risk is not Risk.SAFE else text


@dataclass(frozen=True, slots=True)
class Plan:
    """All changes, tables first, then what belongs to them."""

    changes: tuple[Change, ...]

    @property
    def blocked(self) -> tuple[Change, ...]:
        """What is not applied by itself."""
        return tuple(change for change in self.changes if change.risk is not Risk.SAFE)

    def text(self) -> str:
        """Every change, a line each."""
        return "\n".join(f"  {change.line()}" for change in self.changes)
