"""The real process: started as a user would start it, ended by its pid."""

from __future__ import annotations

import json
import os
import queue
import re
import signal
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

import httpx

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

ROOT = Path(__file__).resolve().parents[2]
START_S = 30.0
STOP_S = 30.0


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without anything that would configure a daemon, and `extra`."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NEXUSD_") and k not in _SHORT_NAMES}
    return kept | {"PYTHONUNBUFFERED": "1"} | dict(extra or {})


_SHORT_NAMES = frozenset({"DATABASE_URL", "API_PORT", "MCP_PORT", "PORT"})


def run_cli(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    stdin: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run `nexusd` with these arguments to its end."""
    return subprocess.run(
        [sys.executable, "-m", "nexusd", *arguments],
        cwd=cwd,
        env=clean_environment(env),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def _secrets(environment: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """What in an environment is nobody's business: keys and secrets, and passwords in URLs."""
    for name, value in environment.items():
        password = urlsplit(value).password if name.endswith("_URL") else None
        if password:
            yield name, password
        if value.startswith(("{", "[")):
            yield from ((name, found) for found in re.findall(r'"(?:secret|sha256)": "([^"]+)"', value))
        elif re.search(r"_(?:KEY|SECRET|PASSWORD)$", name):
            yield name, value


def _is_telling(value: str) -> bool:
    """Whether a value that is found in a log can only have come from the request."""
    return len(value) >= 8 and not re.fullmatch(r"[a-z_-]+(?:/[a-z_-]+)?", value)


@dataclass
class Daemon:
    """`nexusd serve` on free ports; a context manager that waits until it is ready, ends it, and reads its log.

    Attributes:
        arguments: further arguments of `serve`.
        env: environment variables on top of a clean environment.
    """

    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    command: tuple[str, ...] = (sys.executable, "-m", "nexusd")
    verb: tuple[str, ...] = ("serve",)
    log: list[dict[str, object]] = field(default_factory=list)
    _sent: list[tuple[str, str]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Start, and wait for `server.ready`."""
        self.start()
        try:
            self.wait_for("server.ready")
        except BaseException:
            self.stop()
            raise
        return self

    def start(self) -> None:
        """Start the process without waiting for anything."""
        ports = {"NEXUSD_HTTP__PORT": "0", "NEXUSD_MCP__PORT": "0", "NEXUSD_SERVER__LOG_FORMAT": "json"}
        self.process = subprocess.Popen(
            [*self.command, *self.verb, *self.arguments],
            cwd=self.cwd,
            env=clean_environment(ports | dict(self.env)),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._lines: queue.Queue[dict[str, object] | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {"event": "text", "text": line.rstrip("\n")}
            self.log.append(entry)
            self._lines.put(entry)
        self._lines.put(None)

    def wait_for(self, event: str) -> dict[str, object]:
        """The next log entry of that event; fails with the log if the process ends first."""
        while True:
            entry = self._lines.get(timeout=START_S)
            if entry is None:
                message = f"the daemon ended with {self.process.wait(STOP_S)} before {event}: {self.log}"
                raise AssertionError(message)
            if entry["event"] == event:
                return entry

    def address(self, channel: str) -> str:
        """Where a channel answers, such as `http://127.0.0.1:40123`."""
        for entry in self.log:
            if entry["event"] == "channel.started" and entry["channel"] == channel:
                return str(entry["address"])
        message = f"{channel} has not started: {self.log}"
        raise AssertionError(message)

    @property
    def http(self) -> str:
        """The base URL of the HTTP channel."""
        return self.address("http")

    @property
    def mcp(self) -> str:
        """The URL of the MCP endpoint."""
        return self.address("mcp")

    def execute(self, workflow: str, inputs: Mapping[str, object], **headers: str) -> httpx.Response:
        """POST the inputs to a workflow."""
        url = f"{self.http}/workflows/{workflow}/execute"
        sent = {**inputs, **headers}
        self._sent += [(name, value) for name, value in sent.items() if isinstance(value, str) and _is_telling(value)]
        return httpx.post(url, json={"inputs": inputs}, headers=headers, timeout=10)

    def stop(self, sig: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and wait for the end; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(sig)
        code = self.process.wait(STOP_S)
        self._reader.join(STOP_S)
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        return code

    def check_log(self) -> None:
        """Nothing that the daemon was given to keep to itself, or that a row holds, may be in its log."""
        log = json.dumps(self.log, ensure_ascii=False)
        assert [name for name, secret in (*_secrets(self.env), *self._sent) if secret in log] == []

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process; kill it if it does not end."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(STOP_S)
            if error is None:
                raise
        if error is None:
            self.check_log()
