"""The thread that writes to a SQLite database, and how many writes share one COMMIT.

A COMMIT waits for the disk; a statement does not. So the thread runs whatever is queued inside one transaction,
commits, and only then answers: acknowledged means durable. Who fails is undone alone. A transaction that comes back to
its caller between statements takes part in the same way and keeps the thread until it ends.
"""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING, Final

from nexusd.databases.sqlite_errors import DRIVER_ERRORS
from nexusd.databases.sqlite_group import Group
from nexusd.databases.sqlite_jobs import Hold, Work
from nexusd.databases.sqlite_references import deferred_tables
from nexusd.errors import DatabaseUnavailable
from nexusd.events import GroupSynced

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Sequence

    from nexusd.databases.sqlite_connection import Connection
    from nexusd.databases.sqlite_jobs import Answer, Job
    from nexusd.databases.sqlite_turns import Turns
    from nexusd.events import Observer

MAX_GROUP: Final = 256


class Writer:
    """The writing thread.

    Args:
        connection: used by the thread alone, or under `lock`.
        lock: held while a group runs, so that readers of the same connection never see what is not committed.
        loop: where answers are delivered.
        turns: taken for each group.
        observe: told of each group, in the loop.
    """

    def __init__(
        self,
        connection: Connection,
        lock: threading.Lock,
        loop: asyncio.AbstractEventLoop,
        turns: Turns,
        observe: Observer,
    ) -> None:
        self._connection = connection
        self._lock = lock
        self._loop = loop
        self._turns = turns
        self._observe = observe
        self._queue: queue.SimpleQueue[Job | Hold | None] = queue.SimpleQueue()
        self._ending = False
        self._stopping = False
        self._max_group: int | None = None
        self._thread = threading.Thread(target=self._serve, name="nexusd-sqlite-writer", daemon=True)
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether the thread serves."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How much is queued."""
        return self._queue.qsize()

    def submit(self, work: Job | Hold) -> None:
        """Queue work.

        Raises:
            DatabaseUnavailable: the thread is ending.
        """
        if self._ending:
            raise DatabaseUnavailable("the server is stopping")
        self._queue.put(work)

    def expire(self) -> None:
        """Look at the schema again before the next group."""
        self._max_group = None

    def stop(self, grace_s: float) -> None:
        """Block until what is queued is done; what still runs after `grace_s` is interrupted."""
        self._ending = True
        self._queue.put(None)
        self._thread.join(grace_s)
        if self._thread.is_alive():
            self._stopping = True
            work = self._connection.limit
            if isinstance(work, Hold):
                work.inbox.put(None)
            if isinstance(work, Work):
                work.interrupt()
            self._thread.join(grace_s)

    def _serve(self) -> None:
        while (work := self._first()) is not None:
            with self._turns.taken(), self._lock:
                if self._max_group is None:
                    # Deferred references are checked by COMMIT, whose failure must then be one writer's.
                    self._max_group = 1 if deferred_tables(self._connection.driver) else MAX_GROUP
                group = Group(self._connection, self._deliver)
                try:
                    group.run(work, self._queued)
                except DRIVER_ERRORS as error:
                    # Not a statement but the transaction control around it: the disk, most likely.
                    group.abandon(error)
                if group.alone_next:
                    self._max_group = 1
        self._connection.driver.close()

    def _first(self) -> Job | Hold | None:
        """Wait for work; None to stop."""
        while not self._stopping:
            work = self._queue.get()
            if work is None:
                self._stopping = True
            elif not work.withdrawn:
                return work
        return None

    def _queued(self, done: int) -> Job | Hold | None:
        """Queued work that may join a group of so many."""
        while self._max_group is not None and done < self._max_group and not self._queue.empty() and not self._stopping:
            work = self._queue.get()
            if work is None:
                self._stopping = True
            elif work.claim():
                return work
        return None

    def _deliver(self, answers: Sequence[Answer], *, synced: bool) -> None:
        self._loop.call_soon_threadsafe(self._wake, answers, synced)

    def _wake(self, answers: Sequence[Answer], synced: bool) -> None:  # noqa: FBT001 -- call_soon passes by position
        if synced:
            self._observe(GroupSynced(len(answers)))
        for answer in answers:
            answer.deliver()
