"""The HTTP door against clients that do not behave."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.daemon import ROOT, Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY = str(ROOT / "config" / "registry.yaml")
EXECUTE = "/workflows/create_contact/execute"
JSON = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("http")
    env = {
        "DATABASE_URL": f"sqlite:///{folder}/n.db",
        "NEXUSD_REGISTRY__PATH": REGISTRY,
        "NEXUSD_HTTP__MAX_BODY_BYTES": "1000",
        "NEXUSD_HTTP__HEADER_TIMEOUT_S": "0.3",
        "NEXUSD_HTTP__BODY_TIMEOUT_S": "0.6",
        "NEXUSD_HTTP__CORS_ORIGINS": "https://app.example",
        "NEXUSD_HTTP__ALLOWED_HOSTS": "api.example",
        "NEXUSD_MCP__ENABLED": "false",
    }
    with Daemon(folder, env) as daemon:
        yield daemon


def post(daemon: Daemon, content: bytes, path: str = EXECUTE, **headers: str) -> httpx.Response:
    return httpx.post(f"{daemon.http}{path}", content=content, headers=JSON | headers, timeout=5)


def exchanged(daemon: Daemon, sent: bytes) -> bytes:
    """Everything the server says to these bytes until it closes."""
    host, _, port = daemon.http.removeprefix("http://").rpartition(":")
    with socket.create_connection((host, int(port)), timeout=5) as client:
        client.sendall(sent)
        answer = b""
        while True:
            try:
                chunk = client.recv(65536)
            except ConnectionResetError:
                return answer
            if not chunk:
                return answer
            answer += chunk


def problem_of(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/problem+json" in head.lower()
    document = json.loads(body)
    assert document["status"] == int(head.split()[1])
    assert document["request_id"]
    return document["status"], document["code"]


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b"{", 400, "malformed_body"),
        (b"[]", 400, "malformed_body"),
        (b"7", 400, "malformed_body"),
        (b'{"input": {}}', 400, "malformed_body"),
        (b'{"inputs": []}', 400, "malformed_body"),
        (b'{"inputs": null}', 400, "malformed_body"),
        (b'{"inputs": {"name": "\xff"}}', 400, "malformed_body"),
        (b'{"inputs": {"name": "\\ud800"}}', 400, "malformed_body"),
        (b'{"inputs": {"name": NaN}}', 400, "malformed_body"),
        (b'{"inputs": ' + b"[" * 400 + b"]" * 400 + b"}", 400, "malformed_body"),
        (b"", 422, "invalid_input"),
        (b"{}", 422, "invalid_input"),
        (b'{"inputs": {"name": "a\\u0000", "email": "e"}}', 422, "invalid_input"),
        (b'{"inputs": {"name": "' + b"x" * 1000 + b'"}}', 413, "payload_too_large"),
    ],
)
def test_a_bad_body_is_a_problem_document(daemon: Daemon, content: bytes, status: int, code: str) -> None:
    answer = post(daemon, content)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["type"] == f"urn:nexusd:{code}"
    assert answer.headers["x-request-id"] == answer.json()["request_id"]


@pytest.mark.parametrize(
    ("method", "path", "status", "code", "allow"),
    [
        ("GET", "/nope", 404, "route_not_found", None),
        ("GET", "/workflows/", 404, "route_not_found", None),
        ("POST", "/workflows/nope/execute", 404, "workflow_not_found", None),
        ("GET", "/workflows/nope", 404, "workflow_not_found", None),
        ("GET", EXECUTE, 405, "method_not_allowed", {"POST", "OPTIONS"}),
        ("TRACE", EXECUTE, 405, "method_not_allowed", {"POST", "OPTIONS"}),
        ("DELETE", "/workflows", 405, "method_not_allowed", {"GET", "HEAD", "OPTIONS"}),
        ("POST", "/health", 405, "method_not_allowed", {"GET", "HEAD", "OPTIONS"}),
        ("GET", "/metrics", 404, "route_not_found", None),
    ],
)
def test_a_wrong_route_or_method_is_a_problem_document(
    daemon: Daemon, method: str, path: str, status: int, code: str, allow: set[str] | None
) -> None:
    answer = httpx.request(method, f"{daemon.http}{path}")

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    found = answer.headers.get("allow")
    assert (set(found.split(", ")) if found else None) == allow


def test_only_json_is_read(daemon: Daemon) -> None:
    answer = httpx.post(f"{daemon.http}{EXECUTE}", data={"inputs": "{}"})

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_request_id_is_kept_if_it_is_one_and_made_if_not(daemon: Daemon) -> None:
    kept = httpx.get(f"{daemon.http}/workflows", headers={"X-Request-ID": "abc-1.2_3"})
    made = httpx.get(f"{daemon.http}/workflows", headers={"X-Request-ID": "no spaces, please"})

    assert kept.headers["x-request-id"] == "abc-1.2_3"
    assert len(made.headers["x-request-id"]) == 16


def test_a_head_request_gets_the_head(daemon: Daemon) -> None:
    answer = httpx.head(f"{daemon.http}/workflows")

    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) > 0


def test_a_foreign_host_is_misdirected_but_probes_may_use_any(daemon: Daemon) -> None:
    foreign, own = {"Host": "evil.example"}, {"Host": "api.example:99"}

    assert httpx.get(f"{daemon.http}/workflows", headers=foreign).status_code == 421
    assert httpx.get(f"{daemon.http}/workflows", headers=own).status_code == 200
    assert httpx.get(f"{daemon.http}/health/live", headers=foreign).status_code == 200


def test_an_allowed_page_may_call_and_another_may_not(daemon: Daemon) -> None:
    asks = {"Access-Control-Request-Method": "POST"}
    allowed = httpx.options(f"{daemon.http}{EXECUTE}", headers=asks | {"Origin": "https://app.example"})
    refused = httpx.options(f"{daemon.http}{EXECUTE}", headers=asks | {"Origin": "https://evil.example"})
    answer = httpx.get(f"{daemon.http}/workflows", headers={"Origin": "https://app.example"})

    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (204, "https://app.example")
    assert "access-control-allow-origin" not in refused.headers
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


def test_a_dry_run_answers_like_a_run_and_keeps_nothing(daemon: Daemon) -> None:
    body = b'{"inputs": {"name": "dry", "email": "dry@example.com"}}'

    first, second = (post(daemon, body, Prefer="tx=rollback") for _ in range(2))

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.headers["preference-applied"] == "tx=rollback"
    assert first.json()["outputs"]["create"]["name"] == "dry"
    assert post(daemon, body).status_code == 200


@pytest.mark.parametrize(
    ("sent", "status", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"a" * 200_000, 431, "headers_too_large"),
        (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + b"X: a\r\n" * 120 + b"\r\n", 431, "headers_too_large"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "bad_request"),
        (b"nonsense\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "bad_request"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nA: b\r\n c\r\n\r\n", 400, "bad_request"),
        (b"GET / HTTP/1.1\r\nHost: a\r\n", 408, "request_timeout"),
        (b"POST " + EXECUTE.encode() + b" HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{", 408, "request_timeout"),
    ],
    ids=["header", "endless", "target", "fields", "no-host", "hosts", "no-http", "cl-te", "cl-cl", "fold", "slow-head", "slow-body"],
)  # fmt: skip
def test_what_is_not_a_request_is_refused_and_closed(daemon: Daemon, sent: bytes, status: int, code: str) -> None:
    assert problem_of(exchanged(daemon, sent)) == (status, code)
    assert httpx.get(f"{daemon.http}/health/live").status_code == 200


def test_a_connection_that_says_nothing_is_closed(daemon: Daemon) -> None:
    assert exchanged(daemon, b"") == b""


def test_pipelined_requests_are_answered_in_order(daemon: Daemon) -> None:
    one = b"GET /health/live HTTP/1.1\r\nHost: a\r\nX-Request-ID: one\r\n\r\n"
    two = b"GET /nope HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: two\r\nConnection: close\r\n\r\n"

    answer = exchanged(daemon, one + two)

    assert answer.index(b"x-request-id: one") < answer.index(b"x-request-id: two")
    assert answer.count(b"HTTP/1.1 ") == 2


def test_the_workflow_is_shown_with_its_graph(daemon: Daemon) -> None:
    shown = httpx.get(f"{daemon.http}/workflows/contact_workflow").json()

    assert set(shown) == {
        "name", "description", "inputs", "outputs", "read_only", "durable", "scopes", "nodes", "connections",
    }  # fmt: skip
    assert shown["connections"] == [["create", "result", "search", "input"]]
    assert shown["nodes"]["search"] == {
        "type": "ContactListNode",
        "params": {"filter": {"company": "{{company}}"}, "limit": 10},
    }
    assert shown["inputs"]["required"] == ["name", "email", "company"]
