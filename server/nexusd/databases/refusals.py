"""A database's refusal as an error that names constraint and fields, never a value."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.naming import Kind, constraint_name, constraints_of
from nexusd.errors import CheckViolation, DatabaseError, ReferenceViolation, UniqueViolation

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nexusd.definitions.model import Model


def refusal(
    kind: type[DatabaseError],
    models: Iterable[Model],
    *,
    constraint: str | None = None,
    table: str | None = None,
    columns: Iterable[str] = (),
) -> DatabaseError:
    """The error for a constraint, or for columns, that a database named.

    Args:
        kind: the class of the error.
        models: what the statement touched; names that are not theirs are not repeated.
        constraint: the name of the constraint or index.
        table: the table it belongs to, where the database says so.
        columns: the columns, where the database names them instead.
    """
    fields = tuple(columns)
    for model in models:
        if table is not None and table != model.table:
            continue
        known = dict(constraints_of(model))
        if constraint in known:
            return kind(
                _detail(kind, model, constraint, known[constraint]), constraint=constraint, fields=known[constraint]
            )
        if fields and all(name in model.by_name for name in fields):
            named = _constraint_over(kind, model, fields)
            return kind(
                _detail(kind, model, named, fields), constraint=named if named in known else None, fields=fields
            )
    return kind()


def _constraint_over(kind: type[DatabaseError], model: Model, fields: tuple[str, ...]) -> str | None:
    """The name of the constraint of that kind over these fields, if there is one."""
    if kind is UniqueViolation:
        suffix = Kind.PRIMARY_KEY if fields == (model.key.name,) else Kind.UNIQUE
    elif kind is ReferenceViolation:
        suffix = Kind.FOREIGN_KEY
    else:
        return None
    return constraint_name(model.table, fields, suffix)


def _detail(kind: type[DatabaseError], model: Model, constraint: str | None, fields: tuple[str, ...]) -> str:
    listed = ", ".join(fields)
    if kind is UniqueViolation:
        return f"a {model.name} with this {listed} exists already"
    if kind is ReferenceViolation:
        return f"there is no record that {listed} could refer to"
    if kind is CheckViolation:
        checks = (name for name in model.checks if constraint_name(model.table, (name,), Kind.CHECK) == constraint)
        return f"the values do not pass the check {next(checks, listed)}"
    return f"the database refused the value of {listed}"
