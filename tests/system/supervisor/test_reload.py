"""SIGHUP: another registry is served if it can be, else everything stays as it was."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING

import httpx
import pytest
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.postgres import PostgresServer

CONTACTS = """\
version: 1
models:
  Contact:
    table: contacts
    fields: {id: str, name: str}
    publish: [create, list]
"""

WITH_COMPANIES = (
    CONTACTS.replace("{id: str, name: str}", "{id: str, name: str, city: {type: str, nullable: true}}").replace(
        "[create, list]", "[list]"
    )
    + """\
  Company:
    table: companies
    fields: {id: str, name: str}
    publish: [create]
"""
)


def write(folder: Path, registry: str) -> None:
    (folder / "r.yaml").write_text(registry)


def serve(folder: Path, database_url: str) -> Daemon:
    return Daemon(folder, {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": "r.yaml"})


def hang_up(daemon: Daemon, expected: str = "registry.loaded") -> dict[str, object]:
    daemon.process.send_signal(signal.SIGHUP)
    return daemon.wait_for(expected)


def tools(url: str) -> list[str]:
    async def ask() -> list[str]:
        async with streamable_http_client(url) as streams, ClientSession(*streams[:2]) as session:
            await session.initialize()
            return [tool.name for tool in (await session.list_tools()).tools]

    return asyncio.run(ask())


def test_every_door_follows_and_new_tables_and_columns_are_there(tmp_path: Path, database_url: str) -> None:
    write(tmp_path, CONTACTS)
    with serve(tmp_path, database_url) as daemon:
        for name in "abc":
            assert daemon.execute("contact_create", {"name": name}).status_code == 200
        page = daemon.execute("contact_list", {"sort": ["name"], "limit": 2}).json()["outputs"]["list"]
        before = httpx.get(f"{daemon.http}/openapi.json")
        write(tmp_path, WITH_COMPANIES)

        loaded = hang_up(daemon)

        assert (loaded["models"], loaded["workflows"]) == (2, 2)
        listed = httpx.get(f"{daemon.http}/workflows").json()["workflows"]
        assert [workflow["name"] for workflow in listed] == ["company_create", "contact_list"]
        assert daemon.execute("company_create", {"name": "x"}).status_code == 200
        assert daemon.execute("contact_create", {"name": "x"}).json()["code"] == "workflow_not_found"
        records = daemon.execute("contact_list", {"sort": ["name"]}).json()["outputs"]["list"]["records"]
        assert [record["city"] for record in records] == [None] * 3
        rest = daemon.execute("contact_list", {"sort": ["name"], "limit": 2, "cursor": page["next_cursor"]})
        assert [record["name"] for record in rest.json()["outputs"]["list"]["records"]] == ["c"]
        after = httpx.get(f"{daemon.http}/openapi.json", headers={"If-None-Match": before.headers["etag"]})
        assert (after.status_code, "/workflows/company_create/execute" in after.json()["paths"]) == (200, True)
        assert tools(daemon.mcp) == ["company_create", "contact_list"]


def test_a_registry_with_mistakes_is_told_and_not_served(tmp_path: Path, sqlite_url: str) -> None:
    write(tmp_path, CONTACTS)
    with serve(tmp_path, sqlite_url) as daemon:
        write(tmp_path, CONTACTS.replace("{id: str, name: str}", "{id: str, name: strr}").replace("publish", "publsh"))

        rejected = hang_up(daemon, "registry.rejected")

        assert rejected["exit_code"] == 78
        assert rejected["problems"] == [
            "r.yaml:5:29: a field's type must be one of str, int, bigint, float, decimal, bool, datetime, date, time, uuid, json, bytes, enum (did you mean 'str'?)",
            "r.yaml:6:5: unknown key 'publsh' in a model (did you mean 'publish'?)",
        ]
        assert daemon.execute("contact_create", {"name": "x"}).status_code == 200
        write(tmp_path, WITH_COMPANIES)
        hang_up(daemon)
        assert daemon.execute("company_create", {"name": "x"}).status_code == 200


def test_a_registry_that_the_database_cannot_follow_is_not_served(tmp_path: Path, database_url: str) -> None:
    write(tmp_path, CONTACTS)
    with serve(tmp_path, database_url) as daemon:
        daemon.execute("contact_create", {"name": "x"})
        write(tmp_path, CONTACTS.replace("{id: str, name: str}", "{id: str, name: str, city: str}"))

        rejected = hang_up(daemon, "registry.rejected")

        assert rejected["exit_code"] == 4
        assert "city" in str(rejected["problems"])
        assert daemon.execute("contact_create", {"name": "x"}).status_code == 200


def test_modules_beside_the_registry_are_imported_anew_unless_they_fail(tmp_path: Path, sqlite_url: str) -> None:
    build = "from nexusd import WorkflowBuilder\ndef {name}():\n    w = WorkflowBuilder()\n"
    build += "    w.add_node('TransformNode', 'say', {{'word': '{word}'}})\n    return w.build()\n"
    (tmp_path / "flows").mkdir()
    (tmp_path / "flows" / "__init__.py").write_text("")
    module = tmp_path / "flows" / "talk.py"
    module.write_text(build.format(name="talk", word="old"))
    write(tmp_path, "version: 1\nworkflows:\n  talk: {from: 'flows.talk:talk'}\n")
    with serve(tmp_path, sqlite_url) as daemon:
        module.write_text("raise RuntimeError('half-written')\n")
        assert "half-written" in str(hang_up(daemon, "registry.rejected")["problems"])
        assert daemon.execute("talk", {}).json()["outputs"] == {"say": {"word": "old"}}
        module.write_text(build.format(name="talk", word="newer"))
        hang_up(daemon)

        assert daemon.execute("talk", {}).json()["outputs"] == {"say": {"word": "newer"}}


def test_a_database_in_memory_takes_other_workflows_but_no_other_models(tmp_path: Path) -> None:
    write(tmp_path, CONTACTS)
    with serve(tmp_path, "sqlite:///:memory:") as daemon:
        daemon.execute("contact_create", {"name": "x"})
        write(tmp_path, CONTACTS.replace("[create, list]", "[count]"))
        hang_up(daemon)
        assert daemon.execute("contact_count", {}).json()["outputs"] == {"count": {"count": 1}}
        write(tmp_path, WITH_COMPANIES)

        assert "in memory" in str(hang_up(daemon, "registry.rejected")["problems"])


def test_a_hangup_during_the_start_is_heard_when_it_serves(tmp_path: Path, postgres_server: PostgresServer) -> None:
    write(tmp_path, CONTACTS)
    postgres_server.stop("fast")
    daemon = serve(tmp_path, postgres_server.url("postgres"))
    daemon.start()
    try:
        daemon.wait_for("database.waiting")
        write(tmp_path, WITH_COMPANIES)
        daemon.process.send_signal(signal.SIGHUP)
        postgres_server.start()
        daemon.wait_for("server.ready")

        assert daemon.wait_for("registry.loaded")["workflows"] == 2
    finally:
        assert daemon.stop() == 0


def test_a_hangup_during_the_drain_does_not_end_the_process(tmp_path: Path, sqlite_url: str) -> None:
    write(tmp_path, CONTACTS)
    with serve(tmp_path, sqlite_url) as daemon:
        daemon.process.terminate()
        daemon.wait_for("server.draining")
        daemon.process.send_signal(signal.SIGHUP)
        assert daemon.stop(signal.SIGHUP) == 0


@pytest.mark.parametrize("word", ["--help", "serve"])
def test_a_hangup_before_anything_is_read_does_not_end_a_server(tmp_path: Path, word: str) -> None:
    # The import of a module stands for the time that imports take.
    (tmp_path / "typer.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGHUP)\nraise SystemExit(3)\n")
    daemon = Daemon(tmp_path, {"PYTHONPATH": str(tmp_path)}, verb=(word,))
    daemon.start()

    assert daemon.stop(signal.SIGCONT) == (3 if word == "serve" else -signal.SIGHUP)
