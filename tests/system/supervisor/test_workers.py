"""Worker processes: what they serve together, and how each is replaced."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.support.daemon import ROOT, STOP_S, Daemon, run_cli
from tests.support.load import BUSY, IDLE, ONE_SHOT, Load

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LISTING = "\n  contact_list: {nodes: {list: {type: ContactListNode, params: {sort: [name, email], limit: '{{limit}}', cursor: '{{cursor}}', count: exact}}}}\n"
REGISTRY = (ROOT / "config" / "registry.yaml").read_text() + LISTING
FUNCTION = REGISTRY + "  call: {nodes: {run: {type: FunctionNode, call: 'flaky:run', pure: true}}}\n"
FLAKY = """\
import pathlib
if pathlib.Path("broken").exists() and __import__("sys").argv[0].endswith("worker.py"):
    raise RuntimeError("broken")
def run() -> int:
    return 1
"""


def crew(folder: Path, database_url: str, registry: str = REGISTRY, *, mcp: bool = False) -> Daemon:
    """A daemon of two workers."""
    (folder / "r.yaml").write_text(registry)
    (folder / "flaky.py").write_text(FLAKY)
    env = {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MCP__ENABLED": str(mcp)}
    return Daemon(folder, env, ("--workers", "2"))


def workers(daemon: Daemon) -> dict[int, int]:
    """The process ids by number of those that serve."""
    return {int(str(e["worker"])): int(str(e["pid"])) for e in daemon.log if e["event"] == "worker.started"}


def tools(url: str) -> list[str]:
    async def ask() -> list[str]:
        async with streamable_http_client(url) as streams, ClientSession(*streams[:2]) as session:
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    return asyncio.run(ask())


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + STOP_S
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.01)


def served_by(daemon: Daemon) -> set[object]:
    """Which workers have answered so far."""
    return {e["worker"] for e in daemon.log if e["event"] == "request.finished"}


def forget_requests(daemon: Daemon) -> None:
    daemon.log[:] = [e for e in daemon.log if e["event"] != "request.finished"]


def rows(daemon: Daemon) -> int:
    answer = daemon.execute("contact_list", {"limit": 1})
    return int(answer.json()["outputs"]["list"]["total"])


@pytest.mark.timeout(240)
def test_four_rolling_restarts_under_load_lose_no_request(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        before = workers(daemon)
        with Load(daemon.http) as load:
            for _ in range(4):
                daemon.process.send_signal(signal.SIGHUP)
                daemon.wait_for("registry.loaded")
            load.wait_for(20_000, within_s=120)

        assert (load.seen["failures"], load.seen["cut"]) == ({}, 0)
        assert rows(daemon) == load.seen["answered"]
        assert sum(e["event"] == "worker.replaced" for e in daemon.log) == 8
        assert {1, 2} == served_by(daemon)
        until(lambda: not any(map(is_running, before.values())))


@pytest.mark.timeout(120)
def test_mcp_goes_on_while_workers_are_replaced_and_holds_up_no_stop(tmp_path: Path, postgres_url: str) -> None:
    with crew(tmp_path, postgres_url, mcp=True) as daemon:
        with Load(daemon.http, daemon.mcp) as load:
            daemon.process.send_signal(signal.SIGHUP)
            daemon.wait_for("registry.loaded")
        assert (load.seen["failures"], load.seen["cut"]) == ({}, 0)
        # What a client of an older protocol does first: a standing stream. There is none without sessions.
        stream = httpx.get(daemon.mcp, headers={"Accept": "text/event-stream"}, timeout=STOP_S)
        assert (stream.status_code, stream.headers["allow"]) == (405, "POST")
        assert tools(daemon.mcp) == ["contact_list", "contact_workflow", "create_contact"]
        assert daemon.stop() == 0
    assert [e["cancelled"] for e in daemon.log if e["event"] == "server.stopped"] == [0]


def test_a_stop_under_load_answers_every_request_that_got_in(tmp_path: Path, postgres_url: str) -> None:
    with crew(tmp_path, postgres_url) as daemon:
        with Load(daemon.http, ends_refused=True) as load:
            load.wait_for(500)
            assert daemon.stop() == 0
        assert load.seen["failures"] == {}
    assert [e["cancelled"] for e in daemon.log if e["event"] == "server.stopped"] == [0]
    assert not any(map(is_running, workers(daemon).values()))


def test_a_killed_worker_costs_what_it_was_doing_and_is_replaced(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        with Load(daemon.http) as load:
            killed = workers(daemon)[1]
            os.kill(killed, signal.SIGKILL)
            exited = daemon.wait_for("worker.exited")
            daemon.wait_for("worker.started")
            load.wait_for(load.seen["answered"] + 500)

        assert (exited["pid"], exited["code"]) == (killed, -signal.SIGKILL)
        # At most one request for each client, and that may have been kept.
        lost = sum(load.seen["failures"].values())
        assert lost <= BUSY + ONE_SHOT + IDLE
        assert load.seen["answered"] <= rows(daemon) <= load.seen["answered"] + lost
        until(lambda: httpx.get(f"{daemon.http}/health").json()["checks"]["workers"] == "2 of 2")


def test_workers_end_when_their_parent_is_killed_and_the_port_is_free(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        port = daemon.http.rpartition(":")[2]
        pids = workers(daemon).values()
        daemon.process.kill()
        daemon.process.wait(STOP_S)
        until(lambda: not any(map(is_running, pids)))
    again = crew(tmp_path, sqlite_url)
    again.arguments = ("--port", port)
    with again:
        assert again.execute("contact_list", {"limit": 1}).status_code == 200


def test_signals_to_a_worker_are_a_replacement_or_nothing(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        pid = workers(daemon)[2]
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(pid, number)
        exited = daemon.wait_for("worker.exited")
        started = daemon.wait_for("worker.started")

        assert (exited["worker"], exited["code"], started["worker"]) == (2, 0, 2)


def test_cursors_and_reloads_are_those_of_all_workers(tmp_path: Path, postgres_url: str) -> None:
    with crew(tmp_path, postgres_url) as daemon:
        for name in "abc":
            assert daemon.execute("create_contact", {"name": name, "email": name}).status_code == 200
        page = daemon.execute("contact_list", {"limit": 2}).json()["outputs"]["list"]
        (tmp_path / "r.yaml").write_text(REGISTRY.replace("create_contact", "add_contact"))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("registry.loaded")
        forget_requests(daemon)
        while served_by(daemon) != {1, 2}:
            rest = daemon.execute("contact_list", {"limit": 2, "cursor": page["next_cursor"]})
            assert [record["name"] for record in rest.json()["outputs"]["list"]["records"]] == ["c"]
            assert daemon.execute("create_contact", {}).status_code == 404


def test_what_was_accepted_is_served_whatever_the_file_says_since(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        (tmp_path / "r.yaml").write_text("version: 1\nmodles: {}\n")
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.wait_for("registry.rejected")["exit_code"] == 78
        os.kill(workers(daemon)[1], signal.SIGKILL)
        daemon.wait_for("worker.started")
        forget_requests(daemon)
        while served_by(daemon) != {1, 2}:
            assert daemon.execute("contact_list", {"limit": 1}).status_code == 200


def test_a_successor_that_does_not_come_up_is_dropped_and_the_old_workers_stay(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url, FUNCTION) as daemon:
        before = workers(daemon)
        (tmp_path / "broken").touch()
        daemon.process.send_signal(signal.SIGHUP)
        failed = daemon.wait_for("worker.failed")
        rejected = daemon.wait_for("registry.rejected")

        assert "broken" in str(failed["reasons"])
        assert (rejected["exit_code"], "worker 1" in str(rejected["problems"])) == (70, True)
        assert daemon.execute("call", {}).json()["outputs"] == {"run": 1}
        assert all(map(is_running, before.values()))


def test_no_worker_that_comes_up_is_exit_70(tmp_path: Path, sqlite_url: str) -> None:
    (tmp_path / "broken").touch()
    daemon = crew(tmp_path, sqlite_url, FUNCTION)
    daemon.start()

    assert daemon.process.wait(STOP_S) == 70
    assert daemon.stop() == 70
    assert daemon.log[-1]["text"] == "error: no worker has come up; the log says why"


def test_a_taken_port_is_exit_69_with_workers_too(tmp_path: Path, sqlite_url: str) -> None:
    with crew(tmp_path, sqlite_url) as daemon:
        port = daemon.http.rpartition(":")[2]
        env = {"DATABASE_URL": sqlite_url, "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MCP__ENABLED": "false"}
        ended = run_cli("serve", "--workers", "2", "--port", port, cwd=tmp_path, env=env)

    assert ended.returncode == 69


def test_a_database_that_processes_cannot_share_is_refused(tmp_path: Path) -> None:
    env = {"DATABASE_URL": "sqlite:///:memory:", "NEXUSD_REGISTRY__PATH": "r.yaml"}
    ended = run_cli("serve", "--workers", "2", cwd=tmp_path, env=env)

    assert (ended.returncode, "--workers: more than one" in ended.stderr) == (78, True)


def test_what_was_built_in_python_is_served_by_one_process(tmp_path: Path, sqlite_url: str) -> None:
    text = (ROOT / "examples" / "crm_python" / "app.py").read_text()
    (tmp_path / "app.py").write_text(text.replace("sqlite:///:memory:", sqlite_url))
    env = {"DATABASE_URL": sqlite_url, "NEXUSD_SERVER__WORKERS": "2"}
    daemon = Daemon(tmp_path, env, command=(sys.executable, "app.py"), verb=())
    daemon.start()

    assert daemon.stop(signal.SIGCONT) == 1
    assert "served by one process" in str(daemon.log)
