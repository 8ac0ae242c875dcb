"""One timer for the deadlines of all runs, most of which end long before theirs."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

from nexusd.errors import DeadlineExceeded

if TYPE_CHECKING:
    from types import TracebackType

SLACK_S: Final = 0.001
"""How much too early a loop's timer may be: libuv counts in milliseconds."""


class Deadlines:
    """Gives blocks of code that end at a deadline.

    What `asyncio.timeout_at` does, for a third of its cost: a timer of the loop is set for the first deadline there is,
    and not again before it has passed, or an earlier one comes.
    """

    __slots__ = ("_blocks", "_loop", "_set_for", "_timer")

    def __init__(self) -> None:
        self._blocks: set[Block] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._set_for = math.inf

    def at(self, when: float) -> Block:
        """A context manager that cancels its task's work at `loop.time() == when` and then raises DeadlineExceeded."""
        return Block(self, when)

    def add(self, block: Block) -> None:
        """Watch a block."""
        self._blocks.add(block)
        loop = asyncio.get_running_loop()
        if block.when < self._set_for or loop is not self._loop:
            self._set(loop, block.when)

    def discard(self, block: Block) -> None:
        """Watch it no longer."""
        self._blocks.discard(block)

    def _set(self, loop: asyncio.AbstractEventLoop, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop = loop
        self._set_for = when
        self._timer = loop.call_at(when, self._pass, loop)

    def _pass(self, loop: asyncio.AbstractEventLoop) -> None:
        self._timer = None
        self._set_for = math.inf
        now = loop.time() + SLACK_S
        for block in [block for block in self._blocks if block.when <= now]:
            self._blocks.discard(block)
            block.end()
        if self._blocks:
            self._set(loop, min(block.when for block in self._blocks))


class Block:
    """A block of one task's code that ends at a deadline.

    Attributes:
        when: `loop.time()` of it.
    """

    __slots__ = ("_cancelling", "_deadlines", "_is_over", "_task", "when")

    def __init__(self, deadlines: Deadlines, when: float) -> None:
        self._deadlines = deadlines
        self.when = when
        self._is_over = False

    def end(self) -> None:
        """The deadline has passed."""
        self._is_over = True
        self._task.cancel()

    def __enter__(self) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("only a task's code can have a deadline")
        self._task = task
        self._cancelling = task.cancelling()
        self._deadlines.add(self)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._deadlines.discard(self)
        # Somebody else may have cancelled the task too; then it is cancelled.
        if self._is_over and self._task.uncancel() <= self._cancelling and isinstance(error, asyncio.CancelledError):
            raise DeadlineExceeded from error
