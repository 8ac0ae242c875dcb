"""A URL that an HttpRequestNode is to ask, read strictly: what two readers could read in two ways is refused."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode, urljoin

from nexusd.definitions.http_hosts import host_of

if TYPE_CHECKING:
    from collections.abc import Sequence

_URL: Final = re.compile(
    r"(?P<scheme>https?)://(?P<host>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::(?P<port>[0-9]{1,5}))?(?P<target>[/?][^\x00-\x1f\x7f\\#]*)?(?:#.*)?",
    re.ASCII | re.IGNORECASE,
)
_PORTS: Final = {"http": 80, "https": 443}
_MAX_PORT: Final = 65535
MAX_LENGTH: Final = 8192
_KEPT: Final = "/?:@!$&'()*+,;=-._~%[]"
"""What stands in a path or query as it is; the rest is percent-encoded."""


class UrlProblem(ValueError):
    """A text that is no URL which can be asked."""


@dataclass(frozen=True, slots=True)
class Url:
    """Where to ask, and for what.

    Attributes:
        host: in its one form, addresses without brackets.
        target: path and query, percent-encoded.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """Host and port as the Host header has them."""
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return shown if self.port == _PORTS[self.scheme] else f"{shown}:{self.port}"

    def with_query(self, pairs: Sequence[tuple[str, str]]) -> Url:
        """The URL with these pairs at the end of its query."""
        if not pairs:
            return self
        sign = "&" if "?" in self.target else "?"
        return replace(self, target=f"{self.target}{sign}{urlencode(pairs)}")

    def redirected(self, location: str) -> Url:
        """Where an answer's Location leads from here.

        Raises:
            UrlProblem: nowhere that can be asked.
        """
        return read_url(urljoin(f"{self.scheme}://{self.authority}{self.target}", location))


def read_url(text: str) -> Url:
    """Read a URL.

    Raises:
        UrlProblem: it is none, or has a part that is not allowed.
    """
    match = _URL.fullmatch(text)
    if match is None or len(text) > MAX_LENGTH:
        raise UrlProblem("must be a URL such as https://api.example.com/path, without user and password")
    host = host_of(match["host"])
    scheme = match["scheme"].lower()
    port = int(match["port"]) if match["port"] else _PORTS[scheme]
    if host is None or not 0 < port <= _MAX_PORT:
        raise UrlProblem("must have a valid host and port")
    target = match["target"] or "/"
    target = target if target.startswith("/") else f"/{target}"
    try:
        return Url(scheme, host, port, quote(target, safe=_KEPT))
    except UnicodeEncodeError as error:
        raise UrlProblem("must be valid Unicode text") from error
