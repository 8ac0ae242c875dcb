"""How a process starts, and how it does not."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest

from nexusd import __version__
from tests.support.daemon import ROOT, STOP_S, Daemon, clean_environment, run_cli

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

REGISTRY = str(ROOT / "config" / "registry.yaml")


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{tmp_path}/n.db", "NEXUSD_REGISTRY__PATH": REGISTRY}


@pytest.mark.parametrize("variable", ["NEXUSD_HTTP__PORT", "NEXUSD_MCP__PORT"])
def test_a_taken_port_is_one_line_and_exit_69_and_nothing_was_started(
    tmp_path: Path, environment: dict[str, str], variable: str
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        other = "NEXUSD_MCP__PORT" if "HTTP" in variable else "NEXUSD_HTTP__PORT"

        ended = run_cli("serve", cwd=tmp_path, env={**environment, variable: str(port), other: "0"})

    assert ended.returncode == 69
    last = ended.stderr.splitlines()[-1]
    assert last == f"error: cannot listen on 127.0.0.1:{port}: another process uses the port"
    assert not (tmp_path / "n.db").exists()


def test_five_mistakes_are_told_at_once_and_nothing_is_started(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text(
        """version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      email: {type: strr}
      score: {type: int, default: "8"}
    tabel: contacts
workflows:
  a: {nodes: {c: {type: ContactCreateNode, parms: {}}}}
  b: {nodez: {}}
"""
    )
    for command in ("check", "serve"):
        ended = run_cli(command, cwd=tmp_path, env={"NEXUSD_REGISTRY__PATH": "r.yaml"})

        assert ended.returncode == 78
        heads = re.findall(r"^r\.yaml:(\d+):(\d+): ", ended.stderr, re.MULTILINE)
        assert heads == [("6", "21"), ("7", "35"), ("8", "5"), ("10", "44"), ("11", "6"), ("11", "7")]
        assert "hint: did you mean 'str'?" in ended.stderr
        assert ended.stderr.splitlines()[-1] == "error: 6 problems"
        assert ended.stdout == ""
    assert list(tmp_path.iterdir()) == [tmp_path / "r.yaml"]


@pytest.mark.parametrize(
    ("variable", "value", "exit_code"),
    [
        ("NEXUSD_REGISTRY__PATH", "none.yaml", 78),
        ("NEXUSD_HTTP__PORT", "many", 78),
        ("NEXUSD_DATABASE__URL", "sqlite:////none/at/all.db", 7),
    ],
)
def test_serve_ends_alike_with_options_and_without(
    tmp_path: Path, environment: dict[str, str], variable: str, value: str, exit_code: int
) -> None:
    """Without any, it starts before the rest of the command line is imported."""
    del environment["DATABASE_URL"]
    environment |= {"NEXUSD_HTTP__PORT": "0", "NEXUSD_MCP__PORT": "0", variable: value}
    alone = run_cli("serve", cwd=tmp_path, env=environment)
    with_options = run_cli("serve", "--set", "server.log_level=error", cwd=tmp_path, env=environment)

    assert (alone.returncode, with_options.returncode) == (exit_code, exit_code)
    told = alone.stderr.splitlines()[-1]
    assert with_options.stderr.splitlines()[-1] == told
    assert "error: " in alone.stderr


def test_check_tells_problems_as_json_and_as_annotations(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nmodles: {}\n")
    env = {"NEXUSD_REGISTRY__PATH": "r.yaml"}

    as_json = run_cli("check", "--output", "json", cwd=tmp_path, env=env)
    as_notes = run_cli("check", "--output", "github", cwd=tmp_path, env=env)

    assert (as_json.returncode, as_notes.returncode) == (78, 78)
    assert json.loads(as_json.stdout)["problems"] == [
        {
            "file": "r.yaml",
            "line": 2,
            "column": 1,
            "length": 6,
            "message": "unknown key 'modles' in the registry",
            "hint": "did you mean 'models'?",
        }
    ]
    assert as_notes.stdout.startswith("::error file=r.yaml,line=2,col=1::unknown key 'modles'")


def test_an_open_address_without_authentication_is_refused(tmp_path: Path, environment: dict[str, str]) -> None:
    ended = run_cli("serve", "--host", "0.0.0.0", cwd=tmp_path, env=environment)

    assert ended.returncode == 78
    assert "--insecure" in ended.stderr


def test_a_sigterm_while_the_database_is_waited_for_ends_the_start(
    tmp_path: Path, environment: dict[str, str], postgres_server: PostgresServer
) -> None:
    environment["DATABASE_URL"] = postgres_server.url("postgres")
    postgres_server.stop("fast")
    daemon = Daemon(tmp_path, environment)
    daemon.start()
    daemon.wait_for("database.waiting")

    assert daemon.stop() == 143


def test_health_is_told_and_healthcheck_agrees(tmp_path: Path, environment: dict[str, str]) -> None:
    with Daemon(tmp_path, environment) as daemon:
        port = daemon.http.rpartition(":")[2]
        summary = httpx.get(f"{daemon.http}/health")
        states = [httpx.get(f"{daemon.http}/health/{name}").status_code for name in ("live", "ready")]
        answered = run_cli("healthcheck", cwd=tmp_path, env={"NEXUSD_HTTP__PORT": port})

    assert summary.json() == {
        "status": "ok",
        "checks": {"http": "ready", "mcp": "ready", "database": "ok", "migrations": "ok"},
        "version": __version__,
    }
    assert (states, answered.returncode) == ([200, 200], 0)
    assert run_cli("healthcheck", cwd=tmp_path, env={"NEXUSD_HTTP__PORT": port}).returncode == 1


def test_without_mcp_there_is_no_second_port(tmp_path: Path, environment: dict[str, str]) -> None:
    with Daemon(tmp_path, {**environment, "NEXUSD_MCP__ENABLED": "false"}) as daemon:
        assert httpx.get(f"{daemon.http}/health").json()["checks"] == {
            "http": "ready",
            "database": "ok",
            "migrations": "ok",
        }


def test_a_second_start_keeps_rows_and_applies_nothing(tmp_path: Path, environment: dict[str, str]) -> None:
    with Daemon(tmp_path, environment) as daemon:
        daemon.execute("create_contact", {"name": "a", "email": "a@b.c"})
    with Daemon(tmp_path, environment) as daemon:
        assert daemon.execute("create_contact", {"name": "a", "email": "a@b.c"}).status_code == 409
    applied = [entry for entry in daemon.log if entry["event"] == "migration.applied"]
    assert [(entry["verdict"], entry["steps"]) for entry in applied] == [("unchanged", 0)]


TELL_MODULES = (
    "import sys, runpy; sys.argv = ['nexusd', *sys.argv[1:]]\n"
    "try: runpy.run_module('nexusd', run_name='__main__', alter_sys=True)\n"
    "except SystemExit: pass\n"
    "print('modules:', *sys.modules, file=sys.stderr)"
)


def imported_by(*arguments: str, cwd: Path) -> set[str]:
    ended = subprocess.run(
        [sys.executable, "-c", TELL_MODULES, *arguments],
        cwd=cwd,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return set(ended.stderr.splitlines()[-1].split())


def test_help_imports_no_driver_and_no_mcp(tmp_path: Path) -> None:
    modules = imported_by("--help", cwd=tmp_path)

    assert "typer" in modules
    assert modules & {"mcp", "psycopg", "asyncpg", "uvicorn"} <= {"uvicorn"}


def test_version_and_healthcheck_do_not_import_the_command_line(tmp_path: Path) -> None:
    assert "typer" not in imported_by("version", cwd=tmp_path)
    assert "typer" not in imported_by("healthcheck", cwd=tmp_path)


def test_serve_without_options_imports_no_command_line(tmp_path: Path, environment: dict[str, str]) -> None:
    """Reading options is a third of a start."""
    environment["NEXUSD_MCP__ENABLED"] = "false"
    with Daemon(tmp_path, environment, command=(sys.executable, "-c", TELL_MODULES)) as daemon:
        pass
    modules = set(str(daemon.log[-1]["text"]).split())
    assert "modules:" in modules
    assert modules & {"typer", "pydantic", "mcp", "psycopg", "asyncpg"} == set()


@pytest.mark.parametrize("workflow", ["create_contact", "contact_workflow"])
def test_the_python_example_serves_what_the_registry_serves(tmp_path: Path, workflow: str) -> None:
    text = (ROOT / "examples" / "crm_python" / "app.py").read_text()
    script = tmp_path / "app.py"
    script.write_text(text.replace("api_port=8000, mcp_port=3001", "api_port=0, mcp_port=0"))
    daemon = Daemon(tmp_path, command=(sys.executable, str(script)), verb=())
    with daemon:
        answer = daemon.execute(workflow, {"name": "John", "email": "j@example.com", "company": "Acme"})
        again = daemon.execute(workflow, {"name": "John", "email": "j@example.com"})
        code = daemon.stop()

    assert answer.status_code == 200
    assert answer.json()["outputs"]["create"]["company"] == "Acme"
    assert [fault["pointer"] for fault in again.json()["errors"]] == ["/inputs/company"]
    assert code == 0


def test_the_quick_start_of_the_readme_works_as_it_is_written(tmp_path: Path, environment: dict[str, str]) -> None:
    text = (ROOT / "README.md").read_text()
    match = re.search(r"curl -X POST http://localhost:8000(\S+) -H \"([^:]+): ([^\"]+)\" -d '([^']+)'", text)
    assert match is not None
    path, header, value, body = match.groups()
    with Daemon(tmp_path, environment) as daemon:
        answer = httpx.post(f"{daemon.http}{path}", headers={header: value}, content=body)

    assert answer.status_code == 200
    assert answer.json()["outputs"]["create"]["email"] == "john@example.com"


def test_the_process_under_a_second_signal_ends_at_once(tmp_path: Path, environment: dict[str, str]) -> None:
    with Daemon(tmp_path, environment) as daemon, socket.create_connection(address_of(daemon.http)) as busy:
        # A request that is half there keeps the drain waiting.
        busy.sendall(
            b"POST /workflows/create_contact/execute HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{"
        )
        daemon.process.terminate()
        daemon.wait_for("server.draining")
        daemon.process.terminate()
        assert daemon.process.wait(STOP_S) == 143


def address_of(url: str) -> tuple[str, int]:
    host, _, port = url.removeprefix("http://").rpartition(":")
    return host, int(port)
