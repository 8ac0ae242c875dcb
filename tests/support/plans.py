"""Workflows over one small model, compiled from the text of a registry in the working directory."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexusd import catalog
from nexusd.databases.cursors import CursorSigner
from nexusd.definitions.loader import read_registry
from nexusd.definitions.registry import NOTHING_UNREAD
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError
from nexusd.planning.registry import compile_registry

if TYPE_CHECKING:
    from nexusd.definitions.registry import Registry, Unread
    from nexusd.planning.plan import Plan

MODELS = """version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      name: str
      email: {type: str, unique: true, max_length: 320}
      company: {type: str, nullable: true, index: true}
      age: {type: int, nullable: true}
      score: {type: decimal, precision: 12, scale: 2, default: "0"}
workflows:
"""


FIND = partial(PythonDefinitions().function, folder=Path())


def compiled(registry: Registry, unread: Unread = NOTHING_UNREAD) -> dict[str, Plan]:
    """The plans of a registry."""
    types = catalog.node_types(registry, CursorSigner(b"k"), FIND, {"TOKEN": "t"})
    return compile_registry(registry, types, unread)


def plans(workflows: str) -> dict[str, Plan]:
    """The plans of these workflows, as they stand below `workflows:`."""
    Path("r.yaml").write_text(MODELS + workflows)
    return compiled(*read_registry("r.yaml", PythonDefinitions()))


def plan(nodes: str, more: str = "") -> Plan:
    """The plan of the workflow w with these nodes and further keys."""
    return plans(f"  w:\n    nodes:\n{nodes}{more}")["w"]


def problems(nodes: str, more: str = "") -> list[str]:
    """What is wrong with it: place, message and hint."""
    with pytest.raises(ConfigurationError) as caught:
        plan(nodes, more)
    return [f"{p.line}:{p.column} {p.message}" + (f" ({p.hint})" if p.hint else "") for p in caught.value.problems]


CREATE = (
    '      create: {type: ContactCreateNode, params: {name: "{{name}}", email: "{{email}}", company: "{{company}}"}}\n'
)
