"""CPU of one execute while it is watched, against one that is not: `python -m tests.benchmarks.observed [ROUNDS] [URL]`.

Servers on SQLite, or on the PostgreSQL at URL: open and unwatched; with metrics; with metrics and API keys; with these and
traces of which none is sampled; with every request traced; with an audit. Rounds of reads by key, or of creates, alternate
between them. Printed are the median of the rounds' ratios and the least CPU of any round. Linux.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nexusd import app
from nexusd.configuration import load_settings
from tests.benchmarks.authentication import REGISTRY, REQUESTS, cpu_s
from tests.support.collector import Collector
from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

MONITORING: Final = {"NEXUSD_MONITORING__ENABLED": "true"}
AUTH: Final = {"NEXUSD_AUTH__ENABLED": "true"}
OPERATIONS: Final = ("read", "create")


class Watched:
    """A server and how it is asked."""

    def __init__(self, daemon: Daemon, key: str, ids: Iterator[int]) -> None:
        self._pid = daemon.process.pid
        self._ids = ids
        self._headers = {"Content-Type": "application/json", **({"X-API-Key": key} if key else {})}
        self._connection = http.client.HTTPConnection(daemon.http.removeprefix("http://"))
        self._ask("create", f"n{next(ids)}")
        self._known = f"n{next(ids)}"
        self._ask("create", self._known)

    def round_us(self, operation: str) -> float:
        """CPU of one request in a round of many."""
        self._connection.close()  # it may have been idle for too long
        before = cpu_s(self._pid)
        for _ in range(REQUESTS):
            self._ask(operation, self._known if operation == "read" else f"n{next(self._ids)}")
        return (cpu_s(self._pid) - before) / REQUESTS * 1e6

    def _ask(self, operation: str, key: str) -> None:
        text = ',"text":"x"' if operation == "create" else ""
        body = f'{{"inputs":{{"id":"{key}"{text}}}}}'.encode()
        self._connection.request("POST", f"/workflows/note_{operation}/execute", body, self._headers)
        answer = self._connection.getresponse()
        told = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(told)


def main(rounds: int, url: str) -> None:
    """Print the figures."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "r.yaml").write_text(REGISTRY)
        collector = stack.enter_context(Collector())
        ids = itertools.count()

        def server(name: str, **variables: str) -> Watched:
            environment = {
                "DATABASE_URL": url or f"sqlite:///{folder}/{name}.db",
                "NEXUSD_REGISTRY__PATH": "r.yaml",
                "NEXUSD_MCP__ENABLED": "false",
                **variables,
            }
            daemon, text = stack.enter_context(Daemon(folder, environment)), ""
            if "NEXUSD_AUTH__ENABLED" in variables:
                with app.open_keys(load_settings(None, environment)) as keys:
                    text = keys.create("bench", ["workflow:*:execute"], {}, None)[0].text
            return Watched(daemon, text, ids)

        traces = {**AUTH, **MONITORING, "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url}
        servers = {
            "unwatched": server("unwatched"),
            "metrics": server("metrics", **MONITORING),
            "metrics, keys": server("both", **AUTH, **MONITORING),
            "and no trace sampled": server("out", **traces, NEXUSD_MONITORING__TRACE_RATIO="0"),
            "and all traced": server("traced", **traces),
            "audit": server("audit", NEXUSD_MONITORING__AUDIT="true"),
        }
        order = list(servers)
        for operation in OPERATIONS:
            figures = [
                {name: servers[name].round_us(operation) for name in order[:: 1 if n % 2 else -1]}
                for n in range(rounds)
            ]
            for name in order:
                least = min(figure[name] for figure in figures)
                ratio = statistics.median(figure[name] / figure["unwatched"] for figure in figures)
                print(f"{operation:6} {name:20} {ratio:.3f} of unwatched; at least {least:.1f} us CPU per execute")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7, sys.argv[2] if len(sys.argv) > 2 else "")
