"""`/openapi.json` and `/docs`: made once from the plans, then answered from memory, with an ETag.

Each caller is shown what it may call, so there is a version for each set of workflows that somebody may run.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.channels.http.docs import docs_page
from nexusd.channels.http.openapi import openapi_document
from nexusd.definitions.wire import write_json

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.channels.http.exchange import Exchange
    from nexusd.channels.http.router import Router
    from nexusd.definitions.principal import Principal
    from nexusd.planning.plan import Plan
    from nexusd.runtime import Runtime

Header = tuple[bytes, bytes]

MAX_VERSIONS: Final = 32
"""How many are kept; callers with other rights than these are served as well, only slower."""

_REVALIDATE: Final = (b"cache-control", b"private, no-cache")


@dataclass(frozen=True, slots=True)
class _Document:
    body: bytes
    headers: tuple[Header, ...]
    etag: bytes


class Documents:
    """The routes of what describes the API."""

    def __init__(self, runtime: Runtime, *, secured: bool) -> None:
        self._runtime = runtime
        self._secured = secured
        self._plans: Mapping[str, Plan] | None = None
        self._made: dict[tuple[str, ...], _Document] = {}

    def add_routes(self, router: Router) -> None:
        """Register them."""
        router.add("GET", "/openapi.json", self.openapi)
        router.add("GET", "/docs", self.docs)

    async def openapi(self, exchange: Exchange) -> None:
        """The OpenAPI 3.1 description."""
        await self._answer(exchange, "openapi")

    async def docs(self, exchange: Exchange) -> None:
        """A page for people; it loads nothing from anywhere."""
        await self._answer(exchange, "docs")

    async def _answer(self, exchange: Exchange, name: str) -> None:
        document = self._document(name, exchange.principal)
        headers = (*document.headers, (b"etag", document.etag), _REVALIDATE)
        if _matches(exchange.headers.get(b"if-none-match"), document.etag):
            await exchange.answer(304, headers, b"")
        else:
            await exchange.answer(200, headers, document.body)

    def _document(self, name: str, principal: Principal) -> _Document:
        plans = self._runtime.plans
        if plans is not self._plans:
            # Another registry was loaded, or none was asked about yet.
            self._plans = plans
            self._made = {}
        allowed = self._runtime.allowed(principal)
        version = (name, *(plan.name for plan in allowed))
        document = self._made.get(version)
        if document is None:
            document = _openapi(allowed, secured=self._secured) if name == "openapi" else _docs(allowed)
            if len(self._made) >= MAX_VERSIONS:
                del self._made[next(iter(self._made))]
            self._made[version] = document
        return document


def _openapi(plans: list[Plan], *, secured: bool) -> _Document:
    return _made(write_json(openapi_document(plans, secured=secured)), (b"content-type", b"application/json"))


def _docs(plans: list[Plan]) -> _Document:
    body, policy = docs_page(plans)
    return _made(
        body,
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-security-policy", policy.encode()),
        (b"x-content-type-options", b"nosniff"),
        (b"referrer-policy", b"no-referrer"),
    )


def _made(body: bytes, *headers: Header) -> _Document:
    digest = base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:12])
    return _Document(body, headers, b'"%b"' % digest)


def _matches(asked: bytes | None, etag: bytes) -> bool:
    """Whether If-None-Match names this version (RFC 9110, section 13.1.2)."""
    if asked is None:
        return False
    tags = [tag.strip().removeprefix(b"W/") for tag in asked.split(b",")]
    return etag in tags or b"*" in tags
