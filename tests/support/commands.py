"""The command line called in this process: quicker than a process of its own, and the same to its last line."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from nexusd.channels.cli.program import main
from tests.support.daemon import clean_environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGISTRY = """\
version: 1
models:
  Contact:
    table: contacts
    fields:
      id: {type: str, primary_key: true}
      name: str
      email: {type: str, unique: true}
      age: {type: int, nullable: true, min: 0}
      active: {type: bool, default: true}
      tags: {type: array, items: str, default: []}
    publish: [read, list]
workflows:
  create_contact:
    description: Create a contact.
    nodes:
      create:
        type: ContactCreateNode
        params:
          name: "{{name}}"
          email: "{{email}}"
          age: "{{age}}"
          active: "{{active}}"
          tags: "{{tags}}"
"""


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    exit_code: int
    out: str
    err: str

    @property
    def payload(self) -> Any:  # noqa: ANN401 - JSON
        """What it printed, as JSON."""
        return json.loads(self.out)

    @property
    def problem(self) -> Any:  # noqa: ANN401 - JSON
        """What it told, as JSON."""
        return json.loads(self.err)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory: a registry, a database of its own, and no setting from the environment."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    kept = clean_environment()
    for name in [name for name in os.environ if name not in kept]:
        monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def nexusd(capfd: pytest.CaptureFixture[str], folder: Path) -> Callable[..., Done]:  # noqa: ARG001 - it is where it runs
    """`nexusd` with some arguments, in `folder`."""

    def call(*arguments: str) -> Done:
        capfd.readouterr()
        exit_code = main(arguments)
        captured = capfd.readouterr()
        return Done(exit_code, captured.out, captured.err)

    return call
