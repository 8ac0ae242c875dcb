"""Clients that each have one request out at a time, over kept connections: `python -m tests.support.closed_loop SPEC`.

In a process of its own, so that it does not take turns with what it measures. SPEC is JSON: `host`, `port`, `path`,
`body`, `clients`, `duration_s`. Prints JSON: answers by status, failures, and the sorted latencies of the 200s in ms.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field

import httptools


@dataclass
class Tally:
    """What came of the requests of one run.

    Attributes:
        statuses: answers by status.
        failures: requests that were not answered.
        latencies_ms: of each 200 while all clients asked, ascending.
    """

    statuses: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    latencies_ms: list[float] = field(default_factory=list)

    @property
    def completed(self) -> int:
        """Answers of status 200."""
        return self.statuses.get("200", 0)

    def percentile_ms(self, percent: float) -> float:
        """The latency that this part of the 200s did not exceed."""
        return self.latencies_ms[int((len(self.latencies_ms) - 1) * percent / 100)]


class _Answer:
    """Notes the end of an answer."""

    done = False

    def on_message_complete(self) -> None:
        self.done = True


async def _client(spec: dict[str, object], end: float, tally: Tally) -> None:
    body = str(spec["body"]).encode()
    head = f"POST {spec['path']} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    reader, writer = await asyncio.open_connection(str(spec["host"]), int(str(spec["port"])))
    while time.perf_counter() < end:
        started = time.perf_counter()
        writer.write(request)
        answer = _Answer()
        parser = httptools.HttpResponseParser(answer)
        while not answer.done:
            chunk = await reader.read(65536)
            if not chunk:
                tally.failures += 1
                return
            parser.feed_data(chunk)
        status = str(parser.get_status_code())
        tally.statuses[status] = tally.statuses.get(status, 0) + 1
        if status == "200" and time.perf_counter() < end:
            tally.latencies_ms.append((time.perf_counter() - started) * 1000)
    writer.close()


async def _run(spec: dict[str, object]) -> Tally:
    tally = Tally()
    end = time.perf_counter() + float(str(spec["duration_s"]))
    await asyncio.gather(*(_client(spec, end, tally) for _ in range(int(str(spec["clients"])))))
    tally.latencies_ms.sort()
    return tally


def run_clients(base: str, path: str, body: str, *, clients: int, duration_s: float) -> Tally:
    """Let so many clients ask for so long, in another process.

    `base` is such as `http://127.0.0.1:8000`.
    """
    host, _, port = base.removeprefix("http://").rpartition(":")
    spec = {"host": host, "port": port, "path": path, "body": body, "clients": clients, "duration_s": duration_s}
    command = [sys.executable, "-m", "tests.support.closed_loop", json.dumps(spec)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=duration_s + 30, check=True)
    return Tally(**json.loads(done.stdout))


if __name__ == "__main__":
    found = asyncio.run(_run(json.loads(sys.argv[1])))
    sys.stdout.write(json.dumps(found.__dict__))
