"""What a running workflow tells its MCP client and asks of it, in both eras."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp_types import CreateMessageResult, ElicitResult, ListRootsResult, Root, TextContent

from tests.support.daemon import Daemon
from tests.support.mcp import ERAS, refusal, talk
from tests.support.scrapes import scrape

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp.client.client import Client

REGISTRY = """
version: 1
models: {Note: {fields: {id: str, text: str}, publish: [count]}}
workflows:
  three:
    nodes:
      first: {type: TransformNode, params: {a: 1}}
      second: {type: FunctionNode, call: "talk:halfway"}
      third: {type: TransformNode, params: {b: "{{second}}"}}
    connections: [[first, result, second, input]]
  spoken: {nodes: {run: {type: FunctionNode, call: "talk:spoken"}}}
  shown: {nodes: {run: {type: FunctionNode, call: "talk:shown"}, plain: {type: TransformNode, params: {a: 1}}}}
  asked:
    transaction: all
    nodes:
      write: {type: NoteCreateNode, params: {text: "{{text}}"}}
      ask: {type: FunctionNode, call: "talk:asked"}
    connections: [[write, result, ask, input]]
  held: {nodes: {run: {type: FunctionNode, call: "talk:held"}}}
"""
FUNCTIONS = """
import asyncio
from collections import Counter
from nexusd import Context, Elicit, Embedded, Image, Link, Roots, Sample, Text

async def halfway(ctx: Context) -> int:
    await ctx.progress(5, 10, "half of it")
    return 7

async def spoken(ctx: Context) -> str:
    for level in ("debug", "info", "warning", "error"):
        await ctx.log(level, level)
    return "said"

def shown() -> list[Text | Image | Embedded | Link]:
    return [Text("a"), Image(b"png", "image/png"), Embedded("x://y", b"z"), Link("nexusd://registry", "registry")]

async def asked(ctx: Context) -> dict[str, str]:
    form = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
    first = await ctx.elicit("name", "Who?", form)
    message = {"role": "user", "content": {"type": "text", "text": f"Greet {first.content.get('name')}"}}
    answers = await ctx.ask({"greeting": Sample((message,), 20), "roots": Roots()})
    greeting, roots = answers["greeting"], answers["roots"]
    return {
        "action": first.action,
        "greeting": "" if greeting is None else greeting["content"]["text"],
        "root": "" if roots is None else roots["roots"][0]["uri"],
    }

async def held(ctx: Context) -> str:
    await ctx.progress(0, 1)
    await asyncio.Event().wait()
    return ""
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("talk")
    (folder / "r.yaml").write_text(REGISTRY)
    (folder / "talk.py").write_text(FUNCTIONS)
    with Daemon(
        folder,
        {"DATABASE_URL": "sqlite:///n.db", "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MONITORING__ENABLED": "true"},
    ) as daemon:
        yield daemon


class Person:
    """Answers for the client: its user, its model, its folders."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def fill_in(self, _context: object, params: Any) -> ElicitResult:  # noqa: ANN401 - the client's
        self.asked.append(params.message)
        return ElicitResult(action="accept", content={"name": "Ada"})

    async def sample(self, _context: object, params: Any) -> CreateMessageResult:  # noqa: ANN401 - the client's
        text = params.messages[0].content.text
        self.asked.append(text)
        return CreateMessageResult(role="assistant", content=TextContent(text=f"<{text}>"), model="m")

    async def roots(self, _context: object) -> ListRootsResult:
        self.asked.append("roots")
        return ListRootsResult(roots=[Root.model_validate({"uri": "file:///home"})])

    @property
    def callbacks(self) -> dict[str, Any]:
        return {
            "elicitation_callback": self.fill_in,
            "sampling_callback": self.sample,
            "list_roots_callback": self.roots,
        }


def count(daemon: Daemon) -> int:
    return int(daemon.execute("note_count", {"filter": {}}).json()["outputs"]["count"]["count"])


@pytest.mark.parametrize("mode", ERAS)
def test_each_node_is_told_and_what_a_function_says_is_its_share(daemon: Daemon, mode: str) -> None:
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))

    talk(daemon.mcp, mode, lambda client: client.call_tool("three", {}, progress_callback=hear))

    assert told == [(1, 3, "first"), (1.5, 3, "half of it"), (2, 3, "second"), (3, 3, "third")]


@pytest.mark.parametrize(("mode", "expected"), [("legacy", ["warning", "error"]), ("2026-07-28", ["warning", "error"])])
@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
def test_lines_below_the_level_that_a_client_set_are_not_sent(daemon: Daemon, mode: str, expected: list[str]) -> None:
    told: list[str] = []

    async def hear(params: Any) -> None:  # noqa: ANN401 - the client's
        told.append(params.data)

    async def say(client: Client) -> None:
        if mode == "legacy":
            await client.set_logging_level("warning")  # type: ignore[deprecated]
        await client.call_tool("spoken", {})

    level = {} if mode == "legacy" else {"log_level": "warning"}
    talk(daemon.mcp, mode, say, logging_callback=hear, **level)

    assert told == expected


def test_lines_that_nobody_asked_for_are_not_sent(daemon: Daemon) -> None:
    told: list[object] = []

    async def hear(params: object) -> None:
        told.append(params)

    talk(daemon.mcp, "2026-07-28", lambda client: client.call_tool("spoken", {}), logging_callback=hear)

    assert told == []


@pytest.mark.parametrize("mode", ERAS)
def test_content_is_shown_as_it_stands_without_structured_content(daemon: Daemon, mode: str) -> None:
    async def say(client: Client) -> tuple[Any, Any]:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        return tools["shown"], await client.call_tool("shown", {})

    tool, result = talk(daemon.mcp, mode, say)

    assert tool.output_schema is None
    assert result.structured_content is None
    assert [block.type for block in result.content] == ["text", "text", "image", "resource", "resource_link"]
    assert result.content[0].text == '{"plain":{"a":1}}'
    assert (result.content[2].mime_type, result.content[2].data) == ("image/png", "cG5n")
    assert result.content[4].uri == "nexusd://registry"


def test_the_other_door_passes_content_on_as_json(daemon: Daemon) -> None:
    blocks = daemon.execute("shown", {}).json()["outputs"]["run"]

    assert [block["type"] for block in blocks] == ["text", "image", "resource", "resource_link"]


@pytest.mark.parametrize("mode", ERAS)
def test_questions_are_answered_and_what_was_written_before_is_written_once(daemon: Daemon, mode: str) -> None:
    person = Person()
    before = count(daemon)

    result = talk(daemon.mcp, mode, lambda client: client.call_tool("asked", {"text": mode}), **person.callbacks)

    assert not result.is_error
    answer = result.structured_content["ask"]
    assert answer == {"action": "accept", "greeting": "<Greet Ada>", "root": "file:///home"}
    assert sorted(person.asked) == ["Greet Ada", "Who?", "roots"]
    assert count(daemon) == before + 1


def runs(daemon: Daemon) -> Counter[str]:
    """How many runs of `asked` ended how, by the metrics and by the history."""
    counted = scrape(daemon.http)["nexusd_workflow_executions_total"]
    found = Counter({dict(labels)["status"]: n for labels, n in counted.items() if ("workflow", "asked") in labels})
    kept = httpx.get(f"{daemon.http}/executions?workflow=asked").json()["executions"]
    return found + Counter(f"{each['status']}, kept" for each in kept)


def test_run_that_ends_for_a_question_is_no_failure_and_no_execution(daemon: Daemon) -> None:
    person = Person()
    before = runs(daemon)

    talk(daemon.mcp, "2026-07-28", lambda client: client.call_tool("asked", {"text": "x"}), **person.callbacks)

    assert runs(daemon) - before == {"suspended": 2, "completed": 1, "completed, kept": 1}
    calls = scrape(daemon.http)["nexusd_mcp_tool_calls_total"]
    statuses = {dict(labels)["status"] for labels in calls if ("tool", "asked") in labels}
    assert "suspended" in statuses


def test_a_session_whose_client_cannot_be_asked_gets_no_answers(daemon: Daemon) -> None:
    result = talk(daemon.mcp, "legacy", lambda client: client.call_tool("asked", {"text": "x"}))

    assert result.structured_content["ask"] == {"action": "cancel", "greeting": "", "root": ""}


def test_without_sessions_a_capability_that_is_needed_is_named(daemon: Daemon) -> None:
    before = count(daemon)

    error = refusal(daemon.mcp, "2026-07-28", lambda client: client.call_tool("asked", {"text": "x"}))

    assert (error.code, error.error.data) == (-32021, {"requiredCapabilities": {"elicitation": {}}})
    assert count(daemon) == before


def running(daemon: Daemon) -> list[str]:
    executions = httpx.get(f"{daemon.http}/executions?workflow=held&status=running").json()["executions"]
    return [each["execution_id"] for each in executions]


@pytest.mark.parametrize("mode", ERAS)
def test_a_call_that_its_client_cancels_is_cancelled(daemon: Daemon, mode: str) -> None:
    async def say(client: Client) -> str:
        begun = asyncio.Event()

        async def hear(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001 - the client's
            begun.set()

        call = asyncio.create_task(client.call_tool("held", {}, progress_callback=hear))
        await begun.wait()
        (execution,) = await asyncio.to_thread(running, daemon)
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return execution

    execution = talk(daemon.mcp, mode, say)

    with httpx.stream("GET", f"{daemon.http}/executions/{execution}/events", timeout=10) as events:
        names = [line.removeprefix("event: ") for line in events.iter_lines() if line.startswith("event: ")]
    assert names == ["execution.started", "execution.cancelled"]
