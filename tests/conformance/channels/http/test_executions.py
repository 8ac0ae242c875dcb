from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from tests.support.http_server import WAIT_S

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.http_server import HttpServer


def start(server: HttpServer, name: str, value: object = None) -> str:
    """Start a background execution; where it will be found."""
    answer = server.execute(name, value, Prefer="respond-async")
    assert answer.status_code == 202
    return str(answer.headers["location"])


def post(server: HttpServer, path: str) -> httpx.Response:
    return httpx.post(server.url + path, timeout=WAIT_S)


def ended(server: HttpServer, path: str) -> dict[str, Any]:
    """The execution when it has ended."""
    with httpx.stream("GET", f"{server.url}{path}/events", timeout=WAIT_S) as stream:
        list(stream.iter_lines())
    document = server.get(path).json()
    assert isinstance(document, dict)
    return document


def events(lines: Iterator[str]) -> Iterator[tuple[str, str, Any]]:
    """Id, name and data of each server-sent event."""
    event: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(": ")
            event[name] = value
        elif "data" in event:
            yield event.get("id", ""), event["event"], json.loads(event["data"])
            event = {}


def test_a_background_execution_is_found_where_the_answer_says(server: HttpServer) -> None:
    answer = server.execute("hold", {"n": 1}, Prefer="respond-async")

    location = answer.headers["location"]
    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "respond-async")
    assert answer.json() == server.get(location).json()
    assert location == f"/executions/{answer.json()['execution_id']}"
    assert (answer.json()["status"], answer.json()["workflow"]) == ("running", "hold")
    assert server.gate.entered.acquire(timeout=WAIT_S)
    server.gate.open()
    document = ended(server, location)
    assert (document["status"], document["outputs"]) == ("completed", {"run": {"value": {"n": 1}}})
    assert document["duration_ms"] > 0


def test_a_background_dry_run_says_that_it_was_one(server: HttpServer) -> None:
    answer = server.execute("echo", Prefer="respond-async, tx=rollback")

    assert (answer.status_code, answer.headers["preference-applied"]) == (202, "tx=rollback, respond-async")


def test_a_background_execution_outlives_its_client(server: HttpServer) -> None:
    with server.connect() as client:
        location = client.execute("hold", b"", "Prefer: respond-async").answer().headers["location"]
    assert server.gate.entered.acquire(timeout=WAIT_S)
    server.gate.open()

    assert ended(server, location)["status"] == "completed"


def test_a_background_execution_that_cannot_start_is_refused_at_once(server: HttpServer) -> None:
    url = server.url + "/workflows/echo/execute"

    answer = httpx.post(url, json={"inputs": {"x": 1}}, headers={"Prefer": "respond-async"})

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert server.get("/executions").json()["executions"] == []


def test_a_failed_execution_shows_its_problem(server: HttpServer) -> None:
    document = ended(server, start(server, "refuse"))

    assert (document["status"], document["error"]["code"]) == ("failed", "unique_violation")
    assert (document["error"]["status"], document["error"]["node"]) == (409, "run")
    assert document["error"]["execution_id"] == document["execution_id"]


def test_a_bug_in_a_background_execution_is_hidden(server: HttpServer) -> None:
    document = ended(server, start(server, "break"))

    assert (document["status"], document["error"]["code"]) == ("failed", "internal")
    assert "secret" not in json.dumps(document)


def test_a_background_execution_holds_a_place(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(max_in_flight=1, queue_timeout_s=0.05)
    location = start(server, "hold")
    assert server.gate.entered.acquire(timeout=WAIT_S)

    assert server.execute("echo").status_code == 503
    assert server.execute("echo", Prefer="respond-async").status_code == 503
    server.gate.open()
    assert ended(server, location)["status"] == "completed"
    assert server.execute("echo").status_code == 200


def test_what_was_waited_for_is_listed_without_its_outputs(server: HttpServer) -> None:
    execution_id = server.execute("echo", 1).json()["execution_id"]

    document = server.get(f"/executions/{execution_id}").json()

    assert (document["status"], document["channel"]) == ("completed", "http")
    assert "outputs" not in document


def test_executions_are_listed_newest_first_in_pages(server: HttpServer) -> None:
    made = [server.execute("echo", n).json()["execution_id"] for n in range(5)]

    first = server.get("/executions?limit=2").json()
    second = server.get(f"/executions?limit=2&cursor={first['next_cursor']}").json()
    third = server.get(f"/executions?limit=2&cursor={second['next_cursor']}").json()

    pages = [[document["execution_id"] for document in page["executions"]] for page in (first, second, third)]
    assert pages == [made[:2:-1], made[2:0:-1], made[:1]]
    assert [page["next_cursor"] is None for page in (first, second, third)] == [False, False, True]
    assert (first["count"], first["limit"], third["count"]) == (2, 2, 1)


def test_executions_are_listed_by_workflow_and_status(server: HttpServer) -> None:
    server.execute("echo")
    server.execute("refuse")

    def listed(query: str) -> list[tuple[str, str]]:
        executions = server.get(f"/executions?{query}").json()["executions"]
        return [(document["workflow"], document["status"]) for document in executions]

    assert listed("workflow=echo") == [("echo", "completed")]
    assert listed("status=failed") == [("refuse", "failed")]
    assert listed("workflow=echo&status=failed") == []
    assert listed("cursor=0190b0d4-7f3e-7c8a-9b1e-3f2a5c6d7e8f") == []


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("limit=0", "/query/limit"),
        ("limit=1001", "/query/limit"),
        ("limit=x", "/query/limit"),
        ("limit=", "/query/limit"),
        ("limit=99999999999999999999", "/query/limit"),
        ("status=done", "/query/status"),
        ("cursor=x", "/query/cursor"),
        ("worklfow=echo", "/query/worklfow"),
    ],
)
def test_a_faulty_query_is_refused(server: HttpServer, query: str, pointer: str) -> None:
    answer = server.get(f"/executions?{query}")

    assert (answer.status_code, answer.json()["code"]) == (422, "invalid_input")
    assert [fault["pointer"] for fault in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("action", ["", "/events"])
def test_an_unknown_execution_is_not_found(server: HttpServer, action: str) -> None:
    answer = server.get(f"/executions/0190b0d4-7f3e-7c8a-9b1e-3f2a5c6d7e8f{action}")

    assert (answer.status_code, answer.json()["code"]) == (404, "execution_not_found")


@pytest.mark.parametrize("action", ["cancel", "resume", "signal"])
def test_an_unknown_execution_cannot_be_controlled(server: HttpServer, action: str) -> None:
    assert post(server, f"/executions/none/{action}").json()["code"] == "execution_not_found"


@pytest.mark.parametrize("action", ["resume", "signal"])
def test_what_needs_a_durable_engine_is_not_supported(server: HttpServer, action: str) -> None:
    execution_id = server.execute("echo").json()["execution_id"]

    answer = post(server, f"/executions/{execution_id}/{action}")

    assert (answer.status_code, answer.json()["code"]) == (422, "not_supported")


def test_a_background_execution_can_be_cancelled(server: HttpServer) -> None:
    location = start(server, "hold")
    assert server.gate.entered.acquire(timeout=WAIT_S)

    answer = post(server, f"{location}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "cancelled")
    assert answer.json()["error"]["code"] == "cancelled"
    assert server.gate.cancelled == 1


def test_an_execution_that_is_waited_for_can_be_cancelled(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("hold")
        assert server.gate.entered.acquire(timeout=WAIT_S)
        execution_id = server.get("/executions").json()["executions"][0]["execution_id"]

        assert post(server, f"/executions/{execution_id}/cancel").json()["status"] == "cancelled"
        answer = client.answer()

        assert (answer.status, answer.json()["code"]) == (499, "cancelled")
        assert answer.json()["execution_id"] == execution_id
        assert client.request("GET", "/health/live").answer().status == 200


def test_cancelling_what_has_ended_changes_nothing(server: HttpServer) -> None:
    execution_id = server.execute("echo").json()["execution_id"]

    answer = post(server, f"/executions/{execution_id}/cancel")

    assert (answer.status_code, answer.json()["status"]) == (200, "completed")


def test_a_control_route_takes_no_body(server: HttpServer) -> None:
    execution_id = server.execute("echo").json()["execution_id"]
    url = f"{server.url}/executions/{execution_id}/cancel"

    assert httpx.post(url, json={}).status_code == 200
    assert httpx.post(url, json={"force": True}).json()["code"] == "malformed_body"
    assert httpx.post(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415


def test_an_execution_is_followed_to_its_end(server: HttpServer) -> None:
    location = start(server, "hold", 7)
    with httpx.stream("GET", f"{server.url}{location}/events", timeout=WAIT_S) as stream:
        assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")
        assert (stream.headers["cache-control"], stream.headers["x-accel-buffering"]) == ("no-store", "no")
        followed = events(stream.iter_lines())
        begun = next(followed)
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.gate.open()
        rest = list(followed)

    assert begun[:2] == ("1", "execution.started")
    assert [(number, name) for number, name, _ in rest] == [("2", "execution.completed")]
    assert rest[0][2] == server.get(location).json()


def test_a_stream_goes_on_behind_the_last_event(server: HttpServer) -> None:
    location = start(server, "echo")
    ended(server, location)

    with httpx.stream("GET", f"{server.url}{location}/events", headers={"Last-Event-ID": "1"}) as stream:
        assert [number for number, _, _ in events(stream.iter_lines())] == ["2"]
    assert server.get(f"{location}/events", Last_Event_ID="2").status_code == 204
    assert server.get(f"{location}/events", Last_Event_ID="nonsense").text.startswith("id: 1\n")


def test_a_stream_says_when_the_server_stops(server: HttpServer) -> None:
    location = start(server, "hold")
    with httpx.stream("GET", f"{server.url}{location}/events", timeout=WAIT_S) as stream:
        followed = events(stream.iter_lines())
        next(followed)
        assert server.gate.entered.acquire(timeout=WAIT_S)
        server.begin_drain()

        assert next(followed)[1] == "server.draining"
        assert next(followed, None) is None
    server.gate.open()
    server.join(WAIT_S)


def test_the_history_forgets_the_oldest(server: HttpServer) -> None:
    first = server.execute("echo").json()["execution_id"]
    with httpx.Client(base_url=server.url) as client:
        for _ in range(1000):
            client.post("/workflows/echo/execute")

    assert server.get(f"/executions/{first}").status_code == 404
    assert server.get("/executions?limit=1000").json()["count"] == 1000
