"""The log: one line per event on standard error, text on a terminal, JSON otherwise.

A line of JSON costs one to two microseconds to make and a tenth to hand over; structlog takes seven to nine, so it
renders only what people read (`console.py`).
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TextIO, TypeAlias, cast

import msgspec
from msgspec.structs import asdict, fields

from nexusd.events import ServerAborted, ServerStopped
from nexusd.telemetry.lines import LineWriter

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

    from nexusd.events import Event, Observer

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}

Render: TypeAlias = Callable[[Mapping[str, object]], bytes]
"""Makes a line for people out of `timestamp`, `level`, `event` and the event's keys."""

_LAST: Final = (ServerStopped, ServerAborted)
"""Events after which the process may end at once."""

_encode: Final = msgspec.json.Encoder().encode


class LogSink:
    """An observer that writes events; a context manager that has written all when it is left.

    Args:
        log_level: events below it are dropped.
        stream: what has no file descriptor is written to directly.
        render: makes the lines, where they are not JSON.
        constants: keys of every line, such as `worker`.
    """

    def __init__(
        self,
        log_level: str,
        stream: TextIO | None = None,
        render: Render | None = None,
        constants: Mapping[str, object] | None = None,
    ) -> None:
        self._threshold = LEVELS[log_level]
        self._render = render
        self._constants = dict(constants or {})
        self._heads: dict[type[Event], tuple[bytes, tuple[bytes, ...]]] = {}
        self._second = (0, b"")
        target = sys.stderr if stream is None else stream
        try:
            self._writer: LineWriter | None = LineWriter(target.fileno())
            self._write = self._writer.write
        except OSError:
            self._writer = None
            self._write = lambda line: cast("None", target.write(line.decode()))

    def __call__(self, event: Event) -> None:
        """Write one event, if its level is wanted."""
        if LEVELS[event.level] >= self._threshold:
            self._tell(event)

    def handler(self, kind: type[Event]) -> Observer | None:
        """What writes events of this kind, if their level is wanted."""
        return self._tell if LEVELS[kind.level] >= self._threshold else None

    def _tell(self, event: Event) -> None:
        if self._render is None:
            self._write(self._json(event))
        else:
            given = {name: value for name, value in asdict(event).items() if value is not None}
            self._write(self._render({**self._beginning(event.level, event.name), **given}))
        if isinstance(event, _LAST):
            self.flush()

    def _json(self, event: Event) -> bytes:
        """A line of JSON, made of as few pieces as possible."""
        kind = type(event)
        known = self._heads.get(kind)
        if known is None:
            constants = {"level": event.level, "event": event.name, **self._constants}
            absent = tuple(f',"{field.name}":null'.encode() for field in fields(kind) if "None" in str(field.type))
            known = self._heads[kind] = b'Z",' + _encode(constants)[1:-1], absent
        head, absent = known
        values = _encode(event)
        # Quotes inside a text are escaped, so this can only be a key without a value.
        for piece in absent:
            values = values.replace(piece, b"")
        return b'{"timestamp":"%b%b%b\n' % (self._time(), head, b"," + values[1:] if values != b"{}" else b"}")

    def library(self, level: int, logger: str, template: str, error: str | None) -> None:
        """Write a line that a library logged."""
        if level >= self._threshold:
            word = next(word for word, number in reversed(LEVELS.items()) if number <= level)
            line = {**self._beginning(word, "library.logged"), "logger": logger, "template": template}
            if error is not None:
                line["error_type"] = error
            self._write(_encode(line) + b"\n" if self._render is None else self._render(line))

    @property
    def dropped(self) -> int:
        """How many lines were not written because too many waited."""
        return 0 if self._writer is None else self._writer.dropped

    def flush(self) -> None:
        """Write what was observed so far."""
        if self._writer is not None:
            self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.flush()

    def _beginning(self, level: str, name: str) -> dict[str, object]:
        return {"timestamp": f"{self._time().decode()}Z", "level": level, "event": name, **self._constants}

    def _time(self) -> bytes:
        """Now, RFC 3339 in UTC with milliseconds, without the Z."""
        now = time.time()
        second, text = self._second
        if int(now) != second:
            second = int(now)
            text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second)).encode()
            self._second = second, text
        return b"%b.%03d" % (text, (now - second) * 1000)


class LibraryHandler(logging.Handler):
    """Passes warnings of libraries on, without their arguments: those may hold a value or a secret."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__(logging.WARNING)
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        """Write the record's message template, its logger and the type of its exception."""
        error = record.exc_info[0].__qualname__ if record.exc_info and record.exc_info[0] else None
        self._sink.library(record.levelno, record.name, str(record.msg), error)


def capture_libraries(sink: LogSink) -> None:
    """Send what libraries log at warning and above to `sink`, and nothing anywhere else."""
    root = logging.getLogger()
    root.handlers[:] = [LibraryHandler(sink)]
    root.setLevel(logging.WARNING)
    logging.captureWarnings(capture=True)
