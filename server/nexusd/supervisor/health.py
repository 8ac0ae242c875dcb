"""What the daemon says of its own health."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


class HealthBoard:
    """The state of each part by its name.

    A service is `starting`, `ready`, `draining` or `failed`, the database `ok` or `unavailable`.

    Args:
        names: of the services.
        migrations: `ok`, since nothing serves before they are; `skipped` where nobody has looked.

    Attributes:
        once_started: set when every service has begun to answer.
        workers: how many worker processes there are of how many, such as `2 of 2`; empty: no such processes.
    """

    def __init__(self, names: Sequence[str], migrations: str = "ok") -> None:
        self._services = dict.fromkeys(names, "starting")
        self._migrations = migrations
        self.database_answers = True
        self.draining = False
        self.once_started = asyncio.Event()
        self.workers = ""

    def set(self, name: str, state: str) -> None:
        """Note a service's state."""
        self._services[name] = state
        if self.started:
            self.once_started.set()

    @property
    def started(self) -> bool:
        """Whether every service answers."""
        return all(state == "ready" for state in self._services.values())

    @property
    def ready(self) -> bool:
        """Whether everything answers and nothing is about to end."""
        return self.started and self.database_answers and not self.draining

    def channels(self) -> Iterable[tuple[str, str]]:
        """Each service's state."""
        return self._services.items()

    def checks(self) -> Mapping[str, str]:
        """Each part's state by name."""
        database = "ok" if self.database_answers else "unavailable"
        workers = {"workers": self.workers} if self.workers else {}
        return {**self._services, "database": database, "migrations": self._migrations, **workers}
