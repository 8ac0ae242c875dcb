"""A TCP proxy on the loopback address whose line a test can hold, cut or swallow answers on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from types import TracebackType


class Proxy:
    """Forwards to a port of 127.0.0.1; used with `async with`.

    Attributes:
        port: where it listens.
        forwarding: cleared, nothing moves in either direction and both ends wait.
        answering: cleared, what the server sends is dropped.
    """

    def __init__(self, target: int) -> None:
        self.port = 0
        self.forwarding = asyncio.Event()
        self.forwarding.set()
        self.answering = True
        self._target = target
        self._server: asyncio.Server
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.close()
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def _accept(self, client_in: asyncio.StreamReader, client_out: asyncio.StreamWriter) -> None:
        server_in, server_out = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers |= {client_out, server_out}
        for source, sink, answers in ((client_in, server_out, False), (server_in, client_out, True)):
            task = asyncio.create_task(self._forward(source, sink, answers=answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, answers: bool) -> None:
        try:
            while data := await source.read(65536):
                await self.forwarding.wait()
                if self.answering or not answers:
                    sink.write(data)
        except OSError:
            pass
        finally:
            sink.close()
