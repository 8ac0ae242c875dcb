"""Authentication in front of the MCP endpoint: an OAuth 2.1 resource server (specification, "Authorization").

Every request needs a credential, the first one included, since clients begin to authorize when that is refused. A call
of a tool that is not for the caller ends here as well: only an HTTP status makes a client ask for more scopes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Final, TypedDict
from urllib.parse import urlsplit

import msgspec
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken

from nexusd.channels.challenge import challenge
from nexusd.channels.channel import problem_document
from nexusd.channels.mcp.exchange import exchange_in
from nexusd.channels.mcp.standing import answer_while, is_standing
from nexusd.definitions.access import ANY_WORKFLOW, EVERYTHING
from nexusd.errors import Code, Forbidden, MethodNotAllowed, NexusError, RateLimited, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from nexusd.auth.authenticator import Authenticator
    from nexusd.definitions.principal import Principal
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"

_JSON: Final = (b"content-type", b"application/json")
_METADATA_HEADERS: Final = (_JSON, (b"cache-control", b"public, max-age=300"), (b"access-control-allow-origin", b"*"))


@dataclass(frozen=True, slots=True)
class Resource:
    """What this server is to an authorization server.

    Attributes:
        metadata_url: where a client reads the metadata.
        metadata: RFC 9728, section 2; as JSON.
    """

    metadata_url: str
    metadata: bytes


def resource_of(settings: Settings, own_url: str) -> Resource:
    """The resource that the settings describe.

    Args:
        settings: the audience of the tokens, where it is a URL, names the resource; else `mcp.public_url` does.
        own_url: of the endpoint as it is bound.
    """
    endpoint = settings.mcp.public_url or own_url
    parts = urlsplit(endpoint)
    path = parts.path.rstrip("/") or settings.mcp.path
    origin = f"{parts.scheme}://{parts.netloc}"
    jwt = settings.auth.jwt
    named = next((each for each in jwt.audience if each.startswith(("https://", "http://"))), "") if jwt else ""
    metadata: dict[str, object] = {"resource": named or origin + path}
    if jwt is not None:
        metadata["authorization_servers"] = [jwt.issuer]
    metadata |= {
        "bearer_methods_supported": ["header"],
        # No workflow is named: this is read by anybody.
        "scopes_supported": [ANY_WORKFLOW],
        "resource_name": "nexusd",
    }
    return Resource(f"{origin}{WELL_KNOWN}{path}", msgspec.json.encode(metadata))


class _Place(TypedDict):
    channel: str
    request_id: str
    client: str | None


class _Params(msgspec.Struct):
    name: str = ""


class _Call(msgspec.Struct):
    """What is read of a JSON-RPC message here."""

    method: str = ""
    params: _Params = msgspec.field(default_factory=_Params)


_calls: Final = msgspec.json.Decoder(_Call)


class Guard:
    """An ASGI application that lets through what is allowed.

    Args:
        app: what answers then.
        authenticator: knows the callers.
        runtime: knows what they may run.
        resource: is told to those who are refused.
        statuses: HTTP status by error code.
        max_body_bytes: of a request; what is larger is passed on unread, to be refused there.
    """

    def __init__(
        self,
        app: ASGIApp,
        authenticator: Authenticator,
        runtime: Runtime,
        resource: Resource,
        statuses: Mapping[Code, int],
        max_body_bytes: int,
    ) -> None:
        self._app = app
        self._authenticator = authenticator
        self._runtime = runtime
        self._resource = resource
        self._statuses = statuses
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        exchange = exchange_in(scope)
        request_id = exchange.request_id
        held: frozenset[str] = frozenset()
        try:
            if scope["path"] == WELL_KNOWN or scope["path"].startswith(f"{WELL_KNOWN}/"):
                await self._tell_metadata(scope, send)
                return
            place = _place(scope, request_id)
            principal = exchange.principal = await self._authenticator(scope["headers"], **place)
            held = principal.scopes
            if scope["method"] == "POST" and EVERYTHING not in held:
                receive = await self._checked(principal, receive)
        except NexusError as error:
            await self._refuse(error, request_id, held, send)
            return
        scope["user"] = _user(principal.id, principal.sight)
        if is_standing(scope):
            is_known = partial(self._authenticator.still_knows, scope["headers"], **place)
            await answer_while(is_known, self._app, scope, receive, send)
        else:
            await self._app(scope, receive, send)

    async def _checked(self, principal: Principal, receive: Receive) -> Receive:
        """Read the body, and give it again to whoever is next.

        Raises:
            Forbidden: it calls a tool that is not for this caller.
        """
        messages: list[Message] = []
        size = 0
        while size <= self._max_body_bytes:
            message = await receive()
            messages.append(message)
            size += len(message.get("body", b""))
            if message["type"] != "http.request" or not message.get("more_body", False):
                self._check(principal, b"".join(each.get("body", b"") for each in messages))
                break

        async def again() -> Message:
            return messages.pop(0) if messages else await receive()

        return again

    def _check(self, principal: Principal, body: bytes) -> None:
        if b"tools/call" not in body and b"\\" not in body:
            return
        try:
            call = _calls.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            return  # it is no message, which the endpoint says best; nothing runs past the runtime's own check
        if call.method == "tools/call" and call.params.name in self._runtime.plans:
            self._runtime.admit(principal, call.params.name)

    async def _tell_metadata(self, scope: Scope, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise MethodNotAllowed("the metadata is read by GET", allow=("GET", "HEAD"))
        body = self._resource.metadata
        headers = [*_METADATA_HEADERS, (b"content-length", b"%d" % len(body))]
        await _answer(send, 200, headers, b"" if scope["method"] == "HEAD" else body)

    async def _refuse(self, error: NexusError, request_id: str, held: frozenset[str], send: Send) -> None:
        status = self._statuses[error.code]
        body = msgspec.json.encode(problem_document(error, status=status, request_id=request_id))
        headers = [(b"content-type", b"application/problem+json"), (b"content-length", b"%d" % len(body))]
        if isinstance(error, Unauthenticated | Forbidden):
            # A client asks for these instead of what it has, so what it has is named again.
            scopes = sorted(held | set(error.scopes)) if isinstance(error, Forbidden) else [ANY_WORKFLOW]
            told = challenge(error, resource_metadata=self._resource.metadata_url, scopes=scopes)
            headers.append((b"www-authenticate", told.encode()))
        elif isinstance(error, MethodNotAllowed):
            headers.append((b"allow", ", ".join(error.allow).encode()))
        elif isinstance(error, RateLimited):
            headers.append((b"retry-after", b"%d" % -(-error.retry_after_s // 1)))
        elif error.code in {Code.OVERLOADED, Code.DATABASE_UNAVAILABLE}:
            headers.append((b"retry-after", b"1"))
        await _answer(send, status, headers, body)


def _place(scope: Scope, request_id: str) -> _Place:
    client = scope["client"]
    return {"channel": "mcp", "request_id": request_id, "client": None if client is None else client[0]}


@lru_cache(maxsize=4096)
def _user(principal_id: str, sight: str) -> AuthenticatedUser:
    """The caller as the SDK knows one: it keeps sessions, and what they can be sent again, to who has opened them.

    Who sees other records under the same id is somebody else.
    """
    return AuthenticatedUser(AccessToken(token="", client_id=f"{principal_id} {sight}", scopes=[]))


async def _answer(send: Send, status: int, headers: Sequence[tuple[bytes, bytes]], body: bytes) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})
