from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.workflow import Retry, TransactionMode
from nexusd.errors import (
    Cancelled,
    DatabaseUnavailable,
    InputRequired,
    InternalError,
    InvalidInput,
    NotSupported,
    RecordNotFound,
    SerializationConflict,
    UnknownOutcome,
)
from nexusd.events import NodeRetried
from tests.support.runs import Bench, call, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.errors import NexusError
    from nexusd.nodes.node import NodeContext

MODES = (TransactionMode.ALL, TransactionMode.NONE)


class Attempts:
    """A node that fails so often, and writes a row each time; when it was tried, in seconds, is noted."""

    def __init__(self, failures: int, error: type[NexusError] = RecordNotFound) -> None:
        self._failures = failures
        self._error = error
        self.bench = Bench({"a": self._attempt})
        self.at_s: list[float] = []

    async def _attempt(self, _params: Mapping[str, object], context: NodeContext) -> object:
        # The clock of virtual time begins at 1000.
        self.at_s.append(asyncio.get_running_loop().time() - 1000)
        write(f"attempt {len(self.at_s)}", context)
        if len(self.at_s) <= self._failures:
            raise self._error
        return "done"


@pytest.mark.parametrize("mode", MODES)
def test_pauses_between_attempts_grow_by_the_factor(mode: TransactionMode) -> None:
    tried = Attempts(3)
    retry = Retry(attempts=4, backoff_s=0.1, factor=3, jitter=0)

    assert tried.bench.run(call("a", retry=retry), transaction=mode) == {"a": "done"}

    assert tried.at_s == pytest.approx([0, 0.1, 0.4, 1.3])
    told = [event.attempt for event in tried.bench.events if isinstance(event, NodeRetried)]
    assert told == [1, 2, 3]


def test_pauses_are_spread_by_the_jitter_and_no_further() -> None:
    pauses = []
    for _ in range(50):
        tried = Attempts(1)
        tried.bench.run(call("a", retry=Retry(attempts=2, backoff_s=1, jitter=0.5)))
        pauses.append(tried.at_s[1])

    assert 0.5 <= min(pauses) < max(pauses) <= 1.5


@pytest.mark.parametrize("mode", MODES)
def test_a_pause_that_would_outlast_the_run_is_not_begun(mode: TransactionMode) -> None:
    tried = Attempts(9)
    retry = Retry(attempts=9, backoff_s=2, factor=2, jitter=0)

    with pytest.raises(RecordNotFound):
        tried.bench.run(call("a", retry=retry), transaction=mode)

    # The next attempt would be after 6 s, the run has 5.
    assert tried.at_s == [0, 2]
    assert tried.bench.ended_s == 2


def test_in_a_transaction_nothing_is_kept_of_an_attempt_that_failed() -> None:
    tried = Attempts(2)

    tried.bench.run(call("a", retry=Retry()), transaction=TransactionMode.ALL)

    assert tried.bench.rows.all == ["attempt 3"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(
    "error",
    [InvalidInput, NotSupported, InternalError, Cancelled, InputRequired, UnknownOutcome, SerializationConflict],
)
def test_what_would_only_fail_again_or_must_not_be_repeated_is_tried_once(
    error: type[NexusError], mode: TransactionMode
) -> None:
    tried = Attempts(1, error)

    with pytest.raises(error):
        tried.bench.run(call("a", retry=Retry()), transaction=mode)
    assert len(tried.at_s) == 1


def test_a_database_that_cannot_be_reached_is_asked_again_outside_of_a_transaction_only() -> None:
    alone = Attempts(1, DatabaseUnavailable)
    assert alone.bench.run(call("a", retry=Retry())) == {"a": "done"}

    together = Attempts(1, DatabaseUnavailable)
    with pytest.raises(DatabaseUnavailable):
        together.bench.run(call("a", retry=Retry()), transaction=TransactionMode.ALL)
    assert len(together.at_s) == 1
