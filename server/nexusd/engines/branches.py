"""Nodes side by side: each begins when all it needs is there, and the first failure ends the rest."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Sequence

    from nexusd.planning.plan import PlannedNode


async def run_branches(
    nodes: Sequence[PlannedNode], attend: Callable[[PlannedNode], Coroutine[object, object, None]]
) -> None:
    """Run `attend` for each node, in the order that they need and at the same time where they do not.

    The first failure starts nothing more, cancels what runs and waits for its end; of several failures that of the
    node that stands first in the plan is raised.
    """
    await _Branches(nodes, attend).run()


class _Branches:
    """Counts for each node what is missing; tasks start each other, and wake whoever waits only at the end."""

    __slots__ = ("_attend", "_failures", "_loop", "_missing", "_nodes", "_running", "_stopping", "_woken")

    def __init__(
        self, nodes: Sequence[PlannedNode], attend: Callable[[PlannedNode], Coroutine[object, object, None]]
    ) -> None:
        self._nodes = nodes
        self._attend = attend
        self._missing = [len(node.needs) for node in nodes]
        self._running: dict[asyncio.Task[None], PlannedNode] = {}
        self._failures: dict[int, BaseException] = {}
        self._stopping = False
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[list[PlannedNode]] = self._loop.create_future()

    async def run(self) -> None:
        ready = [node for node in self._nodes if not node.needs]
        try:
            while ready:
                if len(ready) == 1:
                    # Nothing runs, and nothing else could: that needs no task.
                    await self._attend(ready[0])
                    ready = self._released(ready[0])
                else:
                    self._woken = self._loop.create_future()
                    self._start(ready)
                    if self._failures:
                        # One failed at once; others that were about to end may do so, as where tasks begin later.
                        await asyncio.sleep(0)
                        return
                    ready = await self._woken if self._running else []
        finally:
            if self._running:
                await self._stop()
            self._raise()

    def _raise(self) -> None:
        if self._failures:
            raise self._failures[min(self._failures)]

    def _start(self, ready: list[PlannedNode]) -> None:
        """Start nodes, and those that can start because one ended at once."""
        while ready:
            node = ready.pop(0)
            task = _task(self._loop, self._attend(node))
            if not task.done():
                self._running[task] = node
                task.add_done_callback(partial(self._ended, node))
            elif self._succeeded(node, task):
                ready += self._released(node)
            else:
                return

    def _released(self, node: PlannedNode) -> list[PlannedNode]:
        """The nodes that waited for nothing but this one."""
        missing = self._missing
        ready = []
        for index in node.followers:
            missing[index] -= 1
            if not missing[index]:
                ready.append(self._nodes[index])
        return ready

    def _ended(self, node: PlannedNode, task: asyncio.Task[None]) -> None:
        self._running.pop(task, None)
        ready = self._released(node) if self._succeeded(node, task) else []
        if self._running or len(ready) > 1:
            self._start(ready)
            ready = []
        if self._failures or not self._running:
            self._wake(ready)

    def _succeeded(self, node: PlannedNode, task: asyncio.Task[None]) -> bool:
        """Whether the run goes on behind a task that has ended; a failure is noted."""
        if task.cancelled():
            if not self._stopping:
                self._failures[node.index] = asyncio.CancelledError()
        elif (error := task.exception()) is not None:
            self._failures[node.index] = error
        return not self._failures and not self._stopping

    def _wake(self, ready: list[PlannedNode]) -> None:
        if not self._woken.done():
            self._woken.set_result(ready)

    async def _stop(self) -> None:
        self._stopping = True
        running = dict(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        for task, node in running.items():
            # Where all had ended already, their callbacks are still to come.
            self._succeeded(node, task)


def _task(loop: asyncio.AbstractEventLoop, work: Coroutine[object, object, None]) -> asyncio.Task[None]:
    """A task; from Python 3.12 on it runs at once until it waits for something, and may end without the loop."""
    if sys.version_info >= (3, 12):
        return asyncio.Task(work, loop=loop, eager_start=True)
    return loop.create_task(work)


async def run_items(work: Callable[[int], Coroutine[object, object, object]], count: int, width: int) -> list[object]:
    """Run `work` for 0 to `count` - 1, `width` at a time, and give what it gave.

    The first failure cancels the rest; of several that of the lowest number is raised.
    """
    results: list[object] = [None] * count
    failures: dict[int, BaseException] = {}
    left = iter(range(count))

    async def some() -> None:
        for i in left:
            try:
                results[i] = await work(i)
            except Exception as error:
                failures[i] = error
                raise

    tasks = [asyncio.create_task(some()) for _ in range(min(width, count))]
    if not tasks:
        return results
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    if failures:
        raise failures[min(failures)]
    return results
