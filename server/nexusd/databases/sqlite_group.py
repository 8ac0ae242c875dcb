"""Writes that share one COMMIT."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Protocol

from nexusd.databases.sqlite_connection import FOREVER
from nexusd.databases.sqlite_errors import DRIVER_ERRORS, FOREIGN_KEY, IO_ERROR, result_code, translate
from nexusd.databases.sqlite_jobs import Hold, Job, Request, Step
from nexusd.databases.sqlite_references import broken_reference, deferred_tables, unmet
from nexusd.errors import DeadlineExceeded, ReferenceViolation, SerializationConflict, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nexusd.databases.database import Bound
    from nexusd.databases.sqlite_connection import Connection
    from nexusd.databases.sqlite_jobs import Answer
    from nexusd.definitions.model import Model
    from nexusd.errors import NexusError


class Deliver(Protocol):
    """How answers reach the loop."""

    def __call__(self, answers: Sequence[Answer], *, synced: bool) -> None:
        """Have them delivered; `synced` if they have just been committed together."""


class Group:
    """One transaction of the writing thread.

    Args:
        connection: used by nobody else meanwhile.
        deliver: how callers get their answers.

    Attributes:
        alone_next: COMMIT failed for what one of them did; from now on each should have its own.
    """

    def __init__(self, connection: Connection, deliver: Deliver) -> None:
        self._connection = connection
        self._deliver = deliver
        self._done: list[Job | Request] = []
        self.alone_next = False

    def run(self, first: Job | Hold, following: Callable[[int], Job | Hold | None]) -> None:
        """Do the first work and what follows it, commit, and answer all.

        Args:
            first: not claimed yet: while a lock is waited for its caller may still withdraw it.
            following: gives what else is queued, claimed; is told how much is done.
        """
        error = self._begin()
        if error is not None:
            self._refuse(first, error)
            return
        work = first if first.claim() else following(0)
        while work is not None:
            self._connection.limit = work
            stands = self._serve(work) if isinstance(work, Hold) else self._do(work)
            if not stands:
                self._redo()
                return
            work = following(len(self._done))
        self._commit()

    def _begin(self) -> Exception | None:
        self._connection.limit = FOREVER
        try:
            self._connection.command("BEGIN IMMEDIATE")
        except DRIVER_ERRORS as error:
            return error
        return None

    def _refuse(self, work: Job | Hold, error: Exception) -> None:
        if work.claim():
            failure = translate(error, ())
            asked: Job | Request | None = work if isinstance(work, Job) else work.inbox.get()
            if isinstance(work, Hold):
                work.over = failure
            if asked is not None:
                asked.answer.refuse(failure, error)
                self._deliver([asked.answer], synced=False)

    def _alone(self, job: Job) -> None:
        """Do claimed work in a transaction of its own."""
        self._done = []
        error = self._begin()
        if error is not None:
            job.answer.refuse(translate(error, ()), error)
            self._deliver([job.answer], synced=False)
            return
        self._connection.limit = job
        if self._do(job):
            self._commit()
        else:
            self._deliver([job.answer], synced=False)

    def _do(self, job: Job) -> bool:
        """Run a statement; False if SQLite undid the whole transaction."""
        self._done.append(job)
        try:
            self._connection.command("SAVEPOINT job")
            job.answer.fetched = self._connection.fetch(job.bound)
            self._connection.command("RELEASE job")
        except DRIVER_ERRORS as error:
            job.answer.refuse(self._failure(error, job.bound), error)
            return self._undo("job")
        return True

    def _failure(self, error: BaseException, bound: Bound) -> NexusError:
        driver = self._connection.driver
        if result_code(error) == FOREIGN_KEY and driver.in_transaction:
            return broken_reference(driver, bound)
        return translate(error, bound.statement.models)

    def _undo(self, savepoint: str) -> bool:
        """Go back to a savepoint; False if SQLite has undone everything already (sqlite.org/lang_transaction.html)."""
        if not self._connection.driver.in_transaction:
            return False
        self._connection.command(f"ROLLBACK TO {savepoint}")
        self._connection.command(f"RELEASE {savepoint}")
        return True

    # A transaction that comes back to its caller

    def _serve(self, hold: Hold) -> bool:
        """Serve a transaction to its end; False if SQLite undid the whole group's."""
        self._connection.command("SAVEPOINT hold")
        if not hold.read_only:
            return self._answer_all(hold)
        self._connection.command("PRAGMA query_only = ON")
        try:
            return self._answer_all(hold)
        finally:
            self._connection.command("PRAGMA query_only = OFF")

    def _answer_all(self, hold: Hold) -> bool:
        while True:
            request = hold.next_request()
            if request is None:
                hold.over = DeadlineExceeded()
                return self._undo("hold")
            if request.step is Step.COMMIT:
                self._connection.command("RELEASE hold")
                self._done.append(request)
                return True
            if request.step is not Step.RUN:
                return self._end(request)
            stands = self._step(hold, request)
            self._deliver([request.answer], synced=False)
            if not stands:
                return False

    def _step(self, hold: Hold, request: Request) -> bool:
        try:
            for command in request.commands:
                self._connection.command(command)
            if request.bound is not None:
                request.answer.fetched = self._connection.fetch(request.bound)
        except DRIVER_ERRORS as error:
            failure = self._failure(error, request.bound) if request.bound is not None else translate(error, ())
            request.answer.refuse(failure, error)
            if not self._connection.driver.in_transaction:
                hold.over = failure
                return False
        return True

    def _end(self, request: Request) -> bool:
        """Roll back, after a check of what COMMIT would check if that is asked for."""
        driver = self._connection.driver
        if request.step is Step.CHECK and unmet(driver, deferred_tables(driver)):
            request.answer.refuse(ReferenceViolation())
        stands = self._undo("hold")
        self._deliver([request.answer], synced=False)
        return stands

    # The end

    def _commit(self) -> None:
        self._connection.limit = FOREVER
        try:
            self._connection.command("COMMIT")
        except DRIVER_ERRORS as error:
            if result_code(error) == FOREIGN_KEY and len(self._done) > 1:
                # A deferred reference of one of them is broken.
                self.alone_next = True
                self._redo()
            else:
                self.abandon(error)
        else:
            self._deliver([done.answer for done in self._done], synced=bool(self._done))

    def abandon(self, error: BaseException) -> None:
        """Undo everything and tell all, after what is no statement's fault."""
        with contextlib.suppress(*DRIVER_ERRORS):
            _roll_back(self._connection)
        if isinstance(self._connection.limit, Hold):
            self._connection.limit.over = translate(error, ())
        for done in self._done:
            # After an I/O error the log may hold the commit all the same.
            unknown = result_code(error) & 0xFF == IO_ERROR
            done.answer.refuse(UnknownOutcome() if unknown else translate(error, _models(done)), error)
        self._deliver([done.answer for done in self._done], synced=False)

    def _redo(self) -> None:
        """Do alone, one after the other, what another's failure undid; transactions are their callers' to replay."""
        _roll_back(self._connection)
        undone, self._done = self._done, []
        for done in undone:
            if isinstance(done, Job) and done.answer.failure is None:
                self._alone(done)
            else:
                done.answer.refuse(SerializationConflict())
                self._deliver([done.answer], synced=False)


def _roll_back(connection: Connection) -> None:
    if connection.driver.in_transaction:
        connection.command("ROLLBACK")


def _models(done: Job | Request) -> Sequence[Model]:
    return done.bound.statement.models if done.bound is not None else ()
