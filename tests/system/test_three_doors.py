"""One registry, three doors, two databases: HTTP, MCP and the command line say the same."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import uuid
from typing import TYPE_CHECKING, Any

import httpx
import psycopg
import pytest
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from tests.support.daemon import ROOT, Daemon, run_cli

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp_types import CallToolResult

REGISTRY = str(ROOT / "config" / "registry.yaml")


@pytest.fixture
def environment(database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": REGISTRY}


@pytest.fixture
def daemon(tmp_path: Path, environment: dict[str, str]) -> Iterator[Daemon]:
    with Daemon(tmp_path, environment) as daemon:
        yield daemon


def call_tool(daemon: Daemon, name: str, arguments: dict[str, Any]) -> CallToolResult:
    async def call() -> CallToolResult:
        async with asyncio.timeout(10), Client(daemon.mcp) as client:
            return await client.call_tool(name, arguments)

    return asyncio.run(call())


def refused_call(daemon: Daemon, name: str) -> MCPError:
    """The JSON-RPC error of a call that does not reach a tool."""

    async def call() -> MCPError:
        async with asyncio.timeout(10), Client(daemon.mcp) as client:
            with pytest.raises(MCPError) as caught:
                await client.call_tool(name, {})
            return caught.value

    return asyncio.run(call())


def rows(url: str) -> list[tuple[object, ...]]:
    query = "SELECT id, name, email, company FROM contacts ORDER BY email"
    if url.startswith("sqlite"):
        with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
            return connection.execute(query).fetchall()
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


def options(inputs: dict[str, Any]) -> list[str]:
    return [word for name, value in inputs.items() for word in (f"--{name.replace('_', '-')}", str(value))]


def problems(daemon: Daemon, environment: dict[str, str], workflow: str, inputs: dict[str, Any]) -> list[Any]:
    """The same faulty call through each door; what a caller can tell apart, without ids."""
    http = daemon.execute(workflow, inputs)
    assert http.headers["content-type"] == "application/problem+json"
    assert http.json()["status"] == http.status_code
    tool = call_tool(daemon, workflow, inputs)
    assert tool.is_error
    cli = run_cli("run", workflow, "--output", "json", "--inputs", json.dumps(inputs), cwd=daemon.cwd, env=environment)
    assert cli.stdout == ""
    documents = [http.json(), tool.structured_content, json.loads(cli.stderr)]
    keys = ("type", "title", "status", "detail", "code", "errors", "node")
    return [{key: document.get(key) for key in keys} for document in documents]


def test_the_quick_start_post_stores_the_row_with_a_generated_id(daemon: Daemon, database_url: str) -> None:
    body = b'{"inputs": {"name": "John Doe", "email": "john@example.com", "company": "Acme Corp"}}'
    url = f"{daemon.http}/workflows/create_contact/execute"

    answer = httpx.post(url, content=body, headers={"Content-Type": "application/json"})

    assert answer.status_code == 200
    document = answer.json()
    assert set(document) == {"workflow", "execution_id", "status", "outputs", "duration_ms"}
    assert (document["workflow"], document["status"]) == ("create_contact", "completed")
    record = document["outputs"]["create"]
    assert uuid.UUID(record["id"]).version == 7
    assert rows(database_url) == [(record["id"], "John Doe", "john@example.com", "Acme Corp")]


def test_each_door_gives_the_same_outputs(daemon: Daemon, environment: dict[str, str], database_url: str) -> None:
    def inputs(n: int) -> dict[str, Any]:
        return {"name": "Zoë", "email": f"zoe{n}@example.com", "company": "Ünïcode 🎈"}

    http = daemon.execute("create_contact", inputs(1)).json()["outputs"]
    tool = call_tool(daemon, "create_contact", inputs(2))
    cli = run_cli("run", "create_contact", *options(inputs(3)), cwd=daemon.cwd, env=environment)

    assert (tool.is_error, cli.returncode, cli.stderr) == (False, 0, "")
    assert isinstance(tool.content[0].text, str)  # type: ignore[union-attr]
    assert json.loads(tool.content[0].text) == tool.structured_content  # type: ignore[union-attr]
    answers = [http, tool.structured_content, json.loads(cli.stdout)]
    generated = {"id", "email", "created_at", "updated_at"}
    assert [list(answer["create"]) for answer in answers] == [list(http["create"])] * 3
    same = [{k: v for k, v in answer["create"].items() if k not in generated} for answer in answers]
    assert same == [{"name": "Zoë", "company": "Ünïcode 🎈", "version": 1}] * 3
    assert [row[2] for row in rows(database_url)] == [f"zoe{n}@example.com" for n in (1, 2, 3)]


def test_the_two_node_workflow_finds_what_it_created(daemon: Daemon) -> None:
    daemon.execute("create_contact", {"name": "A", "email": "a@example.com", "company": "Acme"})
    daemon.execute("create_contact", {"name": "B", "email": "b@example.com", "company": "Other"})

    answer = daemon.execute("contact_workflow", {"name": "C", "email": "c@example.com", "company": "Acme"})

    outputs = answer.json()["outputs"]
    assert outputs["create"]["name"] == "C"
    assert sorted(r["name"] for r in outputs["search"]["records"]) == ["A", "C"]
    assert (outputs["search"]["count"], outputs["search"]["limit"]) == (2, 10)


@pytest.mark.parametrize(
    ("inputs", "status", "pointers"),
    [
        ({"name": "John Doe"}, 422, ["/inputs/email"]),
        ({"name": 7, "email": "x@example.com"}, 422, ["/inputs/name"]),
        ({"name": "x", "email": "x@example.com", "phone": "1"}, 422, ["/inputs/phone"]),
        ({"email": 1, "phone": "1"}, 422, ["/inputs/email", "/inputs/name", "/inputs/phone"]),
        ({"name": "nul \x00", "email": "x@example.com"}, 422, ["/inputs/name"]),
    ],
    ids=["missing", "type", "unknown", "several", "nul"],
)
def test_a_faulty_input_is_the_same_problem_at_each_door(
    daemon: Daemon, environment: dict[str, str], inputs: dict[str, Any], status: int, pointers: list[str]
) -> None:
    documents = problems(daemon, environment, "create_contact", inputs)

    assert documents == [documents[0]] * 3
    assert documents[0]["code"] == "invalid_input"
    assert documents[0]["status"] == status
    assert sorted(fault["pointer"] for fault in documents[0]["errors"]) == pointers


def test_a_duplicate_email_is_a_unique_violation_at_each_door(daemon: Daemon, environment: dict[str, str]) -> None:
    inputs = {"name": "John", "email": "john@example.com"}
    assert daemon.execute("create_contact", inputs).status_code == 200

    documents = problems(daemon, environment, "create_contact", inputs)

    assert documents == [documents[0]] * 3
    assert (documents[0]["code"], documents[0]["status"], documents[0]["node"]) == ("unique_violation", 409, "create")
    assert [fault["pointer"] for fault in documents[0]["errors"]] == ["/inputs/email"]
    assert "john@example.com" not in json.dumps(documents)


def test_an_unknown_workflow_is_not_found_at_each_door(daemon: Daemon, environment: dict[str, str]) -> None:
    http = daemon.execute("create_contakt", {})
    cli = run_cli("run", "create_contakt", cwd=daemon.cwd, env=environment)

    assert (http.status_code, http.json()["code"]) == (404, "workflow_not_found")
    assert cli.returncode == 66
    refusal = refused_call(daemon, "create_contakt")
    assert refusal.code == INVALID_PARAMS
    assert "create_contakt" in refusal.message


def test_the_tool_is_listed_with_the_schemas_of_the_http_door(daemon: Daemon) -> None:
    async def listed() -> dict[str, Any]:
        async with asyncio.timeout(10), Client(daemon.mcp) as client:
            return {tool.name: tool for tool in (await client.list_tools()).tools}

    tools = asyncio.run(listed())
    shown = httpx.get(f"{daemon.http}/workflows").json()["workflows"]

    assert sorted(tools) == [w["name"] for w in shown] == ["contact_workflow", "create_contact"]
    for workflow in shown:
        tool = tools[workflow["name"]]
        assert tool.input_schema == workflow["inputs"]
        assert tool.output_schema == workflow["outputs"]
    annotations = tools["create_contact"].annotations
    assert (annotations.read_only_hint, annotations.destructive_hint) == (False, False)


def test_sigterm_ends_with_exit_code_zero(tmp_path: Path, environment: dict[str, str]) -> None:
    with Daemon(tmp_path, environment) as daemon:
        assert daemon.execute("create_contact", {"name": "x", "email": "x@example.com"}).status_code == 200
        assert daemon.stop() == 0
    assert daemon.log[-1]["event"] == "server.stopped"


def test_a_key_is_one_answer_through_every_door(daemon: Daemon, environment: dict[str, str]) -> None:
    url = environment["DATABASE_URL"]
    inputs = {"name": "Ada", "email": "ada@example.com"}
    first = daemon.execute("create_contact", inputs, **{"Idempotency-Key": "k-1"})
    again = daemon.execute("create_contact", inputs, **{"Idempotency-Key": '"k-1"'})
    assert (first.status_code, first.headers.get("idempotency-replayed")) == (200, None)
    assert (again.status_code, again.headers.get("idempotency-replayed")) == (200, "true")
    assert again.json() == first.json()

    async def call(arguments: dict[str, Any]) -> CallToolResult:
        async with asyncio.timeout(10), Client(daemon.mcp) as client:
            return await client.call_tool("create_contact", arguments, meta={"nexusd/idempotencyKey": "k-1"})  # type: ignore[arg-type]  # meta may hold any key

    tool = asyncio.run(call(inputs))
    assert tool.structured_content == first.json()["outputs"]
    other = asyncio.run(call({**inputs, "name": "Bob"})).structured_content
    assert other is not None
    assert (other["code"], other["status"]) == ("idempotency_mismatch", 422)

    words = ("run", "create_contact", *options(inputs), "--idempotency-key", "k-1")
    here = run_cli(*words, cwd=daemon.cwd, env=environment)
    there = run_cli(*words, "--server", daemon.http, cwd=daemon.cwd)
    assert [json.loads(done.stdout) for done in (here, there)] == [first.json()["outputs"]] * 2
    bob = options({**inputs, "name": "Bob"})
    mismatch = run_cli("run", "create_contact", *bob, *words[-2:], cwd=daemon.cwd, env=environment)
    assert (mismatch.returncode, mismatch.stdout) == (65, "")
    assert len(rows(url)) == 1
