"""A row policy as part of every statement of a model: a condition, and where its values come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.databases.filters import NONE, Connective, Group, Operator, Predicate
from nexusd.definitions.model import compared
from nexusd.definitions.policy import Claim
from nexusd.definitions.wire import array_item, check_value, normalise

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.databases.filters import Condition
    from nexusd.definitions.model import Field, Model
    from nexusd.definitions.policy import FilterTree


@dataclass(frozen=True, slots=True)
class FromClaims:
    """A value of a statement that the caller's claims give.

    Attributes:
        field: what it is compared with.
        many: it is a list of such values.
    """

    path: tuple[str, ...]
    field: Field
    many: bool = False

    def of(self, claims: Mapping[str, object]) -> object:
        """The value in wire form; only of claims that `fit`."""
        found = self._find(claims)
        if self.many and isinstance(found, list):
            return [normalise(self.field, each) for each in found]
        return normalise(self.field, found)

    def fits(self, claims: Mapping[str, object]) -> bool:
        """Whether the claims have the value, and in the form that the field has."""
        found = self._find(claims)
        if self.many:
            return isinstance(found, list) and not any(check_value(self.field, each, "") for each in found)
        return found is not None and not check_value(self.field, found, "")

    def _find(self, claims: Mapping[str, object]) -> object:
        found: object = claims
        for name in self.path:
            found = found.get(name) if isinstance(found, dict) else None
        return found


@dataclass(frozen=True, slots=True)
class Constant:
    """A value of a statement that the policy itself gives."""

    value: object

    def __hash__(self) -> int:
        """By identity of kind: the values may be lists."""
        return hash(repr(self.value))

    def of(self, _claims: Mapping[str, object]) -> object:
        """The value."""
        return self.value


Origin: TypeAlias = FromClaims | Constant
"""Where a value of a statement comes from that the node which runs it does not give."""


@dataclass(frozen=True, slots=True)
class Guard:
    """A condition that records must meet to exist for a caller.

    Attributes:
        origins: where the values of its tests come from, in their order.
        fields: names of what it looks at.
    """

    condition: Condition
    origins: tuple[Origin, ...] = ()
    fields: frozenset[str] = frozenset()

    def fits(self, claims: Mapping[str, object]) -> bool:
        """Whether the claims say all that it asks for; if they do not, no record meets it."""
        return all(origin.fits(claims) for origin in self.origins if isinstance(origin, FromClaims))


NOTHING: Final = Guard(NONE)
"""What a caller sees whose claims do not say enough."""


def guard_of(model: Model, *trees: FilterTree) -> Guard:
    """The guard that lets records through which meet all the policies."""
    origins: list[Origin] = []
    condition = Group(Connective.AND, tuple(_condition(tree, model, origins) for tree in trees))
    return Guard(condition, tuple(origins), frozenset(name for tree in trees for name in _fields(tree)))


def _condition(tree: FilterTree, model: Model, origins: list[Origin]) -> Condition:
    """The tree as a condition; where its values come from is added to `origins`."""
    parts: list[Condition] = []
    for key, item in tree.items():
        if key == Connective.NOT and isinstance(item, dict):
            parts.append(Group(Connective.NOT, (_condition(item, model, origins),)))
        elif key in {Connective.AND, Connective.OR} and isinstance(item, list):
            parts.append(Group(Connective(key), tuple(_condition(part, model, origins) for part in item)))
        elif isinstance(item, dict):
            parts += [_test(model.by_name[key], Operator(name), value, origins) for name, value in item.items()]
    return Group(Connective.AND, tuple(parts))


def _test(column: Field, operator: Operator, value: object, origins: list[Origin]) -> Condition:
    if operator is Operator.NULL:
        return Predicate(column.name, operator, null=value is True)
    tested = array_item(column) if operator is Operator.HAS else compared(column)
    many = operator in {Operator.IN, Operator.NIN}
    origins.append(FromClaims(value.path, tested, many) if isinstance(value, Claim) else Constant(value))
    return Predicate(column.name, operator)


def _fields(tree: object) -> Iterator[str]:
    if isinstance(tree, list):
        for part in tree:
            yield from _fields(part)
    elif isinstance(tree, dict):
        for name, part in tree.items():
            if name.startswith("$"):
                yield from _fields(part)
            else:
                yield name
