from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from nexusd import catalog
from nexusd.databases.cursors import CursorSigner
from nexusd.definitions.registry import Registry
from nexusd.definitions.registry_schema import registry_schema
from nexusd.definitions.workflow_loader import NODE_KEYS, OPTION_KEYS
from nexusd.embedding.references import PythonDefinitions
from nexusd.nodes.workflow_node import WorkflowNode

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.commands import Done

REGISTRY = """version: 1
models:
  Note: {fields: {id: str, org: str, text: str}, tenant: org, publish: [list]}
workflows:
  all: {nodes: {find: {type: SqlNode, sql: "SELECT count(*) AS n FROM note", unrestricted: true}}}
"""


def test_every_key_that_a_node_type_takes_can_be_written() -> None:
    find = PythonDefinitions().function
    types = catalog.node_types(Registry(), CursorSigner(b""), partial(find, folder=Path()), {})
    taken = {key for each in (*types.values(), WorkflowNode({})) for key in each.keys}

    assert taken <= set(OPTION_KEYS)
    known = str(registry_schema())
    assert [key for key in (*NODE_KEYS, *OPTION_KEYS) if f"'{key}'" not in known] == []


def test_statement_is_said_to_pass_policies_in_yaml(nexusd: Callable[..., Done], in_folder: Path) -> None:
    (in_folder / "r.yaml").write_text(REGISTRY)
    checked = nexusd("--registry", "r.yaml", "check")
    assert (checked.exit_code, checked.err) == (0, "")
    (in_folder / "r.yaml").write_text(REGISTRY.replace(", unrestricted: true", ""))
    refused = nexusd("--registry", "r.yaml", "check")
    assert refused.exit_code == 78
    assert "the statement would pass the policies of Note" in refused.err
