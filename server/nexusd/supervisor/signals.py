"""Signals that ask a process to end."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import TYPE_CHECKING

from nexusd.events import ServerAborted

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Sequence

    from nexusd.events import Observer


def own_signals(
    numbers: Sequence[signal.Signals],
    stop: Callable[[str], None],
    is_stopping: Callable[[], bool],
    observe: Observer,
    kill: Callable[[], None] | None = None,
) -> None:
    """Have signals ask for a stop; one that comes while it stops ends the process at once.

    Signals are the main thread's: who serves in another one ends it in other ways.

    Args:
        numbers: which.
        stop: is called in the loop, with the signal's name.
        is_stopping: whether somebody has asked already.
        observe: told when that happens.
        kill: is called before the process ends at once.
    """
    if threading.current_thread() is not threading.main_thread():
        return

    def take(number: signal.Signals) -> None:
        if not is_stopping():
            stop(number.name)
            return
        # Asked twice: whoever did so does not want to wait for anything.
        if kill is not None:
            kill()
        observe(ServerAborted(number.name))
        sys.stderr.flush()
        os._exit(128 + number)

    loop = asyncio.get_running_loop()
    for number in numbers:
        loop.add_signal_handler(number, take, number)
