"""Time and CPU from process start to the first successful POST: `python -m tests.benchmarks.start [ROUNDS]`.

Prints wall and CPU time (all threads) at the first 200 and at `server.ready`, and the resident memory then; SQLite on a
fresh file each round, then PostgreSQL if NEXUSD_TEST_DATABASE_URL names an empty database. Linux only.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx

from tests.support.daemon import ROOT, START_S, Daemon

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """User and system time of the process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_mib(pid: int) -> float:
    """Resident memory."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def first_answer(client: httpx.Client, url: str, body: bytes) -> httpx.Response:
    """Post until somebody listens; bounded by START_S."""
    end = time.monotonic() + START_S
    while True:
        try:
            return client.post(url, content=body, headers={"Content-Type": "application/json"})
        except httpx.ConnectError:
            if time.monotonic() > end:
                raise
            time.sleep(0.002)


def one_start(database_url: str, n: int) -> dict[str, float]:
    """Start once, post until it is answered 200, wait for readiness, stop."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/workflows/create_contact/execute"
    body = json.dumps({"inputs": {"name": "x", "email": f"start{n}-{port}@example.com"}}).encode()
    registry = str(ROOT / "config" / "registry.yaml")
    with tempfile.TemporaryDirectory() as folder, httpx.Client() as client:
        env = {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": registry, "NEXUSD_HTTP__PORT": str(port)}
        daemon = Daemon(Path(folder), env)
        started = time.perf_counter()
        daemon.start()
        pid = daemon.process.pid
        try:
            answer = first_answer(client, url, body)
            first = {"wall_first": time.perf_counter() - started, "cpu_first": cpu_s(pid)}
            answer.raise_for_status()
            daemon.wait_for("server.ready")
            ready = {
                "wall_ready": time.perf_counter() - started,
                "cpu_ready": cpu_s(pid),
                "rss_mib": resident_mib(pid),
            }
        finally:
            daemon.stop()
    return first | ready


def main() -> None:
    """Run the rounds and print medians and ranges."""
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    databases = {"sqlite": "sqlite:///start.db"}
    if os.environ.get("NEXUSD_TEST_DATABASE_URL"):
        databases["postgresql"] = os.environ["NEXUSD_TEST_DATABASE_URL"]
    for name, url in databases.items():
        results = [one_start(url, n) for n in range(rounds)]
        for key in results[0]:
            values = [result[key] for result in results]
            print(f"{name:12} {key:12} median {statistics.median(values):8.3f}  {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
