"""Threads for functions that are not coroutines: so many and no more.

A thread cannot be ended from outside. One whose run is over goes on and holds its place; where all places are held so,
a new call is refused at once rather than left waiting for what may never come.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import queue
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.errors import Overloaded

if TYPE_CHECKING:
    from collections.abc import Callable

LIMIT: Final = 32
_IDLE_S: Final = 10.0


@dataclass(eq=False, slots=True)
class _Job:
    call: Callable[[], object]
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[None]
    context: contextvars.Context = field(default_factory=contextvars.copy_context)
    result: object = None
    error: BaseException | None = None


class Threads:
    """A bounded pool; its threads are daemons, so that one that hangs does not keep the process from its end.

    Attributes:
        abandoned: how many places are held by calls that nobody waits for.
    """

    def __init__(self, limit: int = LIMIT, idle_s: float = _IDLE_S) -> None:
        self.limit = limit
        self.abandoned = 0
        self._idle_s = idle_s
        self._places = asyncio.Semaphore(limit)
        self._jobs: queue.SimpleQueue[_Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0

    async def run(self, call: Callable[[], object]) -> object:
        """Run `call` in a thread; what it raises is raised here.

        Raises:
            Overloaded: every place is held by a call that has outlived its run.
        """
        if self.abandoned >= self.limit:
            raise Overloaded("every thread for functions is held by a call that has outlived its run")
        await self._places.acquire()
        loop = asyncio.get_running_loop()
        job = _Job(call, loop, loop.create_future())
        job.done.add_done_callback(lambda _: self._places.release())
        self._hand_over(job)
        try:
            await asyncio.shield(job.done)
        except asyncio.CancelledError:
            self.abandoned += 1
            job.done.add_done_callback(self._returned)
            raise
        if job.error is not None:
            raise job.error
        return job.result

    def _returned(self, _done: asyncio.Future[None]) -> None:
        self.abandoned -= 1

    def _hand_over(self, job: _Job) -> None:
        with self._lock:
            self._jobs.put(job)
            if self._idle:
                self._idle -= 1
                return
        threading.Thread(target=self._work, name="nexusd-function", daemon=True).start()

    def _work(self) -> None:
        while (job := self._next()) is not None:
            try:
                job.result = job.context.run(job.call)
            except BaseException as error:  # noqa: BLE001 - a thread's end must be told whatever it was
                job.error = error
            with self._lock:
                self._idle += 1
            _tell(job)
            del job

    def _next(self) -> _Job | None:
        """The next job; None when there was none for a while, and then this thread is no longer counted as idle."""
        while True:
            with contextlib.suppress(queue.Empty):
                return self._jobs.get(timeout=self._idle_s)
            with self._lock:
                if self._jobs.empty():
                    self._idle -= 1
                    return None


def _tell(job: _Job) -> None:
    # The loop may have ended, and with it whoever waited.
    with contextlib.suppress(RuntimeError):
        job.loop.call_soon_threadsafe(_finish, job.done)


def _finish(done: asyncio.Future[None]) -> None:
    if not done.done():
        done.set_result(None)
