from __future__ import annotations

import asyncio
import json
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.daemon import Daemon, clean_environment
from tests.support.migrations import rows

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = """\
version: 1
workflows:
  echo:
    nodes:
      answer: {type: TransformNode, params: {text: "{{text}}"}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, "utf-8")
    return tmp_path


async def ask_often(url: str, times: int) -> None:
    async with httpx.AsyncClient(timeout=10) as client:
        calls = (
            client.post(
                f"{url}/workflows/echo/execute", json={"inputs": {"text": "t"}}, headers={"X-Request-ID": f"r{i}"}
            )
            for i in range(times)
        )
        await asyncio.gather(*calls)


def test_every_request_has_one_line_and_the_last_line_is_the_end(folder: Path) -> None:
    with Daemon(folder) as daemon:
        asyncio.run(ask_often(daemon.http, 200))
        assert daemon.stop() == 0

    finished = [line for line in daemon.log if line["event"] == "request.finished"]
    assert {f"r{i}" for i in range(200)} == {line["request_id"] for line in finished}
    assert len(finished) == 200
    assert {(line["workflow"], line["route"], line["status"]) for line in finished} == {
        ("echo", "/workflows/{name}/execute", 200)
    }
    assert len({line["execution_id"] for line in finished}) == 200
    assert daemon.log[-1]["event"] == "server.stopped"
    assert all("timestamp" in line for line in daemon.log)


def test_second_signal_is_the_last_line(folder: Path) -> None:
    with Daemon(folder) as daemon:
        # A connection with half a request holds the drain.
        host, port = daemon.http.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=5) as raw:
            raw.sendall(b"POST /workflows/echo/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
            daemon.process.send_signal(signal.SIGTERM)
            daemon.wait_for("server.draining")
            daemon.process.send_signal(signal.SIGTERM)
            assert daemon.process.wait(10) == 128 + signal.SIGTERM

    assert (daemon.log[-1]["event"], daemon.log[-1]["reason"]) == ("server.aborted", "SIGTERM")


def test_failed_start_is_logged_before_it_is_told(folder: Path) -> None:
    environ = clean_environment({"DATABASE_URL": f"sqlite:///{folder}/no/folder/x.db", "NEXUSD_DATABASE__WAIT_S": "0"})
    done = subprocess.run(
        [sys.executable, "-m", "nexusd", "serve", "--set", "http.port=0", "--set", "mcp.port=0"],
        cwd=folder, env=environ, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    lines = done.stderr.splitlines()
    logged = [line.startswith("{") for line in lines]
    assert logged == sorted(logged, reverse=True), "log lines first"
    assert [json.loads(line)["event"] for line in lines if line.startswith("{")][:2] == [
        "server.started",
        "registry.loaded",
    ]


NOTES = """\
version: 1
models: {Note: {table: notes, fields: {id: str}, publish: [count]}}
workflows:
  around: {nodes: {inner: {type: WorkflowNode, workflow: note_count}}}
  survived:
    nodes:
      count: {type: NoteCountNode, on_error: told}
      told: {type: TransformNode, params: {why: "{{input.detail}}"}}
"""


@pytest.mark.parametrize("database", ["sqlite_url", "postgres_url"])
def test_what_an_internal_error_hides_is_in_the_log(
    folder: Path, request: pytest.FixtureRequest, database: str
) -> None:
    url: str = request.getfixturevalue(database)
    (folder / "config" / "registry.yaml").write_text(NOTES, "utf-8")
    with Daemon(folder, {"DATABASE_URL": url}) as daemon:
        rows(url, "ALTER TABLE notes RENAME TO others")
        answer = httpx.post(f"{daemon.http}/workflows/note_count/execute", headers={"X-Request-ID": "r1"})
        assert (answer.status_code, answer.json()["code"]) == (500, "internal")
        assert "others" not in answer.text

        around = httpx.post(f"{daemon.http}/workflows/around/execute")
        survived = httpx.post(f"{daemon.http}/workflows/survived/execute")
        assert (around.status_code, around.json()["code"]) == (502, "node_failed")
        hidden = "An unexpected error; the log has it under this request id."
        assert around.json()["detail"] == f"the workflow note_count failed: {hidden}"
        assert survived.json()["outputs"]["told"] == {"why": hidden}
    told = [line for line in daemon.log if line["event"] == "error.unexpected"]
    assert [line["request_id"] for line in told] == [
        "r1",
        around.json()["request_id"],
        survived.headers["x-request-id"],
    ]
    for line in told:
        assert "there is no such table" in str(line["reason"])
        assert line["error_type"] in {"OperationalError", "UndefinedTableError"}
    assert [line["code"] for line in daemon.log if line["event"] == "execution.failed"] == ["internal", "node_failed"]
