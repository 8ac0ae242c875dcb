"""What the writing thread of a SQLite database is given to do, and how its caller waits for the answer."""

from __future__ import annotations

import asyncio
import queue
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from nexusd.databases.sqlite_connection import Limit
from nexusd.errors import DeadlineExceeded, NexusError, Overloaded, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.database import Bound
    from nexusd.databases.sqlite_connection import Fetched

ANSWER_GRACE_S: Final = 0.08
"""How long after its deadline work that has begun may take to answer."""


class Answer:
    """One answer: the thread fills in `fetched` or `failure`, then has `deliver` called in the loop."""

    __slots__ = ("_future", "_timer", "failure", "fetched")

    def __init__(self) -> None:
        self._future: asyncio.Future[Fetched] = asyncio.get_running_loop().create_future()
        self._timer: asyncio.TimerHandle
        self.fetched: Fetched = ([], 0)
        self.failure: NexusError | None = None

    def refuse(self, failure: NexusError, cause: BaseException | None = None) -> None:
        """Make it a failure, unless it is one already."""
        if self.failure is None:
            failure.__cause__ = cause
            self.failure = failure

    def deliver(self) -> None:
        """Wake the caller, if it still waits."""
        if self._future.done():
            return
        if self.failure is not None:
            self._future.set_exception(self.failure)
        else:
            self._future.set_result(self.fetched)

    async def wait(self, work: Work, deadline: float, patience_s: float, late: type[NexusError]) -> Fetched:
        """Wait for the answer.

        Args:
            work: what is withdrawn if it has not begun in time, and interrupted when the caller is cancelled.
            deadline: when to stop waiting for what has begun, `loop.time()` based.
            patience_s: how long it may take to begin.
            late: the error of work that had begun but did not answer.

        Raises:
            Overloaded: it did not begin in time; nothing was done.
            DeadlineExceeded: the same, and the deadline was nearer.
        """
        loop = asyncio.get_running_loop()
        limit = loop.time() + patience_s
        busy = DeadlineExceeded() if deadline <= limit else Overloaded(_BUSY)
        self._timer = loop.call_at(min(limit, deadline), self._not_begun, work, busy, deadline, late)
        try:
            return await self._future
        except asyncio.CancelledError as error:
            if not work.withdraw():
                work.interrupt()
                if late is UnknownOutcome and loop.time() >= deadline:
                    # Cut by a timeout of the caller's: it may be kept all the same.
                    raise late from error
            raise
        finally:
            self._timer.cancel()

    def _not_begun(self, work: Work, busy: NexusError, deadline: float, late: type[NexusError]) -> None:
        if work.withdraw():
            self._give_up(busy)
        else:
            loop = asyncio.get_running_loop()
            self._timer = loop.call_at(deadline + ANSWER_GRACE_S, lambda: self._give_up(late()))

    def _give_up(self, failure: NexusError) -> None:
        if not self._future.done():
            self._future.set_exception(failure)


_BUSY: Final = "the database is busy with other writes; try again later"


class Work(Limit):
    """Something in the writer's queue, which either the thread claims or its caller withdraws.

    Attributes:
        withdrawn: the thread will never see it.
    """

    __slots__ = ("_ticket", "withdrawn")

    def __init__(self, deadline: float) -> None:
        # The thread has no loop to ask for the time.
        super().__init__(time.monotonic() + deadline - asyncio.get_running_loop().time())
        self._ticket = [True]
        self.withdrawn = False

    def claim(self) -> bool:
        """Begin; False if it was withdrawn."""
        return self._tear()

    def withdraw(self) -> bool:
        """Take it out of the queue; False if it has begun."""
        if self._tear():
            self.withdrawn = True
        return self.withdrawn

    def interrupt(self) -> None:
        """Stop its running statement."""
        self.until = 0.0

    def _tear(self) -> bool:
        # One of two threads gets the ticket: list.pop is atomic.
        try:
            return self._ticket.pop()
        except IndexError:
            return False


class Job(Work):
    """A statement that commits by itself."""

    __slots__ = ("answer", "bound")

    def __init__(self, bound: Bound, deadline: float) -> None:
        super().__init__(deadline)
        self.bound = bound
        self.answer = Answer()


class Step(Enum):
    """What a transaction asks for."""

    RUN = auto()
    COMMIT = auto()
    ROLLBACK = auto()
    CHECK = auto()


class Request:
    """One step of a transaction: commands, then for RUN a statement."""

    __slots__ = ("answer", "bound", "commands", "step")

    def __init__(self, step: Step, commands: Sequence[str] = (), bound: Bound | None = None) -> None:
        self.step = step
        self.commands = commands
        self.bound = bound
        self.answer = Answer()


class Hold(Work):
    """A transaction that comes back to its caller between statements; the thread serves it until it is over.

    Attributes:
        inbox: the caller's requests; None has the thread leave.
        over: why the thread has left it, if not by its own request.
        read_only: whether writing is refused.
    """

    __slots__ = ("inbox", "over", "read_only")

    def __init__(self, deadline: float, *, read_only: bool) -> None:
        super().__init__(deadline)
        self.inbox: queue.SimpleQueue[Request | None] = queue.SimpleQueue()
        self.over: NexusError | None = None
        self.read_only = read_only

    def next_request(self) -> Request | None:
        """The caller's next step; None when the deadline came first."""
        try:
            return self.inbox.get(timeout=max(0.0, self.until - time.monotonic()))
        except queue.Empty:
            return None
