"""Reading HTTP/1.1 requests strictly: what two parsers could read in two ways is refused, not guessed."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nexusd.errors import BadRequest, HeadersTooLarge

MAX_HEADER_BYTES: Final = 16 * 1024
MAX_HEADER_FIELDS: Final = 100
FRAMING_PER_BYTE: Final = 8
"""Bytes of chunk framing that are accepted for each byte of a body, besides those of one head."""

_SPECIAL: Final = frozenset({b"expect", b"host", b"transfer-encoding"})
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#@]+)([/?].*)?", re.IGNORECASE)


class RequestReader(HttpToolsProtocol):
    """uvicorn's protocol with parser callbacks of its own, which make a request's scope.

    A callback raises what it refuses; `feed_data` then raises HttpParserError with that as its context.

    Attributes:
        _in_head: no head has come whole whose body has not.
        _head_bytes: of a head that has begun.
        _since: since when the rest of a head, or of a body, is awaited; None between requests.
    """

    def _start_reading(self) -> None:
        """Begin with the first request of a connection, which is awaited from now on."""
        self._in_head = True
        self._head_bytes = 0
        self._since: float | None = self.loop.time()
        self._framing_bytes = 0
        self._hosts = 0
        self._coding: bytes | None = None
        self._upgrading = False

    def _count(self, size: int) -> None:
        """Note how many bytes the parser is about to be given."""
        if self._in_head:
            self._head_bytes += size
            if self._since is None:
                self._since = self.loop.time()
        else:
            self._framing_bytes += size

    def _check_sizes(self) -> None:
        """Refuse what has outgrown its limit before it ended.

        The parser holds a long value back until it ends, so the bytes it was fed are counted meanwhile.
        """
        if self._in_head and self._head_bytes > MAX_HEADER_BYTES:
            raise HeadersTooLarge
        if self._framing_bytes > MAX_HEADER_BYTES:
            raise BadRequest("the body has more framing than content")

    def _feed(self, data: bytes) -> None:
        """Give the parser what came in.

        An offer to upgrade is ignored, as RFC 9110, section 7.8, allows: it is taken out of the head, and the head read
        again. The parser alone would take the request's body for what follows the upgrade.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            head = [b"%b %b HTTP/1.1\r\n" % (self.parser.get_method(), self.url)]
            for name, value in self.headers:
                if name == b"connection":
                    kept = [token for token in value.split(b",") if token.strip().lower() != b"upgrade"]
                    head.append(b"connection: %b\r\n" % b",".join(kept))
                elif name != b"upgrade":
                    head.append(b"%b: %b\r\n" % (name, value))
            self.parser = httptools.HttpRequestParser(self)
            self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            self._upgrading = False
            self._feed(b"%b\r\n%b" % (b"".join(head), data[upgrade.args[0] :]))

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self._hosts = 0
        self._coding = None

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field of the head has come."""
        if not self._in_head:
            return  # a trailer: one that could replace a field of the head is worse than none
        name = name.lower()
        # httptools keeps blanks behind a value (RFC 9110, section 5.5, excludes them).
        value = value.strip(b" \t")
        self.headers.append((name, value))
        if name in _SPECIAL:
            if name == b"host":
                self._hosts += 1
            elif name == b"expect":
                self.expect_100_continue = value.lower() == b"100-continue"
            else:
                self._coding = value.lower()

    def on_headers_complete(self) -> None:
        """The head has come; refuse it, or make it a request."""
        method: str = self.parser.get_method().decode("ascii")
        if self.parser.should_upgrade() and method != "CONNECT":
            self._upgrading = True
            return
        version: str = self.parser.get_http_version()
        self._check_head(version)
        self.scope["method"] = method
        self.scope["http_version"] = version
        self._locate(method)
        self._in_head = False
        self._since = self.loop.time()
        self._begin(version)

    def _begin(self, version: str) -> None:
        """The head has come whole and is in order."""
        raise NotImplementedError

    def _check_head(self, version: str) -> None:
        """Refuse what is too large, and framing of more than one meaning (RFC 9112, sections 3.2 and 6.1)."""
        headers = self.headers
        if len(headers) > MAX_HEADER_FIELDS:
            raise HeadersTooLarge(f"a request may have at most {MAX_HEADER_FIELDS} header fields")
        self._framing_bytes = 0
        if self._head_bytes > MAX_HEADER_BYTES:
            # What was counted holds a piece of the body as well.
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in headers)
            if size > MAX_HEADER_BYTES:
                raise HeadersTooLarge
            self._framing_bytes = self._head_bytes - size
        if version not in {"1.1", "1.0"}:
            raise BadRequest("this server speaks HTTP/1.1")
        if self._hosts != 1 and (self._hosts or version == "1.1"):
            raise BadRequest("a request needs exactly one Host header")
        if self._coding is not None and (self._coding != b"chunked" or version == "1.0"):
            raise BadRequest("the only transfer coding is chunked, with HTTP/1.1")

    def _locate(self, method: str) -> None:
        """Read the request target (RFC 9112, section 3.2) into the scope."""
        target = self.url
        if not target.startswith(b"/"):
            absolute = _ABSOLUTE.fullmatch(target)
            if absolute is not None:
                # The host of an absolute target stands above the header (section 3.2.2).
                self.headers[:] = [(n, absolute[1] if n == b"host" else v) for n, v in self.headers]
                rest = absolute[2] or b"/"
                target = rest if rest.startswith(b"/") else b"/" + rest
            elif target != b"*" or method != "OPTIONS":
                raise BadRequest("the request target must be a path")
        if b"#" in target:
            raise BadRequest("the request target must not have a fragment")
        path, _, query = target.partition(b"?")
        text = path.decode("ascii")  # the parser lets nothing else through
        self.scope["path"] = unquote(text) if "%" in text else text
        self.scope["raw_path"] = path
        self.scope["query_string"] = query

    def on_body(self, body: bytes) -> None:
        """A piece of the body has come."""
        self._framing_bytes -= len(body) * FRAMING_PER_BYTE
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has come whole."""
        if self._upgrading:
            return
        self._in_head = True
        self._head_bytes = 0
        self._framing_bytes = 0
        self._since = None
        super().on_message_complete()
