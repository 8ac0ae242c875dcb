"""The registry, read from its file and the files that it includes; every mistake at once, each with its place."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.definitions.entry import Entry
from nexusd.definitions.http_hosts import read_allow_list
from nexusd.definitions.model_loader import check_references, read_model
from nexusd.definitions.offers_loader import Offers
from nexusd.definitions.publish import published_workflows
from nexusd.definitions.registry import Registry, SourceMap
from nexusd.definitions.workflow_loader import read_workflow
from nexusd.documents import Place, read_document
from nexusd.errors import ConfigurationError, NexusError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from contextlib import AbstractContextManager

    from nexusd.definitions.model import Model
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.workflow import Workflow

ROOT_KEYS: Final = (
    "version", "include", "models", "workflows", "python", "http_allow", "toolsets", "prompts", "resources",
)  # fmt: skip
VERSION: Final = 1

UNBUILT_MODEL: Final = ("cache",)
UNBUILT_WORKFLOW: Final = ("durable", "queue", "schedule", "batch_writes", "retention_days")
"""Keys of the registry's language that this version cannot honour: a value other than the default is refused."""


class PythonSource(Protocol):
    """Where definitions that are written in Python come from."""

    def models(self, reference: str, folder: Path) -> Iterable[Model]:
        """The models of the DataFlow object at `module:attribute`."""

    def workflow(self, reference: str, folder: Path) -> Workflow:
        """The built workflow, or the one that the function there returns.

        Raises:
            NexusError: nothing usable is there.
        """

    def function(self, reference: str, folder: Path) -> Callable[..., object]:
        """The function at `module:attribute`.

        Raises:
            NexusError: there is none.
        """

    def imported_anew(self) -> AbstractContextManager[None]:
        """A block in which modules beside the registry are imported once more; if it raises, the old ones stay."""


def load_registry(path: str, python: PythonSource) -> Registry:
    """Read the registry at `path`.

    Raises:
        ConfigurationError: with every problem found.
    """
    loader = _Loader(python)
    loader.read(Path(path), path)
    return loader.finish()


class _Loader:
    def __init__(self, python: PythonSource) -> None:
        self._python = python
        self._problems: list[Problem] = []
        self._seen: set[Path] = set()
        self._models: dict[str, Model] = {}
        self._model_entries: dict[str, Entry] = {}
        self._declared: dict[str, Entry] = {}
        self._workflows: dict[str, Workflow] = {}
        self._http_allow: list[str] = []
        self._places: dict[RegistryPath, Place] = {}
        self._offers = Offers(self._taken, self._note)

    def read(self, path: Path, shown: str) -> None:
        """Read one file and what it includes."""
        resolved = path.resolve()
        if resolved in self._seen:
            return
        self._seen.add(resolved)
        document = read_document(path, shown)
        self._problems += document.problems
        if document.value is None and document.problems:
            return
        self._places.setdefault((), document.places.get((), Place(shown, 1, 1, "", 1)))
        root = Entry(document, document.value if document.places else {}, (), self._problems)
        options = root.options(ROOT_KEYS, "the registry")
        self._check_version(root, options)
        for name, entry in options["models"].items("models") if "models" in options else ():
            self._model(name, entry)
        for name, entry in options["workflows"].items("workflows") if "workflows" in options else ():
            self._workflow(name, entry, path.parent)
        if "python" in options:
            self._from_python(options["python"], path.parent)
        self._offers.read(options, path.parent)
        if "http_allow" in options:
            self._allow(options["http_allow"])
        if "include" in options:
            self._include(options["include"], path, shown)

    def _allow(self, entry: Entry) -> None:
        for item in entry.elements("http_allow"):
            text = item.text()
            if text and read_allow_list([text]).wrong:
                item.wrong("is no host", "such as api.example.com, api.example.com:8443, 10.0.0.5 or 10.0.0.0/8")
            self._http_allow.append(text)

    def _check_version(self, root: Entry, options: Mapping[str, Entry]) -> None:
        if "version" not in options:
            if isinstance(root.value, dict):
                root.wrong("the registry has no version", f"begin it with `version: {VERSION}`")
        elif options["version"].value != VERSION or options["version"].value is True:
            options["version"].wrong(f"this nexusd reads version {VERSION} of the registry")

    def _include(self, entry: Entry, path: Path, shown: str) -> None:
        for item in entry.elements("include"):
            name = item.text()
            if not name or Path(name).is_absolute():
                item.wrong("an include is a path relative to this file")
            elif any(c in name for c in "*?["):
                item.wrong("an include names one file; there are no patterns")
            elif not (path.parent / name).is_file():
                item.wrong(f"there is no file {name!r} beside this one")
            else:
                self.read(path.parent / name, str(Path(shown).parent / name))

    def _model(self, name: str, entry: Entry) -> None:
        if self._taken(("models", name), name, entry, "model"):
            return
        for key in UNBUILT_MODEL:
            if isinstance(entry.value, dict) and entry.value.get(key) not in (None, "none"):
                entry.child(key).wrong(f"{key} is not part of this version")
        model = read_model(name, entry)
        self._note(("models", name), entry)
        if model is not None:
            self._models[name] = model
            self._model_entries[name] = entry

    def _workflow(self, name: str, entry: Entry, folder: Path) -> None:
        if self._taken(("workflows", name), name, entry, "workflow"):
            return
        self._note(("workflows", name), entry)
        for key in UNBUILT_WORKFLOW:
            if isinstance(entry.value, dict) and entry.value.get(key) not in (None, False, []):
                entry.child(key).wrong(f"{key} is not part of this version")
        if isinstance(entry.value, dict) and "from" in entry.value:
            self._workflow_from_python(name, entry, folder)
            return
        self._workflows[name] = read_workflow(name, entry)

    def _workflow_from_python(self, name: str, entry: Entry, folder: Path) -> None:
        options = entry.options(("from", "description"), "a workflow that comes from Python")
        try:
            workflow = self._python.workflow(options["from"].text(), folder)
        except NexusError as error:
            options["from"].wrong(error.detail)
            return
        description = options["description"].text() if "description" in options else workflow.description
        self._workflows[name] = replace(workflow, name=name, description=description)

    def _from_python(self, entry: Entry, folder: Path) -> None:
        for item in entry.elements("python"):
            try:
                models = list(self._python.models(item.text(), folder))
            except NexusError as error:
                item.wrong(error.detail)
                continue
            for model in models:
                if model.name in self._models:
                    item.wrong(f"the model {model.name!r} is defined already")
                    continue
                self._models[model.name] = model
                self._places[("models", model.name)] = item.document.places[item.path]

    def _taken(self, path: RegistryPath, name: str, entry: Entry, what: str) -> bool:
        first = self._declared.get("/".join(map(str, path)))
        if first is not None:
            place = first.document.places[first.path]
            entry.wrong(f"the {what} {name!r} is defined already", f"first in {place.file} at line {place.line}")
            return True
        self._declared["/".join(map(str, path))] = entry
        return False

    def _note(self, path: RegistryPath, entry: Entry) -> None:
        """Remember where everything below an entry stands, for what is checked once all is read."""
        start = len(entry.path)
        for place_path, place in entry.document.below(entry.path):
            self._places[(*path, *place_path[start:])] = place

    def finish(self) -> Registry:
        """The registry, once everything is known."""
        entries = dict(self._model_entries)
        check_references({name: m for name, m in self._models.items() if name in entries}, entries)
        for model in self._models.values():
            for workflow in published_workflows(model):
                if workflow.name in self._workflows:
                    taken = self._places.get(("models", model.name, "publish"), self._places[()])
                    self._problems.append(taken.problem(f"publishes {workflow.name!r}, which is a workflow already"))
                self._workflows.setdefault(workflow.name, workflow)
                at = self._places.get(("models", model.name, "publish"))
                if at is not None:
                    self._places.setdefault(("workflows", workflow.name), at)
        self._offers.check_workflows(self._workflows)
        if self._problems:
            raise ConfigurationError(self._problems)
        return Registry(
            models=self._models,
            workflows=self._workflows,
            http_allow=tuple(self._http_allow),
            toolsets=self._offers.toolsets,
            prompts=self._offers.prompts,
            resources=self._offers.resources,
            sources=SourceMap(self._places),
        )
