from __future__ import annotations

import json
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx
import pytest

from nexusd.engines.admission import Places
from nexusd.events import ErrorUnexpected, RequestFinished, RequestShed
from tests.support.http_server import WAIT_S, workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_server import HttpServer

URL = "/workflows/echo/execute"
JSON = {"Content-Type": "application/json"}


def post(server: HttpServer, content: bytes, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/json"} | {key.replace("_", "-"): value for key, value in headers.items()}
    return httpx.post(server.url + URL, content=content, headers=sent, timeout=WAIT_S)


def test_an_execution_is_answered_with_its_outputs(server: HttpServer) -> None:
    answer = server.execute("echo", {"a": [1, "two"]})

    document = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert list(document) == ["workflow", "execution_id", "status", "outputs", "duration_ms"]
    assert (document["workflow"], document["status"]) == ("echo", "completed")
    assert document["outputs"] == {"run": {"value": {"a": [1, "two"]}}}
    assert document["duration_ms"] > 0


@pytest.mark.parametrize("body", [b"", b"{}", b'{"inputs": {}}'])
def test_a_body_without_inputs_means_none(server: HttpServer, body: bytes) -> None:
    assert post(server, body).json()["outputs"] == {"run": {}}


def test_an_empty_body_needs_no_media_type(server: HttpServer) -> None:
    assert httpx.post(server.url + URL).status_code == 200
    assert httpx.post(server.url + URL, headers={"Content-Type": "text/plain"}).status_code == 200


def test_numbers_keep_their_digits(server: HttpServer) -> None:
    number = "123456789012345678901234567890.123456789"

    answer = post(server, b'{"inputs": {"value": %b}}' % number.encode())

    assert f'"value":{number}' in answer.text


def test_of_duplicate_keys_the_last_wins(server: HttpServer) -> None:
    answer = post(server, b'{"inputs": {"value": 1}, "inputs": {"value": 2, "value": 3}}')

    assert answer.json()["outputs"] == {"run": {"value": 3}}


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"[]",
        b"7",
        b'"x"',
        b"null",
        b'{"inputs": []}',
        b'{"inputs": null}',
        b'{"inputs": {}, "input": {}}',
        b'{"name": "x"}',
        b'{"inputs": {}} {}',
        b"\xef\xbb\xbf{}",
        b'{"inputs": {"value": "\xff"}}',
        b'{"inputs": {"value": NaN}}',
        b'{"inputs": {"value": ' + b"[" * 100_000 + b"]" * 100_000 + b"}}",
    ],
    ids=lambda body: body[:24].decode("latin-1"),
)
def test_a_body_of_another_form_is_malformed(server: HttpServer, body: bytes) -> None:
    answer = post(server, body)

    assert (answer.status_code, answer.json()["code"]) == (400, "malformed_body")


def test_an_unknown_input_is_named(server: HttpServer) -> None:
    answer = post(server, b'{"inputs": {"vlaue": 1}}')

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert [(fault["pointer"], fault["code"]) for fault in answer.json()["errors"]] == [("/inputs/vlaue", "unknown")]


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/problem+json", "nonsense", ""]
)
def test_another_media_type_is_refused(server: HttpServer, media_type: str) -> None:
    answer = post(server, b'{"inputs": {}}', Content_Type=media_type)

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON", "application/json ;q=1"])
def test_a_media_type_may_have_parameters(server: HttpServer, media_type: str) -> None:
    assert post(server, b'{"inputs": {}}', Content_Type=media_type).status_code == 200


def test_a_content_coding_is_refused(server: HttpServer) -> None:
    answer = post(server, b"\x1f\x8b", Content_Encoding="gzip")

    assert (answer.status_code, answer.json()["code"]) == (415, "unsupported_media_type")


def test_a_body_may_be_as_large_as_the_limit_and_no_larger(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_body_bytes=1000)
    frame = len(b'{"inputs": {"value": ""}}')

    assert post(server, b'{"inputs": {"value": "%b"}}' % (b"x" * (1000 - frame))).status_code == 200
    refused = post(server, b'{"inputs": {"value": "%b"}}' % (b"x" * (1001 - frame)))
    assert (refused.status_code, refused.json()["code"]) == (413, "payload_too_large")


def test_a_workflow_may_have_its_own_limit(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_body_bytes=100, workflows=(workflow("echo", max_body_bytes=5000),))

    assert post(server, b'{"inputs": {"value": "%b"}}' % (b"x" * 4000)).status_code == 200
    assert post(server, b'{"inputs": {"value": "%b"}}' % (b"x" * 5000)).status_code == 413


def test_a_chunked_body_is_read_and_limited(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_body_bytes=1000)

    def send(size: int) -> httpx.Response:
        chunks = iter([b'{"inputs": {"value": "', *[b"x"] * size, b'"}}'])
        return httpx.post(server.url + URL, content=chunks, headers=JSON)

    assert send(900).json()["outputs"] == {"run": {"value": "x" * 900}}
    assert send(1000).status_code == 413


def test_an_unknown_workflow_is_not_found(server: HttpServer) -> None:
    answer = server.execute("ecko")

    assert (answer.status_code, answer.json()["code"]) == (404, "workflow_not_found")


def test_a_failed_workflow_is_told_with_its_node(server: HttpServer) -> None:
    answer = server.execute("refuse", 7)

    document = answer.json()
    assert (answer.status_code, answer.headers["content-type"]) == (409, "application/problem+json")
    assert (document["code"], document["node"], document["status"]) == ("unique_violation", "run", 409)
    assert document["type"] == "urn:nexusd:unique_violation"
    assert document["errors"] == [
        {"pointer": "/inputs/value", "code": "unique_violation", "detail": document["detail"]}
    ]
    assert document["request_id"] == answer.headers["x-request-id"]
    assert re.fullmatch(r"[0-9a-f-]{36}", document["execution_id"])


def test_a_bug_is_logged_and_hidden(server: HttpServer) -> None:
    answer = server.execute("break")

    assert (answer.status_code, answer.json()["code"]) == (500, "internal")
    assert "secret" not in answer.text
    logged = [event for event in server.events if isinstance(event, ErrorUnexpected)]
    assert [(event.error_type, event.request_id) for event in logged] == [
        ("ZeroDivisionError", answer.headers["x-request-id"])
    ]
    assert "secret" not in logged[0].traceback


@pytest.mark.parametrize("given", ["a", "A.b_c-1", "x" * 64])
def test_a_request_id_comes_back(server: HttpServer, given: str) -> None:
    assert server.execute("echo", X_Request_ID=given).headers["x-request-id"] == given


@pytest.mark.parametrize("given", ["", "a b", "x" * 65, "ä", 'a"b'])
def test_a_request_id_of_another_form_is_replaced(server: HttpServer, given: str) -> None:
    answer = httpx.post(server.url + URL, headers=[(b"X-Request-ID", given.encode())])

    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-request-id"])


def test_a_dry_run_says_that_it_was_one(server: HttpServer) -> None:
    answer = server.execute("echo", 1, Prefer='return=minimal, TX = "rollback"; x=1')

    assert (answer.status_code, answer.headers["preference-applied"]) == (200, "tx=rollback")
    assert "preference-applied" not in server.execute("echo", 1, Prefer="tx=commit, handling=strict").headers


def test_an_idempotency_key_is_refused_where_the_database_has_no_table_for_it(server: HttpServer) -> None:
    answer = server.execute("echo", 1, Idempotency_Key="k")

    assert (answer.status_code, answer.json()["code"]) == (422, "not_supported")


@pytest.mark.parametrize(
    "fields",
    [
        ["Idempotency-Key: a", "Idempotency-Key: a"],
        ["Idempotency-Key:"],
        ["Idempotency-Key: two words"],
        ["Idempotency-Key: \xe9"],
        [f"Idempotency-Key: {'k' * 256}"],
        ['Idempotency-Key: ""'],
        ['Idempotency-Key: "two words"'],
    ],
)
def test_what_is_no_idempotency_key_is_a_bad_request(server: HttpServer, fields: list[str]) -> None:
    with server.connect() as client:
        answer = client.execute("echo", b"{}", *fields).answer()

    assert (answer.status, answer.json()["code"]) == (400, "bad_request")


def test_a_run_that_takes_too_long_is_a_timeout(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(request_timeout_s=0.05)

    answer = server.execute("hold")

    assert (answer.status_code, answer.json()["code"]) == (504, "timeout")
    assert server.gate.cancelled == 1


def test_a_client_that_leaves_cancels_its_run(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("hold", b'{"inputs": {}}')
        assert server.gate.entered.acquire(timeout=WAIT_S)
    assert server.gate.left.acquire(timeout=WAIT_S)

    assert server.gate.cancelled == 1
    assert server.execute("echo", 1).status_code == 200
    statuses = [event.status for event in server.events if isinstance(event, RequestFinished)]
    assert statuses == [499, 200]


def test_who_finds_no_place_in_time_is_shed(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_in_flight=1, queue_timeout_s=0.05)
    with server.connect() as client:
        client.execute("hold")
        assert server.gate.entered.acquire(timeout=WAIT_S)

        answer = server.execute("echo")

        assert (answer.status_code, answer.json()["code"]) == (503, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert RequestShed("http", "max_in_flight") in server.events
        assert server.get("/health/ready").status_code == 200
        server.gate.open()
        assert client.answer().status == 200
    assert server.execute("echo").status_code == 200


def test_who_waits_for_a_place_gets_it(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_in_flight=1, queue_timeout_s=WAIT_S)
    with server.connect() as first, server.connect() as second:
        first.execute("hold")
        assert server.gate.entered.acquire(timeout=WAIT_S)
        second.execute("echo")
        server.gate.open()

        assert [first.answer().status, second.answer().status] == [200, 200]


def test_who_waits_for_a_busy_workflow_takes_no_place_from_the_rest(serve_http: Callable[..., HttpServer]) -> None:
    busy = replace(workflow("hold"), name="busy", max_in_flight=1)
    server = serve_http(workflows=(busy,), max_in_flight=2, queue_timeout_s=WAIT_S)
    with server.connect() as first, server.connect() as second:
        first.execute("busy")
        assert server.gate.entered.acquire(timeout=WAIT_S)
        second.execute("busy")

        assert server.execute("echo").status_code == 200
        assert not server.gate.entered.acquire(blocking=False)
        server.gate.open()
        assert [first.answer().status, second.answer().status] == [200, 200]


def test_a_caller_has_so_many_places(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(queue_timeout_s=0.05)
    server.runtime.places = Places(10, 0.05, server.events.append, per_caller=1)
    with server.connect() as first:
        first.execute("hold")
        assert server.gate.entered.acquire(timeout=WAIT_S)

        assert server.execute("echo").json()["code"] == "overloaded"
        server.gate.open()
        assert first.answer().status == 200
    assert server.execute("echo").status_code == 200


def test_a_slow_body_takes_no_place(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_in_flight=1, queue_timeout_s=0.05)
    with server.connect() as slow:
        slow.execute("echo", b"", "Content-Length: 100")

        assert server.execute("echo").status_code == 200


def test_a_finished_request_is_observed(server: HttpServer) -> None:
    server.execute("echo", X_Request_ID="r1")
    server.get("/nowhere", X_Request_ID="r2")

    finished = [event for event in server.events if isinstance(event, RequestFinished)]
    shown = [(e.channel, e.method, e.route, e.status, e.request_id, e.client) for e in finished]
    assert shown == [
        ("http", "POST", "/workflows/{name}/execute", 200, "r1", "127.0.0.1"),
        ("http", "GET", "other", 404, "r2", "127.0.0.1"),
    ]
    assert json.dumps([e.duration_s > 0 for e in finished]) == "[true, true]"
