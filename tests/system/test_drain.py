"""A stop loses no request that got in."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import httpx

from tests.support.daemon import ROOT, STOP_S, Daemon

if TYPE_CHECKING:
    from pathlib import Path

CLIENTS = 8


def test_every_request_sent_before_the_listener_closed_is_answered(tmp_path: Path, database_url: str) -> None:
    env = {
        "DATABASE_URL": database_url,
        "NEXUSD_REGISTRY__PATH": str(ROOT / "config" / "registry.yaml"),
        "NEXUSD_MCP__ENABLED": "false",
    }
    answered: list[int] = []
    failed: list[Exception] = []
    going = threading.Barrier(CLIENTS + 1)

    def client(n: int, url: str) -> None:
        """Posts on one kept connection until the server says that this was the last answer."""
        with httpx.Client(timeout=10) as http:
            for i in range(100_000):
                body = {"inputs": {"name": "x", "email": f"{n}-{i}@example.com"}}
                try:
                    answer = http.post(url, json=body)
                except Exception as error:  # noqa: BLE001 - whatever a client sees is what the test is about
                    failed.append(error)
                    return
                answered.append(answer.status_code)
                if i == 5:
                    going.wait(10)
                if answer.headers.get("connection") == "close":
                    return

    with Daemon(tmp_path, env) as daemon:
        url = f"{daemon.http}/workflows/create_contact/execute"
        threads = [threading.Thread(target=client, args=(n, url)) for n in range(CLIENTS)]
        for thread in threads:
            thread.start()
        going.wait(10)
        daemon.process.terminate()
        for thread in threads:
            thread.join(15)
        assert daemon.process.wait(STOP_S) == 0

    assert failed == []
    assert set(answered) == {200}
    assert len(answered) >= CLIENTS * 6
    assert [entry["cancelled"] for entry in daemon.log if entry["event"] == "server.stopped"] == [0]
