"""The MCP port as an OAuth resource server, with the official client: discovery, a token, and one more for more scopes."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from mcp.client.auth import AuthorizationCodeResult, OAuthClientProvider
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

from tests.support.daemon import Daemon
from tests.support.tokens import Issuer, claims, jwk, rsa_key, signed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

REGISTRY: Final = """version: 1
models:
  Note: {fields: {id: str, text: str}, publish: [list]}
workflows:
  refund:
    scopes: [billing]
    nodes: {find: {type: NoteCountNode, params: {}}}
"""
RSA = rsa_key()


class Storage:
    """Remembers what the client is told."""

    def __init__(self) -> None:
        self.tokens: OAuthToken | None = None
        self.client: OAuthClientInformationFull | None = None

    async def get_tokens(self) -> OAuthToken | None:
        return self.tokens

    async def set_tokens(self, tokens: OAuthToken) -> None:
        self.tokens = tokens

    async def get_client_info(self) -> OAuthClientInformationFull | None:
        return self.client

    async def set_client_info(self, client_info: OAuthClientInformationFull) -> None:
        self.client = client_info


class Person:
    """Agrees to what a client asks for, and notes it."""

    def __init__(self, issuer: Issuer, resource: str) -> None:
        self.agreed: list[str] = []
        self._state: str | None = None
        issuer.publish(jwk(RSA, kid="one"))
        issuer.documents["/.well-known/oauth-authorization-server"] = {
            "issuer": issuer.url,
            "authorization_endpoint": f"{issuer.url}/authorize",
            "token_endpoint": f"{issuer.url}/token",
            "registration_endpoint": f"{issuer.url}/register",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code"],
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": ["none"],
        }
        issuer.forms["/register"] = lambda sent: {**json.loads(sent), "client_id": "client-1"}
        issuer.forms["/token"] = lambda sent: self._token(parse_qs(sent), issuer.url, resource)

    async def visit(self, url: str) -> None:
        query = parse_qs(urlsplit(url).query)
        self.agreed.append(query["scope"][0])
        self._state = query["state"][0]

    async def come_back(self) -> AuthorizationCodeResult:
        return AuthorizationCodeResult(code="code-1", state=self._state)

    def _token(self, sent: dict[str, list[str]], issuer: str, resource: str) -> dict[str, object]:
        assert sent["resource"] == [resource]
        token = signed(RSA, "RS256", claims(self.agreed[-1], iss=issuer, aud=resource), "one")
        return {"access_token": token, "token_type": "Bearer", "expires_in": 600, "scope": self.agreed[-1]}


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        yield issuer


async def test_a_client_finds_the_issuer_by_itself_and_asks_for_more_when_it_needs_more(
    tmp_path: Path, issuer: Issuer, free_port: Callable[[], int]
) -> None:
    port = free_port()
    endpoint = f"http://127.0.0.1:{port}/mcp"
    (tmp_path / "r.yaml").write_text(REGISTRY)
    environment = {
        "DATABASE_URL": "sqlite:///:memory:",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_MCP__PORT": str(port),
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_AUTH__JWT": json.dumps({"issuer": issuer.url, "audience": endpoint, "jwks_url": f"{issuer.url}/jwks"}),
    }
    person = Person(issuer, endpoint)
    metadata = OAuthClientMetadata(redirect_uris=["http://127.0.0.1:1/callback"], client_name="test")  # type: ignore[list-item]
    provider = OAuthClientProvider(endpoint, metadata, Storage(), person.visit, person.come_back)
    with Daemon(tmp_path, environment) as daemon:
        assert daemon.mcp == endpoint
        async with (
            asyncio.timeout(20),
            httpx2.AsyncClient(auth=provider) as http,
            Client(streamable_http_client(endpoint, http_client=http)) as client,
        ):
            tools = [tool.name for tool in (await client.list_tools()).tools]
            listed = await client.call_tool("note_list", {})
            refunded = await client.call_tool("refund", {})

    assert tools == ["note_list"]
    assert (listed.is_error, refunded.is_error) == (False, False)
    assert person.agreed[0] == "workflow:*:execute"
    assert set(person.agreed[1].split()) >= {"workflow:*:execute", "workflow:refund:execute", "billing"}
    assert len(person.agreed) == 2
