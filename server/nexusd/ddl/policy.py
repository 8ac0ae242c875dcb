"""How risky a difference is: what a start makes, what waits for a file, and what a file must allow by name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.catalog import Column, Part, PartKind, TableSize
from nexusd.ddl.plan import Kind, Risk
from nexusd.definitions.naming import Kind as NameKind

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nexusd.ddl.diff import Difference

SMALL_TABLE_BYTES: Final = 64 * 2**20
"""Up to here an index is built while writers wait: under half a second on slow disks."""

FROM_PLAN: Final = "nexusd migrate new NAME --from-plan"

_LITERAL: Final = re.compile(r"'((?:[^']|'')*)'")
_VARCHAR: Final = re.compile(r"character varying\((\d+)\)")
_NUMERIC: Final = re.compile(r"numeric\((\d+),(\d+)\)")
_INTEGERS: Final = ("smallint", "integer", "bigint")
_FLOATS: Final = ("real", "double precision")


@dataclass(frozen=True, slots=True)
class Verdict:
    """A risk, with what an operator should know and do."""

    risk: Risk
    note: str = ""
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What a table's differences are judged by.

    Attributes:
        confirmed: guarded changes are wanted too (`auto_migrate: all`).
        allowed: what pending or just applied files allow by name, such as `convert_values people.born`.
        added: columns that come with the same plan and are null in every row.
    """

    table: str
    dialect: Dialect
    size: TableSize
    confirmed: bool = False
    allowed: Collection[str] = ()
    added: Collection[str] = ()


def classify(difference: Difference, circumstances: Circumstances) -> Verdict:
    """The risk of one difference."""
    if difference.accepted and not (circumstances.size.empty and difference.kind is Kind.ALTER_TYPE):
        return Verdict(Risk.KEPT, _ACCEPTED.get(difference.kind, "as it was when the database was adopted"))
    verdict = _RULES[difference.kind](difference, circumstances)
    if circumstances.confirmed and verdict.risk is Risk.GUARDED and difference.kind in _CONFIRMABLE:
        return Verdict(Risk.SAFE, "guarded, and wanted by auto_migrate: all")
    return verdict


_ACCEPTED: Final = {
    Kind.DROP_DEFAULT: "not in the registry",
    Kind.ALTER_TYPE: "works as it is",
}


def _safe(_difference: Difference, _circumstances: Circumstances) -> Verdict:
    return Verdict(Risk.SAFE)


def _guarded(note: str, *, scans: bool = False) -> Callable[[Difference, Circumstances], Verdict]:
    """Safe on an empty table alone; `scans`: PostgreSQL keeps readers out while it reads the table."""

    def rule(_difference: Difference, circumstances: Circumstances) -> Verdict:
        if circumstances.size.empty:
            return Verdict(Risk.SAFE)
        locks = scans and circumstances.dialect is Dialect.POSTGRESQL
        return Verdict(Risk.GUARDED, f"{note}{', and readers wait meanwhile' if locks else ''}", FROM_PLAN)

    return rule


def _drop(difference: Difference, _circumstances: Circumstances) -> Verdict:
    return Verdict(Risk.GUARDED, f"the registry no longer has {difference.name}", FROM_PLAN)


def _rename(_difference: Difference, circumstances: Circumstances) -> Verdict:
    if circumstances.size.empty or circumstances.dialect is Dialect.SQLITE:
        return Verdict(Risk.SAFE)
    return Verdict(Risk.GUARDED, "processes of the older version still use the old name", FROM_PLAN)


def _add_column(difference: Difference, circumstances: Circumstances) -> Verdict:
    column, alike = difference.want, difference.have
    if circumstances.dialect is Dialect.SQLITE and isinstance(alike, Column):
        return Verdict(
            Risk.GUARDED, f"there is a column {alike.name}", f"put renamed_from: {alike.name} on the field, or drop it"
        )
    if circumstances.size.empty or (isinstance(column, Column) and (column.nullable or column.default)):
        return Verdict(Risk.SAFE)
    if isinstance(column, Column) and column.identity:
        return Verdict(Risk.GUARDED, "numbers every row, and readers wait meanwhile", FROM_PLAN)
    fix = f"make the field nullable or give it a default, or fill it in a file: {FROM_PLAN}"
    return Verdict(Risk.GUARDED, "the rows that are there have no value for it", fix)


def _alter_type(difference: Difference, circumstances: Circumstances) -> Verdict:
    want, have = difference.want, difference.have
    if circumstances.size.empty:
        return Verdict(Risk.SAFE)
    if not (isinstance(want, Column) and isinstance(have, Column)):  # pragma: no cover - a type has two sides
        raise TypeError(difference)
    if want.type == have.type:
        return Verdict(Risk.GUARDED, "another collation: indexes on it are built anew", FROM_PLAN)
    change = type_change(have.type, want.type)
    if change is Risk.REFUSED:
        fix = f"write a file that says -- nexusd: allow alter_type {circumstances.table}.{difference.name}"
        return Verdict(change, f"{have.type} does not fit into {want.type}: data would be lost", fix)
    if change is Risk.GUARDED:
        return Verdict(change, "rewrites the table, and may fail on its rows", FROM_PLAN)
    return Verdict(change)


def type_change(have: str, want: str) -> Risk:
    """SAFE: no row has to be touched. GUARDED: rows are rewritten. REFUSED: values may not fit.

    The types are as PostgreSQL's format_type shows them, or SQLite's affinities.
    """
    have, want = have.lower(), want.lower()
    for ladder in (_INTEGERS, _FLOATS):
        if have in ladder and want in ladder:
            return Risk.GUARDED if ladder.index(have) < ladder.index(want) else Risk.REFUSED
    if want == "text":
        return Risk.SAFE if have.startswith("character varying") else Risk.GUARDED
    if new := _VARCHAR.fullmatch(want):
        old = _VARCHAR.fullmatch(have)
        return Risk.SAFE if old and int(old[1]) <= int(new[1]) else Risk.REFUSED
    if want.startswith("numeric") and have.startswith("numeric"):
        return _numeric_change(have, want)
    loses = want in _INTEGERS and (have in _FLOATS or have.startswith("numeric"))
    return Risk.REFUSED if loses or (have, want) == ("timestamp with time zone", "date") else Risk.GUARDED


def _numeric_change(have: str, want: str) -> Risk:
    new, old = _NUMERIC.fullmatch(want), _NUMERIC.fullmatch(have)
    if new is None:
        return Risk.SAFE
    if old is None:
        return Risk.REFUSED
    digits = int(new[1]) - int(new[2]) - (int(old[1]) - int(old[2]))
    scale = int(new[2]) - int(old[2])
    if digits < 0 or scale < 0:
        return Risk.REFUSED
    return Risk.SAFE if scale == 0 else Risk.GUARDED


def _convert_values(difference: Difference, circumstances: Circumstances) -> Verdict:
    permission = f"convert_values {circumstances.table}.{difference.name}"
    if circumstances.size.empty or permission in circumstances.allowed:
        return Verdict(Risk.SAFE)
    fix = f"a file that rewrites the values and says -- nexusd: allow {permission}"
    return Verdict(Risk.GUARDED, "stored alike, so the values that are there stay as they are", fix)


def _add_constraint(difference: Difference, circumstances: Circumstances) -> Verdict:
    part = difference.want
    if not isinstance(part, Part) or part.kind in {PartKind.CHECK, PartKind.FOREIGN_KEY} or circumstances.size.empty:
        return Verdict(Risk.SAFE)
    if part.kind is PartKind.UNIQUE and any(name in circumstances.added for name in part.columns):
        return Verdict(Risk.SAFE)
    return Verdict(Risk.GUARDED, "rows may violate it", FROM_PLAN)


def _replace_constraint(difference: Difference, circumstances: Circumstances) -> Verdict:
    if circumstances.size.empty or _gains_values(difference):
        return Verdict(Risk.SAFE)
    return Verdict(Risk.GUARDED, "the old one has to go, and rows may violate the new one", FROM_PLAN)


def _gains_values(difference: Difference) -> bool:
    """Whether both sides are the CHECK of an enum, and the new one admits all that the old one does."""
    want, have = difference.want, difference.have
    if not (isinstance(want, Part) and isinstance(have, Part) and want.name == have.name):
        return False
    is_enum = want.name.endswith(f"_{NameKind.ENUM}") and want.kind is have.kind is PartKind.CHECK
    return is_enum and set(_LITERAL.findall(have.definition)) <= set(_LITERAL.findall(want.definition))


def _create_index(difference: Difference, circumstances: Circumstances) -> Verdict:
    part = difference.want
    if isinstance(part, Part) and part.kind is PartKind.UNIQUE:
        return _add_constraint(difference, circumstances)
    return _by_size(difference, circumstances)


def _by_size(_difference: Difference, circumstances: Circumstances) -> Verdict:
    size_bytes = circumstances.size.size_bytes
    if circumstances.dialect is Dialect.SQLITE or size_bytes is None or size_bytes <= SMALL_TABLE_BYTES:
        return Verdict(Risk.SAFE)
    return Verdict(Risk.DEFERRED, "built CONCURRENTLY")


def _validate(_difference: Difference, _circumstances: Circumstances) -> Verdict:
    return Verdict(Risk.DEFERRED, "reads the table without blocking it")


def _extra_column(difference: Difference, circumstances: Circumstances) -> Verdict:
    column = difference.have
    if not isinstance(column, Column) or not column.must_be_given:
        return Verdict(Risk.KEPT, "not in the registry; renamed? then put renamed_from on the new field")
    drop = f"-- nexusd: allow drop_column {circumstances.table}.{difference.name}"
    fix = f"declare it, or in a file give it a default, or make it nullable, or drop it ({drop})"
    return Verdict(Risk.GUARDED, "required, and not in the registry: inserts would fail", fix)


def _kept(_difference: Difference, _circumstances: Circumstances) -> Verdict:
    return Verdict(Risk.KEPT, "not in the registry")


_RULES: Final[Mapping[Kind, Callable[[Difference, Circumstances], Verdict]]] = {
    Kind.RENAME_COLUMN: _rename,
    Kind.RENAME_TABLE: _rename,
    Kind.ADD_COLUMN: _add_column,
    Kind.ALTER_TYPE: _alter_type,
    Kind.CONVERT_VALUES: _convert_values,
    Kind.SET_DEFAULT: _safe,
    Kind.DROP_DEFAULT: _safe,
    Kind.DROP_NOT_NULL: _safe,
    Kind.SET_NOT_NULL: _guarded("rows may be empty there", scans=True),
    Kind.SET_IDENTITY: _guarded("the sequence has to start above the numbers that are there"),
    Kind.DROP_IDENTITY: _guarded("keys would no longer be numbered"),
    Kind.ADD_CONSTRAINT: _add_constraint,
    Kind.REPLACE_CONSTRAINT: _replace_constraint,
    Kind.DROP_CONSTRAINT: _drop,
    Kind.VALIDATE_CONSTRAINT: _validate,
    Kind.CREATE_INDEX: _create_index,
    Kind.REPLACE_INDEX: _guarded("the old one has to go"),
    Kind.REBUILD_INDEX: _create_index,
    Kind.DROP_INDEX: _drop,
    Kind.EXTRA_COLUMN: _extra_column,
    Kind.EXTRA_PART: _kept,
}

_CONFIRMABLE: Final = frozenset(_RULES) - {Kind.ADD_COLUMN, Kind.CONVERT_VALUES, Kind.EXTRA_COLUMN}
