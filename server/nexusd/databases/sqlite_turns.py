"""Whose turn it is to write to a SQLite file, where several processes of one server do.

SQLite's own lock goes to whoever asks at the right moment, and those who wait ask ever more seldom. A process that
writes without pause takes it again before any other asks, which then waits for seconds. So they queue before they ask.
"""

from __future__ import annotations

import contextlib
import fcntl
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

_HEAD: Final = 0
_TURN: Final = 1


class Turns:
    """A queue of processes for one file.

    Two record locks on a file that they share: on the turn itself, and on the head of the queue, where one waits for
    it. Who has had a turn must get to the head again, behind whoever waits there. What a dead process held is free.

    Args:
        descriptor: of that file; every process may have inherited the same. None: nobody else writes.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Wait for a turn, and have it for the block."""
        if self._descriptor is None:
            yield
            return
        fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, _HEAD)
        try:
            fcntl.lockf(self._descriptor, fcntl.LOCK_EX, 1, _TURN)
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _HEAD)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN, 1, _TURN)
