"""What a registry file names as `module:attribute`, found on disk."""

from __future__ import annotations

import itertools
import sys
from typing import TYPE_CHECKING

import pytest

from nexusd.embedding.misuse import UsageError
from nexusd.embedding.references import PythonDefinitions
from tests.support.daemon import run_cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DATAFLOW = """
from nexusd import DataFlow
db = DataFlow()
@db.model
class Contact:
    id: str
    name: str
"""
WORKFLOW = """
from nexusd import WorkflowBuilder
built = WorkflowBuilder(description="Create.").add_node("ContactCreateNode", "create", {"name": "{{name}}"}).build()
def made(): return built
def broken(): raise LookupError("no luck")
nothing = None
"""

_numbers = itertools.count()


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A name that no other test has imported a module by; what is imported is forgotten afterwards."""
    name = f"registry_beside_{next(_numbers)}"
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield name
    for loaded in [each for each in sys.modules if each.partition(".")[0] == name]:
        del sys.modules[loaded]


def test_models_are_found_beside_the_registry(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(DATAFLOW)
    models = PythonDefinitions().models(f"{module}:db", tmp_path)
    assert [model.name for model in models] == ["Contact"]


def test_module_of_a_package_is_found_and_may_import_its_neighbours(tmp_path: Path, module: str) -> None:
    (tmp_path / module).mkdir()
    (tmp_path / module / "models.py").write_text(DATAFLOW)
    (tmp_path / module / "app.py").write_text(f"from {module}.models import db\n")
    models = PythonDefinitions().models(f"{module}.app:db", tmp_path)
    assert [model.table for model in models] == ["contact"]


@pytest.mark.parametrize("attribute", ["built", "made"])
def test_workflow_is_a_built_one_or_what_a_function_returns(tmp_path: Path, module: str, attribute: str) -> None:
    (tmp_path / f"{module}.py").write_text(WORKFLOW)
    assert PythonDefinitions().workflow(f"{module}:{attribute}", tmp_path).description == "Create."


@pytest.mark.parametrize(
    ("attribute", "message"),
    [
        ("broken", "raises LookupError: no luck"),
        ("nothing", "gives a NoneType, not a workflow"),
        ("absent", "has no 'absent'"),
    ],
)
def test_what_is_no_workflow_is_told(tmp_path: Path, module: str, attribute: str, message: str) -> None:
    (tmp_path / f"{module}.py").write_text(WORKFLOW)
    with pytest.raises(UsageError, match=message):
        PythonDefinitions().workflow(f"{module}:{attribute}", tmp_path)


def test_what_is_no_dataflow_is_told(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("db = 1\n")
    with pytest.raises(UsageError, match="is a int, not a DataFlow"):
        PythonDefinitions().models(f"{module}:db", tmp_path)


def test_error_of_the_module_itself_is_told(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text("import nowhere_at_all\n")
    with pytest.raises(UsageError, match=r"cannot be imported: ModuleNotFoundError: .*nowhere_at_all"):
        PythonDefinitions().models(f"{module}:db", tmp_path)


@pytest.mark.parametrize("reference", ["crm", "crm:", ":db", "crm app:db", "crm:db.x", "../crm:db"])
def test_reference_has_one_form(tmp_path: Path, reference: str) -> None:
    with pytest.raises(UsageError, match="not of the form module:attribute"):
        PythonDefinitions().models(reference, tmp_path)


def test_module_with_the_name_of_a_loaded_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text(DATAFLOW)
    with pytest.raises(UsageError, match="another module named 'json' is loaded already"):
        PythonDefinitions().models("json:db", tmp_path)


def test_folder_of_the_registry_does_not_hide_libraries_afterwards(tmp_path: Path, module: str) -> None:
    (tmp_path / f"{module}.py").write_text(DATAFLOW)
    PythonDefinitions().models(f"{module}:db", tmp_path)
    assert sys.path[-1] == str(tmp_path)
    assert sys.path[0] != str(tmp_path)


def test_registry_serves_models_and_workflows_from_python(tmp_path: Path) -> None:
    (tmp_path / "crm.py").write_text(DATAFLOW + WORKFLOW)
    (tmp_path / "registry.yaml").write_text(
        'version: 1\npython: ["crm:db"]\nworkflows:\n  create_contact: {from: "crm:made"}\n'
    )
    done = run_cli("run", "create_contact", "--name", "A", "--registry", "registry.yaml", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert '"name": "A"' in done.stdout


def test_mistake_in_python_is_told_at_its_place_in_the_registry(tmp_path: Path) -> None:
    (tmp_path / "registry.yaml").write_text('version: 1\npython: ["crm:db"]\n')
    done = run_cli("check", "--registry", "registry.yaml", cwd=tmp_path)
    assert done.returncode == 78
    assert done.stderr.startswith("registry.yaml:2:10: the module crm cannot be imported")
