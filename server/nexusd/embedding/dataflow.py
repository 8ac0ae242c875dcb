"""DataFlow: models declared in Python, and the database that they live in."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Final, TypeVar

from nexusd.definitions.model_loader import check_references, read_model
from nexusd.embedding.annotations import declaration_of
from nexusd.embedding.declared import declared, refuse_problems
from nexusd.embedding.misuse import UsageError, refuse_unknown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.model import Model

ClassT = TypeVar("ClassT", bound=type)

_alive: Final[weakref.WeakSet[DataFlow]] = weakref.WeakSet()
"""Every DataFlow of this process, so that the only one need not be named."""


class DataFlow:
    """A set of models and their database.

    Args:
        database_url: as `database.url` in the settings; None: as configured there, or else in memory.
        auto_migrate: bring the database to the models at start, or a word of `database.auto_migrate`; None: as
            configured.
    """

    def __init__(
        self, database_url: str | None = None, *, auto_migrate: bool | str | None = None, **unknown: object
    ) -> None:
        refuse_unknown("DataFlow", unknown, ("database_url", "auto_migrate"))
        self.database_url = database_url
        self.auto_migrate = auto_migrate
        self._models: dict[str, Model] = {}
        self._entries: dict[str, Entry] = {}
        _alive.add(self)

    def model(self, cls: ClassT) -> ClassT:
        """Declare an annotated class as a model; a class decorator that gives the class back.

        The table is the class's name in snake case, the field named `id` its key. `Annotated[T, {…}]` adds options that
        a field has in the registry file, such as `{"unique": True, "max_length": 320}`.

        Raises:
            UsageError: an annotation is not a type that a field can have, or the name is taken.
            ConfigurationError: the registry would refuse the model; with every problem.
        """
        declaration = declaration_of(cls)
        if cls.__name__ in self._models:
            raise UsageError(f"the model {cls.__name__} is declared already in this DataFlow")
        entry = declared(cls.__name__, declaration)
        model = read_model(cls.__name__, entry)
        refuse_problems(entry)
        if model is not None:
            self._models[cls.__name__] = model
            self._entries[cls.__name__] = entry
        return cls

    def checked_models(self) -> Mapping[str, Model]:
        """The models by name, once all of them are declared.

        Raises:
            ConfigurationError: references lead nowhere, or two models share a table.
        """
        found = declared("", None)
        entries = {name: _reporting(entry, found) for name, entry in self._entries.items()}
        check_references(self._models, entries)
        refuse_problems(found)
        return self._models


def _reporting(entry: Entry, found: Entry) -> Entry:
    """The entry, its problems noted where all are gathered."""
    return type(entry)(entry.document, entry.value, entry.path, found.problems)


def alive_dataflows() -> list[DataFlow]:
    """Every DataFlow of this process that something still holds."""
    return list(_alive)


def only_dataflow() -> DataFlow:
    """The one DataFlow of this process.

    Raises:
        UsageError: there is none, or there are several.
    """
    found = alive_dataflows()
    if len(found) != 1:
        count = "no DataFlow" if not found else f"{len(found)} DataFlow objects"
        raise UsageError(f"there {'is' if not found else 'are'} {count} in this process; say which: Nexus(dataflow=db)")
    return found[0]
