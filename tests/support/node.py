"""Programs of the npm registry for tests: the official MCP conformance suite and clients, with the Node.js they need.

Versions are pinned in tests/conformance/mcp/package-lock.json, which names no host. They are installed once for each
state of that file, into a cache folder. Where npm is missing, or cannot install, the tests are skipped and say so.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.tree import ROOT

HOME = ROOT / "tests" / "conformance" / "mcp"
INSTALL_S = 300
NEWEST_NEEDED = 22


@dataclass(frozen=True, slots=True)
class NodePackages:
    """What is installed.

    Attributes:
        node: the program that runs JavaScript.
        modules: the folder `node_modules`.
    """

    node: str
    modules: Path

    def run(self, script: Path, *arguments: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
        """Run a script to its end."""
        return subprocess.run(
            [self.node, str(script), *arguments],
            cwd=self.modules.parent,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )


@pytest.fixture(scope="session")
def node_packages() -> NodePackages:
    """The pinned packages; skips where they cannot be had."""
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("npm is not there: the official MCP suite and clients are not run")
    lock = (HOME / "package-lock.json").read_bytes()
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "nexusd-tests"
    folder = cache / f"mcp-{hashlib.sha256(lock).hexdigest()[:16]}"
    if not folder.exists():
        _install(npm, folder)
    node = folder / "node_modules" / ".bin" / "node"
    program = str(node) if node.exists() else shutil.which("node")
    if program is None or _major(program) < NEWEST_NEEDED:
        pytest.skip(f"Node.js {NEWEST_NEEDED} or newer is not there: the official MCP suite and clients are not run")
    return NodePackages(program, folder / "node_modules")


def _install(npm: str, folder: Path) -> None:
    """Install into a folder beside it, which then takes its name: several test processes may do so at once."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as made:
        work = Path(made) / "packages"
        work.mkdir()
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HOME / name, work)
        command = [npm, "ci", "--no-audit", "--no-fund", "--ignore-scripts", "--no-update-notifier"]
        try:
            done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=INSTALL_S, check=False)
        except subprocess.TimeoutExpired:
            pytest.skip(f"npm took longer than {INSTALL_S} s: the official MCP suite and clients are not run")
        if done.returncode != 0:
            pytest.skip(f"npm cannot install: the official MCP suite and clients are not run\n{done.stderr[-500:]}")
        if not folder.exists():
            work.rename(folder)


def _major(node: str) -> int:
    version = subprocess.run([node, "--version"], capture_output=True, text=True, timeout=10, check=False).stdout
    return int(version.lstrip("v").partition(".")[0] or 0)
