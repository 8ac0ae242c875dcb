"""SIGHUP asks for a reload, from the first line of a start to the last of a stop; it never ends the process."""

from __future__ import annotations

import signal
import threading
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable


class Hangup:
    """Hears SIGHUP, and passes it on once there is somebody to reload; one that came before is not forgotten.

    The handler is the interpreter's, not the loop's: when a loop closes it gives its signals back to the system, whose
    answer to this one is to end the process. Signals are the main thread's: in another one nothing is heard.
    """

    def __init__(self) -> None:
        self._asked = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._reload: Callable[[], object] | None = None
        self._is_main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> Self:
        """Begin to hear."""
        if self._is_main:
            self._before = signal.signal(signal.SIGHUP, lambda _number, _frame: self._hear())
        return self

    def __exit__(self, *_error: object) -> None:
        """Answer the signal as before."""
        if self._is_main:
            signal.signal(signal.SIGHUP, self._before)

    def pass_to(self, loop: asyncio.AbstractEventLoop, reload: Callable[[], object]) -> None:
        """From now on have `reload` called in the loop."""
        self._loop, self._reload = loop, reload
        if self._asked:
            self._asked = False
            reload()

    def ignore(self) -> None:
        """From now on nobody reloads."""
        self._loop = self._reload = None

    def _hear(self) -> None:
        if self._loop is None or self._reload is None:
            self._asked = True
        else:
            self._loop.call_soon_threadsafe(self._reload)
