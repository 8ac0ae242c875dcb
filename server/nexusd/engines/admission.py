"""How many executions run at once, and what becomes of the rest."""

from __future__ import annotations

import asyncio
import random
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.errors import Overloaded
from nexusd.events import RequestShed

if TYPE_CHECKING:
    from nexusd.definitions.execution import Invocation
    from nexusd.definitions.workflow import Workflow
    from nexusd.events import Observer

SUSTAINED_S: Final = 0.1
"""How long callers have waited without a break when it is no burst any more."""

SHORTEST_HOLD_S: Final = 0.005
SMOOTHING: Final = 0.05
"""How much of a new measurement goes into the mean."""


@dataclass(slots=True, eq=False)
class _Waiter:
    place: asyncio.Future[None]
    since: float


class Admission:
    """A bounded number of places; who finds none waits, the newest served first, and is refused only after the wait.

    An immediate refusal would bring the caller straight back, and refusing it again costs what serving somebody else
    would. Newest first: whoever has waited longest has most likely given up. Once callers wait without a break, a free
    place is kept for half the time it takes to serve one, if all who wait have waited for longer than that time: most
    likely somebody newer comes, so that whoever is served is served soon ("adaptive LIFO" with "controlled delay":
    Maurer, "Fail at Scale", ACM Queue 13.8). docs/decisions/0003-newest-first.md has the figures.

    Args:
        limit: requests that run at once.
        timeout_s: the longest wait; some wait a little less, so that those who came together do not come back together.
    """

    def __init__(self, limit: int, timeout_s: float) -> None:
        self.limit = limit
        self._free = limit
        self._timeout_s = timeout_s
        self._waiting: deque[_Waiter] = deque()
        self._waiting_since = 0.0
        self._left_at = 0.0
        self._pace_s = 0.0
        self._offer: asyncio.TimerHandle | None = None

    async def enter(self) -> None:
        """Take a place; each is given back by one `leave`.

        Raises:
            Overloaded: none came free in time.
        """
        if self._free > 0:
            self._free -= 1
            return
        loop = asyncio.get_running_loop()
        waiter = _Waiter(loop.create_future(), loop.time())
        if not self._waiting:
            self._waiting_since = waiter.since
        self._waiting.append(waiter)
        try:
            async with asyncio.timeout(self._timeout_s * random.uniform(0.75, 1)):  # noqa: S311 - not a secret
                await waiter.place
        except BaseException as error:
            if waiter.place.done() and not waiter.place.cancelled():
                self._give(loop.time())  # the place came while the wait was ending
            elif waiter in self._waiting:
                self._waiting.remove(waiter)
            if isinstance(error, TimeoutError):
                raise Overloaded from error
            raise

    @property
    def is_idle(self) -> bool:
        """Whether nobody has a place or waits for one."""
        return self._free == self.limit and not self._waiting

    def leave(self) -> None:
        """Give a place back."""
        now = asyncio.get_running_loop().time()
        if self._left_at:
            self._pace_s += SMOOTHING * (now - self._left_at - self._pace_s)
        # Only with every place taken does the time between two who leave say how long one is held.
        self._left_at = now if self._waiting else 0.0
        self._give(now)

    @property
    def _hold_s(self) -> float:
        """How long a place is held, about."""
        return max(self._pace_s * self.limit, SHORTEST_HOLD_S)

    def _give(self, now: float) -> None:
        """Hand a place to the newest who waits, or keep it a moment for somebody newer still."""
        waiter = self._newest()
        if waiter is None:
            self._free += 1
        elif now - self._waiting_since > SUSTAINED_S and now - waiter.since > self._hold_s:
            self._waiting.append(waiter)
            self._free += 1
            self._offer_later()
        else:
            waiter.place.set_result(None)

    def _newest(self) -> _Waiter | None:
        while self._waiting:
            waiter = self._waiting.pop()
            if not waiter.place.done():
                return waiter
        return None

    def _offer_later(self) -> None:
        if self._offer is None:
            self._offer = asyncio.get_running_loop().call_later(self._hold_s / 2, self._offer_kept)

    def _offer_kept(self) -> None:
        """Nobody newer came: one of the places that were kept goes to the newest who waits."""
        self._offer = None
        waiter = self._newest() if self._free else None
        if waiter is not None:
            self._free -= 1
            waiter.place.set_result(None)
        if self._free and self._waiting:
            self._offer_later()


class Places:
    """Bounds what runs at once: of a workflow, for a caller, and in all.

    Who waits for its own other calls takes no place of the workflow, and who waits for its workflow none of the rest.

    Args:
        limit: executions that run at once in this process.
        timeout_s: the longest wait for each place.
        per_caller: executions of one caller that run at once; None: as many as there are places.
    """

    def __init__(self, limit: int, timeout_s: float, observe: Observer, *, per_caller: int | None = None) -> None:
        self._all = Admission(limit, timeout_s)
        self._timeout_s = timeout_s
        self._observe = observe
        self._per_caller = per_caller
        self._narrow: dict[tuple[str, str], Admission] = {}

    async def enter(self, workflow: Workflow, invocation: Invocation) -> Taken:
        """Take a place of each kind.

        Raises:
            Overloaded: one did not come free in time.
        """
        taken = Taken(self._narrow)
        try:
            # The caller's own first: who waits for it must keep nobody else from the workflow.
            if self._per_caller is not None:
                await self._enter(taken, ("caller", invocation.principal.id), self._per_caller)
            if workflow.max_in_flight is not None:
                await self._enter(taken, ("workflow", workflow.name), workflow.max_in_flight)
            await self._all.enter()
        except Overloaded:
            self._observe(RequestShed(invocation.channel, "max_in_flight"))
            taken.leave()
            raise
        except BaseException:
            taken.leave()
            raise
        taken.add(("", ""), self._all)
        return taken

    async def _enter(self, taken: Taken, key: tuple[str, str], limit: int) -> None:
        admission = self._narrow.get(key)
        if admission is None or admission.limit != limit:
            admission = self._narrow[key] = Admission(limit, self._timeout_s)
        try:
            await admission.enter()
        finally:
            if admission.is_idle:
                self._narrow.pop(key, None)
        taken.add(key, admission)


class Taken:
    """The places of one execution."""

    __slots__ = ("_known", "_places")

    def __init__(self, known: dict[tuple[str, str], Admission]) -> None:
        self._known = known
        self._places: list[tuple[tuple[str, str], Admission]] = []

    def add(self, key: tuple[str, str], admission: Admission) -> None:
        """Note a place that was taken."""
        self._places.append((key, admission))

    def leave(self) -> None:
        """Give them back; what nobody uses any more is forgotten, so that callers who came once leave nothing."""
        for key, admission in self._places:
            admission.leave()
            if admission.is_idle and self._known.get(key) is admission:
                del self._known[key]
