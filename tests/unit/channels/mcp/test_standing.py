from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from nexusd.channels.mcp.standing import RECHECK_S, answer_while, is_standing
from tests.support.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

START = {"type": "http.response.start", "status": 200, "headers": []}
PIECE = {"type": "http.response.body", "body": b"x", "more_body": True}
END = {"type": "http.response.body", "body": b""}


class Stream:
    """An application whose answer begins at once and goes on for a time."""

    def __init__(self, lasts_s: float, *, begins: bool = True) -> None:
        self._lasts_s = lasts_s
        self._begins = begins
        self.is_cut = False

    async def __call__(
        self, _scope: object, _receive: object, send: Callable[[Any], Coroutine[Any, Any, None]]
    ) -> None:
        if self._begins:
            await send(START)
            await send(PIECE)
        try:
            await asyncio.sleep(self._lasts_s)
        except asyncio.CancelledError:
            self.is_cut = True
            raise
        await send(END)


async def answered(stream: Stream, known_s: float) -> tuple[list[object], float]:
    """What a client is sent by a stream whose caller is known for a time, and how long that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    sent: list[object] = []

    async def send(message: Any) -> None:  # noqa: ANN401 - as in ASGI
        sent.append(message)

    async def is_known() -> bool:
        return loop.time() < begun + known_s

    await answer_while(is_known, stream, {}, None, send)  # type: ignore[arg-type]
    return sent, round(loop.time() - begun, 3)


def test_stream_of_a_caller_who_stays_known_ends_by_itself() -> None:
    stream = Stream(100)

    assert run_in_virtual_time(answered(stream, 1000)) == ([START, PIECE, END], 100.0)
    assert not stream.is_cut


def test_stream_of_a_caller_who_is_known_no_longer_is_cut_and_its_answer_ends() -> None:
    stream = Stream(100)

    assert run_in_virtual_time(answered(stream, 12)) == ([START, PIECE, END], 3 * RECHECK_S)
    assert stream.is_cut


def test_answer_that_has_not_begun_is_not_ended() -> None:
    stream = Stream(100, begins=False)

    assert run_in_virtual_time(answered(stream, 0)) == ([], RECHECK_S)
    assert stream.is_cut


def test_client_who_leaves_ends_the_stream() -> None:
    stream = Stream(100)

    async def leave() -> bool:
        task = asyncio.create_task(answered(stream, 1000))
        await asyncio.sleep(7)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_in_virtual_time(leave())
    assert stream.is_cut


def test_what_the_application_raises_is_raised() -> None:
    async def broken(_scope: object, _receive: object, _send: object) -> None:
        raise LookupError

    with pytest.raises(LookupError):
        run_in_virtual_time(answered(broken, 1))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("method", "headers", "expected"),
    [
        ("GET", [], True),
        ("POST", [(b"mcp-method", b"subscriptions/listen")], True),
        ("POST", [(b"mcp-method", b"tools/call")], False),
        ("DELETE", [], False),
    ],
)
def test_streams_without_an_end_are_told_apart(method: str, headers: list[object], expected: bool) -> None:  # noqa: FBT001 - a row
    assert is_standing({"method": method, "headers": headers}) is expected
