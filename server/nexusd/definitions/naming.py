"""Names of constraints and indexes: the schema executor makes them, the data layer reads them back out of errors."""

from __future__ import annotations

import hashlib
from enum import StrEnum
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexusd.definitions.model import Model

MAX_BYTES: Final = 63
"""PostgreSQL cuts longer names silently (NAMEDATALEN - 1), so they are cut here, on both databases alike."""

_HASH_DIGITS: Final = 8


class Kind(StrEnum):
    """What a name belongs to; its suffix."""

    PRIMARY_KEY = "pk"
    UNIQUE = "uq"
    INDEX = "ix"
    FOREIGN_KEY = "fk"
    ENUM = "enum"
    CHECK = "check"


def constraint_name(table: str, fields: Sequence[str], kind: Kind) -> str:
    """`<table>_<field>_<kind>`; a name that is too long ends in a hash of itself instead."""
    name = "_".join((table, *fields, kind.value))
    encoded = name.encode()
    if len(encoded) <= MAX_BYTES:
        return name
    digest = hashlib.sha256(encoded).hexdigest()[:_HASH_DIGITS]
    kept = encoded[: MAX_BYTES - _HASH_DIGITS - len(kind.value) - 2].decode(errors="ignore")
    return f"{kept}_{digest}_{kind.value}"


def index_names(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every index of a model, those of its key and uniques included: its name and the fields it covers.

    A database has one name space for the indexes of all tables; PostgreSQL's is that of the tables too.
    """
    table = model.table
    yield constraint_name(table, (model.key.name,), Kind.PRIMARY_KEY), (model.key.name,)
    for fields in dict.fromkeys(model.unique_sets[1:]):
        yield constraint_name(table, fields, Kind.UNIQUE), fields
    single = [(f.name,) for f in model.fields if f.index and not (f.unique or f.primary_key)]
    for fields in dict.fromkeys([*single, *(index.fields for index in model.indexes if not index.unique)]):
        yield constraint_name(table, fields, Kind.INDEX), fields


def constraints_of(model: Model) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every constraint and unique index of a model: its name and the fields it covers (none for a check)."""
    table = model.table
    yield constraint_name(table, (model.key.name,), Kind.PRIMARY_KEY), (model.key.name,)
    for fields in model.unique_sets[1:]:
        yield constraint_name(table, fields, Kind.UNIQUE), fields
    for field in model.fields:
        if field.references is not None:
            yield constraint_name(table, (field.name,), Kind.FOREIGN_KEY), (field.name,)
        if field.values:
            yield constraint_name(table, (field.name,), Kind.ENUM), (field.name,)
    for name in model.checks:
        yield constraint_name(table, (name,), Kind.CHECK), ()
