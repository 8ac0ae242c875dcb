"""Executions are found wherever they run: a client does not know which worker it reaches."""

from __future__ import annotations

import signal
import threading
from functools import partial
from typing import TYPE_CHECKING, Any

import httpx

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

REGISTRY = """\
version: 1
workflows:
  slow: {nodes: {run: {type: FunctionNode, call: 'slow:run', pure: true, params: {n: "{{n}}"}}}}
"""
SLOW = """\
import asyncio, pathlib
async def run(n: int) -> int:
    while n and not pathlib.Path("go").exists():
        await asyncio.sleep(0.01)
    return n
"""


def crew(folder: Path) -> Daemon:
    (folder / "r.yaml").write_text(REGISTRY)
    (folder / "slow.py").write_text(SLOW)
    env = {"DATABASE_URL": "sqlite:///n.db", "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MCP__ENABLED": "false"}
    return Daemon(folder, env, ("--workers", "2"))


def begin(daemon: Daemon, n: int) -> str:
    """Start a run that ends when the file `go` is there; its location."""
    answer = daemon.execute("slow", {"n": n}, Prefer="respond-async")
    assert answer.status_code == 202
    return answer.headers["location"]


def from_each_worker(daemon: Daemon, ask: Callable[[], httpx.Response]) -> list[Any]:
    """The answers of as many new connections as it takes to reach both workers."""
    answers: dict[object, Any] = {}
    while set(answers) != {1, 2}:
        answer = ask()
        assert answer.status_code == 200, answer.text
        asked = answer.headers["x-request-id"]
        while (entry := daemon.wait_for("request.finished"))["request_id"] != asked:
            pass
        answers[entry["worker"]] = answer.json()
    return list(answers.values())


def test_a_location_is_good_at_any_worker_while_it_runs_and_when_all_were_replaced(tmp_path: Path) -> None:
    with crew(tmp_path) as daemon:
        locations = [begin(daemon, n) for n in (1, 2, 3)]
        for location in locations:
            seen = from_each_worker(daemon, partial(httpx.get, daemon.http + location))
            assert [each["status"] for each in seen] == ["running", "running"]
        listed = from_each_worker(daemon, lambda: httpx.get(f"{daemon.http}/executions?status=running&limit=2"))
        ids = [location.rpartition("/")[2] for location in locations]
        assert [[each["execution_id"] for each in page["executions"]] for page in listed] == [[ids[2], ids[1]]] * 2
        assert [page["next_cursor"] for page in listed] == [ids[1]] * 2
        rest = from_each_worker(daemon, lambda: httpx.get(f"{daemon.http}/executions?status=running&cursor={ids[1]}"))
        assert [[each["execution_id"] for each in page["executions"]] for page in rest] == [[ids[0]]] * 2

        (tmp_path / "go").touch()
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("registry.loaded")

        for n, location in enumerate(locations, 1):
            seen = from_each_worker(daemon, partial(httpx.get, daemon.http + location))
            assert [each["outputs"] for each in seen] == [{"run": n}] * 2
        assert httpx.get(f"{daemon.http}/executions/{'0' * 36}").status_code == 404


def test_a_run_is_followed_and_cancelled_from_any_worker(tmp_path: Path) -> None:
    with crew(tmp_path) as daemon:
        location = daemon.http + begin(daemon, 1)
        followed: list[str] = []
        threads = [
            threading.Thread(target=lambda: followed.append(httpx.get(f"{location}/events", timeout=20).text))
            for _ in range(6)
        ]
        for thread in threads:
            thread.start()
        cancelled = from_each_worker(daemon, lambda: httpx.post(f"{location}/cancel"))
        for thread in threads:
            thread.join(20)

    assert [each["status"] for each in cancelled] == ["cancelled"] * 2
    assert len(followed) == 6
    for text in followed:
        assert [line for line in text.splitlines() if line.startswith(("id", "event"))] == [
            "id: 1",
            "event: execution.started",
            "id: 2",
            "event: execution.cancelled",
        ]
