"""One HTTP request and its answer, without a framework: what the hot path needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nexusd.channels.channel import REQUEST_ID, request_id_for
from nexusd.definitions.principal import ANONYMOUS
from nexusd.definitions.wire import write_json
from nexusd.errors import BadRequest, PayloadTooLarge, UnsupportedMediaType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.types import Message, Receive, Scope, Send

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.http.bodies import BodyBudget
    from nexusd.definitions.trace import Trace

JSON: Final = (b"content-type", b"application/json")

UNKNOWN_ROUTE: Final = "other"
"""The route of a request for which there is none: a path may hold anything."""

_QUOTED: Final = re.compile(r'"([^"\\]*)"')


class Exchange:
    """A request and the way to answer it.

    Attributes:
        principal: who asks.
        authenticator: who has let them in; None where everybody is.
        route: the template of the route that was found, for metrics and logs.
        trace: what it is a part of, if that is known.
        workflow, execution_id: what was run, for the log.
        status: what was answered; 0 until then.
        extra: headers of every answer.
    """

    __slots__ = (
        "_budget",
        "_held",
        "_send",
        "authenticator",
        "execution_id",
        "extra",
        "headers",
        "method",
        "path",
        "principal",
        "receive",
        "request_id",
        "route",
        "scope",
        "status",
        "trace",
        "workflow",
    )

    def __init__(self, scope: Scope, receive: Receive, send: Send, budget: BodyBudget) -> None:
        self.scope = scope
        self.receive = receive
        self._send = send
        self._budget = budget
        self._held = 0
        self.method: str = scope["method"]
        self.path: str = scope["path"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = request_id_for(self.headers.get(REQUEST_ID))
        self.principal = ANONYMOUS
        self.authenticator: Authenticator | None = None
        self.route = UNKNOWN_ROUTE
        self.trace: Trace | None = None
        self.workflow: str | None = None
        self.execution_id: str | None = None
        self.status = 0
        self.extra: list[tuple[bytes, bytes]] = [(REQUEST_ID, self.request_id.encode())]

    @property
    def client(self) -> str | None:
        """The address that asks."""
        client = self.scope["client"]
        return None if client is None else client[0]

    async def is_known(self) -> bool:
        """Whether who asked would still be let in, for answers that take long."""
        if self.authenticator is None:
            return True
        return await self.authenticator.still_knows(
            self.scope["headers"], channel="http", request_id=self.request_id, client=self.client
        )

    async def body(self, limit: int) -> bytes:
        """The whole body.

        Raises:
            PayloadTooLarge: it is, or says it is, larger than `limit` bytes.
            Overloaded: large bodies hold all the memory there is for them.
            ConnectionResetError: the client has gone.
        """
        declared = self.headers.get(b"content-length")
        if declared is not None and int(declared) > limit:
            raise PayloadTooLarge(f"the body may have at most {limit} bytes")
        chunks: list[bytes] = []
        while True:
            message = await self.receive()
            if message["type"] != "http.request":
                raise ConnectionResetError
            chunk: bytes = message.get("body", b"")
            if self._held + len(chunk) > limit:
                raise PayloadTooLarge(f"the body may have at most {limit} bytes")
            await self._budget.take(len(chunk), self._held)
            self._held += len(chunk)
            chunks.append(chunk)
            if not message.get("more_body", False):
                return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def json_body(self, limit: int) -> bytes:
        """The body, which must be JSON by its media type unless it is empty.

        Only this media type is read, which also stops forms of foreign pages. A content coding is not undone (RFC 9110,
        section 15.5.16).
        """
        if self.headers.get(b"content-encoding", b"identity").lower() != b"identity":
            raise UnsupportedMediaType("send the body without a content coding")
        media_type = self.headers.get(b"content-type")
        if media_type != b"application/json" and not _is_json(media_type):
            length = self.headers.get(b"content-length", b"0")
            if length != b"0" or b"transfer-encoding" in self.headers:
                raise UnsupportedMediaType
        return await self.body(limit)

    def preferences(self) -> frozenset[str]:
        """The `Prefer` header's preferences (RFC 7240, section 2), in lower case, without blanks and parameters."""
        values = [value for name, value in self.scope["headers"] if name == b"prefer"]
        words = b",".join(values).decode("latin-1").lower().split(",")
        return frozenset("".join(word.partition(";")[0].split()).replace('"', "") for word in words)

    def idempotency_key(self) -> str:
        """The `Idempotency-Key` header: its text, or what stands in quotes (draft-ietf-httpapi-idempotency-key-header).

        Raises:
            BadRequest: there are several.
        """
        values = [value for name, value in self.scope["headers"] if name == b"idempotency-key"]
        if len(values) > 1:
            raise BadRequest("there must be one Idempotency-Key")
        text: str = values[0].decode("latin-1")
        quoted = _QUOTED.fullmatch(text)
        return text if quoted is None else quoted[1]

    async def json(self, status: int, value: object, *headers: tuple[bytes, bytes]) -> None:
        """Answer with any value as JSON, with all its digits."""
        await self.answer(status, [JSON, *headers], write_json(value))

    async def send(self, message: Message) -> None:
        """Pass an answer on, with the headers that every answer of this request carries."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": [*message["headers"], *self.extra]}
        await self._send(message)

    async def answer(self, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
        """Send the answer; a HEAD request gets its head."""
        self.status = status
        length = (b"content-length", b"%d" % len(body))
        if status == 204:  # noqa: PLR2004 - No Content has no length either (RFC 9110, section 8.6)
            await self._send({"type": "http.response.start", "status": status, "headers": [*headers, *self.extra]})
        else:
            start = {"type": "http.response.start", "status": status, "headers": [*headers, *self.extra, length]}
            await self._send(start)
        await self._send({"type": "http.response.body", "body": b"" if self.method == "HEAD" else body})

    def close(self) -> None:
        """The request is done with."""
        if self._held:
            self._budget.give(self._held)


def _is_json(media_type: bytes | None) -> bool:
    """Whether it is JSON with parameters or in other letters; JSON has no charset but UTF-8 (RFC 8259, section 8.1)."""
    return media_type is not None and media_type.partition(b";")[0].strip().lower() == b"application/json"
