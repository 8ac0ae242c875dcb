"""A worker process from its parent's side: started, spoken to, waited for."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from nexusd.supervisor.line import Line

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexusd.events import Observer

MODULE = "nexusd.worker"


class WorkerProcess:
    """A new interpreter that inherits the listening sockets and one end of a line; nothing is forked.

    Attributes:
        ready: set once it answers.
        exited: its exit code, negative for a signal.
        cut: how many requests it has cut at the end of its grace.
    """

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self._process = process
        self.ready = asyncio.Event()
        self.exited: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.cut = 0
        self._line: Line
        self._reading: asyncio.Task[None]

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def open(
        self, sock: socket.socket, answer: Callable[[str, object], Awaitable[object]], observe: Observer
    ) -> None:
        """Speak with it over a socket, and wait for its end in a thread."""
        self._line = Line(self._hear, answer, observe)
        await self._line.open(sock)
        self._reading = asyncio.create_task(self._line.run())
        threading.Thread(target=self._wait, args=(asyncio.get_running_loop(),), daemon=True).start()

    def tell(self, subject: str, body: object = None) -> None:
        """Say something to it."""
        self._line.tell(subject, body)

    async def ask(self, subject: str, body: object, timeout_s: float) -> object:
        """Its answer.

        Raises:
            LineError: there is none.
        """
        return await self._line.ask(subject, body, timeout_s)

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    def _hear(self, subject: str, body: object) -> None:
        if subject == "ready":
            self.ready.set()
        elif subject == "cut" and isinstance(body, int):
            self.cut = body

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        code = self._process.wait()
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(self._end, code)

    def _end(self, code: int) -> None:
        if not self.exited.done():
            self.exited.set_result(code)


async def start_worker(
    order: bytes,
    descriptors: Sequence[int],
    answer: Callable[[WorkerProcess], Callable[[str, object], Awaitable[object]]],
    observe: Observer,
) -> WorkerProcess:
    """Start a worker and tell it what to serve.

    Args:
        order: what that is.
        descriptors: files that it is to have.
        answer: gives what answers the questions of this worker.
        observe: told of bugs in that.
    """
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen(  # noqa: ASYNC220, S603 - the interpreter itself; it returns once that is loaded
            # -P: a file in the working folder must not take the place of a library's module.
            [sys.executable, "-P", "-m", MODULE, str(theirs.fileno())],
            pass_fds=[theirs.fileno(), *descriptors],
            stdin=subprocess.DEVNULL,
            # Signals of a terminal are for the parent, which tells its workers what to do.
            process_group=0,
        )
    worker = WorkerProcess(process)
    await worker.open(ours, answer(worker), observe)
    worker.tell("order", order)
    return worker
