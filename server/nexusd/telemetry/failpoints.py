"""Faults at a chosen moment, for tests of what a crash or a stall there would do: `NEXUSD_FAILPOINT`.

    NEXUSD_FAILPOINT=transaction.committing:kill        the process ends as by SIGKILL, at the first of these events
    NEXUSD_FAILPOINT=idempotency.recorded:exit@7        it exits without any cleaning up, at the seventh
    NEXUSD_FAILPOINT=transaction.committed:sleep=0.2    the event loop stands still, each time

A moment is an event of events.py. Only where every port is on a loopback address.
"""

from __future__ import annotations

import math
import os
import re
import signal
import time
from typing import TYPE_CHECKING, Final

from nexusd import events
from nexusd.documents import did_you_mean
from nexusd.errors import ConfigurationError, Problem
from nexusd.settings import is_loopback

if TYPE_CHECKING:
    from nexusd.events import Event, Observer
    from nexusd.settings import Settings

VARIABLE: Final = "NEXUSD_FAILPOINT"
EXIT_CODE: Final = 86
"""Of `exit`: no other end of nexusd has it."""

_FORM: Final = re.compile(r"([a-z_.]+):(exit|kill|sleep=([0-9.]+))(?:@([1-9][0-9]{0,8}))?", re.ASCII)


class Failpoint:
    """An observer that has the process fail when it observes an event.

    Args:
        event: name of the event.
        action: `exit`, `kill` or `sleep`.
        pause_s: of `sleep`.
        at: which of the events it is; None: each.
    """

    def __init__(self, event: str, action: str, pause_s: float, at: int | None) -> None:
        self._event = event
        self._action = action
        self._pause_s = pause_s
        self._at = at
        self._seen = 0

    def __call__(self, event: Event) -> None:
        """Fail, if this is the moment."""
        if event.name != self._event:
            return
        self._seen += 1
        if self._at in {None, self._seen}:
            self._act()

    def _act(self) -> None:
        if self._action == "sleep":
            time.sleep(self._pause_s)
        elif self._action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        else:
            os._exit(EXIT_CODE)


def arm(text: str, settings: Settings, observe: Observer) -> Failpoint:
    """The failpoint that the variable asks for; that it is armed is an event.

    Raises:
        ConfigurationError: it cannot be read, or other machines could reach a port.
    """
    match = _FORM.fullmatch(text)
    names = _event_names()
    pause_s = _seconds(match[3]) if match is not None else None
    if match is None or pause_s is None:
        form = f"{VARIABLE}: must be EVENT:exit, EVENT:kill or EVENT:sleep=SECONDS, with @N for the Nth only"
        raise ConfigurationError([Problem(form)])
    if match[1] not in names:
        raise ConfigurationError(
            [Problem(f"{VARIABLE}: there is no event {match[1]!r}", did_you_mean(match[1], names))]
        )
    hosts = [settings.http.host, *([settings.mcp.host] if settings.mcp.enabled else [])]
    if not all(map(is_loopback, hosts)):
        raise ConfigurationError([Problem(f"{VARIABLE}: is for tests, and other machines reach this server")])
    observe(events.FailpointArmed(match[1], match[2]))
    return Failpoint(match[1], match[2].partition("=")[0], pause_s, int(match[4]) if match[4] else None)


def _seconds(text: str | None) -> float | None:
    try:
        pause_s = float(text or 0)
    except ValueError:
        return None
    return pause_s if math.isfinite(pause_s) else None


def _event_names() -> list[str]:
    kinds = (kind for kind in vars(events).values() if isinstance(kind, type) and issubclass(kind, events.Event))
    return [kind.name for kind in kinds if "name" in vars(kind)]
