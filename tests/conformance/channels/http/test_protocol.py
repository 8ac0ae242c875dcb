"""HTTP/1.1 over raw sockets: what is refused, how, and what becomes of the connection."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexusd.events import RequestFinished, RequestRejected
from tests.support.http_server import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_server import HttpServer

GET = b"GET /health/live HTTP/1.1\r\n"
POST = b"POST /workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(GET + b"\r\n", id="no Host"),
        pytest.param(GET + b"Host: localhost\r\nHost: localhost\r\n\r\n", id="two Hosts"),
        pytest.param(b"GET /health/live HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", id="two Hosts in 1.0"),
        pytest.param(POST + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="CL and TE"),
        pytest.param(POST + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n", id="TE and CL"),
        pytest.param(POST + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}", id="two CL"),
        pytest.param(POST + b"Content-Length: 2, 2\r\n\r\n{}", id="list in CL"),
        pytest.param(POST + b"Content-Length: +2\r\n\r\n{}", id="signed CL"),
        pytest.param(POST + b"Content-Length: 0x2\r\n\r\n{}", id="hexadecimal CL"),
        pytest.param(POST + b"Content-Length: 99999999999999999999\r\n\r\n{}", id="overflowing CL"),
        pytest.param(POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", id="two codings"),
        pytest.param(POST + b"Transfer-Encoding: identity\r\n\r\n", id="identity coding"),
        pytest.param(POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", id="unknown coding"),
        pytest.param(POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", id="coding in 1.0"),
        pytest.param(POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", id="blank before the colon"),
        pytest.param(GET + b"Host: localhost\nX: y\r\n\r\n", id="bare LF"),
        pytest.param(GET + b"Host: localhost\rX: y\r\n\r\n", id="bare CR"),
        pytest.param(GET + b"Host: localhost\r\nX: a\r\n b\r\n\r\n", id="folded value"),
        pytest.param(GET + b"Host: localhost\r\nX: a\0b\r\n\r\n", id="NUL in a value"),
        pytest.param(GET + b"Host: localhost\r\n: b\r\n\r\n", id="no name"),
        pytest.param(GET + b"Host: localhost\r\nX(y): b\r\n\r\n", id="name with a delimiter"),
        pytest.param(b"GET /health/live\r\nHost: localhost\r\n\r\n", id="no version"),
        pytest.param(b"GET /health/live HTTP/0.9\r\nHost: localhost\r\n\r\n", id="version 0.9"),
        pytest.param(b"GET /health/live HTTP/2.0\r\nHost: localhost\r\n\r\n", id="version 2.0"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="preface of HTTP/2"),
        pytest.param(b"GET health/live HTTP/1.1\r\nHost: localhost\r\n\r\n", id="target without a slash"),
        pytest.param(b"GET * HTTP/1.1\r\nHost: localhost\r\n\r\n", id="asterisk"),
        pytest.param(b"GET /health/live#x HTTP/1.1\r\nHost: localhost\r\n\r\n", id="fragment"),
        pytest.param(b"GET /\xc3\xa9 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="raw letters in the target"),
        pytest.param(b"GET ftp://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="another scheme"),
        pytest.param(b"GET http://u@localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n", id="user in the target"),
        pytest.param(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", id="CONNECT"),
        pytest.param(b"NONSENSE / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="unknown method"),
        pytest.param(b"get / HTTP/1.1\r\nHost: localhost\r\n\r\n", id="method in small letters"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
    ],
)
def test_a_head_that_could_mean_two_things_is_refused(server: HttpServer, head: bytes) -> None:
    with server.connect() as client:
        answer = client.send(head).answer()

        assert (answer.status, answer.json()["code"]) == (400, "bad_request")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers["connection"] == "close"
        assert answer.headers["x-request-id"] == answer.json()["request_id"]
        assert client.is_closed()
    assert [event for event in server.events if event.level != "debug"] == [RequestRejected("http", "bad_request")]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"x\r\n", id="no size"),
        pytest.param(b"-1\r\nx\r\n0\r\n\r\n", id="negative size"),
        pytest.param(b"0x1\r\nx\r\n0\r\n\r\n", id="prefixed size"),
        pytest.param(b"1\nx\n0\n\n", id="bare LF"),
        pytest.param(b"1;a\nx\r\n0\r\n\r\n", id="bare LF in an extension"),
        pytest.param(b"1\r\nxxx\r\n0\r\n\r\n", id="longer than its size"),
        pytest.param(b"1;" + b"e" * 40_000, id="endless extension"),
        pytest.param(b"0\r\nTrailer: " + b"t" * 40_000, id="endless trailer"),
    ],
)
def test_a_chunked_body_that_is_none_is_refused(server: HttpServer, body: bytes) -> None:
    with server.connect() as client:
        answer = client.send(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body).answer()

        assert (answer.status, answer.json()["code"]) == (400, "bad_request")
        assert client.is_closed()


@pytest.mark.parametrize(
    "head",
    [
        pytest.param(b"GET /" + b"a" * 1_000_000, id="target of 1 MB"),
        pytest.param(GET + b"Host: localhost\r\nX: " + b"a" * 1_000_000, id="value of 1 MB"),
        pytest.param(GET + b"Host: localhost\r\n" + b"a" * 1_000_000, id="name of 1 MB"),
        pytest.param(GET + b"Host: localhost\r\n" + b"X: y\r\n" * 20_000, id="20,000 fields"),
        pytest.param(GET + b"Host: localhost\r\n" + b"X: y\r\n" * 100 + b"\r\n", id="101 fields"),
        pytest.param(GET + b"Host: localhost\r\nX: " + b"a" * 16_384 + b"\r\n\r\n", id="a little more than 16 KiB"),
    ],
)
def test_a_head_that_is_too_large_is_refused(server: HttpServer, head: bytes) -> None:
    with server.connect() as client:
        answer = client.send(head).answer()

        assert (answer.status, answer.json()["code"]) == (431, "headers_too_large")
        assert client.is_closed()


def test_a_head_may_have_a_hundred_fields_and_nearly_sixteen_kib(server: HttpServer) -> None:
    fields = b"X: y\r\n" * 98 + b"Z: " + b"z" * 15_000 + b"\r\n"
    with server.connect() as client:
        assert client.send(GET + b"Host: localhost\r\n" + fields + b"\r\n").answer().status == 200


def test_a_large_body_behind_a_small_head_is_no_large_head(server: HttpServer) -> None:
    with server.connect() as client:
        body = b'{"inputs": {"value": "%b"}}' % (b"x" * 300_000)
        assert client.execute("echo", body).answer().status == 200


def test_http_1_0_needs_no_host_and_is_closed(server: HttpServer) -> None:
    with server.connect() as client:
        answer = client.send(b"GET /health/live HTTP/1.0\r\n\r\n").answer()

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert client.is_closed()


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1", "[::1]:8000"])
def test_our_own_names_are_answered(server: HttpServer, host: str) -> None:
    assert server.get("/workflows", Host=host).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "localhost:x", "", "127.0.0.1.", "[::1"])
def test_another_name_is_misdirected(server: HttpServer, host: str) -> None:
    answer = server.get("/workflows", Host=host)

    assert (answer.status_code, answer.json()["code"]) == (421, "misdirected_request")


def test_probes_may_use_any_name(server: HttpServer) -> None:
    paths = ["/health", "/health/live", "/health/ready"]

    assert [server.get(path, Host="10.1.2.3").status_code for path in paths] == [200] * 3


def test_allowed_hosts_are_answered(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(allowed_hosts=("API.example", "other.example:8443"))

    hosts = ["api.example", "api.example:80", "other.example:8443", "other.example"]
    assert [server.get("/workflows", Host=host).status_code for host in hosts] == [200, 200, 200, 421]


def test_the_host_of_an_absolute_target_stands_above_the_header(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(b"GET http://localhost/workflows?x=1 HTTP/1.1\r\nHost: evil.example\r\n\r\n")
        assert client.answer().status == 200
        client.send(b"GET http://evil.example/workflows HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert client.answer().status == 421


def test_requests_in_a_row_are_answered_in_order(server: HttpServer) -> None:
    with server.connect() as client:
        for number in range(20):
            client.execute("echo", b'{"inputs": {"value": %d}}' % number)

        values = [client.answer().json()["outputs"]["run"]["value"] for _ in range(20)]

    assert values == list(range(20))


def test_what_came_before_a_refused_request_is_answered(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("hold", b'{"inputs": {"value": 1}}')
        client.execute("echo", b'{"inputs": {"value": 2}}')
        assert server.gate.entered.acquire(timeout=WAIT_S)
        client.send(b"nonsense\r\n\r\n" + b"x" * 100_000)
        with server.connect() as other:
            other.request("GET", "/health/live").answer()
        server.gate.open()

        first, second = client.answer(), client.answer()

        assert [first.json()["outputs"]["run"]["value"], second.json()["outputs"]["run"]["value"]] == [1, 2]
        assert second.headers["connection"] == "close"
        assert client.is_closed()


def test_a_refusal_reaches_a_client_that_is_still_sending(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("echo", b"", "Content-Length: 2000000")
        for _ in range(8):
            client.send(b"x" * 100_000)
        answer = client.answer()

        assert (answer.status, answer.json()["code"]) == (413, "payload_too_large")
        assert answer.headers["connection"] == "close"
        assert client.is_closed()


def test_an_error_with_its_body_read_keeps_the_connection(server: HttpServer) -> None:
    with server.connect() as client:
        assert client.request("POST", "/nowhere", body=b"x" * 1000).answer().status == 404
        assert client.request("GET", "/health/live").answer().status == 200


def test_an_expected_continue_is_given_before_the_body(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("echo", b"", "Content-Length: 2", "Expect: 100-continue")
        assert client.line() == b"HTTP/1.1 100 Continue\r\n"
        assert client.line() == b"\r\n"
        assert client.send(b"{}").answer().status == 200


def test_an_expected_continue_is_not_given_for_what_is_refused(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("echo", b"", "Content-Length: 99999999", "Expect: 100-continue")

        assert client.answer().status == 413
        assert client.is_closed()


@pytest.mark.parametrize("protocol", ["websocket", "h2c"])
def test_an_offer_to_upgrade_is_ignored_with_its_body_kept(server: HttpServer, protocol: str) -> None:
    with server.connect() as client:
        offer = ("Connection: keep-alive, Upgrade, HTTP2-Settings", f"Upgrade: {protocol}", "HTTP2-Settings: AAAA")
        client.execute("echo", b'{"inputs": {"value": 1}}', *offer)
        client.execute("echo", b'{"inputs": {"value": 2}}')

        answers = [client.answer(), client.answer()]

    assert [answer.json()["outputs"]["run"]["value"] for answer in answers] == [1, 2]


def test_a_trailer_is_no_header(server: HttpServer) -> None:
    with server.connect() as client:
        client.send(
            POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nX-Request-ID: trailer\r\nHost: a\r\n\r\n"
        )
        answer = client.answer()

    assert answer.status == 200
    assert answer.headers["x-request-id"] != "trailer"


def test_blanks_around_a_value_do_not_matter(server: HttpServer) -> None:
    with server.connect() as client:
        answer = client.request("GET", "/health/live", "X-Request-ID: \t r1 \t ").answer()

    assert answer.headers["x-request-id"] == "r1"


def test_proxies_are_not_believed_unless_named(serve_http: Callable[..., HttpServer]) -> None:
    for proxies, client in (((), "127.0.0.1"), (("10.0.0.0/8",), "127.0.0.1"), (("127.0.0.1",), "1.2.3.4")):
        server = serve_http(trusted_proxies=proxies)
        server.get("/health/live", X_Forwarded_For="9.9.9.9, 1.2.3.4")

        seen = [event.client for event in server.events if isinstance(event, RequestFinished)]
        assert seen == [client]


@pytest.mark.parametrize(
    ("forwarded", "client"),
    [
        ("9.9.9.9, 1.2.3.4:5678", "1.2.3.4"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("[2001:db8::1]", "2001:db8::1"),
        ("[2001:db8::1]:443", "2001:db8::1"),
        ("1.2.3.4, 127.0.0.1", "1.2.3.4"),
        ("1.2.3.4, unknown", "127.0.0.1"),
        ('1.2.3.4, evil"\\n', "127.0.0.1"),
        ("1.2.3.4 5.6.7.8", "127.0.0.1"),
        ("256.1.1.1", "127.0.0.1"),
        ("example.com:80", "127.0.0.1"),
        ("fe80::1%any text", "fe80::1"),
        ("[2001:db8::1", "127.0.0.1"),
        ("\xb2.1.1.1", "127.0.0.1"),
        (",", "127.0.0.1"),
    ],
)
def test_what_a_proxy_says_of_its_client_counts_where_it_is_an_address(
    serve_http: Callable[..., HttpServer], forwarded: str, client: str
) -> None:
    server = serve_http(trusted_proxies=("127.0.0.1",))
    with server.connect() as raw:
        raw.send(GET + b"Host: localhost\r\nX-Forwarded-For: %b\r\n\r\n" % forwarded.encode("latin-1"))
        assert raw.answer().status == 200

    assert [event.client for event in server.events if isinstance(event, RequestFinished)] == [client]


def test_a_head_that_does_not_end_is_refused(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(header_timeout_s=0.05)
    with server.connect() as client:
        answer = client.send(GET).answer()

        assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
        assert client.is_closed()


def test_a_head_that_trickles_is_refused_all_the_same(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(header_timeout_s=0.3)
    with server.connect() as client:
        client.sock.settimeout(0.02)
        received = b""
        for _ in range(200):
            client.send(b"G")
            try:
                received = client.sock.recv(100)
            except TimeoutError:
                continue
            break

    assert received.startswith(b"HTTP/1.1 4")


def test_a_connection_that_says_nothing_is_closed(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(header_timeout_s=0.05)
    with server.connect() as client:
        assert client.is_closed()
    assert [event for event in server.events if event.level != "debug"] == []


@pytest.mark.parametrize("framing", ["Content-Length: 100", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_end_is_refused(serve_http: Callable[..., HttpServer], framing: str) -> None:
    server = serve_http(body_timeout_s=0.05)
    with server.connect() as client:
        answer = client.execute("echo", b"", framing).answer()

        assert (answer.status, answer.json()["code"]) == (408, "request_timeout")
        assert client.is_closed()


def test_an_answer_that_is_not_taken_is_given_up(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=60.0, body_timeout_s=0.3, max_body_bytes=20_000_000)
    with server.connect() as client:
        # More than the buffers of both sides hold, and the client reads nothing of what comes back.
        client.execute("echo", b'{"inputs": {"value": "%b"}}' % (b"x" * 15_000_000))
        server.begin_drain()
        server.join(WAIT_S)


def test_three_hundred_slow_clients_are_all_closed(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(header_timeout_s=0.2, body_timeout_s=0.2)
    clients = []
    try:
        for number in range(300):
            # Sent at once: who says nothing for so long is closed without an answer.
            clients.append(server.connect())
            clients[-1].send(GET if number % 2 else POST + b"Content-Length: 10\r\n\r\n{")

        assert {client.answer().status for client in clients} == {408}
        assert all(client.is_closed() for client in clients)
    finally:
        for client in clients:
            client.__exit__()
