"""An answer that takes long is a stream that is kept alive, as the SDK does it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from nexusd.channels.mcp import fast_path

if TYPE_CHECKING:
    import pytest
    from starlette.types import Message


async def test_an_answer_that_takes_long_is_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast_path, "PING_S", 0.0)
    sent: list[Message] = []
    pinged = asyncio.Event()

    async def send(message: Message) -> None:
        sent.append(message)
        if message.get("body", b"").startswith(b": ping"):
            pinged.set()

    answer = fast_path.Answer(send, b"7")
    async with asyncio.timeout(5):
        await pinged.wait()
        await answer.give(b'"result":{}', 200)

    assert dict(sent[0]["headers"])[b"content-type"] == b"text/event-stream"
    assert sent[-1]["body"] == b'event: message\r\ndata: {"jsonrpc":"2.0","id":7,"result":{}}\r\n\r\n'
    assert not sent[-1]["more_body"]


async def test_an_answer_that_is_quick_is_json() -> None:
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    await fast_path.Answer(send, b'"a"').give(b'"result":{}', 200)

    assert dict(sent[0]["headers"])[b"content-type"] == b"application/json"
    assert b"".join(each.get("body", b"") for each in sent) == b'{"jsonrpc":"2.0","id":"a","result":{}}'
