"""What is kept for sessions whose connection broke, and that it stays within its bounds."""

from __future__ import annotations

import gc
from typing import TYPE_CHECKING

from mcp_types import JSONRPCNotification, JSONRPCResponse

from nexusd.channels.mcp.event_store import OVERHEAD_BYTES, EventBudget

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventMessage

    from nexusd.channels.mcp.event_store import SessionEvents


def note(text: str) -> JSONRPCNotification:
    return JSONRPCNotification(jsonrpc="2.0", method="notifications/message", params={"data": text})


async def replayed(store: SessionEvents, last: str) -> tuple[list[str | None], str | None]:
    """The ids of the events that are sent again, and the stream that goes on."""
    sent: list[str | None] = []

    async def send(event: EventMessage) -> None:
        sent.append(event.event_id)

    stream = await store.replay_events_after(last, send)
    return sent, stream


async def test_a_stream_is_played_from_the_event_that_arrived_last() -> None:
    store = EventBudget().store()
    first = await store.store_event("a", None)
    await store.store_event("b", note("other"))
    second = await store.store_event("a", note("one"))
    third = await store.store_event("a", note("two"))

    assert await replayed(store, first) == ([second, third], "a")
    assert await replayed(store, third) == ([], "a")


async def test_a_stream_that_has_its_answer_does_not_go_on() -> None:
    store = EventBudget().store()
    first = await store.store_event("1", None)
    answer = await store.store_event("1", JSONRPCResponse(jsonrpc="2.0", id=1, result={}))

    assert await replayed(store, first) == ([answer], None)


async def test_an_event_of_another_session_is_not_known() -> None:
    budget = EventBudget()
    mine, other = budget.store(), budget.store()
    await other.store_event("1", note("x"))
    last = await other.store_event("1", note("secret"))

    assert await replayed(mine, last) == ([], None)
    assert await replayed(mine, "nonsense") == ([], None)


async def test_a_session_keeps_its_latest_events_within_its_share() -> None:
    budget = EventBudget(max_session_bytes=10 * OVERHEAD_BYTES)
    store = budget.store()
    ids = [await store.store_event("a", None) for _ in range(100)]

    assert budget.used <= 10 * OVERHEAD_BYTES
    assert await replayed(store, ids[0]) == ([], None)
    assert await replayed(store, ids[-1]) == ([], "a")


async def test_together_they_keep_within_the_budget_and_the_silent_lose_first() -> None:
    budget = EventBudget(max_bytes=5 * OVERHEAD_BYTES)
    silent, busy = budget.store(), budget.store()
    lost = await silent.store_event("a", None)
    ids = [await busy.store_event("a", None) for _ in range(5)]

    assert budget.used == 5 * OVERHEAD_BYTES
    assert await replayed(silent, lost) == ([], None)
    assert await replayed(busy, ids[0]) == ([], "a")


async def test_what_an_ended_session_kept_is_given_back() -> None:
    budget = EventBudget()
    store = budget.store()
    await store.store_event("a", note("x"))

    del store
    gc.collect()

    assert budget.used == 0
