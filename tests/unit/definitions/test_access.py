from __future__ import annotations

import json
from pathlib import Path

import pytest

from nexusd.definitions.access import access_to, sees_all
from nexusd.definitions.loader import load_registry
from nexusd.definitions.model import Operation
from nexusd.definitions.principal import ANONYMOUS, Principal
from nexusd.definitions.workflow import Workflow
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError

PLAIN = Workflow(name="refund", nodes=())
DEMANDING = Workflow(name="refund", nodes=(), scopes=("billing", "second"))
READING = Workflow(name="contact_list", nodes=(), published=("Contact", Operation.LIST))
WRITING = Workflow(name="contact_create", nodes=(), published=("Contact", Operation.CREATE))


@pytest.mark.parametrize(
    ("workflow", "scopes", "expected"),
    [
        (PLAIN, "", False),
        (PLAIN, "*", True),
        (PLAIN, "admin", True),
        (PLAIN, "workflow:refund:execute", True),
        (PLAIN, "workflow:*:execute", True),
        (PLAIN, "workflow:refunds:execute", False),
        (PLAIN, "workflow:refund", False),
        (PLAIN, "workflow:ref*:execute", False),
        (PLAIN, "model:Contact:write", False),
        (DEMANDING, "*", True),
        (DEMANDING, "admin", False),
        (DEMANDING, "billing second", False),
        (DEMANDING, "workflow:refund:execute billing", False),
        (DEMANDING, "workflow:refund:execute billing second", True),
        (DEMANDING, "admin billing second", True),
        (READING, "model:Contact:read", True),
        (READING, "model:Contact:write", True),
        (READING, "model:Company:read", False),
        (WRITING, "model:Contact:read", False),
        (WRITING, "model:Contact:write", True),
    ],
)
def test_scopes_let_in_whom_they_name(workflow: Workflow, scopes: str, *, expected: bool) -> None:
    assert access_to(workflow).allows(Principal("key:k", frozenset(scopes.split()))) is expected


@pytest.mark.parametrize("operation", Operation)
def test_reading_a_model_never_lets_write(operation: Operation) -> None:
    workflow = Workflow(name="w", nodes=(), published=("Contact", operation))

    reads = access_to(workflow).allows(Principal("key:k", frozenset({"model:Contact:read"})))

    assert reads is (operation in {Operation.READ, Operation.LIST, Operation.COUNT})


def test_what_is_needed_is_the_own_scope_and_what_is_demanded_besides() -> None:
    assert access_to(DEMANDING).needed == ("workflow:refund:execute", "billing", "second")


def test_others_executions_are_seen_by_who_may_everything_and_by_admins() -> None:
    assert sees_all(ANONYMOUS)
    assert sees_all(Principal("key:k", frozenset({"admin"})))
    assert not sees_all(Principal("key:k", frozenset({"workflow:*:execute"})))


@pytest.mark.parametrize("scope", ['bil"ling', "bil ling", "workflow:refund", "model:Contact", "é"])
def test_a_workflow_cannot_demand_what_nobody_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, scope: str
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow = {"scopes": [scope], "nodes": {"n": {"type": "TransformNode"}}}
    Path("r.yaml").write_text(json.dumps({"version": 1, "workflows": {"refund": workflow}}))

    with pytest.raises(ConfigurationError) as caught:
        load_registry("r.yaml", PythonDefinitions())
    assert [problem.line for problem in caught.value.problems] == [1]
