"""Lines on their way to a file or pipe, written by a thread of their own so that nobody waits for a slow reader."""

from __future__ import annotations

import atexit
import contextlib
import os
import select
import threading
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_LINES: Final = 50_000
"""Lines that wait at most; what comes when so many wait is dropped and counted."""

GATHER_S: Final = 0.02
"""How long lines gather before they are written together: waking a thread for each costs more than the line."""

CHUNK_BYTES: Final = 4096
"""What a pipe takes whole (PIPE_BUF), so that lines of several processes do not run into each other."""

FLUSH_S: Final = 1.0
"""How long a flush waits for a reader that takes nothing."""


class LineWriter:
    """Writes lines to a file descriptor in the order in which they were given.

    What was given is written within GATHER_S, by `flush`, and when the interpreter ends; a process that is killed loses
    what has gathered since.

    Attributes:
        dropped: lines that were not taken because too many were waiting.
    """

    def __init__(self, descriptor: int, limit: int = MAX_LINES) -> None:
        self._descriptor = descriptor
        self._limit = limit
        self._lines: deque[bytes] = deque()
        self._writing = threading.Lock()
        self._wake = threading.Event()
        self._is_awake = False
        self._rest = b""
        self.dropped = 0
        threading.Thread(target=self._run, name="nexusd-log", daemon=True).start()
        atexit.register(self.flush)

    def write(self, line: bytes) -> None:
        """Take a line, with its end; never blocks."""
        if len(self._lines) >= self._limit:
            self.dropped += 1
            return
        self._lines.append(line)
        if not self._is_awake:
            self._is_awake = True
            self._wake.set()

    def flush(self) -> None:
        """Write what was given so far, unless nobody takes it."""
        until = time.monotonic() + FLUSH_S
        if not self._writing.acquire(timeout=FLUSH_S):
            return
        try:
            self._write_all(until)
        finally:
            self._writing.release()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            self._wake.clear()
            time.sleep(GATHER_S)
            self._is_awake = False
            with self._writing:
                self._write_all(None)

    def _write_all(self, until: float | None) -> None:
        """Write until nothing is left, or until then; what could not be written stays first."""
        # A log that cannot be written must not end the server.
        with contextlib.suppress(OSError):
            for chunk in self._chunks():
                self._rest = chunk
                while self._rest:
                    if until is not None and not self._takes(until):
                        return
                    self._rest = self._rest[os.write(self._descriptor, self._rest) :]

    def _chunks(self) -> Iterator[bytes]:
        """As many whole lines together as fit into CHUNK_BYTES."""
        if self._rest:
            yield self._rest
        gathered: list[bytes] = []
        size = 0
        while self._lines:
            if gathered and size + len(self._lines[0]) > CHUNK_BYTES:
                yield b"".join(gathered)
                gathered, size = [], 0
            line = self._lines.popleft()
            gathered.append(line)
            size += len(line)
        if gathered:
            yield b"".join(gathered)

    def _takes(self, until: float) -> bool:
        """Whether the reader takes something before then; a pipe then takes CHUNK_BYTES at once."""
        remaining = max(0.0, until - time.monotonic())
        return bool(select.select((), (self._descriptor,), (), remaining)[1])
