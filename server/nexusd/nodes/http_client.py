"""A client for HTTP/1.1 (RFC 9112) that trusts nobody: one request a connection, to an address that was checked.

The name is resolved once and the connection goes to an address of that answer, so a name that leads elsewhere at its
second look-up gains nothing. No proxy, no cookies, no compression; head, body and time are bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import httptools

from nexusd.errors import NodeFailed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.http_hosts import AllowList
    from nexusd.nodes.http_url import Url

MAX_HEAD_BYTES: Final = 64 * 1024
MAX_BODY_BYTES: Final = 4 * 1024 * 1024
CONNECT_S: Final = 5.0
_CHUNK_BYTES: Final = 64 * 1024
_INFORMATIONAL: Final = 200
_SWITCHING: Final = 101
_WITHOUT_BODY: Final = frozenset({204, 304})
_NO_ENCODING: Final = frozenset({"", "identity"})

Resolve: TypeAlias = Callable[[str, int], Awaitable[list[str]]]
"""The addresses of a host."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is sent; header names in lower case."""

    method: str
    url: Url
    headers: Mapping[str, str]
    body: bytes = b""


@dataclass(slots=True)
class Answer:
    """What comes back, filled in by the parser.

    Attributes:
        status: 0 until the head is complete.
        headers: names in lower case; several of one name are joined.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)


class Client:
    """Asks hosts of a list.

    Args:
        allow: the hosts, and the addresses that are not public.
        resolve: looks a name up.
        max_body_bytes: of an answer.
    """

    def __init__(
        self, allow: AllowList, resolve: Resolve | None = None, *, max_body_bytes: int = MAX_BODY_BYTES
    ) -> None:
        self._allow = allow
        self._resolve = resolve or _look_up
        self._max_body_bytes = max_body_bytes
        self._context: ssl.SSLContext | None = None

    async def ask(self, request: Request) -> Answer:
        """Send a request and read the whole answer; the caller bounds the time.

        Raises:
            NodeFailed: the host cannot be reached, or does not answer as it should; no word of its answer is repeated.
        """
        url = request.url
        reader, writer = await self._connect(url)
        try:
            writer.write(_head(request) + request.body)
            # A server may answer, and close, before it has read everything.
            with contextlib.suppress(ConnectionError):
                await writer.drain()
            return await self._read(reader, request.method)
        except OSError as error:
            raise NodeFailed(f"the connection to {url.authority} broke off") from error
        finally:
            writer.transport.abort()

    async def _connect(self, url: Url) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            async with asyncio.timeout(CONNECT_S):
                addresses = await self._resolve(url.host, url.port)
                reachable = [each for each in addresses if self._allow.allows_address(each, url.host, url.port)]
                if addresses and not reachable:
                    raise NodeFailed(
                        f"{url.authority} leads to an address that is not public; list the address in http_allow"
                    )
                return await self._open(url, reachable)
        except ssl.SSLCertVerificationError as error:
            raise NodeFailed(f"the certificate of {url.authority} is not valid") from error
        except (OSError, UnicodeError) as error:
            raise NodeFailed(f"{url.authority} cannot be reached") from error

    async def _open(self, url: Url, addresses: list[str]) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the first address that takes one; certificate and name are verified as the system does."""
        secure = url.scheme == "https"
        if secure and self._context is None:
            self._context = await asyncio.to_thread(ssl.create_default_context)
        failure: OSError = OSError("no address")
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    address,
                    url.port,
                    ssl=self._context if secure else None,
                    server_hostname=url.host if secure else None,
                )
            except ssl.SSLError:
                raise
            except OSError as error:
                failure = error
        raise failure

    async def _read(self, reader: asyncio.StreamReader, method: str) -> Answer:
        parser = _Parser(has_body=method != "HEAD", max_body_bytes=self._max_body_bytes)
        while not parser.is_complete:
            data = await reader.read(_CHUNK_BYTES)
            if not data:
                parser.end()
                break
            parser.feed(data)
        if parser.answer.status == _SWITCHING:
            raise NodeFailed("the host does not answer in HTTP")
        return parser.answer


async def _look_up(host: str, port: int) -> list[str]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(each[4][0]) for each in found))


def _head(request: Request) -> bytes:
    lines = [f"{request.method} {request.url.target} HTTP/1.1", f"Host: {request.url.authority}"]
    lines += [f"{name}: {value}" for name, value in request.headers.items()]
    lines += ["Connection: close", "Accept-Encoding: identity"]
    if request.body or request.method in {"POST", "PUT", "PATCH"}:
        lines.append(f"Content-Length: {len(request.body)}")
    return "\r\n".join([*lines, "", ""]).encode()


class _Parser:
    """Reads one answer; its lower-case methods are httptools' callbacks."""

    def __init__(self, *, has_body: bool, max_body_bytes: int) -> None:
        self.answer = Answer()
        self.is_complete = False
        self._has_body = has_body
        self._max_body_bytes = max_body_bytes
        self._read = 0
        self._is_large = False
        self._is_encoded = False
        self._headers: list[tuple[bytes, bytes]] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> None:
        """Take what was received."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            if not self.is_complete:
                raise NodeFailed("the host does not answer in HTTP") from error
        self._read += len(data)
        if not self.answer.status and self._read > MAX_HEAD_BYTES:
            raise NodeFailed(f"the host sends a head of more than {MAX_HEAD_BYTES} bytes")
        if self._is_encoded:
            raise NodeFailed("the host answers in an encoding that was not asked for")
        # What frames the body counts too, but may be as much again.
        if self._is_large or self._read > MAX_HEAD_BYTES + 2 * self._max_body_bytes:
            raise NodeFailed(f"the host answers more than {self._max_body_bytes} bytes")

    def end(self) -> None:
        """The connection has ended: that is the end of a body without a length, and of nothing else."""
        headers = self.answer.headers
        ends_so = "content-length" not in headers and "transfer-encoding" not in headers
        if not self.answer.status or not ends_so:
            raise NodeFailed("the connection broke off before the answer was complete")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field of the head, or of a trailer."""
        if not self.answer.status:
            self._headers.append((name, value))

    def on_headers_complete(self) -> None:
        """The head is there, of the answer or of what comes before it."""
        status = self._parser.get_status_code()
        if status < _INFORMATIONAL and status != _SWITCHING:
            self._headers = []
            return
        answer = self.answer
        answer.status = status
        for name, value in self._headers:
            key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
            answer.headers[key] = f"{answer.headers[key]}, {text}" if key in answer.headers else text
        self._is_encoded = self._has_body and answer.headers.get("content-encoding", "").lower() not in _NO_ENCODING
        length = answer.headers.get("content-length", "")
        self._is_large = length.isdecimal() and int(length[:20]) > self._max_body_bytes and self._has_body
        self.is_complete = not self._has_body or status in _WITHOUT_BODY

    def on_body(self, data: bytes) -> None:
        """A part of the body."""
        if self.is_complete:
            return
        self.answer.body += data
        self._is_large = self._is_large or len(self.answer.body) > self._max_body_bytes

    def on_message_complete(self) -> None:
        """The end, unless it was only the end of an informational head."""
        if self.answer.status:
            self.is_complete = True


TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", re.ASCII)
"""What a header's name is (RFC 9110, section 5.6.2)."""

VALUE: Final = re.compile(r"[\t\x20-\x7e\x80-\ud7ff\ue000-\U0010ffff]{0,8192}")
"""What a header's value may be; nothing that could end the line."""
