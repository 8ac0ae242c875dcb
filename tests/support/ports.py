"""Free ports on the loopback address."""

from __future__ import annotations

import itertools
import random
import socket
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

# Below the ranges that Linux (32768) and macOS (49152) take source ports from: a client that retries while its server
# is down could otherwise be given the very port it connects to, and would then be connected to itself.
_RANGE: Final = range(20_000, 32_000)

_candidates = itertools.cycle(random.sample(_RANGE, len(_RANGE)))


def find_free_port() -> int:
    """A port that nothing listens on; the same one is not given twice within a test run."""
    for port in itertools.islice(_candidates, len(_RANGE)):
        with socket.socket() as probe:
            # As servers do: a port whose last connections are in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no port between {_RANGE.start} and {_RANGE.stop} is free")


@pytest.fixture
def free_port() -> Callable[[], int]:
    """Gives another free port each time it is called."""
    return find_free_port
