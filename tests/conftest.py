"""What every test may use: the fixtures of `tests/support`, and how coroutine tests and Hypothesis run."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    from pathlib import Path

pytest_plugins = [
    "tests.support.commands",
    "tests.support.ports",
    "tests.support.databases",
    "tests.support.http_server",
    "tests.support.connections",
    "tests.support.node",
    "tests.support.nodes",
    "tests.support.workflows",
    "tests.support.keyed",
    "tests.support.hosts",
]

# No deadline for an example, since machines differ in speed; in CI the same examples each time.
# Whoever starts the suite in the background may have it ignore these, and so would every process that a test starts.
for _number in (signal.SIGHUP, signal.SIGINT):
    if signal.getsignal(_number) is signal.SIG_IGN:
        signal.signal(_number, signal.SIG_DFL)

settings.register_profile("nexusd", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("nexusd")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Coroutine tests run on asyncio."""
    return "asyncio"


@pytest.fixture
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The test's own folder, in which it runs."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def in_migrations_folder(in_folder: Path) -> None:
    """A folder of the test's own, with one for migrations."""
    (in_folder / "migrations").mkdir()
