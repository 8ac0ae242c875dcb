"""What a service manager is told, on a socket with and without a file."""

from __future__ import annotations

import os
import signal
import socket
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(("abstract", "workers"), [(False, "1"), (True, "2")])
def test_the_manager_is_told_of_readiness_reloads_the_stop_and_life(
    tmp_path: Path, *, abstract: bool, workers: str
) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\n")
    name = f"nexusd-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(f"\0{name}" if abstract else name)
        manager.settimeout(30)

        def told(*, but: str) -> str:
            """The next words that are others."""
            while (words := manager.recv(1000).decode()) == but:
                pass
            return words

        env = {
            "NEXUSD_REGISTRY__PATH": "r.yaml",
            "NEXUSD_MCP__ENABLED": "false",
            "NOTIFY_SOCKET": f"@{name}" if abstract else name,
            "WATCHDOG_USEC": "200000",
        }
        with Daemon(tmp_path, env, ("--workers", workers)) as daemon:
            assert told(but="WATCHDOG=1") == "READY=1"
            assert told(but="nothing") == "WATCHDOG=1"
            for registry in ("version: 1\n", "version: 2\n"):
                (tmp_path / "r.yaml").write_text(registry)
                daemon.process.send_signal(signal.SIGHUP)
                reloading, _, clock = told(but="WATCHDOG=1").partition("\n")
                assert (reloading, clock.startswith("MONOTONIC_USEC=")) == ("RELOADING=1", True)
                assert told(but="WATCHDOG=1") == "READY=1"
            assert daemon.stop() == 0
            assert told(but="WATCHDOG=1") == "STOPPING=1"


def test_a_manager_that_is_not_there_and_a_watch_over_another_process_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\n")
    env = {
        "NEXUSD_REGISTRY__PATH": "r.yaml",
        "NEXUSD_MCP__ENABLED": "false",
        "NOTIFY_SOCKET": str(tmp_path / "nobody"),
        "WATCHDOG_USEC": "200000",
        "WATCHDOG_PID": "1",
    }
    with Daemon(tmp_path, env) as daemon:
        assert daemon.stop() == 0
