"""What every test may use: the fixtures of `tests/support`, and how coroutine tests and Hypothesis run."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import settings

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
