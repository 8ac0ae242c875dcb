from __future__ import annotations

import io
import threading
from typing import TYPE_CHECKING

from nexusd.channels.cli.progress import Progress, waiting_told
from nexusd.events import DatabaseWaiting

if TYPE_CHECKING:
    import pytest

WAIT_S = 5.0


class Terminal(io.StringIO):
    """A terminal that says when something was written to it."""

    def __init__(self) -> None:
        super().__init__()
        self.written = threading.Event()

    def isatty(self) -> bool:
        """It is one."""
        return True

    def flush(self) -> None:
        """Note it."""
        self.written.set()


def test_seconds_are_counted_on_a_terminal_and_wiped_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    with Progress("running slow", interval_s=0.001):
        assert terminal.written.wait(WAIT_S)
    text = terminal.getvalue()
    assert text.startswith("\r\x1b[Krunning slow … 0 s")
    assert text.endswith("\r\x1b[K")


def test_nothing_is_written_where_no_terminal_is(capfd: pytest.CaptureFixture[str]) -> None:
    with Progress("running slow", interval_s=0.001) as progress:
        assert progress is not None
    assert capfd.readouterr() == ("", "")


def test_reason_of_a_wait_is_told_once(capfd: pytest.CaptureFixture[str]) -> None:
    observe = waiting_told()
    for reason in ("it does not answer", "it does not answer", "it starts"):
        observe(DatabaseWaiting(reason))
    assert capfd.readouterr().err == "waiting: it does not answer\nwaiting: it starts\n"
