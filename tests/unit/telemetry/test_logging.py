from __future__ import annotations

import io
import json
import logging
import re

from nexusd.events import ErrorUnexpected, ExecutionFinished, RequestFinished, RequestShed, TransactionBegun
from nexusd.telemetry.console import console_renderer
from nexusd.telemetry.logging import LibraryHandler, LogSink

FINISHED = RequestFinished("http", "POST", "/workflows/{name}/execute", 200, "r1", 0.0123456789, "127.0.0.1", "key:ci")


def test_line_is_json_without_what_has_no_value() -> None:
    stream = io.StringIO()
    LogSink("info", stream, constants={"worker": 2})(FINISHED)

    line = json.loads(stream.getvalue())
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line.pop("timestamp"))
    assert line == {
        "level": "info",
        "event": "request.finished",
        "worker": 2,
        "channel": "http",
        "method": "POST",
        "route": "/workflows/{name}/execute",
        "status": 200,
        "request_id": "r1",
        "duration_s": 0.0123456789,
        "client": "127.0.0.1",
        "principal": "key:ci",
    }


def test_events_below_the_level_are_left_out() -> None:
    stream = io.StringIO()
    sink = LogSink("warning", stream)
    for event in (FINISHED, TransactionBegun(), ExecutionFinished("w", "http", "e", "r", 0.1)):
        sink(event)
    sink(RequestShed("http", "max_in_flight"))

    assert [json.loads(line)["event"] for line in stream.getvalue().splitlines()] == ["request.shed"]


def test_event_without_keys_is_a_line() -> None:
    stream = io.StringIO()
    LogSink("debug", stream)(TransactionBegun())

    assert json.loads(stream.getvalue())["event"] == "transaction.begun"


def test_text_that_looks_like_an_absent_key_is_kept() -> None:
    stream = io.StringIO()
    LogSink("info", stream)(RequestFinished("http", "GET", '/,"client":null', 200, "r", 0.1))

    line = json.loads(stream.getvalue())
    assert line["route"] == '/,"client":null'
    assert "client" not in line


def test_line_ends_stay_inside_their_line() -> None:
    stream = io.StringIO()
    LogSink("info", stream)(ErrorUnexpected("runtime", "r", "ValueError", "one\ntwo"))

    assert json.loads(stream.getvalue())["traceback"] == "one\ntwo"


def test_terminal_gets_text() -> None:
    stream = io.StringIO()
    LogSink("info", stream, console_renderer(colors=False))(FINISHED)

    assert "request.finished" in stream.getvalue()
    assert "route=/workflows/{name}/execute" in stream.getvalue()


def test_library_lines_have_no_values() -> None:
    stream = io.StringIO()
    handler = LibraryHandler(LogSink("info", stream))
    handler.emit(logging.LogRecord("lib", logging.CRITICAL, "", 0, "broken: %s", ("a secret",), None))

    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"], line["logger"], line["template"]) == (
        "library.logged",
        "error",
        "lib",
        "broken: %s",
    )
    assert "secret" not in stream.getvalue()
