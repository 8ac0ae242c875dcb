from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nexusd.errors import ConfigurationError
from nexusd.events import FailpointArmed, GroupSynced, TransactionBegun
from nexusd.settings import HttpSettings, Settings
from nexusd.telemetry.failpoints import arm

if TYPE_CHECKING:
    from nexusd.events import Event


def code_of(text: str, count: int) -> int:
    """The exit code of a process that observes so many groups under a failpoint."""
    program = (
        "from nexusd.telemetry.failpoints import arm; from nexusd.settings import Settings;"
        " from nexusd.events import GroupSynced, TransactionBegun, ignore;"
        f"point = arm({text!r}, Settings(), ignore);"
        f"[(point(TransactionBegun()), point(GroupSynced(1))) for _ in range({count})]"
    )
    return subprocess.run([sys.executable, "-c", program], check=False).returncode


def test_process_ends_at_the_event_that_was_meant() -> None:
    assert [code_of("group.synced:exit@3", count) for count in (2, 3)] == [0, 86]
    assert [code_of("group.synced:kill", count) for count in (0, 1)] == [0, -9]


def test_armed_failpoint_is_told() -> None:
    seen: list[Event] = []
    point = arm("transaction.begun:sleep=0", Settings(), seen.append)
    point(TransactionBegun())
    point(GroupSynced(1))
    assert seen == [FailpointArmed("transaction.begun", "sleep=0")]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("transaction.begun", "must be EVENT:exit"),
        ("transaction.begun:stop", "must be EVENT:exit"),
        ("transaction.begun:sleep=1.2.3", "must be EVENT:exit"),
        ("transaction.begun:exit@0", "must be EVENT:exit"),
        ("transaction.began:exit", "there is no event 'transaction.began'"),
    ],
)
def test_what_cannot_be_armed_is_a_mistake_in_the_configuration(text: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        arm(text, Settings(), lambda _event: None)


def test_failpoint_is_refused_where_other_machines_reach_the_server() -> None:
    settings = replace(Settings(), http=replace(HttpSettings(), host="0.0.0.0"))
    with pytest.raises(ConfigurationError, match="other machines"):
        arm("transaction.begun:exit", settings, lambda _event: None)
