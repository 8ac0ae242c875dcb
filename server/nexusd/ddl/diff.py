"""A wanted table against the one that is there: pure, the same for both databases."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nexusd.ddl.catalog import Column, Part, PartKind, Table
from nexusd.ddl.columns import keeps_bytes
from nexusd.ddl.errors import RenameHintError
from nexusd.ddl.plan import Kind

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from nexusd.ddl.tables import WantedTable


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger remembers of a table as it last brought it about.

    Attributes:
        types: the registry's type of each column.
        parts: names of the constraints and indexes that the registry wanted.
        accepted: the differences that stay as they are, as `Difference.mark` says them.
    """

    types: Mapping[str, str]
    parts: frozenset[str]
    accepted: frozenset[str] = frozenset()


UNKNOWN: Final = Known({}, frozenset())
_BY_CODE_POINT: Final = "C"


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference, with both sides of it; None where a side has nothing.

    Attributes:
        accepted: it was there when the database was adopted, and stays.
        parts: of a column that is renamed: the names of all constraints and indexes of its table.
    """

    kind: Kind
    name: str
    want: Column | Part | None = None
    have: Column | Part | None = None
    accepted: bool = False
    parts: frozenset[str] = frozenset()

    @property
    def mark(self) -> str:
        """The difference as the ledger remembers it: another one on either side is another difference."""
        return f"{self.kind} {self.name}: {_said(self.kind, self.want)} -> {_said(self.kind, self.have)}"


def _said(kind: Kind, side: Column | Part | None) -> str:
    if isinstance(side, Part):
        return side.definition
    if side is None or kind in {Kind.SET_NOT_NULL, Kind.DROP_NOT_NULL}:
        return ""
    return side.default if kind in {Kind.SET_DEFAULT, Kind.DROP_DEFAULT} else f"{side.type} {side.collation}".rstrip()


def differences(table: WantedTable, want: Table, have: Table, known: Known = UNKNOWN) -> Iterator[Difference]:
    """What has to change in a table that exists.

    Args:
        table: the declaration, for its rename hints.
        want: the table as the database would show it.
        have: the table as the database shows it.
        known: what the ledger remembers of it.

    Raises:
        RenameHintError: a `renamed_from` cannot mean what it says.
    """
    renames = column_renames(table, have, known)
    parts = frozenset(have.parts)
    yield from (
        Difference(Kind.RENAME_COLUMN, new, have=have.columns[old], parts=parts) for new, old in renames.items()
    )
    have = _renamed(have, renames)
    for difference in (*_columns(table, want, have, known), *_parts(want, have, known)):
        is_new_to_us = difference.name not in known.types and _does_no_harm(difference)
        accepted = is_new_to_us or difference.mark in known.accepted
        yield replace(difference, accepted=True) if accepted else difference


def _does_no_harm(difference: Difference) -> bool:
    """Whether a column that something else made works as it is: the daemon sorts by code point whatever its collation.

    A narrower integer refuses what does not fit, and a default is for others' inserts.
    """
    want, have = difference.want, difference.have
    if difference.kind is Kind.DROP_DEFAULT:
        return True
    if difference.kind is not Kind.ALTER_TYPE or not (isinstance(want, Column) and isinstance(have, Column)):
        return False
    is_narrower = want.type == "bigint" and have.type in {"smallint", "integer"}
    return is_narrower or (want.type == have.type and want.collation == _BY_CODE_POINT and have.compares_bytes)


def column_renames(table: WantedTable, have: Table, known: Known) -> dict[str, str]:
    """New name to old name, of the columns that are still called by their old one."""
    renames: dict[str, str] = {}
    declared = {field.name for field in table.model.columns}
    for field in table.model.fields:
        old = field.renamed_from
        if old is None:
            continue
        where = f"{table.name}.{field.name}"
        if old in declared or old in renames.values():
            raise RenameHintError(f"{where}: renamed_from {old} names a field that another declaration uses")
        if old in have.columns and field.name in have.columns:
            raise RenameHintError(
                f"{where}: both {old} and {field.name} are columns of {table.name}",
                hint="drop one of them with a migration file, or remove renamed_from",
            )
        if old in have.columns:
            renames[field.name] = old
        elif field.name not in have.columns and old not in known.types:
            raise RenameHintError(
                f"{where}: {table.name} has no column {old}, and never had", hint="correct or remove renamed_from"
            )
    return renames


def _renamed(have: Table, renames: Mapping[str, str]) -> Table:
    """The table as it will look once the columns have their new names."""
    if not renames:
        return have
    names = {old: new for new, old in renames.items()}
    columns = {names.get(name, name): replace(c, name=names.get(name, name)) for name, c in have.columns.items()}
    words = re.compile("|".join(rf'"{re.escape(old)}"|\b{re.escape(old)}\b' for old in names))

    def rename(part: Part) -> Part:
        definition = words.sub(lambda match: names[match[0].strip('"')], part.definition)
        return replace(part, definition=definition, columns=tuple(names.get(name, name) for name in part.columns))

    return Table(columns, {name: rename(part) for name, part in have.parts.items()})


def _columns(table: WantedTable, want: Table, have: Table, known: Known) -> Iterator[Difference]:
    for name, column in want.columns.items():
        there = have.columns.get(name)
        if there is None:
            # SQLite takes a name that differs in case alone for the same.
            alike = next((each for each in have.columns.values() if each.name.lower() == name.lower()), None)
            yield Difference(Kind.ADD_COLUMN, name, column, alike)
        else:
            yield from _column(column, there)
            before = known.types.get(name)
            declared = column_type(table, name)
            if before is not None and keeps_bytes(before, declared, table.dialect) and _stores_alike(column, there):
                yield Difference(Kind.CONVERT_VALUES, name, replace(column, type=declared), replace(there, type=before))
    for name, column in have.columns.items():
        if name not in want.columns:
            yield Difference(Kind.EXTRA_COLUMN, name, have=column)


def column_type(table: WantedTable, name: str) -> str:
    """The registry's type of a column, as the ledger remembers it."""
    field = table.model.by_name[name]
    return f"{field.type} of {field.items}" if field.items else field.type.value


def _stores_alike(want: Column, have: Column) -> bool:
    return (want.type, want.collation) == (have.type, have.collation)


def _column(want: Column, have: Column) -> Iterator[Difference]:
    if not _stores_alike(want, have):
        yield Difference(Kind.ALTER_TYPE, want.name, want, have)
    # A serial column is numbered by its default.
    if want.identity and have.default.startswith("nextval("):
        pass
    elif want.identity != have.identity:
        yield Difference(Kind.SET_IDENTITY if want.identity else Kind.DROP_IDENTITY, want.name, want, have)
    elif want.default != have.default and not want.identity:
        yield Difference(Kind.SET_DEFAULT if want.default else Kind.DROP_DEFAULT, want.name, want, have)
    if want.nullable != have.nullable:
        yield Difference(Kind.DROP_NOT_NULL if want.nullable else Kind.SET_NOT_NULL, want.name, want, have)


def _parts(want: Table, have: Table, known: Known) -> Iterator[Difference]:
    left = dict(have.parts)
    missing: list[Part] = []
    for part in want.parts.values():
        there = _match(part, left)
        if there is None:
            missing.append(part)
            continue
        del left[there.name]
        if not there.valid and part.valid:
            yield Difference(Kind.REBUILD_INDEX if there.is_index else Kind.VALIDATE_CONSTRAINT, part.name, part, there)
    for part in missing:
        there = left.pop(part.name, None) or _other_key(part, left)
        is_index = part.kind is PartKind.INDEX or (part.is_index and (there is None or there.is_index))
        if there is None:
            yield Difference(Kind.CREATE_INDEX if is_index else Kind.ADD_CONSTRAINT, part.name, part)
        else:
            yield Difference(Kind.REPLACE_INDEX if is_index else Kind.REPLACE_CONSTRAINT, part.name, part, there)
    for part in left.values():
        if part.name in known.parts and not _belongs_to_extra(part, want, have):
            yield Difference(Kind.DROP_INDEX if part.is_index else Kind.DROP_CONSTRAINT, part.name, have=part)
        else:
            yield Difference(Kind.EXTRA_PART, part.name, have=part)


def _belongs_to_extra(part: Part, want: Table, have: Table) -> bool:
    """Whether it concerns a column that the registry no longer has, and that is kept with all that it had."""
    extras = have.columns.keys() - want.columns.keys()
    return bool(extras.intersection(part.columns or re.findall(r"\w+", part.definition)))


def _match(part: Part, left: Mapping[str, Part]) -> Part | None:
    """The equal part, by its name or else, as in a database that something else made, by what it says."""

    def says_the_same(other: Part) -> bool:
        return (other.kind, other.definition) == (part.kind, part.definition)

    named = left.get(part.name)
    if named is not None and says_the_same(named):
        return named
    return next((other for other in left.values() if says_the_same(other)), None)


def _other_key(part: Part, left: dict[str, Part]) -> Part | None:
    """A table has one primary key, whatever its name."""
    if part.kind is not PartKind.PRIMARY_KEY:
        return None
    name = next((name for name, each in left.items() if each.kind is PartKind.PRIMARY_KEY), None)
    return left.pop(name) if name is not None else None


def table_renames(
    tables: Mapping[str, WantedTable], existing: Collection[str], known: Collection[str]
) -> dict[str, str]:
    """New name to old name, of the tables that are still called by their old one.

    Raises:
        RenameHintError: a `renamed_from` of a model cannot mean what it says.
    """
    renames: dict[str, str] = {}
    for table in tables.values():
        old = table.model.renamed_from
        if old is None:
            continue
        if old in tables or old in renames.values():
            raise RenameHintError(f"{table.name}: renamed_from {old} names a table that another model uses")
        if old in existing and table.name in existing:
            raise RenameHintError(
                f"{table.name}: both {old} and {table.name} are tables",
                hint="drop one of them with a migration file, or remove renamed_from",
            )
        if old in existing:
            renames[table.name] = old
        elif known and table.name not in existing and old not in known:
            raise RenameHintError(f"{table.name}: there is no table {old}, and never was", hint="correct renamed_from")
    return renames
