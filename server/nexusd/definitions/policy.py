"""Row policies: which records of a model a caller may see and change."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FilterTree: TypeAlias = dict[str, object]
"""A filter (docs/reference.md, section 5) in which a Claim may stand for a value."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A value that the caller's credentials say.

    Attributes:
        path: names, the outermost first.
    """

    path: tuple[str, ...]


class Access(StrEnum):
    """What a caller does with a record."""

    READ = "read"
    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Tenant:
    """The field that says whose a record is, and the claim that says who the caller is."""

    field: str
    claim: Claim


@dataclass(frozen=True, slots=True)
class Policies:
    """Who may do what with the records of a model.

    Attributes:
        rules: what a record must meet; for `create` and `update` as it is written, for `update` and `delete` also as
            it was. Every access has one.
        tenant: kept by the server: each record is its creator's, and no other's.
    """

    rules: Mapping[Access, FilterTree]
    tenant: Tenant | None = None


def claims_in(policies: Policies) -> Iterator[Claim]:
    """Every claim that the policies ask for."""
    if policies.tenant is not None:
        yield policies.tenant.claim
    for tree in policies.rules.values():
        yield from _claims(tree)


def _claims(part: object) -> Iterator[Claim]:
    if isinstance(part, Claim):
        yield part
    elif isinstance(part, dict):
        for inner in part.values():
            yield from _claims(inner)
    elif isinstance(part, list):
        for inner in part:
            yield from _claims(inner)


EVERY: Final[FilterTree] = {}
"""Lets every record through."""

NO_ONE: Final[FilterTree] = {"$or": []}
"""Lets none through."""
