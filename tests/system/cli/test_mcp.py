"""`nexusd mcp`: the server over standard input and output, and what clients are told of it."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import tomllib
from typing import TYPE_CHECKING, Any

import pytest
from mcp import StdioServerParameters
from mcp.client.client import Client
from mcp.client.stdio import stdio_client

from tests.support.daemon import clean_environment, run_cli
from tests.support.mcp import ERAS

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY = """
version: 1
models: {Note: {fields: {id: str, text: str}, publish: [create, count]}}
workflows:
  loud: {nodes: {run: {type: FunctionNode, call: "noise:loud"}}}
toolsets: {reading: [note_count]}
"""
NOISE = """
import os, subprocess
print("while it is imported")

def loud() -> str:
    print("from the function", flush=True)
    os.write(1, b"past Python")
    subprocess.run(["echo", "from a child"], check=True)
    return "done"
"""
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "r.yaml").write_text(REGISTRY)
    (tmp_path / "noise.py").write_text(NOISE)
    return tmp_path


def environment(folder: Path) -> dict[str, str]:
    return {"DATABASE_URL": f"sqlite:///{folder}/n.db", "NEXUSD_REGISTRY__PATH": str(folder / "r.yaml")}


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "nexusd", "mcp", *arguments],
        cwd=folder,
        env=clean_environment(environment(folder)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )


def ask(process: subprocess.Popen[str], message: dict[str, Any]) -> dict[str, Any]:
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(json.dumps(message) + "\n")
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


@pytest.mark.parametrize("mode", ERAS)
async def test_a_client_that_starts_the_server_lists_and_calls(folder: Path, mode: str) -> None:
    server = StdioServerParameters(
        command=sys.executable, args=["-m", "nexusd", "mcp"], env=environment(folder), cwd=folder
    )
    async with asyncio.timeout(30), Client(stdio_client(server), mode=mode) as client:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        result = await client.call_tool("note_create", {"text": "é"})

    assert tools == ["loud", "note_count", "note_create"]
    assert result.structured_content is not None
    assert result.structured_content["create"]["text"] == "é"


def test_standard_output_carries_messages_alone(folder: Path) -> None:
    with start(folder) as process:
        ask(process, INITIALIZE)
        assert process.stdin is not None
        process.stdin.write('{"jsonrpc": "2.0", "method": "notifications/initialized"}\n')
        call = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "loud", "arguments": {}}}
        answer = ask(process, call)
        rest, _ = process.communicate(timeout=20)

    assert answer["result"]["structuredContent"] == {"run": "done"}
    assert (rest, process.returncode) == ("", 0)


def test_a_signal_ends_it_while_the_client_is_silent(folder: Path) -> None:
    with start(folder, "--toolset", "reading") as process:
        assert ask(process, INITIALIZE)["result"]["serverInfo"]["name"] == "nexusd"
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def test_a_toolset_that_is_not_there_is_a_mistake(folder: Path) -> None:
    done = run_cli("mcp", "--toolset", "readng", cwd=folder, env=environment(folder))

    assert (done.returncode, done.stdout) == (78, "")
    assert "reading" in done.stderr


@pytest.mark.parametrize(
    ("client", "path", "url"),
    [
        ("claude-code", ("mcpServers", "nexusd"), "url"),
        ("cline", ("mcpServers", "nexusd"), "url"),
        ("cursor", ("mcpServers", "nexusd"), "url"),
        ("gemini-cli", ("mcpServers", "nexusd"), "httpUrl"),
        ("vscode", ("servers", "nexusd"), "url"),
        ("windsurf", ("mcpServers", "nexusd"), "serverUrl"),
        ("zed", ("context_servers", "nexusd"), "url"),
        ("codex", ("mcp_servers", "nexusd"), "url"),
        ("claude-desktop", ("mcpServers", "nexusd"), None),
    ],
)
def test_a_client_is_told_where_the_server_is(
    folder: Path, client: str, path: tuple[str, str], url: str | None
) -> None:
    done = run_cli("mcp", "config", "--client", client, "--toolset", "reading", cwd=folder, env=environment(folder))

    read = tomllib.loads if client == "codex" else json.loads
    found = read(done.stdout)[path[0]][path[1]]
    if url is not None:
        assert found[url] == "http://127.0.0.1:3001/mcp/reading"
    else:
        arguments = found["args"]
        assert arguments[arguments.index("--registry") + 1] == str(folder / "r.yaml")
        assert arguments[-2:] == ["--toolset", "reading"]


def test_a_url_with_a_password_is_not_printed(folder: Path) -> None:
    env = environment(folder) | {"DATABASE_URL": "postgresql://me:geheim@localhost/x"}
    done = run_cli("mcp", "config", "--client", "cursor", "--stdio", cwd=folder, env=env)

    assert done.returncode == 0
    assert "geheim" not in done.stdout + done.stderr
    assert "DATABASE_URL" in done.stderr
