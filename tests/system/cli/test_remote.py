"""`--server`: the command line as a client of a running daemon, and of what is none."""

from __future__ import annotations

import http.server
import json
import socket
import threading
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.commands import REGISTRY
from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"
WAIT_S = 5.0


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    (folder / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    with Daemon(folder, {"NEXUSD_MCP__ENABLED": "false"}, ("--registry", "registry.yaml")) as daemon:
        yield daemon


def test_run_on_a_server_gives_what_a_run_here_gives(nexusd: Nexusd, daemon: Daemon) -> None:
    done = nexusd(
        "run", "create_contact", "--server", daemon.http, "--name", "Ann", "--email", "ann@x.y", "--no-active"
    )
    assert (done.exit_code, done.err) == (0, "")
    created = done.payload["create"]
    assert (created["name"], created["active"]) == ("Ann", False)
    found = nexusd("run", "--server", daemon.http, "contact_read", "--id", created["id"])
    assert found.payload == {"read": created}


def test_dry_run_on_a_server_keeps_nothing(nexusd: Nexusd, daemon: Daemon) -> None:
    words = ("run", "create_contact", "--server", daemon.http, "--name", "Dry", "--email", "dry@x.y", "--dry-run")
    assert [nexusd(*words).exit_code, nexusd(*words).exit_code] == [0, 0]


def test_options_and_help_come_from_the_server(nexusd: Nexusd, daemon: Daemon) -> None:
    done = nexusd("run", "create_contact", "--server", daemon.http, "--help")
    assert done.exit_code == 0
    assert "--active [true|false]" in done.out
    assert nexusd("run", "create_contact", "--server", daemon.http, "--phone", "1").exit_code == 2


@pytest.mark.parametrize(
    ("words", "exit_code", "code"),
    [
        (["create_contact", "--name", "Ann"], 65, "invalid_input"),
        (["contact_read", "--id", "nobody"], 66, "record_not_found"),
        (["nowhere"], 66, "workflow_not_found"),
    ],
    ids=["invalid", "no record", "no workflow"],
)
def test_problem_of_a_server_is_told_as_it_came(
    nexusd: Nexusd, daemon: Daemon, words: list[str], exit_code: int, code: str
) -> None:
    done = nexusd("run", *words, "--server", daemon.http, "--output", "json")
    assert (done.exit_code, done.out, done.problem["code"]) == (exit_code, "", code)
    here = nexusd("run", *words, "--output", "json")
    assert (here.exit_code, here.problem["code"], here.problem["errors"]) == (exit_code, code, done.problem["errors"])


def test_setting_that_a_server_cannot_heed_is_refused(nexusd: Nexusd, daemon: Daemon) -> None:
    done = nexusd("run", "create_contact", "--server", daemon.http, "--database-url", "sqlite:///x.db")
    assert (done.exit_code, done.out) == (2, "")
    assert "--database-url has no effect with --server" in done.err


@pytest.mark.parametrize("url", ["localhost:8000", "ftp://localhost", "http://", "http://localhost:port"])
def test_url_must_be_one(nexusd: Nexusd, url: str) -> None:
    assert nexusd("run", "create_contact", "--server", url).exit_code == 2


def test_server_that_is_not_there_ends_with_69(nexusd: Nexusd) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        done = nexusd("run", "create_contact", "--server", url, "--name", "x")
    assert (done.exit_code, done.out) == (69, "")
    assert done.err == f"error: {url} cannot be reached (Connection refused)\n"


class Stranger(http.server.BaseHTTPRequestHandler):
    """Answers as nexusd does where it is asked for the workflow, and otherwise as it was told."""

    seen: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:
        """Show a workflow, or send elsewhere."""
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        if self.path.startswith("/moved"):
            self._answer(302, "text/html", b"", [("Location", "/elsewhere")])
        elif self.path.startswith("/page"):
            self._answer(200, "text/html", b"<html>")
        else:
            self._answer(200, "application/json", json.dumps({"inputs": {}}).encode())

    def do_POST(self) -> None:
        """Go away without an answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.seen.append((self.command, self.path, self.headers["Authorization"]))
        self.close_connection = True

    def _answer(self, status: int, kind: str, body: bytes, headers: list[tuple[str, str]] | None = None) -> None:
        self.send_response(status)
        for name, value in (("Content-Type", kind), ("Content-Length", str(len(body))), *(headers or [])):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def stranger() -> Iterator[str]:
    Stranger.seen = []
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join(WAIT_S)


def test_lost_answer_is_an_unknown_outcome(nexusd: Nexusd, stranger: str) -> None:
    done = nexusd("run", "create_contact", "--server", stranger, "--output", "json")
    assert (done.exit_code, done.out, done.problem["code"]) == (69, "", "unknown_outcome")
    assert [command for command, _, _ in Stranger.seen] == ["GET", "POST"]


def test_redirect_is_not_followed(nexusd: Nexusd, stranger: str) -> None:
    done = nexusd("run", "create_contact", "--server", f"{stranger}/moved")
    assert (done.exit_code, done.out) == (69, "")
    assert "answers 302, but not as nexusd does" in done.err
    assert len(Stranger.seen) == 1


def test_page_is_no_workflow(nexusd: Nexusd, stranger: str) -> None:
    done = nexusd("run", "create_contact", "--server", f"{stranger}/page")
    assert (done.exit_code, done.out) == (69, "")
    assert "but not as nexusd does" in done.err


@pytest.mark.parametrize("source", ["option", "environment"])
def test_key_is_sent_as_a_bearer_token(
    nexusd: Nexusd, stranger: str, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("NEXUSD_API_KEY", "nxd_1_secret" if source == "environment" else "other")
    words = ["--api-key", "nxd_1_secret"] if source == "option" else []
    nexusd("run", "create_contact", "--server", f"{stranger}/base/", *words)
    assert Stranger.seen == [
        ("GET", "/base/workflows/create_contact", "Bearer nxd_1_secret"),
        ("POST", "/base/workflows/create_contact/execute", "Bearer nxd_1_secret"),
    ]


def test_key_that_would_break_the_request_is_refused(nexusd: Nexusd, stranger: str) -> None:
    for key in ("a\r\nX-Evil: 1", "schlüssel"):
        assert nexusd("run", "create_contact", "--server", stranger, "--api-key", key).exit_code == 2
    assert Stranger.seen == []


def test_healthcheck_of_a_ready_server_ends_with_zero(nexusd: Nexusd, daemon: Daemon) -> None:
    port = daemon.http.rpartition(":")[2]
    done = nexusd("healthcheck", "--port", port)
    assert (done.exit_code, done.out, done.err) == (0, "ready\n", "")


def test_healthcheck_of_what_is_no_server_ends_with_one(nexusd: Nexusd, stranger: str) -> None:
    port = stranger.rpartition(":")[2]
    assert nexusd("healthcheck", "--port", port).exit_code == 0
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        assert nexusd("healthcheck", "--port", str(bound.getsockname()[1])).exit_code == 1
