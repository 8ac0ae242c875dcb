"""The official TypeScript clients, both generations, against the real daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Daemon
from tests.support.node import HOME

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.node import NodePackages

REGISTRY = """
version: 1
models: {Note: {fields: {id: str, text: str, data: {type: json, nullable: true}}, publish: true}}
workflows:
"""
WORKFLOWS = 60


@pytest.mark.timeout(400)
def test_the_typescript_clients_list_call_and_read_without_a_warning(
    node_packages: NodePackages, tmp_path: Path
) -> None:
    many = [f"  w{i}: {{nodes: {{n: {{type: TransformNode, params: {{a: {i}}}}}}}}}" for i in range(WORKFLOWS)]
    (tmp_path / "r.yaml").write_text(REGISTRY + "\n".join(many))
    with Daemon(tmp_path, {"DATABASE_URL": "sqlite:///n.db", "NEXUSD_REGISTRY__PATH": "r.yaml"}) as daemon:
        done = node_packages.run(HOME / "clients.mjs", str(node_packages.modules), daemon.mcp, "hello")

    assert (done.stderr, done.returncode) == ("", 0)
    seen = {
        "tools": WORKFLOWS + 11,
        "text": "hello",
        "pointers": ["/inputs/text", "/inputs/txt"],
        "models": ["Note"],
    }
    assert json.loads(done.stdout) == {"v1": seen, "v2": seen, "v2auto": seen}
