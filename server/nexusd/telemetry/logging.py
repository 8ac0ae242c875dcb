"""The log: one line per event, on standard error; text on a terminal, JSON otherwise."""

from __future__ import annotations

import logging
import sys
from dataclasses import fields
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

import msgspec

# structlog loads `rich` (200 ms) for tracebacks that nexusd never prints; while it is imported, rich counts as absent.
_RICH = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _RICH is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _RICH

if TYPE_CHECKING:
    from nexusd.events import Event

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40}


class LogSink:
    """An observer that writes events.

    Args:
        log_format: `auto` (console on a terminal, JSON else), `console` or `json`.
        log_level: events below it are dropped.
    """

    def __init__(self, log_format: str, log_level: str, stream: TextIO | None = None) -> None:
        self._threshold = LEVELS[log_level]
        target = sys.stderr if stream is None else stream
        console = target.isatty() if log_format == "auto" else log_format == "console"
        renderer: structlog.typing.Processor = (
            structlog.dev.ConsoleRenderer(colors=target.isatty(), pad_event_to=0)
            if console
            else structlog.processors.JSONRenderer(serializer=_json)
        )
        self._logger: structlog.typing.FilteringBoundLogger = structlog.wrap_logger(
            structlog.PrintLogger(target),
            processors=[structlog.processors.add_log_level, _add_time, renderer],
            wrapper_class=structlog.make_filtering_bound_logger(self._threshold),
        )

    def __call__(self, event: Event) -> None:
        """Write one event, if its level is wanted."""
        level = LEVELS[event.level]
        if level >= self._threshold:
            values = {f.name: value for f in fields(event) if (value := getattr(event, f.name)) is not None}
            self._logger.log(level, event.name, **values)

    def library(self, level: int, logger: str, template: str, error: str | None) -> None:
        """Write a line that a library logged."""
        if level >= self._threshold:
            self._logger.log(level, "library.logged", logger=logger, template=template, error_type=error)


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


def _add_time(
    _logger: structlog.typing.WrappedLogger, _method: str, event: structlog.typing.EventDict
) -> structlog.typing.EventDict:
    event["timestamp"] = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return event


def _json(event: structlog.typing.EventDict, **_options: object) -> str:
    return msgspec.json.encode(event).decode()
