"""The params `conflict_on` and `update` of upserts: which record is meant, and what of it is overwritten."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from nexusd.databases.statements import Conflict
from nexusd.errors import Fault
from nexusd.nodes.binding import Param
from nexusd.nodes.resource import option, unique_sets
from nexusd.nodes.shapes import NamesShape, text

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Model
    from nexusd.definitions.shape import Shape


class ConflictShape:
    """A set of fields that identifies a record: a list of names, or one name."""

    def __init__(self, model: Model) -> None:
        self._sets = {frozenset(names): names for names in model.unique_sets}
        self._words = unique_sets(model)

    def schema(self) -> dict[str, object]:
        """One of the sets, in its own order or as a single name."""
        sets: list[object] = [list(names) for names in self._sets.values()]
        return {"enum": sets + [names[0] for names in self._sets.values() if len(names) == 1]}

    def check(self, value: object, pointer: str) -> list[Fault]:
        """Whether it is one of the sets."""
        return [] if self._find(value) else [Fault(pointer, "not_allowed", f"must be {self._words}")]

    def normalise(self, value: object) -> object:
        """The set as a list, in the model's order."""
        return list(self._find(value) or ())

    def at(self, step: str | int) -> Shape | None:
        """An index leads to a name."""
        return text("conflict_on") if isinstance(step, int) else None

    def _find(self, value: object) -> tuple[str, ...] | None:
        names = [value] if isinstance(value, str) else value
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            return None
        return self._sets.get(frozenset(names))


class Conflicts:
    """Reads both params and applies them to records."""

    def __init__(self, model: Model) -> None:
        self._key = model.key.name
        self._on = ConflictShape(model)
        changeable = tuple(column.name for column in model.writable if not column.primary_key)
        self._update = NamesShape("field", changeable, least=0)
        self.params = {"conflict_on": Param(self._on), "update": Param(self._update)}

    def read(self, params: Mapping[str, object], faults: list[Fault]) -> tuple[tuple[str, ...], frozenset[str] | None]:
        """The fields that identify, and those to overwrite; None for all that are given."""
        on = option(self._on, params, "conflict_on", faults, default=[self._key])
        update = option(self._update, params, "update", faults, default=None)
        names = cast("list[str]", on)
        return tuple(names), None if update is None else frozenset(cast("list[str]", update))

    def conflict(self, names: Iterable[str], on: tuple[str, ...], update: frozenset[str] | None) -> Conflict:
        """What a record with these fields overwrites: what it was given and may overwrite, never its identity."""
        fixed = {self._key, *on}
        return Conflict(on, tuple(name for name in names if name not in fixed and (update is None or name in update)))

    def unidentified(self, row: Mapping[str, object], on: tuple[str, ...], pointer: str) -> list[Fault]:
        """Faults for identifying fields that the row lacks; null would meet no record. A key can be made."""
        lacking = [name for name in on if row.get(name) is None and name != self._key]
        return [Fault(f"{pointer}/{name}", "required", "is required, as conflict_on names it") for name in lacking]
