"""CPU of one call over MCP, against the same workflow over HTTP: `python -m tests.benchmarks.mcp_calls [ROUNDS]`.

Each round asks every variant in turn, 8 connections at a time: our own HTTP execute, a tools/call of 2026-07-28 by the
fast path, the same through the SDK, and the same by the fast path of a registry with 250 workflows. The CPU time is the
server's own, of all its threads; of each variant the median round counts. Answers are checked. Linux only.
"""

from __future__ import annotations

import json
import socket
import statistics
import sys
import tempfile
import threading
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.support.daemon import Daemon

CONNECTIONS = 8
REQUESTS = 2000
FEW, MANY = 3, 250
META = {"io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}


@dataclass(frozen=True, slots=True)
class Variant:
    """A request, and who answers it."""

    name: str
    daemon: Daemon
    address: tuple[str, int]
    request: bytes


def cpu_us(pid: int) -> float:
    """CPU time of all threads so far."""
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[0]) for thread in threads) / 1000


def request_to(url: str, body: dict[str, object], **headers: str) -> tuple[tuple[str, int], bytes]:
    """The address and the bytes of a POST."""
    parts = urlsplit(url)
    content = json.dumps(body).encode()
    head = {"Host": parts.netloc, "Content-Type": "application/json", "Content-Length": str(len(content)), **headers}
    lines = [f"POST {parts.path} HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    return (str(parts.hostname), int(parts.port or 80)), "\r\n".join(lines).encode() + content


def variants(stack: ExitStack) -> list[Variant]:
    """The daemons, each with one note to read."""
    made: list[Variant] = []
    for name, workflows, fast in (("few", FEW, True), ("sdk", FEW, False), ("many", MANY, True)):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        lines = ["version: 1", "models: {Note: {fields: {id: str, text: str}, publish: [create, read]}}", "workflows:"]
        lines += [
            f"  read{i}: {{nodes: {{read: {{type: NoteReadNode, params: {{id: '{{{{id}}}}'}}}}}}}}"
            for i in range(workflows - 2)
        ]
        (folder / "r.yaml").write_text("\n".join(lines))
        env = {
            "DATABASE_URL": "sqlite:///n.db",
            "NEXUSD_REGISTRY__PATH": "r.yaml",
            "NEXUSD_MCP__FAST_PATH": str(fast).lower(),
            "NEXUSD_SERVER__LOG_LEVEL": "warning",
        }
        daemon = Daemon(folder, env | {"NEXUSD_SERVER__LOG_LEVEL": "info"})
        stack.enter_context(daemon)
        key = daemon.execute("note_create", {"text": "x"}).json()["outputs"]["create"]["id"]
        if name == "few":
            url = f"{daemon.http}/workflows/read0/execute"
            made.append(Variant("HTTP execute", daemon, *request_to(url, {"inputs": {"id": key}})))
        call = {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "tools/call",
            "params": {"name": "read0", "arguments": {"id": key}, "_meta": META},
        }
        headers = {
            "Accept": "application/json, text/event-stream",
            "MCP-Protocol-Version": "2026-07-28",
            "Mcp-Method": "tools/call",
            "Mcp-Name": "read0",
        }
        label = {"few": f"fast path, {FEW} workflows", "sdk": "SDK", "many": f"fast path, {MANY} workflows"}[name]
        made.append(Variant(label, daemon, *request_to(daemon.mcp, call, **headers)))
    return made


def ask(variant: Variant, count: int) -> None:
    """Ask so often on one connection, and look at each answer."""
    with socket.create_connection(variant.address) as sock, sock.makefile("rb") as answers:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            sock.sendall(variant.request)
            status = answers.readline()
            length = 0
            while (line := answers.readline().strip()) != b"":
                name, _, value = line.partition(b":")
                if name.lower() == b"content-length":
                    length = int(value)
            body = answers.read(length)
            if b" 200 " not in status or b'"text":"x"' not in body.replace(b'": "', b'":"'):
                raise SystemExit(f"{variant.name}: {status!r} {body!r}")


def one_round(variant: Variant) -> float:
    """CPU of one request, in microseconds."""
    before = cpu_us(variant.daemon.process.pid)
    threads = [threading.Thread(target=ask, args=(variant, REQUESTS // CONNECTIONS)) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return (cpu_us(variant.daemon.process.pid) - before) / REQUESTS


def main(rounds: int) -> None:
    """Print the median CPU of each variant, and its ratio to HTTP."""
    with ExitStack() as stack:
        made = variants(stack)
        figures: dict[str, list[float]] = {variant.name: [] for variant in made}
        for n in range(rounds + 1):
            for i in range(len(made)):
                variant = made[(i + n) % len(made)]
                figure = one_round(variant)
                if n:  # the first round warms up
                    figures[variant.name].append(figure)
    base = statistics.median(figures["HTTP execute"])
    for name, values in figures.items():
        median = statistics.median(values)
        print(f"{name:28} {median:7.0f} µs  x {median / base:.2f}  ({min(values):.0f} to {max(values):.0f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
