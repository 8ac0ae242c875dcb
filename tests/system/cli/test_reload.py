"""`nexusd reload`: what came of it, in words, as JSON and as an exit code."""

from __future__ import annotations

import json
import os
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.daemon import Daemon, run_cli

if TYPE_CHECKING:
    import subprocess

REGISTRY = """\
version: 1
models:
  Contact: {fields: {id: str, name: str}, publish: [create]}
"""


def serve(folder: Path, *arguments: str, **env: str) -> Daemon:
    (folder / "r.yaml").write_text(REGISTRY)
    settings = {"DATABASE_URL": "sqlite:///n.db", "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MCP__ENABLED": "false"}
    return Daemon(folder, {**settings, **env}, arguments)


def reload(daemon: Daemon, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    port = daemon.http.rpartition(":")[2]
    return run_cli("reload", "--port", port, *arguments, cwd=daemon.cwd, env=env)


@pytest.mark.parametrize("workers", ["1", "2"])
def test_what_is_served_then_is_told(tmp_path: Path, workers: str) -> None:
    with serve(tmp_path, "--workers", workers) as daemon:
        (tmp_path / "r.yaml").write_text(REGISTRY.replace("name: str", "name: str, city: {type: str, nullable: true}"))
        changed = reload(daemon, "--output", "json")
        again = reload(daemon, "--output", "table")

        assert daemon.execute("contact_create", {"name": "a", "city": "b"}).status_code == 200
    document = json.loads(changed.stdout)
    assert (document["models"], document["workflows"], document["migration"]) == (1, 1, "applied")
    assert again.stdout.startswith("serving 1 models and 1 workflows (migration: unchanged, ")
    assert (changed.returncode, again.returncode, changed.stderr) == (0, 0, "")


def test_mistakes_are_told_with_their_places(tmp_path: Path) -> None:
    with serve(tmp_path) as daemon:
        (tmp_path / "r.yaml").write_text(REGISTRY.replace("str", "strr").replace("publish", "publsh"))
        in_words = reload(daemon)
        as_json = reload(daemon, "--output", "json")

        assert daemon.execute("contact_create", {"name": "a"}).status_code == 200
    assert (in_words.returncode, as_json.returncode) == (78, 78)
    assert "r.yaml:3:26: a field's type must be" in in_words.stderr
    assert "hint: did you mean 'publish'?" in in_words.stderr
    assert in_words.stderr.splitlines()[-1] == "error: 4 problems"
    assert len(json.loads(as_json.stderr)["problems"]) == 4
    assert in_words.stdout == as_json.stdout == ""


def test_a_blocked_migration_ends_with_its_code_and_plan(tmp_path: Path) -> None:
    with serve(tmp_path) as daemon:
        daemon.execute("contact_create", {"name": "a"})
        (tmp_path / "r.yaml").write_text(REGISTRY.replace("name: str", "name: str, city: str"))

        blocked = reload(daemon)

    assert blocked.returncode == 4
    assert "city" in blocked.stderr


def test_no_server_is_one_line_a_hint_and_exit_69(tmp_path: Path) -> None:
    ended = run_cli("reload", "--port", "1", cwd=tmp_path)

    assert ended.returncode == 69
    assert ended.stderr.startswith("error: no server of this user answers at ")


def test_servers_have_sockets_of_their_own_and_take_them_along(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    env = {"TMPDIR": str(tmp_path)}
    with serve(tmp_path / "a", **env) as one, serve(tmp_path / "b", **env) as other:
        (tmp_path / "b" / "r.yaml").write_text("version: 1\n")
        assert "1 workflows" in reload(one, "--output", "table", **env).stdout
        assert "0 workflows" in reload(other, "--output", "table", **env).stdout
        folder = next(tmp_path.glob("nexusd-*"))
        assert (folder.stat().st_mode & 0o777, len(list(folder.iterdir()))) == (0o700, 2)
    assert list(folder.iterdir()) == []


def test_a_killed_server_leaves_nothing_that_its_successor_minds(tmp_path: Path) -> None:
    path = str(tmp_path / "c.sock")
    with serve(tmp_path, NEXUSD_SERVER__CONTROL_SOCKET=path) as daemon:
        daemon.process.kill()
    with serve(tmp_path, NEXUSD_SERVER__CONTROL_SOCKET=path) as daemon:
        assert reload(daemon, NEXUSD_SERVER__CONTROL_SOCKET=path).returncode == 0
        assert Path(path).stat().st_mode & 0o777 == 0o600


def test_a_folder_of_somebody_elses_is_not_used(tmp_path: Path) -> None:
    folder = tmp_path / f"nexusd-{os.geteuid()}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    with serve(tmp_path, TMPDIR=str(tmp_path)) as daemon:
        refused = reload(daemon, TMPDIR=str(tmp_path))
        daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for("registry.loaded")

    assert [e["event"] for e in daemon.log if e["event"] == "control.failed"] == ["control.failed"]
    assert (refused.returncode, "control_socket" in refused.stderr) == (69, True)
    assert list(folder.iterdir()) == []


def test_a_stop_meanwhile_is_an_answer_too(tmp_path: Path) -> None:
    flow = "version: 1\nworkflows:\n  slow: {from: 'slow:slow'}\n"
    with serve(tmp_path, NEXUSD_SERVER__CONTROL_SOCKET=str(tmp_path / "c.sock")) as daemon:
        (tmp_path / "r.yaml").write_text(flow)
        (tmp_path / "slow.py").write_text("import pathlib, time\npathlib.Path('imported').touch()\ntime.sleep(60)\n")
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(30)
            client.connect(str(tmp_path / "c.sock"))
            client.sendall(b"reload\n")
            while not (tmp_path / "imported").exists():
                assert daemon.process.poll() is None
            assert daemon.stop() == 0
            assert b"the server is stopping" in client.recv(1000)
