"""CPU of one execute with authentication, and with a limit, against without: `python -m tests.benchmarks.authentication [ROUNDS]`.

Servers on SQLite: open, asked with an API key of its database, asked with a token, open with a rate limit. Rounds of
reads by key alternate between them; printed are the median of the rounds' ratios and the least CPU of any round. Linux.
"""

from __future__ import annotations

import contextlib
import http.client
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Final

from nexusd import app
from nexusd.configuration import load_settings
from tests.support.daemon import Daemon
from tests.support.tokens import AUDIENCE, ISSUER, SECRET, claims, signed

REQUESTS: Final = 500
REGISTRY: Final = """version: 1
models:
  Note: {fields: {id: str, text: str}, publish: [create, read]}
"""


def cpu_s(pid: int) -> float:
    """Time on a processor so far, of all threads; finer than the ticks of /proc/PID/stat."""
    return sum(int(task.read_text().split()[0]) for task in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


class Asked:
    """A server and the credential that it is asked with."""

    def __init__(self, daemon: Daemon, credential: str) -> None:
        self._daemon = daemon
        self._headers = {"Content-Type": "application/json"}
        if credential:
            self._headers["Authorization"] = f"Bearer {credential}"
        self._connection = http.client.HTTPConnection(daemon.http.removeprefix("http://"))
        self._ask("note_create", b'{"inputs":{"id":"n","text":"x"}}')

    def round_us(self) -> float:
        """CPU of one request in a round of many."""
        self._connection.close()  # it may have been idle for too long
        before = cpu_s(self._daemon.process.pid)
        for _ in range(REQUESTS):
            self._ask("note_read", b'{"inputs":{"id":"n"}}')
        return (cpu_s(self._daemon.process.pid) - before) / REQUESTS * 1e6

    def _ask(self, workflow: str, body: bytes) -> None:
        self._connection.request("POST", f"/workflows/{workflow}/execute", body, self._headers)
        answer = self._connection.getresponse()
        text = answer.read()
        if answer.status != http.client.OK:
            raise SystemExit(text)


def main(rounds: int) -> None:
    """Print the figures."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "r.yaml").write_text(REGISTRY)

        def server(name: str, **variables: str) -> tuple[Daemon, dict[str, str]]:
            environment = {
                "DATABASE_URL": f"sqlite:///{folder}/{name}.db",
                "NEXUSD_REGISTRY__PATH": "r.yaml",
                "NEXUSD_MCP__ENABLED": "false",
                "NEXUSD_SERVER__LOG_LEVEL": "info",
                **variables,
            }
            return stack.enter_context(Daemon(folder, environment)), environment

        on = {"NEXUSD_AUTH__ENABLED": "true"}
        limit = {"NEXUSD_AUTH__RATE_LIMIT": '{"requests": 100000000, "per_s": 60}'}
        jwt = f'{{"issuer": "{ISSUER}", "audience": "{AUDIENCE}", "secret": "{SECRET}"}}'
        keyed, environment = server("key", **on)
        with app.open_keys(load_settings(None, environment)) as keys:
            key, _ = keys.create("bench", ["workflow:*:execute"], {}, None)
        asked = {
            "open": Asked(server("open")[0], ""),
            "key": Asked(keyed, key.text),
            "token": Asked(server("token", **on, NEXUSD_AUTH__JWT=jwt)[0], signed(SECRET, "HS256", claims())),
            "limit": Asked(server("limit", **limit)[0], ""),
        }
        order = list(asked)
        figures = [{name: asked[name].round_us() for name in order[:: 1 if n % 2 else -1]} for n in range(rounds)]
    for name in asked:
        least = min(figure[name] for figure in figures)
        ratio = statistics.median(figure[name] / figure["open"] for figure in figures)
        print(f"{name:6} {ratio:.3f} of open; at least {least:.1f} us CPU per execute")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7)
