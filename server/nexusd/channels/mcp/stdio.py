"""The MCP server over standard input and output, for clients that start their servers themselves.

Standard output carries messages alone: the SDK takes its descriptor; whatever else is printed goes to standard error.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import TYPE_CHECKING, Final, cast

from mcp.server.stdio import stdio_server

if TYPE_CHECKING:
    from anyio import AsyncFile

    from nexusd.channels.mcp.endpoint import Endpoint

MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""How long a message may be; what is longer ends the connection."""


class _Lines:
    """Standard input, line by line.

    The SDK reads it in a thread, where a read cannot be cancelled: a signal would be answered only once the client
    speaks again.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    def __aiter__(self) -> _Lines:
        return self

    async def __anext__(self) -> str:
        line = await self._reader.readline()
        if not line:
            raise StopAsyncIteration
        return line.decode("utf-8", errors="replace")


async def serve_stdio(endpoint: Endpoint) -> None:
    """Serve until standard input ends, or until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    lines = await _standard_input(loop)
    serving = asyncio.create_task(_serve(endpoint, lines))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, serving.cancel)
    try:
        await asyncio.wait([serving])
        if not serving.cancelled():
            serving.result()
    finally:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _serve(endpoint: Endpoint, lines: _Lines | None) -> None:
    server = endpoint.server
    async with stdio_server(cast("AsyncFile[str] | None", lines)) as (read, write):
        await server.run(read, write, server.create_initialization_options())


async def _standard_input(loop: asyncio.AbstractEventLoop) -> _Lines | None:
    """Standard input as a stream, out of reach for everything else; None where it is a file, which never waits."""
    own = os.dup(sys.stdin.fileno())
    reader = asyncio.StreamReader(MAX_LINE_BYTES, loop)
    try:
        await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader, loop=loop), os.fdopen(own, "rb"))
    except ValueError:
        return None
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, sys.stdin.fileno())
    os.close(nothing)
    return _Lines(reader)
