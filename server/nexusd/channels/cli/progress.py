"""What a person at a terminal is told while something takes long."""

from __future__ import annotations

import sys
import threading
import time
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Self

from nexusd.channels.cli.problems import say
from nexusd.events import DatabaseWaiting, NodeCrashed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from nexusd.definitions.conversation import Answer, Level, Question
    from nexusd.events import Event, Observer

_INTERVAL_S: Final = 1.0
_CLEAR_LINE: Final = "\r\x1b[K"


def waiting_told() -> Observer:
    """An observer that tells, once, why a start takes long."""
    told: set[str] = set()

    def observe(event: Event) -> None:
        if isinstance(event, DatabaseWaiting) and event.reason not in told:
            told.add(event.reason)
            say(f"waiting: {event.reason}")

    return observe


def crashed(event: Event) -> None:
    """Tell where a function failed: the answer does not, and the one at the terminal may well be its author."""
    if isinstance(event, NodeCrashed):
        say(f"{event.node} failed:\n{event.traceback}")


def told(*observers: Observer) -> Observer:
    """All of them."""

    def observe(event: Event) -> None:
        for each in observers:
            each(event)

    return observe


class Terminal:
    """Tells what a workflow says while it runs; nobody answers."""

    client_capabilities: Mapping[str, object] = MappingProxyType({})

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """A line such as `2/5 reading`."""
        share = f"{done:g}" if total is None else f"{done:g}/{total:g}"
        say(f"{share} {text}".rstrip())

    async def step(self, done: int, total: int, node: str) -> None:
        """Nothing: which nodes there are is not what one at a terminal waits for."""

    async def log(self, level: Level, text: str) -> None:
        """The line."""
        say(f"{level}: {text}")

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """No answers."""
        return dict.fromkeys(questions)


class Progress:
    """Counts the seconds on standard error while its block runs, if that is a terminal; nothing in the first second."""

    def __init__(self, what: str, *, interval_s: float = _INTERVAL_S) -> None:
        self._what = what
        self._interval_s = interval_s
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._count, daemon=True)

    def __enter__(self) -> Self:
        """Begin to count."""
        if sys.stderr.isatty():
            self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave a clean line."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()

    def _count(self) -> None:
        started = time.monotonic()
        shown = False
        while not self._ended.wait(self._interval_s):
            print(
                f"{_CLEAR_LINE}{self._what} … {time.monotonic() - started:.0f} s", end="", file=sys.stderr, flush=True
            )
            shown = True
        if shown:
            print(_CLEAR_LINE, end="", file=sys.stderr, flush=True)
