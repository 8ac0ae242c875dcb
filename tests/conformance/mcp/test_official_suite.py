"""The official MCP conformance suite against the real daemon: everything that a revision requires must pass.

By hand: `make conformance`.
"""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Daemon
from tests.support.node import HOME

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.node import NodePackages

REVISIONS = ["2025-11-25", "2026-07-28"]
FIXTURES = ("registry.yaml", "extra.yaml", "fixtures.py", "pixel.png")


@pytest.fixture(scope="module", params=["true", "false"], ids=["fast path", "sdk alone"])
def daemon(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("conformance")
    for name in FIXTURES:
        shutil.copy(HOME / name, folder)
    env = {
        "DATABASE_URL": "sqlite:///n.db",
        "NEXUSD_REGISTRY__PATH": "registry.yaml",
        "NEXUSD_MCP__FAST_PATH": str(request.param),
    }
    with Daemon(folder, env) as daemon:
        yield daemon


@pytest.mark.timeout(400)
@pytest.mark.parametrize("revision", REVISIONS)
def test_everything_that_a_revision_requires_passes(
    node_packages: NodePackages, daemon: Daemon, tmp_path: Path, revision: str
) -> None:
    suite = node_packages.modules / "@modelcontextprotocol" / "conformance" / "dist" / "index.js"

    done = node_packages.run(
        suite, "server", "--url", daemon.mcp, "--requirements", revision, "-o", str(tmp_path)
    )  # fmt: skip

    checks = [check for path in tmp_path.glob("*/checks.json") for check in json.loads(path.read_text())]
    assert len(checks) > 60, done.stdout[-2000:]
    # The suite counts what is required; extensions that it tries besides do not matter.
    assert done.returncode == 0, done.stdout[-6000:]
