"""How the channel stops: what is running is answered, and nothing that has arrived is lost."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.http_server import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_server import HttpServer

LONG_S = 60.0
"""A grace, or keep-alive time, that a test would not survive waiting for."""


def refused(server: HttpServer) -> bool:
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_S).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it stopped to listen at this very moment
    return False


def wait_until_refused(server: HttpServer) -> None:
    for _ in range(10_000):
        if refused(server):
            return
    raise AssertionError("the server still listens")


def test_what_is_running_is_answered_and_told_to_close(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S)
    with server.connect() as client:
        client.execute("hold", b'{"inputs": {"value": 1}}')
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.begin_drain()
        wait_until_refused(server)
        server.gate.open()

        answer = client.answer()

        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert client.is_closed()
    server.join(WAIT_S)
    assert server.cut == 0


def test_idle_connections_do_not_hold_up_a_stop(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S, header_timeout_s=LONG_S)
    with server.connect() as used, server.connect() as silent:
        assert used.request("GET", "/health/live").answer().status == 200
        server.begin_drain()

        assert used.is_closed()
        assert silent.is_closed()
    server.join(WAIT_S)


def test_an_idle_connection_may_ask_once_more_while_a_successor_serves(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S)
    with server.connect() as client:
        assert client.request("GET", "/health/live").answer().status == 200
        server.begin_drain(successor=True)
        wait_until_refused(server)

        answer = client.request("GET", "/health/ready").answer()

        assert (answer.status, answer.headers["connection"]) == (503, "close")
        assert client.is_closed()
    server.join(WAIT_S)


def test_a_request_that_is_arriving_is_answered(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S)
    with server.connect() as head, server.connect() as body:
        head.send(b"GET /health/live HTTP/1.1\r\nHost: local")
        body.execute("echo", b"", "Content-Length: 2", "Expect: 100-continue")
        assert body.line() == b"HTTP/1.1 100 Continue\r\n"
        assert body.line() == b"\r\n"
        server.begin_drain()
        wait_until_refused(server)

        assert head.send(b"host\r\n\r\n").answer().status == 200
        assert body.send(b"{}").answer().status == 200
    server.join(WAIT_S)


def test_what_outlives_the_grace_is_cut_and_told(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=0.1)
    with server.connect() as client:
        client.execute("hold")
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.begin_drain()

        answer = client.answer()

        assert (answer.status, answer.json()["code"]) == (499, "cancelled")
        assert answer.headers["connection"] == "close"
    server.join(WAIT_S)
    assert (server.cut, server.gate.cancelled) == (1, 1)


def test_a_background_execution_may_end_but_none_may_begin(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S)
    with server.connect() as client:
        client.execute("echo", b"", "Content-Length: 2", "Expect: 100-continue", "Prefer: respond-async")
        assert client.line() == b"HTTP/1.1 100 Continue\r\n"
        assert client.line() == b"\r\n"
        assert server.execute("hold", Prefer="respond-async").status_code == 202
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.begin_drain()
        wait_until_refused(server)

        answer = client.send(b"{}").answer()

        assert (answer.status, answer.json()["code"]) == (503, "overloaded")
        server.gate.open()
    server.join(WAIT_S)
    assert (server.cut, server.gate.cancelled) == (0, 0)


def test_one_may_begin_where_a_successor_goes_on(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=LONG_S)
    with server.connect() as client:
        assert client.request("GET", "/health/live").answer().status == 200
        server.begin_drain(successor=True)
        wait_until_refused(server)

        assert client.execute("hold", b"", "Prefer: respond-async").answer().status == 202
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.gate.open()
    server.join(WAIT_S)
    assert (server.cut, server.gate.cancelled) == (0, 0)


def test_a_background_execution_is_cancelled_at_the_end_of_the_grace(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(grace_s=0.1)
    assert server.execute("hold", Prefer="respond-async").status_code == 202
    assert server.gate.entered.acquire(timeout=WAIT_S)
    server.begin_drain()

    server.join(WAIT_S)

    assert (server.cut, server.gate.cancelled) == (1, 1)


@pytest.mark.parametrize("successor", [False, True])
def test_clients_that_keep_asking_see_no_failure(serve_http: Callable[..., HttpServer], *, successor: bool) -> None:
    server = serve_http(grace_s=LONG_S)
    clients = [server.connect() for _ in range(20)]
    for client in clients:
        client.request("GET", "/health/live")
    for client in clients:
        assert client.answer().status == 200
    for client in clients:
        # Each is on its way when the stop begins.
        client.request("GET", "/health/live")
    server.begin_drain(successor=successor)

    assert [client.answer().status for client in clients] == [200] * 20
    for client in clients:
        client.__exit__()
    server.join(WAIT_S)
