"""Every error code of the reference, reached in the real daemon and told as a problem document."""

from __future__ import annotations

import json
import signal
import socket
import threading
from typing import TYPE_CHECKING, Any, Final

import httpx
import psycopg
import pytest

from nexusd.channels.http.problems import STATUS
from nexusd.errors import Code
from tests.support.daemon import Daemon, run_cli

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

KEY: Final = "an-administrators-key"
REGISTRY: Final = """
version: 1
models:
  Team: {fields: {id: {type: int, primary_key: true}, name: {type: str, unique: true}}, publish: true}
  Member:
    fields:
      id: {type: int, primary_key: true}
      score: {type: int, default: 0}
      team_id: {type: int, nullable: true, references: Team.id}
    checks: {score_positive: "score >= 0"}
    publish: true
  Gone: {fields: {id: {type: int, primary_key: true}}, publish: [count]}
workflows:
  wait: {nodes: {wait: {type: FunctionNode, call: "functions:wait", params: {}}}}
  only: {max_in_flight: 1, nodes: {wait: {type: FunctionNode, call: "functions:wait", params: {}}}}
  short: {timeout_s: 0.2, nodes: {wait: {type: FunctionNode, call: "functions:wait", params: {}}}}
  fail: {nodes: {break: {type: FunctionNode, call: "functions:fail", params: {}}}}
  rare: {rate_limit: {requests: 1, per_s: 60}, nodes: {count: {type: TeamCountNode, params: {}}}}
  outside:
    transaction: none
    nodes:
      wait: {type: FunctionNode, call: "functions:wait", params: {}}
      create: {type: TeamCreateNode, params: {name: "{{name}}"}}
    connections: [[wait, result, create, input]]
"""
FUNCTIONS: Final = '''
import asyncio
from pathlib import Path

async def wait() -> str:
    """Say that it has begun, and go on when it may."""
    Path("begun").touch()
    while not Path("go").exists():
        await asyncio.sleep(0.01)
    return "done"

async def fail() -> str:
    raise ValueError("secret")
'''


class Place:
    """A daemon on a database server of its own, and what it answered."""

    def __init__(self, folder: Path, server: PostgresServer) -> None:
        (folder / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
        (folder / "functions.py").write_text(FUNCTIONS, encoding="utf-8")
        self.folder = folder
        self.server = server
        self.daemon = self.start()
        self.reached: set[Code] = set()

    def start(self) -> Daemon:
        env = {
            "DATABASE_URL": self.server.url(),
            "NEXUSD_REGISTRY__PATH": "registry.yaml",
            "NEXUSD_AUTH__ENABLED": "true",
            "NEXUSD_ADMIN_KEY": KEY,
            "NEXUSD_MCP__ENABLED": "false",
            "NEXUSD_HTTP__HEADER_TIMEOUT_S": "0.5",
            "NEXUSD_HTTP__QUEUE_TIMEOUT_S": "0.2",
            "NEXUSD_HTTP__MAX_BODY_BYTES": "1000",
        }
        return Daemon(self.folder, env).__enter__()

    def ask(self, method: str, path: str, content: bytes | None = None, **headers: str) -> httpx.Response:
        given = {"x-api-key": KEY, "content-type": "application/json"}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.request(method, self.daemon.http + path, content=content, headers=given, timeout=10)

    def run(self, workflow: str, inputs: dict[str, Any], **headers: str) -> httpx.Response:
        body = json.dumps({"inputs": inputs}).encode()
        return self.ask("POST", f"/workflows/{workflow}/execute", body, **headers)

    def raw(self, head: bytes) -> httpx.Response:
        """The answer to bytes that no client would send."""
        host, _, port = self.daemon.http.removeprefix("http://").rpartition(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(head)
            told = b""
            while chunk := client.recv(65536):
                told += chunk
        top, _, body = told.partition(b"\r\n\r\n")
        first, *lines = top.decode().split("\r\n")
        fields = [tuple(line.split(": ", 1)) for line in lines]
        return httpx.Response(int(first.split()[1]), headers=fields, content=body)  # type: ignore[arg-type]

    def meanwhile(self, workflow: str, act: Callable[[], httpx.Response], **headers: str) -> list[httpx.Response]:
        """What `act` is answered while a workflow waits, and then what the workflow is."""
        answers: list[httpx.Response] = []
        (self.folder / "go").unlink(missing_ok=True)
        (self.folder / "begun").unlink(missing_ok=True)
        inputs = {"name": "n"} if workflow == "outside" else {}
        waiting = threading.Thread(target=lambda: answers.append(self.run(workflow, inputs, **headers)))
        waiting.start()
        for _ in range(1000):
            if (self.folder / "begun").exists():
                break
            waiting.join(0.01)
        answer = act()
        (self.folder / "go").touch()
        waiting.join(10)
        return [answer, *answers]

    def expect(self, code: Code, answer: httpx.Response) -> None:
        document = answer.json()
        assert (document["code"], answer.status_code, document["status"]) == (code, STATUS[code], STATUS[code])
        assert answer.headers["content-type"] == "application/problem+json"
        assert document["type"] == f"urn:nexusd:{code}"
        assert document["request_id"] == answer.headers["x-request-id"]
        assert {"title", "detail", "errors"} <= document.keys()
        assert not any(word in answer.text.lower() for word in ("secret", "psycopg", "asyncpg", "select ", "relation "))
        self.reached.add(code)


@pytest.fixture
def place(tmp_path: Path, postgres_server: PostgresServer) -> Iterator[Place]:
    place = Place(tmp_path, postgres_server)
    yield place
    place.daemon.stop(signal.SIGKILL)


@pytest.mark.timeout(120)
def test_every_code_is_reached_and_told_alike(place: Place) -> None:
    _of_a_run_that_was_killed(place)
    _of_the_request(place)
    _of_the_caller(place)
    _of_records(place)
    _of_time_and_space(place)
    _of_the_database(place)

    assert place.reached == set(Code)


def _of_a_run_that_was_killed(place: Place) -> None:
    def kill() -> httpx.Response:
        place.daemon.stop(signal.SIGKILL)
        return httpx.Response(200)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threading, "excepthook", lambda _arguments: None)  # the client of the killed daemon
        place.meanwhile("outside", kill, idempotency_key='"k1"')
    place.daemon = place.start()
    place.expect(Code.UNKNOWN_OUTCOME, place.run("outside", {"name": "n"}, idempotency_key='"k1"'))


def _of_the_request(place: Place) -> None:
    place.expect(Code.BAD_REQUEST, place.raw(b"GET /workflows HTTP/1.1\r\n\r\n"))
    place.expect(Code.REQUEST_TIMEOUT, place.raw(b"GET /workflows HTTP/1.1\r\nHost: localhost\r\n"))
    place.expect(Code.HEADERS_TOO_LARGE, place.ask("GET", "/workflows", x_long="x" * 20_000))
    place.expect(Code.MISDIRECTED_REQUEST, place.ask("GET", "/workflows", host="elsewhere.example"))
    place.expect(Code.ROUTE_NOT_FOUND, place.ask("GET", "/nothing"))
    place.expect(Code.METHOD_NOT_ALLOWED, place.ask("DELETE", "/workflows"))
    run = "/workflows/team_create/execute"
    place.expect(Code.MALFORMED_BODY, place.ask("POST", run, b"[1"))
    place.expect(Code.UNSUPPORTED_MEDIA_TYPE, place.ask("POST", run, b"{}", content_type="text/plain"))
    place.expect(Code.PAYLOAD_TOO_LARGE, place.ask("POST", run, b" " * 1001))
    place.expect(Code.WORKFLOW_NOT_FOUND, place.run("nothing", {}))
    place.expect(Code.EXECUTION_NOT_FOUND, place.ask("GET", "/executions/0190b0d4-7f3e-7c8a-9b1e-3f2a5c6d7e8f"))
    place.expect(Code.INVALID_INPUT, place.run("team_create", {"name": 1}))
    done = place.run("team_count", {}).json()["execution_id"]
    place.expect(Code.NOT_SUPPORTED, place.ask("POST", f"/executions/{done}/resume"))


def _of_the_caller(place: Place) -> None:
    place.expect(Code.UNAUTHENTICATED, place.ask("GET", "/workflows", x_api_key="wrong"))
    env = {"DATABASE_URL": place.server.url(), "NEXUSD_REGISTRY__PATH": "registry.yaml"}
    made = _created_key(place, env)
    place.expect(Code.FORBIDDEN, place.run("team_create", {"name": "a"}, x_api_key=made))
    assert place.run("rare", {}).status_code == 200
    place.expect(Code.RATE_LIMITED, place.run("rare", {}))
    keyed = {"idempotency_key": '"k2"'}
    assert place.run("team_create", {"name": "once"}, **keyed).status_code == 200
    place.expect(Code.IDEMPOTENCY_MISMATCH, place.run("team_create", {"name": "twice"}, **keyed))
    again, first = place.meanwhile(
        "wait", lambda: place.run("wait", {}, idempotency_key='"k3"'), idempotency_key='"k3"'
    )
    place.expect(Code.IDEMPOTENCY_IN_FLIGHT, again)
    assert first.status_code == 200


def _created_key(place: Place, env: dict[str, str]) -> str:
    done = run_cli("keys", "create", "--scope", "model:Team:read", "--output", "json", cwd=place.folder, env=env)
    assert done.returncode == 0, done.stderr
    return str(json.loads(done.stdout)["key"])


def _of_records(place: Place) -> None:
    place.expect(Code.RECORD_NOT_FOUND, place.run("team_read", {"id": 99}))
    place.expect(Code.UNIQUE_VIOLATION, place.run("team_create", {"name": "once"}))
    place.expect(Code.REFERENCE_VIOLATION, place.run("member_create", {"team_id": 99}))
    place.expect(Code.CHECK_VIOLATION, place.run("member_create", {"score": -1}))
    member = place.run("member_create", {}).json()["outputs"]["create"]["id"]
    place.expect(Code.VERSION_MISMATCH, place.run("member_update", {"id": member, "score": 1, "if_version": 7}))
    several = {"all": True, "fields": {"score": 2}, "max_affected": 0, "filter": {}}
    place.expect(Code.MAX_AFFECTED_EXCEEDED, place.run("member_bulk_update", several))


def _of_time_and_space(place: Place) -> None:
    place.expect(Code.NODE_FAILED, place.run("fail", {}))
    (place.folder / "go").unlink(missing_ok=True)
    place.expect(Code.TIMEOUT, place.run("short", {}))
    shed, first = place.meanwhile("only", lambda: place.run("only", {}))
    place.expect(Code.OVERLOADED, shed)
    assert first.status_code == 200

    def cancel() -> httpx.Response:
        running = place.ask("GET", "/executions?status=running").json()["executions"]
        return place.ask("POST", f"/executions/{running[0]['execution_id']}/cancel")

    _, cancelled = place.meanwhile("wait", cancel)
    place.expect(Code.CANCELLED, cancelled)


def _of_the_database(place: Place) -> None:
    with psycopg.connect(place.server.url(), autocommit=True) as connection:
        connection.execute("DROP TABLE gone")
    place.expect(Code.INTERNAL, place.run("gone_count", {}))
    place.server.stop("immediate")
    place.expect(Code.DATABASE_UNAVAILABLE, place.run("team_count", {}))
