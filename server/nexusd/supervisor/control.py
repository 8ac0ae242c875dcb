"""The control socket: how `nexusd reload` finds a running server of its user's and hears what came of it.

A Unix socket in a folder that is the user's alone, so whoever reaches it may do what a signal could do anyway. A line
asks, a line of JSON answers.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.errors import ConfigurationError, Problem, StartupError
from nexusd.events import ControlFailed
from nexusd.supervisor.reload import Reloaded

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexusd.events import Observer
    from nexusd.settings import Settings
    from nexusd.supervisor.reload import Outcome, Reloads

RELOAD: Final = b"reload\n"
ASK_S: Final = 5.0
LAST_WORD_S: Final = 1.0
LONGEST_HOST: Final = 40
"""A socket's path may have about 100 bytes."""


class ControlError(Exception):
    """The socket cannot be used; the message says why."""


class Refusal(msgspec.Struct, tag="refused", kw_only=True):
    """Why a reload changed nothing: `problems` of a configuration, else `detail`."""

    exit_code: int
    detail: str
    problems: tuple[Problem, ...] = ()


class Success(msgspec.Struct, tag="reloaded", kw_only=True):
    """What is served after a reload."""

    reloaded: Reloaded


_answers: Final = msgspec.json.Decoder(Refusal | Success)


def control_path(settings: Settings, port: int) -> Path:
    """Where the socket of the server at that HTTP port is."""
    if settings.server.control_socket:
        return Path(settings.server.control_socket)
    host = settings.http.host.strip("[]").replace("/", "_")[:LONGEST_HOST]
    return Path(tempfile.gettempdir()) / f"nexusd-{os.geteuid()}" / f"{host}-{port}.sock"


def ask_for_reload(settings: Settings, port: int) -> Outcome:
    """Have the running server reload, and wait for what comes of it.

    Raises:
        ControlError: there is no such server, or it ended before it answered.
    """
    path = control_path(settings, port)
    _check_folder(settings, path.parent)
    with socket.socket(socket.AF_UNIX) as sock:
        try:
            sock.connect(str(path))
        except OSError as error:
            message = f"no server of this user answers at {path}"
            raise ControlError(message) from error
        try:
            sock.sendall(RELOAD)
            with sock.makefile("rb") as answer:
                return _read(answer.readline())
        except (OSError, msgspec.DecodeError) as error:
            message = "the server ended before it could answer"
            raise ControlError(message) from error


@contextlib.asynccontextmanager
async def control_socket(settings: Settings, port: int, reloads: Reloads, observe: Observer) -> AsyncIterator[None]:
    """Answer on the socket in this block; a server that cannot have one says so and serves without.

    Args:
        settings: say where.
        port: of HTTP.
        reloads: are made in a block inside this one, so that whoever waits at its end is still told.
        observe: told if there is no socket.
    """
    path = control_path(settings, port)
    try:
        sock = _bound(settings, path)
    except (OSError, ControlError) as error:
        observe(
            ControlFailed(str(path), error.strerror if isinstance(error, OSError) and error.strerror else str(error))
        )
        yield
        return
    inode = path.stat().st_ino
    taken: set[asyncio.Task[None]] = set()

    def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(answer(reader, writer))
        taken.add(task)
        task.add_done_callback(taken.discard)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(TimeoutError, OSError, ValueError):
            async with asyncio.timeout(ASK_S):
                asked = await reader.readline()
            if asked == RELOAD:
                writer.write(_written(await asyncio.shield(reloads.ask())))
                await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(take, sock=sock)
    try:
        yield
    finally:
        server.close()
        if taken:
            await asyncio.wait(taken, timeout=LAST_WORD_S)
        with contextlib.suppress(FileNotFoundError):
            if path.stat().st_ino == inode:
                path.unlink()


def _bound(settings: Settings, path: Path) -> socket.socket:
    """A socket at the path, that only this user can connect to."""
    if not settings.server.control_socket:
        path.parent.mkdir(mode=0o700, exist_ok=True)
    _check_folder(settings, path.parent)
    if _answers_at(path):
        raise ControlError("another server answers there")
    sock = socket.socket(socket.AF_UNIX)
    try:
        # What is there was left by a process that was killed.
        path.unlink(missing_ok=True)
        sock.bind(str(path))
        # Nobody can connect before it listens.
        path.chmod(0o600)
    except BaseException:
        sock.close()
        raise
    return sock


def _answers_at(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            return False
    return True


def _check_folder(settings: Settings, folder: Path) -> None:
    """Refuse a folder in a place open to all that somebody else has made, or may write to."""
    if settings.server.control_socket:
        return
    try:
        found = folder.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        message = f"{folder} is not a folder of this user's alone; set server.control_socket"
        raise ControlError(message)


def _written(outcome: Outcome) -> bytes:
    answer: Refusal | Success
    if isinstance(outcome, Reloaded):
        answer = Success(reloaded=outcome)
    else:
        problems = outcome.problems if isinstance(outcome, ConfigurationError) else ()
        answer = Refusal(exit_code=outcome.exit_code, detail=outcome.detail, problems=problems)
    return msgspec.json.encode(answer) + b"\n"


def _read(line: bytes) -> Outcome:
    answer = _answers.decode(line)
    if isinstance(answer, Success):
        return answer.reloaded
    if answer.problems:
        return ConfigurationError(answer.problems)
    error = StartupError(answer.detail)
    error.exit_code = answer.exit_code
    return error
