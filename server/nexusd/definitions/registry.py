"""The registry: all models and workflows of one daemon, and where each was declared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.errors import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.model import Model
    from nexusd.definitions.prompt import Prompt
    from nexusd.definitions.resource import Resource
    from nexusd.definitions.workflow import Workflow
    from nexusd.documents import Place

RegistryPath: TypeAlias = tuple[str | int, ...]
"""A place in the registry: keys and indexes from its root, such as `("workflows", "a", "nodes", "create")`."""


@dataclass(frozen=True, slots=True)
class SourceMap:
    """Places by path; empty for a registry that was built in Python."""

    places: Mapping[RegistryPath, Place] = field(default_factory=dict)

    def problem(self, path: RegistryPath, message: str, hint: str = "") -> Problem:
        """A problem at `path`, or at the nearest enclosing place that is known."""
        place = self._nearest(path)
        if place is not None:
            return place.problem(message, hint)
        where = ".".join(str(step) for step in path)
        return Problem(f"{where}: {message}" if where else message, hint)

    def where(self, path: RegistryPath) -> str:
        """A place in words: `file:line:column`, or the path itself of what was built in Python."""
        place = self._nearest(path)
        if place is not None:
            return f"{place.file}:{place.line}:{place.column}"
        return ".".join(str(step) for step in path)

    def _nearest(self, path: RegistryPath) -> Place | None:
        return next((place for end in range(len(path), -1, -1) if (place := self.places.get(path[:end]))), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unread:
    """What a registry declares in a form that cannot be read, so that nothing that depends on it is judged.

    Attributes:
        models, workflows: their names.
        hosts: whether `http_allow` is among it.
        everything: it is not even known what is declared.
        problems: what is wrong with the form.
    """

    models: frozenset[str] = frozenset()
    workflows: frozenset[str] = frozenset()
    hosts: bool = False
    everything: bool = False
    problems: tuple[Problem, ...] = ()


NOTHING_UNREAD: Final = Unread()


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Everything one daemon serves, read once and never changed."""

    models: Mapping[str, Model] = field(default_factory=dict)
    workflows: Mapping[str, Workflow] = field(default_factory=dict)
    http_allow: tuple[str, ...] = ()
    toolsets: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    prompts: Mapping[str, Prompt] = field(default_factory=dict)
    resources: Mapping[str, Resource] = field(default_factory=dict)
    sources: SourceMap = field(default_factory=SourceMap)
