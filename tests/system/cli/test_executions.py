"""`nexusd executions`: the history of a running daemon."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.commands import REGISTRY
from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    with Daemon(folder, {"NEXUSD_MCP__ENABLED": "false"}, ("--registry", "registry.yaml")) as daemon:
        yield daemon


def run_once(daemon: Daemon, **inputs: str) -> str:
    return str(daemon.execute("create_contact", inputs).json()["execution_id"])


def test_list_shows_the_latest_first(nexusd: Nexusd, daemon: Daemon) -> None:
    ids = [run_once(daemon, name="Ann", email=f"list{n}@x.y") for n in range(2)]
    done = nexusd("executions", "list", "--server", daemon.http, "--limit", "2", "--workflow", "create_contact")
    assert (done.exit_code, done.err) == (0, "")
    assert [each["execution_id"] for each in done.payload["executions"]] == ids[::-1]


def test_table_of_executions_says_how_to_go_on(nexusd: Nexusd, daemon: Daemon) -> None:
    last = [run_once(daemon, name="Ann", email=f"table{n}@x.y") for n in range(2)][-1]
    done = nexusd("executions", "list", "--server", daemon.http, "--limit", "1", "--output", "table")
    lines = done.out.splitlines()
    assert lines[0].split() == ["EXECUTION_ID", "WORKFLOW", "STATUS", "CHANNEL", "STARTED_AT", "DURATION_MS"]
    assert lines[1].split()[:4] == [last, "create_contact", "completed", "http"]
    assert done.err == f"more: --cursor {last}\n"


def test_server_is_that_of_the_settings_unless_named(nexusd: Nexusd, daemon: Daemon) -> None:
    port = daemon.http.rpartition(":")[2]
    for host in ("127.0.0.1", "0.0.0.0"):
        words = ("--set", f"http.port={port}", "--set", f"http.host={host}", "--set", "server.insecure=true")
        assert nexusd("executions", "list", *words).exit_code == 0


@pytest.mark.parametrize("verb", ["show", "cancel"])
def test_one_execution_is_shown_as_it_ended(nexusd: Nexusd, daemon: Daemon, verb: str) -> None:
    execution = run_once(daemon, name="Ann", email=f"{verb}@x.y")
    done = nexusd("executions", verb, execution, "--server", daemon.http)
    assert (done.exit_code, done.payload["status"]) == (0, "completed")
    table = nexusd("executions", verb, execution, "--server", daemon.http, "--output", "table")
    assert ["status", "completed"] in [line.split() for line in table.out.splitlines()]


def test_follow_ends_as_the_run_did(nexusd: Nexusd, daemon: Daemon) -> None:
    execution = run_once(daemon, name="Ann", email="follow@x.y")
    done = nexusd("executions", "follow", execution, "--server", daemon.http)
    assert (done.exit_code, done.err) == (0, "")
    events = [json.loads(line) for line in done.out.splitlines()]
    assert [event["event"] for event in events] == ["execution.started", "execution.completed"]


def test_follow_of_a_failed_run_tells_its_problem(nexusd: Nexusd, daemon: Daemon) -> None:
    run_once(daemon, name="Ann", email="twice@x.y")
    failed = daemon.execute("create_contact", {"name": "Ann", "email": "twice@x.y"}).json()["execution_id"]
    done = nexusd("executions", "follow", failed, "--server", daemon.http)
    assert done.exit_code == 65
    assert "(unique_violation)" in done.err
    assert json.loads(done.out.splitlines()[-1])["event"] == "execution.failed"


@pytest.mark.parametrize("verb", ["show", "cancel", "follow"])
def test_execution_that_is_not_there_ends_with_66(nexusd: Nexusd, daemon: Daemon, verb: str) -> None:
    done = nexusd("executions", verb, "nowhere", "--server", daemon.http)
    assert (done.exit_code, done.out) == (66, "")
    assert "(execution_not_found)" in done.err


def test_wrong_status_is_told_by_the_server(nexusd: Nexusd, daemon: Daemon) -> None:
    done = nexusd("executions", "list", "--server", daemon.http, "--status", "done", "--output", "json")
    assert (done.exit_code, done.problem["errors"][0]["pointer"]) == (65, "/query/status")
