"""What bulk nodes answer for each record."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from operator import itemgetter
from typing import TYPE_CHECKING

from nexusd.definitions.shape import ListOf, Record, Scalar
from nexusd.errors import Code
from nexusd.nodes.halving import faults
from nexusd.nodes.shapes import integer, one_of, record_shape, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexusd.definitions.model import Model
    from nexusd.definitions.shape import Shape
    from nexusd.errors import DatabaseError, Fault
    from nexusd.nodes.node import NodeContext


@dataclass(slots=True)
class Results:
    """Counts of what became of records, and an entry for each that is answered by itself."""

    entries: list[dict[str, object]] = field(default_factory=list)
    counted: Counter[str] = field(default_factory=Counter)

    def add(self, index: int, outcome: str, key: object, version: object) -> dict[str, object]:
        """Say what became of a record."""
        entry = {"index": index, "outcome": outcome, "id": key, "version": version}
        self.entries.append(entry)
        self.counted[outcome] += 1
        return entry

    def add_all(self, outcome: str, indexes: Sequence[int], keys: Iterable[object], version: object) -> None:
        """Say that the same became of many records."""
        self.counted[outcome] += len(indexes)
        self.entries += [
            {"index": index, "outcome": outcome, "id": key, "version": version}
            for index, key in zip(indexes, keys, strict=True)
        ]

    def fail(self, index: int, fault: Fault, context: NodeContext) -> None:
        """Say why a record was not taken."""
        entry = self.add(index, "failed", None, None)
        pointer = from_outside(fault.pointer, context)
        entry["error"] = {"code": fault.code, "detail": fault.detail, "pointer": pointer}

    def fail_all(self, refused: Mapping[int, Sequence[Fault]], context: NodeContext) -> None:
        """Say of each record by its first fault why it was not taken."""
        for index, found in refused.items():
            first = found[0]
            code = first.code if first.code == Code.FORBIDDEN else Code.INVALID_INPUT.value
            self.fail(index, replace(first, code=code), context)

    def refuse(self, index: int, error: DatabaseError, context: NodeContext) -> None:
        """Say that the database refused a record."""
        self.fail(index, faults(error, f"/records/{index}")[0], context)

    def listed(self) -> list[dict[str, object]]:
        """The entries in the order of the records."""
        return sorted(self.entries, key=itemgetter("index"))


def from_outside(pointer: str, context: NodeContext) -> str:
    """A pointer into the params as one into the inputs, where an input is the whole of the param."""
    _, name, rest = pointer.split("/", 2)
    source = context.pointers.get(f"/{name}")
    return pointer if source is None else f"{source}/{rest}"


def results_shape(model: Model, outcomes: Sequence[str], *, records: bool) -> ListOf:
    """The list of entries."""
    key = replace(model.key, name="id", nullable=True)
    version = replace(integer("version", 1).field, nullable=True)
    error: dict[str, Shape] = {name: text(name) for name in ("code", "detail", "pointer")}
    entry: dict[str, Shape] = {
        "index": integer("index", 0),
        "outcome": one_of("outcome", *outcomes),
        "id": Scalar(key, stored=True),
        "version": Scalar(version, stored=True),
    }
    required = frozenset(entry)
    if records:
        entry["record"] = record_shape(model)
    if "failed" in outcomes:
        entry["error"] = Record(error, frozenset(error))
    return ListOf(Record(entry, required))


def counted_shape(names: Sequence[str], results: ListOf | None = None, *, always: bool = True) -> Record:
    """Counts, and the list of entries; `always` whether every run answers the list."""
    properties: dict[str, Shape] = {name: integer(name, 0) for name in names}
    required = frozenset(properties)
    if results is not None:
        properties["results"] = results
        required |= {"results"} if always else set()
    return Record(properties, required)
