"""The registry, read from its file and the files that it includes; every mistake at once, each with its place."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.definitions.entry import Entry
from nexusd.definitions.http_hosts import read_allow_list
from nexusd.definitions.model import Operation
from nexusd.definitions.model_loader import check_references, read_model
from nexusd.definitions.offers_loader import Offers
from nexusd.definitions.publish import published_name, published_workflows
from nexusd.definitions.registry import Registry, SourceMap, Unread
from nexusd.definitions.workflow_loader import read_workflow
from nexusd.documents import Place, read_document
from nexusd.errors import ConfigurationError, NexusError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager

    from nexusd.definitions.model import Model
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.workflow import Workflow

ROOT_KEYS: Final = (
    "version", "include", "models", "workflows", "python", "http_allow", "toolsets", "prompts", "resources",
)  # fmt: skip
VERSION: Final = 1
_NAMED: Final = frozenset({"models", "workflows"})
_HOSTS: Final = ("http_allow",)
_EVERYTHING: Final = frozenset({(), ("models",), ("workflows",), ("python",), ("include",)})
"""The places of which one that cannot be read leaves open what else there is."""

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
    registry, unread = read_registry(path, python)
    if unread.problems:
        raise ConfigurationError(unread.problems)
    return registry


def read_registry(path: str, python: PythonSource) -> tuple[Registry, Unread]:
    """As much of the registry at `path` as can be read, and what cannot."""
    loader = _Loader(python)
    loader.read(Path(path), path)
    return loader.finish()


def _is_file(item: Entry, folder: Path) -> bool:
    """Whether an include names a file; a problem where it does not."""
    name = item.text()
    if not name or Path(name).is_absolute():
        item.wrong("an include is a path relative to this file")
    elif any(c in name for c in "*?["):
        item.wrong("an include names one file; there are no patterns")
    elif not (folder / name).is_file():
        item.wrong(f"there is no file {name!r} beside this one")
    else:
        return True
    return False


def _check_version(root: Entry, options: Mapping[str, Entry]) -> None:
    if "version" not in options:
        if isinstance(root.value, dict):
            root.wrong("the registry has no version", f"begin it with `version: {VERSION}`")
    elif options["version"].value != VERSION or options["version"].value is True:
        options["version"].wrong(f"this nexusd reads version {VERSION} of the registry")


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
        self._lost: set[RegistryPath] = set()

    def read(self, path: Path, shown: str) -> None:
        """Read one file and what it includes."""
        resolved = path.resolve()
        if resolved in self._seen:
            return
        self._seen.add(resolved)
        document = read_document(path, shown)
        self._problems += document.problems
        # Only what is wrong inside a definition leaves the others known.
        self._lost |= {each[:2] if len(each) > 1 and each[0] in _NAMED else each[:1] for each in document.faulty}
        if document.value is None and document.problems:
            self._lost.add(())
            return
        self._places.setdefault((), document.places.get((), Place(shown, 1, 1, "", 1)))
        root = Entry(document, document.value if document.places else {}, (), self._problems)
        with self._losing(()):
            options = root.options(ROOT_KEYS, "the registry")
            entries = {key: list(options[key].items(key)) if key in options else [] for key in ("models", "workflows")}
        _check_version(root, options)
        for name, entry in entries["models"]:
            with self._losing(("models", name)):
                self._model(name, entry)
        for name, entry in entries["workflows"]:
            with self._losing(("workflows", name)):
                self._workflow(name, entry, path.parent)
        if "python" in options:
            with self._losing(()):
                self._from_python(options["python"], path.parent)
        self._offers.read(options, path.parent)
        if "http_allow" in options:
            with self._losing(_HOSTS):
                self._allow(options["http_allow"])
        if "include" in options:
            self._include(options["include"], path, shown)

    @contextmanager
    def _losing(self, path: RegistryPath) -> Iterator[None]:
        """Note what stands at a path as unread if what is read inside is wrong; the empty path is everything."""
        told = len(self._problems)
        yield
        if len(self._problems) > told:
            self._lost.add(path)

    def _allow(self, entry: Entry) -> None:
        for item in entry.elements("http_allow"):
            text = item.text()
            if text and read_allow_list([text]).wrong:
                item.wrong("is no host", "such as api.example.com, api.example.com:8443, 10.0.0.5 or 10.0.0.0/8")
            self._http_allow.append(text)

    def _include(self, entry: Entry, path: Path, shown: str) -> None:
        with self._losing(()):
            items = [item for item in entry.elements("include") if _is_file(item, path.parent)]
        for item in items:
            name = item.text()
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

    def finish(self) -> tuple[Registry, Unread]:
        """The registry, once everything is known, and what of it could not be read."""
        models = self._sound_models()
        workflows = {name: each for name, each in self._workflows.items() if ("workflows", name) not in self._lost}
        for model in self._models.values():
            for workflow in published_workflows(model):
                if workflow.name in self._workflows:
                    taken = self._places.get(("models", model.name, "publish"), self._places[()])
                    self._problems.append(taken.problem(f"publishes {workflow.name!r}, which is a workflow already"))
                elif model.name in models:
                    workflows[workflow.name] = workflow
                at = self._places.get(("models", model.name, "publish"))
                if at is not None:
                    self._places.setdefault(("workflows", workflow.name), at)
        unread = self._unread()
        if not unread.everything:
            self._offers.check_workflows({*workflows, *unread.workflows})
        registry = Registry(
            models=models,
            workflows=workflows,
            http_allow=tuple(self._http_allow),
            toolsets=self._offers.toolsets,
            prompts=self._offers.prompts,
            resources=self._offers.resources,
            sources=SourceMap(self._places),
        )
        return registry, replace(unread, problems=tuple(self._problems))

    def _sound_models(self) -> dict[str, Model]:
        """The models that can be judged: neither they nor what they refer to is lost."""
        read = {name: self._models[name] for name in self._model_entries}
        faulty = check_references(read, self._model_entries, self._lost_names("models"))
        self._lost |= {("models", name) for name in faulty}
        while True:
            lost = self._lost_names("models")
            found = {name for name, model in self._models.items() if lost & model.referred} - lost
            if not found:
                return {name: model for name, model in self._models.items() if name not in lost}
            self._lost |= {("models", name) for name in found}

    def _unread(self) -> Unread:
        models = self._lost_names("models")
        published = {published_name(name, operation) for name in models for operation in Operation}
        return Unread(
            models=models,
            workflows=self._lost_names("workflows") | published - self._workflows.keys(),
            hosts=_HOSTS in self._lost,
            everything=not self._lost.isdisjoint(_EVERYTHING),
        )

    def _lost_names(self, kind: str) -> frozenset[str]:
        return frozenset(str(path[1]) for path in self._lost if len(path) > 1 and path[0] == kind)
