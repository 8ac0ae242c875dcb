"""What the MCP channel answers where something below it breaks."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import httpx

from nexusd import catalog
from nexusd.auth.authenticator import Authenticator
from nexusd.auth.key_table import KeyTable
from nexusd.auth.keys import new_key
from nexusd.channels.channel import Telemetry
from nexusd.channels.listener import Drain, bind, url_of
from nexusd.definitions.registry import Registry
from nexusd.engines.inline import InlineEngine
from nexusd.events import ErrorUnexpected, RequestFinished
from nexusd.planning.registry import compile_registry
from nexusd.runtime import Runtime
from nexusd.settings import Settings
from tests.support.http_server import NoDatabase

if TYPE_CHECKING:
    from nexusd.events import Event


async def answered(events: list[Event], headers: dict[str, str]) -> httpx.Response:
    """The answer of a channel whose keys stand in a database that cannot be asked."""
    runtime = Runtime(compile_registry(Registry(), {}), InlineEngine(), NoDatabase(), events.append, keeps_keys=False)
    keys = Authenticator({}, KeyTable(NoDatabase()), None, None, events.append)
    sock = bind("127.0.0.1", 0)
    ready, drain = asyncio.Event(), Drain()
    channel = catalog.mcp_channel(runtime, Settings(), sock, "1", keys, Telemetry(events.append))
    serving = asyncio.create_task(channel.run(ready.set, drain))
    try:
        async with asyncio.timeout(5), httpx.AsyncClient() as client:
            await ready.wait()
            return await client.post(f"{url_of(sock)}/mcp", json={}, headers=headers)
    finally:
        drain.set()
        await serving
        sock.close()


async def test_a_bug_below_is_a_problem_document_and_in_the_log() -> None:
    events: list[Event] = []
    answer = await answered(events, {"X-API-Key": new_key().text, "X-Request-ID": "broken"})

    assert (answer.status_code, answer.headers["content-type"]) == (500, "application/problem+json")
    assert answer.headers["x-request-id"] == "broken"
    told = answer.json()
    assert (told["code"], told["request_id"]) == ("internal", "broken")
    bugs = [event for event in events if isinstance(event, ErrorUnexpected)]
    assert [(bug.where, bug.request_id, bug.error_type) for bug in bugs] == [("mcp", "broken", "AssertionError")]
    assert [event.status for event in events if isinstance(event, RequestFinished)] == [500]
