"""Rate limits in memory: the generic cell rate algorithm, which needs one number for each caller.

Each process counts by itself.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from nexusd.definitions.limits import Standing
from nexusd.errors import RateLimited

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from nexusd.definitions.principal import Principal
    from nexusd.definitions.workflow import RateLimit, Workflow

MAX_CALLERS: Final = 65536
"""How many callers are kept apart; beyond, the one that was not seen for longest begins anew."""

DIGITS: Final = 6
"""Of seconds: what lies behind them is rounding, and would add a whole second where seconds are told."""

_REACHED: Final = {
    "workflow": "too many runs of this workflow; try again later",
    "default": "too many requests; try again later",
}


class Gcra:
    """At most `requests` in any `per_s` seconds, evenly refilled (ITU-T I.371, annex A).

    For each caller the time is kept at which its allowance will be whole again. A request moves that by the time that
    one request takes to refill; it is refused where that would lead further than `per_s` from now.
    """

    def __init__(self, requests: int, per_s: float, max_callers: int = MAX_CALLERS) -> None:
        self.requests = requests
        self.per_s = per_s
        self._interval_s = per_s / requests
        self._max_callers = max_callers
        self._whole_at: OrderedDict[Hashable, float] = OrderedDict()

    def wait_s(self, caller: Hashable, now: float) -> float:
        """How long until the caller may ask, 0 when it may now; nothing is counted."""
        whole_at = self._whole_at.get(caller, 0.0)
        # A billionth of slack, so that the last request of an allowance is not lost to rounding.
        wait_s = whole_at + self._interval_s - now - self.per_s
        return wait_s if wait_s > self.per_s * 1e-9 else 0.0

    def take(self, caller: Hashable, now: float) -> None:
        """Count a request that is let through."""
        times = self._whole_at
        whole_at = times.get(caller, 0.0)
        times[caller] = max(now, whole_at) + self._interval_s
        times.move_to_end(caller)
        if len(times) > self._max_callers:
            times.popitem(last=False)

    def standing(self, policy: str, caller: Hashable, now: float) -> Standing:
        """How the caller stands."""
        reset_s = round(self._whole_at.get(caller, 0.0) - now, DIGITS)
        if reset_s < 0:
            reset_s = 0.0
        remaining = int((self.per_s - reset_s) / self._interval_s + 1e-6)
        return Standing(policy, self.requests, self.per_s, remaining, reset_s)


class Limits:
    """The limits that the registry sets for workflows, and the settings for each principal.

    Args:
        of_principal: all workflows together; None: no limit.
    """

    def __init__(self, of_principal: RateLimit | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._of_principal = None if of_principal is None else Gcra(of_principal.requests, of_principal.per_s)
        self._of_workflow: dict[str, Gcra] = {}
        self._clock = clock

    def take(self, principal: Principal, workflow: Workflow, standings: list[Standing] | None) -> None:
        """Count a run of a workflow for its caller.

        Args:
            principal: the caller.
            workflow: what is to run.
            standings: is told how the caller stands then, with each limit that there is.

        Raises:
            RateLimited: a limit is reached; nothing was counted.
        """
        rate = workflow.rate_limit
        if rate is None and self._of_principal is None:
            return
        caller = principal.id
        applied = [] if rate is None else [("workflow", self._for(workflow.name, rate))]
        if self._of_principal is not None:
            applied.append(("default", self._of_principal))
        now = self._clock()
        waits = [limit.wait_s(caller, now) for _, limit in applied]
        refused = any(waits)
        if not refused:
            for _, limit in applied:
                limit.take(caller, now)
        if standings is not None:
            for name, limit in applied:
                standings.append(limit.standing(name, caller, now))
        if refused:
            reached = next(name for (name, _), wait_s in zip(applied, waits, strict=True) if wait_s)
            raise RateLimited(_REACHED[reached], retry_after_s=max(waits), policy=reached)

    def _for(self, name: str, rate: RateLimit) -> Gcra:
        limit = self._of_workflow.get(name)
        if limit is None or (limit.requests, limit.per_s) != (rate.requests, rate.per_s):
            limit = self._of_workflow[name] = Gcra(rate.requests, rate.per_s)
        return limit
