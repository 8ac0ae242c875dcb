"""Reading the fields of records as callers give them, one or many, and the shape of the param `records`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from nexusd.databases.filters import unknown
from nexusd.definitions.shape import Record, Scalar, escape
from nexusd.definitions.wire import check_value, normalise
from nexusd.errors import Fault
from nexusd.nodes.canonical import CanonicalRecords

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Field
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.binding import Binder


@dataclass(slots=True)
class Batch:
    """Records that were read.

    Attributes:
        rows: those that are valid, in canonical form; not to be changed, they may be the caller's own.
        indexes: for each row its place among those given.
        refused: what is wrong with the others, by their place.
    """

    rows: list[dict[str, object]] = field(default_factory=list)
    indexes: list[int] = field(default_factory=list)
    refused: dict[int, list[Fault]] = field(default_factory=dict)

    @property
    def total(self) -> int:
        """How many records were given."""
        return len(self.rows) + len(self.refused)

    @property
    def faults(self) -> list[Fault]:
        """All that is wrong, in the order of the records."""
        return [fault for index in sorted(self.refused) for fault in self.refused[index]]

    def refuse(self, unwanted: Mapping[int, Fault]) -> None:
        """Take out rows, given by their place among those read here, each for one reason."""
        for position, fault in unwanted.items():
            self.refused.setdefault(self.indexes[position], []).append(fault)
        kept = [position for position in range(len(self.rows)) if position not in unwanted]
        self.rows = [self.rows[position] for position in kept]
        self.indexes = [self.indexes[position] for position in kept]


class FieldsReader:
    """Reads records of some fields: checks them and brings them into canonical form.

    Args:
        fields: what a record may hold, by name.
        required: what it must hold.
        managed: names of columns that the server keeps.
    """

    def __init__(self, fields: Mapping[str, Field], required: frozenset[str], managed: Iterable[str] = ()) -> None:
        self.fields = fields
        self.required = required
        self._managed = frozenset(managed)
        self._canonical = CanonicalRecords(fields.values(), required)

    def read(self, given: object, pointer: str, faults: list[Fault]) -> dict[str, object]:
        """Read one record; what is wrong is added to `faults`, with pointers below `pointer`."""
        if not isinstance(given, dict):
            faults.append(Fault(pointer, "type", "must be an object of fields"))
            return {}
        if self._canonical.hold([given]):
            return given
        return self._walk(given, pointer, faults)

    def read_all(self, records: object, pointer: str) -> Batch:
        """Read many records; each may be refused by itself.

        Raises nothing: what is no list is one refused record.
        """
        if not isinstance(records, list):
            return Batch(refused={0: [Fault(pointer, "type", "must be a list of records")]})
        if self._canonical.hold(records):
            return Batch(records, list(range(len(records))))
        batch = Batch()
        for index, given in enumerate(records):
            faults: list[Fault] = []
            row = self.read(given, f"{pointer}/{index}", faults)
            if faults:
                batch.refused[index] = faults
            else:
                batch.rows.append(row)
                batch.indexes.append(index)
        return batch

    def _walk(self, given: Mapping[str, object], pointer: str, faults: list[Fault]) -> dict[str, object]:
        accepted: dict[str, object] = {}
        for name, value in given.items():
            column = self.fields.get(name)
            if column is None:
                faults.append(self._unknown(str(name), f"{pointer}/{escape(str(name))}"))
                continue
            found = check_value(column, value, f"{pointer}/{name}")
            if found:
                faults += found
            else:
                accepted[name] = normalise(column, value)
        missing = [name for name in self.fields if name in self.required and name not in given]
        faults += [Fault(f"{pointer}/{name}", "required", "is required") for name in missing]
        return accepted

    def _unknown(self, name: str, pointer: str) -> Fault:
        if name in self._managed:
            return Fault(pointer, "not_allowed", "is kept by the server and cannot be given")
        return Fault(pointer, "unknown", unknown("field", name, self.fields))


class RecordsShape:
    """A list of records.

    Args:
        reader: reads a record.
        later: only that it is a list is checked here; the node reads the records itself and answers for each.
    """

    def __init__(self, reader: FieldsReader, *, later: bool = False) -> None:
        self._reader = reader
        self._later = later
        properties: dict[str, Shape] = {name: Scalar(column) for name, column in reader.fields.items()}
        self._items = Record(properties, reader.required)

    def schema(self) -> dict[str, object]:
        """An array of objects with the model's fields."""
        return {"type": "array", "items": self._items.schema()}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """All that is wrong with all records."""
        if self._later and isinstance(value, list):
            return []
        return self._reader.read_all(value, pointer).faults

    def normalise(self, value: object) -> object:
        """The records in canonical form."""
        if self._later:
            return value
        return self._reader.read_all(value, "").rows

    def at(self, step: str | int) -> Shape | None:
        """An index leads to a record."""
        return self._items if isinstance(step, int) else None


def records_rules(reader: FieldsReader, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
    """Where `mode` may be partial, leave the records to the node: there an invalid one is no invalid input."""
    slots = binder.binding.slots
    if "mode" in given and declared.get("mode") != "atomic" and ("records",) in slots:
        slots["records",] = replace(slots["records",], shape=RecordsShape(reader, later=True))
