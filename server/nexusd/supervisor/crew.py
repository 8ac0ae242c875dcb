"""Worker processes: kept at their number, and replaced one at a time without losing a request.

All accept on the same listening sockets, so a worker can be added before another one leaves. A worker that ends unasked
is followed by another at once, later ones after a growing pause.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias

from nexusd.errors import StartupError
from nexusd.events import WorkerExited, WorkerReplaced, WorkerStarted
from nexusd.supervisor.line import LineError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from nexusd.events import Observer

READY_S: Final = 30.0
"""How long a worker may take until it answers."""

ANSWER_S: Final = 2.0
"""How long a worker may take to answer a question of another."""

AFTER_GRACE_S: Final = 5.0
"""How long a worker may take, after its grace, to end."""

STEADY_S: Final = 30.0
"""A worker that lived as long does not count as a failure of those that follow."""

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 30.0
ATTEMPTS: Final = 3
"""How often a successor is tried where others of the same kind serve already."""


class Worker(Protocol):
    """A worker process, as its parent sees it.

    Attributes:
        ready: set once it answers.
        exited: its exit code, negative for a signal.
        cut: how many requests it has cut at the end of its grace.
    """

    ready: asyncio.Event
    exited: asyncio.Future[int]
    cut: int

    @property
    def pid(self) -> int:
        """Its process id."""

    def tell(self, subject: str, body: object = None) -> None:
        """Say something to it."""

    async def ask(self, subject: str, body: object, timeout_s: float) -> object:
        """Its answer.

        Raises:
            LineError: there is none.
        """

    def kill(self) -> None:
        """End it at once."""


Hire: TypeAlias = "Callable[[int], Awaitable[Worker]]"
"""Starts the worker of a number."""


@dataclass(slots=True)
class _Place:
    """A worker's place.

    Attributes:
        busy: held while a worker is hired for it.
        failures: workers that ended soon, one after the other.
    """

    number: int
    worker: Worker | None = None
    busy: asyncio.Lock = field(default_factory=asyncio.Lock)
    failures: int = 0


class Crew:
    """The workers of one server.

    Args:
        count: how many.
        hire: starts one.
        grace_s: how long a worker waits, when it is to end, for what it does.
    """

    def __init__(self, count: int, hire: Hire, observe: Observer, *, grace_s: float) -> None:
        self._places = [_Place(number) for number in range(1, count + 1)]
        self._hire = hire
        self._observe = observe
        self._grace_s = grace_s
        self._alive: dict[Worker, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._ending = False

    async def start(self) -> None:
        """Hire all; return once each of them answers or has failed.

        Raises:
            StartupError: none answers.
        """
        answers = await asyncio.gather(*(self._try(place) for place in self._places))
        if not any(answers):
            raise StartupError("no worker has come up; the log says why")
        for place in self._places:
            if place.worker is None:
                self._spawn(self._fill(place))

    async def renew(self, hire: Hire) -> None:
        """Replace all, one at a time: its successor answers before a worker is told to end.

        Raises:
            StartupError: the first successor did not answer, and everything is as it was; or a later one, and its
                predecessor stays.
        """
        before, self._hire = self._hire, hire
        for place in self._places:
            for attempt in range(1 if place is self._places[0] else ATTEMPTS):
                await asyncio.sleep(FIRST_PAUSE_S * attempt)
                if await self._succeed(place):
                    break
            else:
                if place is self._places[0]:
                    self._hire = before
                raise StartupError(f"the successor of worker {place.number} did not come up; the log says why")

    async def end(self) -> int:
        """Let all end what they do; how many requests were cut."""
        self._ending = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        alive = list(self._alive)
        await asyncio.gather(*(self._retire(worker, successor=False) for worker in alive))
        return sum(worker.cut for worker in alive)

    def kill(self) -> None:
        """End all at once."""
        for worker in self._alive:
            worker.kill()

    async def gather(self, subject: str, body: object, but: Worker | None = None) -> list[object]:
        """What each answers but one; who does not is left out."""

        async def ask(worker: Worker) -> list[object]:
            try:
                return [await worker.ask(subject, body, ANSWER_S)]
            except LineError:
                return []

        asked = [worker for worker in self._alive if worker is not but and worker.ready.is_set()]
        return [answer for answers in await asyncio.gather(*map(ask, asked)) for answer in answers]

    def bequeath(self, worker: Worker, legacy: object) -> None:
        """Pass what a worker leaves to whoever follows it, if anybody does."""
        number = self._alive.get(worker)
        for place in self._places:
            if place.number == number and place.worker is not None and place.worker is not worker:
                place.worker.tell("legacy", legacy)

    # One place

    async def _try(self, place: _Place) -> bool:
        """Hire for a place that is empty; whether it is filled now."""
        async with place.busy:
            if place.worker is None:
                place.worker = await self._hired(place.number)
                if place.worker is None:
                    place.failures += 1
                else:
                    self._spawn(self._watch(place, place.worker))
                    self._tell_state()
            return place.worker is not None

    async def _succeed(self, place: _Place) -> bool:
        """Hire a successor, then let its predecessor go; whether that came up."""
        async with place.busy:
            successor = await self._hired(place.number)
            if successor is None:
                return False
            predecessor, place.worker = place.worker, successor
            place.failures = 0
            self._spawn(self._watch(place, successor))
            self._tell_state()
        if predecessor is not None:
            await self._retire(predecessor, successor=True)
            self._observe(WorkerReplaced(place.number, predecessor.pid, successor.pid))
        return True

    async def _fill(self, place: _Place) -> None:
        """Hire for an empty place until it is filled; the first time at once."""
        while not self._ending:
            if place.failures > 1:
                await asyncio.sleep(min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(place.failures - 2, 10)))
            if await self._try(place):
                return

    async def _watch(self, place: _Place, worker: Worker) -> None:
        """Fill the place again when its worker ends unasked."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        code = await asyncio.shield(worker.exited)
        if place.worker is not worker or self._ending:
            return
        lived_s = loop.time() - started
        self._observe(WorkerExited(place.number, worker.pid, code, round(lived_s, 3)))
        place.worker = None
        place.failures = 0 if lived_s >= STEADY_S else place.failures + 1
        self._tell_state()
        self._spawn(self._fill(place))

    async def _hired(self, number: int) -> Worker | None:
        """A worker that answers; None if it does not in time."""
        loop = asyncio.get_running_loop()
        started = loop.time()
        worker = await self._hire(number)
        self._alive[worker] = number
        worker.exited.add_done_callback(lambda _code: self._alive.pop(worker))
        answers = asyncio.create_task(worker.ready.wait())
        try:
            either: set[asyncio.Future[Any]] = {answers, worker.exited}
            await asyncio.wait(either, timeout=READY_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            answers.cancel()
            if not worker.ready.is_set():
                worker.kill()
        if worker.ready.is_set() and not worker.exited.done():
            self._observe(WorkerStarted(number, worker.pid, round(loop.time() - started, 3)))
            return worker
        code = await asyncio.shield(worker.exited)
        self._observe(WorkerExited(number, worker.pid, code, round(loop.time() - started, 3)))
        return None

    async def _retire(self, worker: Worker, *, successor: bool) -> None:
        worker.tell("drain", successor)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._grace_s + AFTER_GRACE_S):
                await asyncio.shield(worker.exited)
        if not worker.exited.done():
            worker.kill()
            await asyncio.shield(worker.exited)

    def _tell_state(self) -> None:
        filled = sum(place.worker is not None for place in self._places)
        for worker in self._alive:
            worker.tell("crew", f"{filled} of {len(self._places)}")

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
