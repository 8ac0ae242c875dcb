"""The line between two processes of one server: questions that are answered, and words that are not.

A message is its length (four bytes, network order) and a MessagePack array. Both ends are ours and of one version.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.events import unexpected

if TYPE_CHECKING:
    import socket
    from collections.abc import Awaitable, Callable

    from nexusd.events import Observer

_LENGTH: Final = struct.Struct("!I")


class LineError(Exception):
    """The other end has gone, has failed, or did not answer in time."""


class _Question(msgspec.Struct, tag="question", array_like=True):
    number: int
    subject: str
    body: object


class _Answer(msgspec.Struct, tag="answer", array_like=True):
    number: int
    body: object
    failed: bool


class _Word(msgspec.Struct, tag="word", array_like=True):
    subject: str
    body: object


_decoder: Final = msgspec.msgpack.Decoder(_Question | _Answer | _Word)


def read_word(sock: socket.socket) -> tuple[str, object]:
    """The next word on a blocking socket: its subject and body.

    Raises:
        LineError: the other end has gone, or asks.
    """
    (length,) = _LENGTH.unpack(_read(sock, _LENGTH.size))
    message = _decoder.decode(_read(sock, length))
    if not isinstance(message, _Word):
        raise LineError
    return message.subject, message.body


def _read(sock: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        chunk = sock.recv(count - len(data))
        if not chunk:
            raise LineError
        data += chunk
    return bytes(data)


class Line:
    """One end of a line, in a loop.

    Args:
        hear: is called with the subject and body of each word.
        answer: gives the answer to a question's subject and body; what it raises is told as a failure.
        observe: told of what either raises.
    """

    def __init__(
        self,
        hear: Callable[[str, object], None],
        answer: Callable[[str, object], Awaitable[object]],
        observe: Observer,
    ) -> None:
        self._hear = hear
        self._answer = answer
        self._observe = observe
        self._asked: dict[int, asyncio.Future[object]] = {}
        self._number = 0
        self._answering: set[asyncio.Task[None]] = set()

    async def open(self, sock: socket.socket) -> None:
        """Take over a connected socket; words can be told from here on."""
        sock.setblocking(False)  # noqa: FBT003 - the socket's own signature
        self._reader, self._writer = await asyncio.open_unix_connection(sock=sock)

    async def run(self) -> None:
        """Take messages until the other end has gone."""
        try:
            while True:
                (length,) = _LENGTH.unpack(await self._reader.readexactly(_LENGTH.size))
                self._take(_decoder.decode(await self._reader.readexactly(length)))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writer.close()
            for task in self._answering:
                task.cancel()
            for waiting in self._asked.values():
                if not waiting.done():
                    waiting.set_exception(LineError())

    async def end(self) -> None:
        """Send what was said, and hang up."""
        self._writer.close()
        with contextlib.suppress(ConnectionError):
            await self._writer.wait_closed()

    def tell(self, subject: str, body: object = None) -> None:
        """Say something that wants no answer; lost if the other end has gone."""
        self._send(_Word(subject, body))

    async def ask(self, subject: str, body: object, timeout_s: float) -> object:
        """The other end's answer.

        Raises:
            LineError: there is none.
        """
        self._number += 1
        number = self._number
        waiting = self._asked[number] = asyncio.get_running_loop().create_future()
        try:
            if self._writer.is_closing():
                raise LineError
            self._send(_Question(number, subject, body))
            async with asyncio.timeout(timeout_s):
                return await waiting
        except TimeoutError as error:
            raise LineError from error
        finally:
            del self._asked[number]

    def _send(self, message: _Question | _Answer | _Word) -> None:
        if self._writer.is_closing():
            return
        data = msgspec.msgpack.encode(message)
        self._writer.write(_LENGTH.pack(len(data)) + data)

    def _take(self, message: _Question | _Answer | _Word) -> None:
        if isinstance(message, _Word):
            try:
                self._hear(message.subject, message.body)
            except Exception as error:  # noqa: BLE001 - the edge of a process: a bug must not hang up
                self._observe(unexpected("line", "", error))
        elif isinstance(message, _Question):
            task = asyncio.create_task(self._reply(message))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif (waiting := self._asked.get(message.number)) is not None and not waiting.done():
            if message.failed:
                waiting.set_exception(LineError())
            else:
                waiting.set_result(message.body)

    async def _reply(self, question: _Question) -> None:
        try:
            answer = _Answer(question.number, await self._answer(question.subject, question.body), failed=False)
        except Exception as error:  # noqa: BLE001 - the edge of a process: the other end learns that it failed
            self._observe(unexpected("line", "", error))
            answer = _Answer(question.number, None, failed=True)
        self._send(answer)
