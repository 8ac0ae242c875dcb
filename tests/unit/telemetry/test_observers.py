from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.events import Observers, RequestFinished, RequestStarted, ServerReady, TransactionBegun

if TYPE_CHECKING:
    from nexusd.events import Event, Observer


class Choosing:
    """Takes what it was made for, and counts how often it is asked."""

    def __init__(self, *kinds: type[Event]) -> None:
        self._kinds = kinds
        self.asked = 0
        self.told: list[Event] = []

    def __call__(self, _event: Event) -> None:
        raise AssertionError("who chooses is told by its handler")

    def handler(self, kind: type[Event]) -> Observer | None:
        self.asked += 1
        return self.told.append if kind in self._kinds else None


STARTED, READY = RequestStarted("http", "GET"), ServerReady(0.1)


def test_who_chooses_is_asked_once_for_each_kind_and_told_what_it_chose() -> None:
    choosing, all_told = Choosing(RequestStarted), list[object]()
    observe = Observers(choosing, all_told.append)
    for event in (STARTED, READY, STARTED):
        observe(event)

    assert (choosing.told, choosing.asked) == ([STARTED, STARTED], 2)
    assert all_told == [STARTED, READY, STARTED]


def test_observers_within_observers_are_told_without_those_who_want_nothing() -> None:
    first, second = Choosing(RequestStarted, ServerReady), Choosing(ServerReady)
    inner = Observers(first, second)
    observe = Observers(inner)
    for event in (STARTED, READY, TransactionBegun()):
        observe(event)

    assert (first.told, second.told) == ([STARTED, READY], [READY])
    assert (inner.handler(TransactionBegun), inner.handler(RequestFinished)) == (None, None)
    assert inner.handler(RequestStarted) == first.told.append
