"""Rows in the order in which they are written: those with the same fields together, since a statement names its fields.

Within a group they are sorted by their identity, so that two transactions that write the same records meet in the same
order and do not wait for each other in a circle.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING

from nexusd.databases.rows import portions
from nexusd.definitions.model import FieldType

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexusd.databases.tables import Table
    from nexusd.definitions.model import Model
    from nexusd.nodes.resource import Row


class Identity:
    """What makes two rows mean the same record: equal values of some fields."""

    def __init__(self, model: Model, names: tuple[str, ...]) -> None:
        self._names = names
        self._decimals = frozenset(name for name in names if model.by_name[name].type is FieldType.DECIMAL)

    def of(self, row: Row) -> tuple[object, ...]:
        """The row's identity; decimals by value, so that 1.0 is 1.00."""
        if not self._decimals:
            return tuple([row[name] for name in self._names])
        return tuple(Decimal(str(row[name])) if name in self._decimals else row[name] for name in self._names)


@dataclass(frozen=True, slots=True)
class Group:
    """Rows with the same fields.

    Attributes:
        names: the fields, in the order of the statement.
        positions: for each row its place among all rows.
    """

    names: tuple[str, ...]
    rows: list[Row]
    positions: list[int]


def grouped(rows: Sequence[tuple[int, Row]], order: Sequence[str]) -> list[Group]:
    """Group rows, each given with its place, by their fields; `order` is that of the fields."""
    by_fields: dict[frozenset[str], Group] = {}
    last: tuple[object, Group] | None = None
    for position, row in rows:
        keys = row.keys()
        if last is not None and last[0] == keys:
            group = last[1]
        else:
            fields = frozenset(keys)
            group = by_fields.setdefault(fields, Group(tuple(name for name in order if name in fields), [], []))
            last = (keys, group)
        group.rows.append(row)
        group.positions.append(position)
    return list(by_fields.values())


@dataclass(frozen=True, slots=True)
class Arrangement:
    """All rows, group behind group."""

    groups: list[Group]

    @property
    def count(self) -> int:
        """How many rows there are."""
        return sum(len(group.rows) for group in self.groups)

    def position(self, place: int) -> int:
        """The place, among the rows as they were given, of the row at a place of the arrangement."""
        for group in self.groups:
            if place < len(group.rows):
                return group.positions[place]
            place -= len(group.rows)
        raise IndexError(place)

    def parts(self, table: Table, stretch: slice) -> Iterator[Group]:
        """A stretch of the arrangement as portions for one statement each."""
        start = 0
        for group in self.groups:
            end = start + len(group.rows)
            low, high = max(stretch.start, start), min(stretch.stop, end)
            for portion in portions(table, max(high - low, 0), len(group.names)):
                cut = slice(low - start + portion.start, low - start + portion.stop)
                yield Group(group.names, group.rows[cut], group.positions[cut])
            start = end


def arranged(groups: list[Group], identity: Identity) -> Arrangement:
    """The groups with their rows sorted by identity."""
    return Arrangement([_sorted(group, identity) for group in groups])


def _sorted(group: Group, identity: Identity) -> Group:
    identities = [identity.of(row) for row in group.rows]
    order = sorted(range(len(identities)), key=identities.__getitem__)
    return Group(group.names, [group.rows[i] for i in order], [group.positions[i] for i in order])


def repeated(rows: Sequence[Row], identity: Identity) -> dict[tuple[object, ...], list[int]]:
    """The identities that several rows have, with the places of these rows."""
    places: defaultdict[tuple[object, ...], list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[identity.of(row)].append(place)
    return {found: several for found, several in places.items() if len(several) > 1}
