"""What systemd is told of a service: sd_notify(3), by hand, since it is a datagram of a few words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time
from typing import TYPE_CHECKING, Final, Self

from nexusd.events import RegistryLoaded, RegistryRejected, RegistryReloading, ServerDraining, ServerReady

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from nexusd.events import Event

TELL_S: Final = 1.0
"""How long a manager that does not listen may hold up what it is told."""


class Systemd:
    """An observer that tells the service manager when the server is ready, reloads and stops.

    Args:
        address: of the manager's socket; one that begins with @ has no file (abstract).
        watchdog_s: within which time the manager wants a sign of life; 0: it does not.
    """

    def __init__(self, address: str, watchdog_s: float = 0.0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_s = watchdog_s
        self._ready = False
        self._reloading = False

    @classmethod
    def of(cls, environ: Mapping[str, str]) -> Self | None:
        """The manager that the variables name; None: there is none, or it wants nothing to be told."""
        address = environ.get("NOTIFY_SOCKET", "")
        if not address.startswith(("/", "@")):
            return None
        microseconds = environ.get("WATCHDOG_USEC", "")
        is_watched = microseconds.isdigit() and environ.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        return cls(address, int(microseconds) / 1e6 if is_watched else 0.0)

    def __call__(self, event: Event) -> None:
        """Tell it, if the event is one of those it wants to know of."""
        if isinstance(event, ServerReady):
            self._ready = True
            self._tell("READY=1")
        elif isinstance(event, RegistryReloading):
            self._reloading = True
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        elif isinstance(event, RegistryLoaded | RegistryRejected) and self._reloading:
            self._reloading = False
            self._tell("READY=1")
        elif isinstance(event, ServerDraining):
            self._tell("STOPPING=1")

    @contextlib.asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """Show in this block, once ready, that the event loop is alive: twice as often as is wanted."""
        if not self._watchdog_s:
            yield
            return

        async def beat() -> None:
            while True:
                if self._ready:
                    self._tell("WATCHDOG=1", within_s=0.0)
                await asyncio.sleep(self._watchdog_s / 2)

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()

    def _tell(self, words: str, within_s: float = TELL_S) -> None:
        # A manager that is gone, or does not listen, must not end the server.
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.settimeout(within_s)
            sock.sendto(words.encode(), self._address)
