"""Resources, prompts, completions and toolsets over the real daemon, in both eras."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    ElicitResult,
    PromptReference,
    ResourceTemplateReference,
)

from tests.support.daemon import Daemon
from tests.support.mcp import ERAS, refusal, talk

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mcp.client.client import Client

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
REGISTRY = """
version: 1
models:
  Note:
    fields: {id: str, text: str, tag: {type: enum, values: [red, green]}}
    publish: [create, list, read]
  Other: {fields: {id: str}}
workflows:
  tagged:
    description: The notes of one tag.
    nodes: {list: {type: NoteListNode, params: {filter: {tag: "{{tag}}"}}}}
toolsets: {reading: [note_read, tagged]}
prompts:
  summarise:
    description: Sum up a topic.
    arguments:
      topic: {description: What it is about}
      tone: {values: [short, long, shrill], required: false}
    messages:
      - "Sum up {{topic | upper}} {{ tone | default('short') }}"
      - {role: assistant, content: {type: text, text: "About {{topic}}?"}}
      - {role: user, image: dot.png}
      - {role: user, resource: {uri: "docs://{{topic}}", text: "on {{topic}}", mime_type: text/markdown}}
resources:
  "docs://guide": {name: guide, description: How to, mime_type: text/markdown, file: guide.txt}
  "docs://dot": {name: dot, file: dot.png}
  "docs://{topic}/intro": {name: intro, text: "An introduction to {{topic}}."}
  "notes://{tag}": {name: notes, workflow: tagged}
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder: Path = tmp_path_factory.mktemp("offers")
    (folder / "r.yaml").write_text(REGISTRY)
    (folder / "guide.txt").write_text("# Guide é\n")
    (folder / "dot.png").write_bytes(PNG)
    env = {"DATABASE_URL": "sqlite:///n.db", "NEXUSD_REGISTRY__PATH": "r.yaml"}
    with Daemon(folder, env) as daemon:
        yield daemon


def read(daemon: Daemon, uri: str, mode: str = "auto") -> Any:  # noqa: ANN401
    return talk(daemon.mcp, mode, lambda client: client.read_resource(uri)).contents[0]


@pytest.mark.parametrize("mode", ERAS)
def test_lists_hold_what_the_registry_declares_and_the_servers_own(daemon: Daemon, mode: str) -> None:
    resources = talk(daemon.mcp, mode, lambda client: client.list_resources()).resources
    templates = talk(daemon.mcp, mode, lambda client: client.list_resource_templates()).resource_templates
    prompts = talk(daemon.mcp, mode, lambda client: client.list_prompts()).prompts

    assert [resource.uri for resource in resources] == [
        "docs://dot", "docs://guide", "nexusd://models/Note", "nexusd://registry",
        "nexusd://workflows/note_create", "nexusd://workflows/note_list", "nexusd://workflows/note_read",
        "nexusd://workflows/tagged",
    ]  # fmt: skip
    assert [template.uri_template for template in templates] == [
        "docs://{topic}/intro", "nexusd://executions/{id}", "nexusd://models/{name}", "nexusd://workflows/{name}",
        "notes://{tag}",
    ]  # fmt: skip
    assert [(prompt.name, prompt.description) for prompt in prompts] == [("summarise", "Sum up a topic.")]
    assert [(each.name, each.required) for each in prompts[0].arguments or []] == [("topic", True), ("tone", False)]


@pytest.mark.parametrize("mode", ERAS)
def test_own_resources_tell_the_registry_a_model_and_a_workflow(daemon: Daemon, mode: str) -> None:
    registry = json.loads(read(daemon, "nexusd://registry", mode).text)
    model = json.loads(read(daemon, "nexusd://models/Note", mode).text)
    workflow = json.loads(read(daemon, "nexusd://workflows/tagged", mode).text)

    assert [each["name"] for each in registry["workflows"]] == ["note_create", "note_list", "note_read", "tagged"]
    assert registry["toolsets"] == {"reading": ["note_read", "tagged"]}
    assert model["schema"]["properties"]["tag"] == {"type": "string", "enum": ["red", "green"]}
    assert workflow == httpx.get(f"{daemon.http}/workflows/tagged").json()


@pytest.mark.parametrize("mode", ERAS)
def test_files_texts_and_workflows_are_read_at_their_uris(daemon: Daemon, mode: str) -> None:
    daemon.execute("note_create", {"text": "hello", "tag": "green"})

    guide = read(daemon, "docs://guide", mode)
    dot = read(daemon, "docs://dot", mode)
    intro = read(daemon, "docs://b%20c/intro", mode)
    notes = read(daemon, "notes://green", mode)

    assert (guide.mime_type, guide.text) == ("text/markdown", "# Guide é\n")
    assert (dot.mime_type, base64.b64decode(dot.blob)) == ("image/png", PNG)
    assert intro.text == "An introduction to b c."
    assert {record["tag"] for record in json.loads(notes.text)["list"]["records"]} == {"green"}


def test_an_execution_is_a_resource(daemon: Daemon) -> None:
    execution_id = daemon.execute("note_list", {}).json()["execution_id"]

    execution = json.loads(read(daemon, f"nexusd://executions/{execution_id}").text)

    assert (execution["workflow"], execution["status"]) == ("note_list", "completed")


@pytest.mark.parametrize(("mode", "code"), [("legacy", -32002), ("2026-07-28", INVALID_PARAMS)])
@pytest.mark.parametrize("uri", ["docs://none", "nexusd://models/None", "nexusd://executions/x", "docs://a/b/intro"])
def test_what_is_not_there_is_an_error_that_names_the_uri(daemon: Daemon, mode: str, code: int, uri: str) -> None:
    error = refusal(daemon.mcp, mode, lambda client: client.read_resource(uri))

    assert (error.code, error.error.data) == (code, {"uri": uri})


def test_a_resource_whose_workflow_refuses_its_variables_says_why(daemon: Daemon) -> None:
    error = refusal(daemon.mcp, "auto", lambda client: client.read_resource("notes://blue"))

    assert "/inputs/tag" in error.error.data["problem"]


@pytest.mark.parametrize("mode", ERAS)
def test_a_prompt_is_filled_in(daemon: Daemon, mode: str) -> None:
    prompt = talk(daemon.mcp, mode, lambda client: client.get_prompt("summarise", {"topic": "tea", "tone": "long"}))

    contents: list[Any] = [message.content for message in prompt.messages]
    assert [message.role for message in prompt.messages] == ["user", "assistant", "user", "user"]
    assert [contents[0].text, contents[1].text] == ["Sum up TEA long", "About tea?"]
    assert (contents[2].mime_type, base64.b64decode(contents[2].data)) == ("image/png", PNG)
    resource = contents[3].resource
    assert (resource.uri, resource.text, resource.mime_type) == ("docs://tea", "on tea", "text/markdown")


def test_arguments_that_a_prompt_does_not_take_are_refused_together(daemon: Daemon) -> None:
    values = {"tone": "loud", "what": "x"}
    error = refusal(daemon.mcp, "auto", lambda client: client.get_prompt("summarise", values))

    assert error.code == INVALID_PARAMS
    assert error.message == (
        "topic is required; tone must be one of short, long, shrill; what is not an argument of this prompt"
    )


def test_a_client_that_can_ask_is_asked_for_missing_arguments(daemon: Daemon) -> None:
    asked: list[Any] = []

    async def answer(_context: object, params: Any) -> ElicitResult:  # noqa: ANN401
        asked.append(params.requested_schema)
        return ElicitResult(action="accept", content={"topic": "rain"})

    prompt = talk(
        daemon.mcp, "2026-07-28", lambda client: client.get_prompt("summarise", {}), elicitation_callback=answer
    )

    assert asked[0]["required"] == ["topic"]
    assert prompt.messages[0].content.text == "Sum up RAIN short"  # type: ignore[union-attr]


@pytest.mark.parametrize("mode", ERAS)
@pytest.mark.parametrize(
    ("reference", "name", "typed", "expected"),
    [
        (PromptReference(name="summarise"), "tone", "SH", ["short", "shrill"]),
        (PromptReference(name="summarise"), "topic", "x", []),
        (ResourceTemplateReference(uri="nexusd://models/{name}"), "name", "", ["Note"]),
        (ResourceTemplateReference(uri="nexusd://workflows/{name}"), "name", "read", ["note_read"]),
        (ResourceTemplateReference(uri="notes://{tag}"), "tag", "r", ["red", "green"]),
    ],
    ids=["argument", "open", "model", "workflow", "enum input"],
)
def test_completions(
    daemon: Daemon,
    mode: str,
    reference: PromptReference | ResourceTemplateReference,
    name: str,
    typed: str,
    expected: list[str],
) -> None:
    argument = {"name": name, "value": typed}

    result = talk(daemon.mcp, mode, lambda client: client.complete(reference, argument))

    assert result.completion.values == expected


@pytest.mark.parametrize("mode", ERAS)
def test_a_toolset_offers_its_workflows_alone(daemon: Daemon, mode: str) -> None:
    async def say(client: Client) -> tuple[list[str], list[str]]:
        tools = [tool.name for tool in (await client.list_tools()).tools]
        assert not (await client.call_tool("tagged", {"tag": "red"})).is_error
        with pytest.raises(MCPError) as caught:
            await client.call_tool("note_create", {"text": "x", "tag": "red"})
        assert caught.value.code == INVALID_PARAMS
        return tools, [str(resource.uri) for resource in (await client.list_resources()).resources]

    tools, resources = talk(f"{daemon.mcp}/reading", mode, say)

    assert tools == ["note_read", "tagged"]
    assert "nexusd://workflows/note_create" not in resources


def test_a_toolset_that_is_not_there_is_no_route(daemon: Daemon) -> None:
    assert httpx.post(f"{daemon.mcp}/writing", json={}).json()["code"] == "route_not_found"
