"""`nexusd serve` before a database that is not as the registry wants it: nothing answers, nothing is left behind."""

from __future__ import annotations

import socket
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexusd.channels.cli.program import main
from tests.support.daemon import Daemon, run_cli
from tests.support.migrations import contacts, hold, migrate, rows, schema, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable

V1 = "      id: {type: str, primary_key: true}\n      name: str\n      nick: {type: str, nullable: true}\n"
V2 = V1 + "      phone: {type: str, nullable: true}\n"
BLOCKED = V2.replace("nick: {type: str, nullable: true}", "nick: str").replace(
    "name: str", "name: {type: str, unique: true}"
)
ROW = "INSERT INTO contacts (id, name) VALUES ('1', 'n')"


pytestmark = pytest.mark.usefixtures("in_migrations_folder")


def settings(url: str) -> dict[str, str]:
    return {"DATABASE_URL": url, "NEXUSD_REGISTRY__PATH": "r.yaml"}


def test_a_blocked_start_prints_the_plan_with_a_fix_for_each_line_and_answers_nowhere(
    database_url: str, free_port: Callable[[], int]
) -> None:
    migrate(database_url, contacts(V1))
    rows(database_url, ROW)
    contacts(BLOCKED)
    before = schema(database_url)
    port = free_port()

    ended = run_cli("serve", "--port", str(port), cwd=Path.cwd(), env=settings(database_url))

    assert ended.returncode == 4, ended.stderr
    lines = ended.stderr.splitlines()
    for change in ("set not null contacts.nick", "add constraint contacts.contacts_name_uq"):
        at = next(number for number, line in enumerate(lines) if change in line)
        assert "fix: nexusd migrate new NAME --from-plan" in lines[at + 1]
    assert "add column contacts.phone" in ended.stderr
    assert "channel.started" not in ended.stderr
    assert "Traceback" not in ended.stderr
    assert schema(database_url) == before
    with socket.socket() as client, pytest.raises(ConnectionRefusedError):
        client.connect(("127.0.0.1", port))


def test_a_sigterm_while_a_table_is_held_ends_the_start_and_leaves_no_session(postgres_url: str) -> None:
    migrate(postgres_url, contacts(V1))
    contacts(V2)
    before = schema(postgres_url)
    daemon = Daemon(Path.cwd(), settings(postgres_url))
    ours = "SELECT wait_event_type FROM pg_stat_activity WHERE application_name = 'nexusd-ddl'"

    with hold(postgres_url, "contacts"):
        daemon.start()
        wait_until(lambda: ("Lock",) in rows(postgres_url, ours), 20)
        assert daemon.stop() == 143

    assert rows(postgres_url, ours) == []
    assert schema(postgres_url) == before
    assert not [entry for entry in daemon.log if entry["event"] == "channel.started"]


def ended(url: str, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    for name, value in settings(url).items():
        monkeypatch.setenv(name, value)
    return main(["migrate", *words])


def test_every_exit_code_is_the_one_of_the_reference(
    database_url: str, monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]
) -> None:
    def code(*words: str) -> int:
        return ended(database_url, monkeypatch, *words)

    file = Path("migrations/0001_x.sql")
    contacts(V1)
    assert (code("plan"), code("check"), code("apply"), code("plan"), code("check")) == (3, 3, 0, 0, 0)
    assert code("apply", "--no-such-option") == 2
    rows(database_url, ROW)
    contacts(BLOCKED)
    assert (code("plan"), code("check"), code("apply"), code("apply", "--dry-run")) == (4, 4, 4, 4)
    contacts(V1)
    file.write_text("UPDATE nowhere SET a = 1;\n")
    assert (code("check"), code("apply")) == (3, 1)
    file.write_text("-- nexusd: transaction=off\nUPDATE contacts SET nick = '1';\nUPDATE nowhere SET a = 1;\n")
    assert (code("apply"), code("apply"), code("plan"), code("repair")) == (1, 9, 9, 1)
    file.write_text("UPDATE contacts SET nick = '2';\n")
    assert (code("apply"), code("repair", "--accept", "--mark-applied"), code("check")) == (10, 0, 0)
    assert (code("apply"), code("check")) == (0, 0)
    file.write_text("-- nexusd: nonsense\n")
    assert (code("plan"), code("lint")) == (10, 10)
    file.unlink()
    if not database_url.startswith("sqlite"):
        rows(database_url, "ALTER TABLE contacts ALTER name DROP NOT NULL")
        assert (code("plan"), code("check"), code("apply")) == (5, 5, 5)
        assert code("baseline") == 0
        monkeypatch.setenv("NEXUSD_DATABASE__WAIT_S", "0.1")
        nowhere = f"postgresql://127.0.0.1:{free_port()}/x"
        assert [ended(nowhere, monkeypatch, verb) for verb in ("apply", "plan", "status")] == [7, 7, 7]
        return
    with closing(sqlite3.connect(database_url.removeprefix("sqlite:///"), isolation_level=None)) as damaged:
        damaged.execute("PRAGMA writable_schema = ON")
        damaged.execute(
            "UPDATE sqlite_master SET sql = replace(sql, '\"name\" TEXT NOT NULL', '\"name\" TEXT') WHERE name = 'contacts'"
        )
    assert (code("plan"), code("check"), code("apply")) == (5, 5, 5)
