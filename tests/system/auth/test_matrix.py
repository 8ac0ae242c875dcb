"""Who gets in: every kind of credential at every door, with every route of the table."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import httpx
import pytest

from nexusd import app
from nexusd.channels.http.routes import PROBES
from nexusd.configuration import load_settings
from tests.support.daemon import Daemon
from tests.support.http_server import HttpServer
from tests.support.tokens import AUDIENCE, ISSUER, claims, confused, public_pem, rsa_key, signed, unsigned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"
Headers: TypeAlias = dict[str, str]

ADMIN_KEY: Final = "an-admin-key-for-the-first-hour"
REGISTRY: Final = """version: 1
models:
  Note: {fields: {id: str, text: str}, publish: [create, read, list, delete]}
workflows:
  refund:
    scopes: [billing]
    nodes: {find: {type: NoteCountNode, params: {}}}
"""
RSA, OTHER = rsa_key(), rsa_key()
PEM = public_pem(RSA)


@dataclass
class Place:
    """A daemon and credentials for it.

    Attributes:
        refused: what must not get in, by what is wrong with it.
        taken: what must: by whose it is.
    """

    daemon: Daemon
    client: httpx.Client
    refused: dict[str, Headers] = field(default_factory=dict)
    taken: dict[str, Headers] = field(default_factory=dict)


def bearer(credential: str) -> Headers:
    return {"Authorization": f"Bearer {credential}"}


def token(scope: str = "*", **more: object) -> str:
    return signed(RSA, "RS256", claims(scope, **more))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder: Path = tmp_path_factory.mktemp("auth")
    (folder / "r.yaml").write_text(REGISTRY)
    (folder / "key.pem").write_text(PEM)
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/n.db",
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_MONITORING__ENABLED": "true",
        "NEXUSD_ADMIN_KEY": ADMIN_KEY,
        "NEXUSD_AUTH__JWT__ISSUER": ISSUER,
        "NEXUSD_AUTH__JWT__AUDIENCE": AUDIENCE,
        "NEXUSD_AUTH__JWT__PUBLIC_KEY_FILE": str(folder / "key.pem"),
    }
    with app.open_keys(load_settings(None, environment)) as keys:
        good, _ = keys.create("good", ["workflow:*:execute"], {}, None)
        reader, _ = keys.create("reader", ["model:Note:read"], {}, None)
        revoked, _ = keys.create("revoked", ["*"], {}, None)
        keys.revoke(revoked.id)
        expired, _ = keys.create("expired", ["*"], {}, datetime.now(UTC) - timedelta(seconds=1))
    with Daemon(folder, environment) as daemon, httpx.Client(timeout=10) as client:
        place = Place(daemon, client)
        place.refused = {
            "none": {},
            "another scheme": {"Authorization": "Basic dXNlcjpwYXNz"},
            "wrong key": bearer("nxd_0123456789ab_" + "a" * 43),
            "wrong secret": bearer(good.text[:-1] + ("a" if good.text[-1] != "a" else "b")),
            "cut key": bearer(good.text[:-1]),
            "wrong admin key": bearer(ADMIN_KEY + "x"),
            "revoked": bearer(revoked.text),
            "expired key": {"X-API-Key": expired.text},
            "expired token": bearer(token(exp=1_700_000_000)),
            "wrong audience": bearer(token(aud="https://other.example.com")),
            "wrong issuer": bearer(token(iss="https://evil.example.com")),
            "alg none": bearer(unsigned(claims())),
            "confusion": bearer(confused(PEM, claims())),
            "another's key": bearer(signed(OTHER, "RS256", claims())),
            "two credentials": {**bearer(good.text), "X-API-Key": ADMIN_KEY},
        }
        place.taken = {
            "admin key": bearer(ADMIN_KEY),
            "key": bearer(good.text),
            "key in the other header": {"X-API-Key": good.text},
            "token": bearer(token()),
            "reader": bearer(reader.text),
            "nothing": bearer(token("")),
            "neighbour": bearer(token("model:Note:write", sub="bob")),
        }
        yield place


def filled(template: str) -> str:
    return template.format(name="note_list", id="01a2242f-a0de-7627-93c4-927874de98df")


@pytest.fixture(scope="module")
def routes() -> list[tuple[str, str]]:
    with HttpServer() as server:
        table = [(method, filled(template)) for method, template in server.routes]
    return [*table, ("GET", "/nowhere"), ("OPTIONS", "/workflows"), ("POST", "/workflows")]


def ask(place: Place, method: str, path: str, headers: Headers) -> httpx.Response:
    return place.client.request(
        method, place.daemon.http + path, headers=headers, json={} if method == "POST" else None
    )


def test_who_is_not_known_gets_nothing_but_the_probes(place: Place, routes: list[tuple[str, str]]) -> None:
    assert len(routes) > 12
    for what, headers in place.refused.items():
        for method, path in routes:
            answer = ask(place, method, path, headers)
            if path in PROBES:
                assert answer.status_code == 200, (what, path)
                continue
            assert answer.status_code == 401, (what, method, path)
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["code"] == "unauthenticated"
            challenge = answer.headers["www-authenticate"]
            assert challenge.startswith('Bearer realm="nexusd"')
            assert ('error="invalid_token"' in challenge) is (what != "none"), what


def test_who_is_known_meets_every_route(place: Place, routes: list[tuple[str, str]]) -> None:
    for whose, headers in place.taken.items():
        for method, path in routes:
            answer = ask(place, method, path, headers)
            assert answer.status_code not in {401, 429, 500}, (whose, method, path)
            if path in {"/metrics", "/docs", "/openapi.json", "/executions", *PROBES}:
                assert answer.status_code == 200, (whose, path)


RUNS: Final = {
    "admin key": {"note_list": 200, "note_create": 200, "refund": 200, "missing": 404},
    "key": {"note_list": 200, "note_create": 200, "refund": 403, "missing": 404},
    "key in the other header": {"note_list": 200, "note_create": 200, "refund": 403, "missing": 404},
    "token": {"note_list": 200, "note_create": 200, "refund": 200, "missing": 404},
    "reader": {"note_list": 200, "note_create": 403, "refund": 403, "missing": 404},
    "nothing": {"note_list": 403, "note_create": 403, "refund": 403, "missing": 404},
    "neighbour": {"note_list": 200, "note_create": 200, "refund": 403, "missing": 404},
}
"""What a run is answered to whom, by workflow."""


def inputs_of(workflow: str) -> dict[str, str]:
    return {"text": "x"} if workflow == "note_create" else {}


def execute(place: Place, workflow: str, headers: Headers) -> httpx.Response:
    url = f"{place.daemon.http}/workflows/{workflow}/execute"
    return place.client.post(url, json={"inputs": inputs_of(workflow)}, headers=headers)


def test_scopes_decide_over_http(place: Place) -> None:
    for whose, expected in RUNS.items():
        headers = place.taken[whose]
        answers = {name: execute(place, name, headers) for name in expected}
        assert {name: answer.status_code for name, answer in answers.items()} == expected, whose
        for name, answer in answers.items():
            if answer.status_code == 403:
                assert answer.json()["code"] == "forbidden"
                scope = f"workflow:{name}:execute" + (" billing" if name == "refund" else "")
                assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]
                assert f'scope="{scope}"' in answer.headers["www-authenticate"]


def test_everybody_is_shown_what_they_may_run_and_nothing_else(place: Place) -> None:
    everything = {"note_create", "note_delete", "note_list", "note_read", "refund"}
    expected = {"admin key": everything, "reader": {"note_list", "note_read"}, "nothing": set()}
    for whose, names in expected.items():
        headers = place.taken[whose]
        listed = ask(place, "GET", "/workflows", headers).json()["workflows"]
        described = ask(place, "GET", "/openapi.json", headers).json()["paths"]
        page = ask(place, "GET", "/docs", headers).text
        assert {each["name"] for each in listed} == names
        assert {path.split("/")[2] for path in described if path.endswith("/execute")} == names
        assert {name for name in everything if f"/workflows/{name}/execute" in page} == names
        shown = {name: ask(place, "GET", f"/workflows/{name}", headers).status_code for name in everything}
        assert shown == {name: 200 if name in names else 403 for name in everything}


def test_the_description_says_which_credentials_are_wanted_and_where_none_is(place: Place) -> None:
    document = ask(place, "GET", "/openapi.json", place.taken["admin key"]).json()

    assert [next(iter(each)) for each in document["security"]] == list(document["components"]["securitySchemes"])
    operations = {path: each["get"] for path, each in document["paths"].items() if "get" in each}
    assert {path for path, each in operations.items() if each.get("security") == []} == PROBES


def test_executions_are_their_callers_own(place: Place) -> None:
    execution = execute(place, "note_list", place.taken["neighbour"]).json()["execution_id"]

    for whose, status in {"neighbour": 200, "admin key": 200, "token": 200, "key": 404, "reader": 404}.items():
        headers = place.taken[whose]
        assert ask(place, "GET", f"/executions/{execution}", headers).status_code == status, whose
        assert ask(place, "POST", f"/executions/{execution}/cancel", headers).status_code == status, whose
        assert ask(place, "GET", f"/executions/{execution}/events", headers).status_code == status, whose
        listed = ask(place, "GET", "/executions?limit=1000", headers).json()["executions"]
        assert (execution in {each["execution_id"] for each in listed}) is (status == 200), whose


# MCP

OLD: Final = "2025-06-18"
NEW: Final = "2026-07-28"
ACCEPT: Final = {"Accept": "application/json, text/event-stream", "Content-Type": "application/json"}


def message(method: str, params: dict[str, Any], era: str) -> tuple[bytes, Headers]:
    """A request as a client of that era sends it."""
    headers = {**ACCEPT}
    if era == NEW:
        meta = {
            "io.modelcontextprotocol/protocolVersion": NEW,
            "io.modelcontextprotocol/clientInfo": {"name": "t", "version": "1"},
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {**params, "_meta": meta}
        headers |= {"MCP-Protocol-Version": NEW, "Mcp-Method": method}
        if "name" in params:
            headers["Mcp-Name"] = params["name"]
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return json.dumps(body).encode(), headers


def post(place: Place, method: str, params: dict[str, Any], era: str, headers: Headers) -> httpx.Response:
    body, own = message(method, params, era)
    return place.client.post(place.daemon.mcp, content=body, headers={**own, **headers})


def opened(place: Place, credential: Headers) -> Headers:
    """The headers of a session of the old era."""
    client = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
    answer = post(place, "initialize", client, OLD, credential)
    assert answer.status_code == 200
    return {**credential, "Mcp-Session-Id": answer.headers["mcp-session-id"], "MCP-Protocol-Version": OLD}


def result_of(answer: httpx.Response) -> dict[str, Any]:
    """The result of an answer, JSON or a stream of one event."""
    text = answer.text
    if answer.headers["content-type"].startswith("text/event-stream"):
        text = next(line[6:] for line in text.splitlines() if line.startswith("data: {"))
    result: dict[str, Any] = json.loads(text)["result"]
    return result


@pytest.mark.parametrize("era", [OLD, NEW])
def test_who_is_not_known_cannot_even_connect_over_mcp(place: Place, era: str) -> None:
    calls: list[tuple[str, dict[str, Any]]] = [("tools/list", {}), ("tools/call", {"name": "note_list"})]
    if era == OLD:
        client = {"protocolVersion": OLD, "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}
        calls.append(("initialize", client))
    for what, headers in place.refused.items():
        for method, params in calls:
            answer = post(place, method, params, era, headers)
            assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), (what, method)
            challenge = answer.headers["www-authenticate"]
            assert 'scope="workflow:*:execute"' in challenge
            assert 'resource_metadata="http://127.0.0.1:' in challenge
        for method in ("GET", "DELETE"):
            answer = place.client.request(method, place.daemon.mcp, headers=ACCEPT | headers)
            assert answer.status_code == 401, (what, method)


@pytest.mark.parametrize("era", [OLD, NEW])
def test_scopes_decide_over_mcp(place: Place, era: str) -> None:
    for whose in ("admin key", "reader", "nothing", "neighbour"):
        headers = place.taken[whose]
        if era == OLD:
            headers = opened(place, headers)
        tools = {tool["name"] for tool in result_of(post(place, "tools/list", {}, era, headers))["tools"]}
        for name, status in RUNS[whose].items():
            if status == 404:
                continue
            answer = post(place, "tools/call", {"name": name, "arguments": inputs_of(name)}, era, headers)
            assert answer.status_code == status, (whose, name)
            assert (name in tools) is (status == 200), (whose, name)
            if status == 200:
                assert result_of(answer)["isError"] is False
            else:
                challenge = answer.headers["www-authenticate"]
                assert 'error="insufficient_scope"' in challenge
                asked = challenge.partition('scope="')[2].partition('"')[0].split()
                assert {f"workflow:{name}:execute", *(["billing"] if name == "refund" else [])} <= set(asked)


@pytest.mark.parametrize("written", [r"tools\/call", r"\u0074ools/call"])
@pytest.mark.parametrize("era", [OLD, NEW])
def test_scopes_decide_however_a_call_is_written(place: Place, era: str, written: str) -> None:
    headers = place.taken["nothing"]
    if era == OLD:
        headers = opened(place, headers)
    sent = post(place, "tools/call", {"name": "note_list", "arguments": {}}, era, headers).request
    body = sent.content.replace(b"tools/call", written.encode())
    del sent.headers["content-length"]

    answer = place.client.post(place.daemon.mcp, content=body, headers=sent.headers)

    assert answer.status_code == 403
    assert 'error="insufficient_scope"' in answer.headers["www-authenticate"]


def test_another_callers_session_does_not_exist(place: Place) -> None:
    session = opened(place, place.taken["token"])

    for whose in ("neighbour", "key", "admin key"):
        answer = post(place, "tools/list", {}, OLD, {**session, **place.taken[whose]})
        assert answer.status_code == 404, whose
    assert post(place, "tools/list", {}, OLD, session).status_code == 200


def test_the_metadata_of_the_resource_is_open(place: Place) -> None:
    origin = place.daemon.mcp.removesuffix("/mcp")
    told = post(place, "tools/list", {}, NEW, {}).headers["www-authenticate"]
    url = told.partition('resource_metadata="')[2].partition('"')[0]

    assert url == f"{origin}/.well-known/oauth-protected-resource/mcp"
    for place_of_it in (url, f"{origin}/.well-known/oauth-protected-resource"):
        document = httpx.get(place_of_it).json()
        assert document["resource"] == AUDIENCE
        assert document["authorization_servers"] == [ISSUER]
        assert document["bearer_methods_supported"] == ["header"]
        assert "note" not in json.dumps(document)


# The command line


def test_the_command_line_ends_with_77_where_it_is_not_let_in(place: Place, nexusd: Nexusd) -> None:
    def run(workflow: str, key: str) -> int:
        words = ["run", workflow, "--server", place.daemon.http, "--inputs", json.dumps(inputs_of(workflow))]
        return nexusd(*words, *(["--api-key", key] if key else [])).exit_code

    for what, headers in place.refused.items():
        if len(headers) < 2 and "Basic" not in str(headers):
            key = "".join(headers.values()).removeprefix("Bearer ")
            assert run("note_list", key) == 77, what
    for whose, expected in RUNS.items():
        key = "".join(place.taken[whose].values()).removeprefix("Bearer ")
        exits = {200: 0, 403: 77, 404: 66}
        assert {name: run(name, key) for name in expected} == {name: exits[code] for name, code in expected.items()}
    listed = nexusd("executions", "list", "--server", place.daemon.http)
    assert listed.exit_code == 77


def test_nothing_that_was_sent_or_kept_is_logged(place: Place) -> None:
    """Runs last: it reads what all the others have made the daemon say."""
    log = json.dumps(place.daemon.log)
    secrets = [
        value.removeprefix("Bearer ")
        for each in (place.refused, place.taken)
        for h in each.values()
        for value in h.values()
    ]
    assert len(place.daemon.log) > 100
    for secret in secrets:
        for part in (secret, secret.rpartition("_")[2] if secret.startswith("nxd_") else secret.rpartition(".")[2]):
            assert len(part) < 8 or part not in log
