"""An event loop whose clock jumps: nobody waits, and the same run gives the same times on every machine."""

from __future__ import annotations

import asyncio
import selectors
from functools import partial
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from contextvars import Context

T = TypeVar("T")


class _Selector(selectors.SelectSelector):
    """Moves the clock to when the next timer is due, instead of waiting."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            self.now += timeout
        return super().select(0)


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self, tick_s: float) -> None:
        self._tick_s = tick_s
        self._clock = _Selector()
        super().__init__(self._clock)

    def time(self) -> float:
        return self._clock.now

    def call_at(
        self, when: float, callback: Callable[..., object], *args: object, context: Context | None = None
    ) -> asyncio.TimerHandle:
        if self._tick_s:
            when = self.time() + max(1, (when - self.time()) // self._tick_s) * self._tick_s
        return super().call_at(when, callback, *args, context=context)


def run_in_virtual_time(main: Coroutine[object, object, T], *, tick_s: float = 0.0) -> T:
    """What `main` returns; it may sleep and time out, and do no other input or output.

    With a `tick_s` timers count whole ticks, at least one, and so may end almost a tick too early.
    """
    with asyncio.Runner(loop_factory=partial(_Loop, tick_s)) as runner:
        return runner.run(main)
