"""What the registry file names as `module:attribute`, found and judged."""

from __future__ import annotations

import contextlib
import importlib
import sys
import sysconfig
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nexusd.definitions.workflow import Workflow
from nexusd.embedding.dataflow import DataFlow
from nexusd.embedding.misuse import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType

    from nexusd.definitions.model import Model

_NOT_OURS: Final = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib"))


class PythonDefinitions:
    """Definitions written in Python, for the registry's loader (see its `PythonSource`)."""

    def __init__(self) -> None:
        self._folders: set[Path] = set()

    def models(self, reference: str, folder: Path) -> Iterable[Model]:
        """The models of the DataFlow at `module:attribute`.

        Raises:
            UsageError: there is none.
        """
        found = self._find(reference, folder)
        if not isinstance(found, DataFlow):
            raise UsageError(f"{reference} is a {type(found).__name__}, not a DataFlow")
        return found.checked_models().values()

    def workflow(self, reference: str, folder: Path) -> Workflow:
        """The built workflow at `module:attribute`, or what the function there returns.

        Raises:
            UsageError: there is neither.
        """
        found = self._find(reference, folder)
        if callable(found):
            try:
                found = found()
            except Exception as error:
                # The function is the operator's and may raise anything.
                raise UsageError(f"{reference} raises {type(error).__name__}: {error}") from error
        if not isinstance(found, Workflow):
            kind = type(found).__name__
            raise UsageError(f"{reference} gives a {kind}, not a workflow; end it with WorkflowBuilder.build()")
        return found

    def function(self, reference: str, folder: Path) -> Callable[..., object]:
        """The function at `module:attribute`.

        Raises:
            UsageError: there is none.
        """
        found = self._find(reference, folder)
        if not callable(found) or isinstance(found, type):
            raise UsageError(f"{reference} is a {type(found).__name__}, not a function")
        return found

    @contextlib.contextmanager
    def imported_anew(self) -> Iterator[None]:
        """A block in which modules that lie in the registry's folders are imported once more; see `PythonSource`.

        What runs meanwhile keeps the functions it has. Installed packages are not imported again.
        """
        before = self._own_modules()
        for name in before:
            del sys.modules[name]
        try:
            yield
        except BaseException:
            for name in self._own_modules():
                del sys.modules[name]
            sys.modules.update(before)
            raise

    def _find(self, reference: str, folder: Path) -> object:
        self._folders.add(folder.resolve())
        return _find(reference, folder)

    def _own_modules(self) -> dict[str, ModuleType]:
        """Those loaded from files in or below the folders, but for the interpreter's own, packages and the program."""
        return {name: module for name, module in sys.modules.items() if self._is_own(name, module)}

    def _is_own(self, name: str, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if file is None or name.partition(".")[0] in {"__main__", "nexusd"}:
            return False
        path = Path(file)
        return (
            any(path.is_relative_to(folder) for folder in self._folders)
            and not any(path.is_relative_to(folder) for folder in _NOT_OURS)
            and not {"site-packages", "dist-packages"} & set(path.parts)
        )


def _find(reference: str, folder: Path) -> object:
    module_name, colon, attribute = reference.partition(":")
    if not colon or not all(part.isidentifier() for part in (*module_name.split("."), attribute)):
        raise UsageError(f"{reference!r} is not of the form module:attribute")
    module = _import(module_name, str(folder.resolve()))
    try:
        return vars(module)[attribute]
    except KeyError as error:
        raise UsageError(f"the module {module_name} has no {attribute!r}") from error


def _import(name: str, folder: str) -> ModuleType:
    """Import from the folder, or from the usual path where the folder has no such module."""
    importlib.invalidate_caches()
    top = name.partition(".")[0]
    spec = PathFinder.find_spec(top, [folder])
    loaded = sys.modules.get(top)
    if (
        spec is not None
        and loaded is not None
        and loaded.__spec__ is not None
        and loaded.__spec__.origin != spec.origin
    ):
        raise UsageError(f"another module named {top!r} is loaded already; rename the one beside the registry")
    try:
        with _first_on_path(folder):
            return importlib.import_module(name)
    except Exception as error:
        # The module is the operator's and may raise anything.
        raise UsageError(f"the module {name} cannot be imported: {type(error).__name__}: {error}") from error


@contextlib.contextmanager
def _first_on_path(folder: str) -> Iterator[None]:
    """Let imports find the folder first; later ones, inside functions of its modules, find it last.

    Left in front, a file of the operator's named like a library would take that library's place in the server.
    """
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:
            sys.path.append(folder)
