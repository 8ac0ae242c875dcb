"""Toolsets, prompts and resources of the registry: what is read, and where mistakes are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexusd.databases.cursors import CursorSigner
from nexusd.definitions.loader import load_registry
from nexusd.definitions.prompt import PromptArgument
from nexusd.definitions.resource import UriError, parse_uri
from nexusd.definitions.template import parse_template
from nexusd.definitions.text_template import render_text
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError, InvalidInput
from nexusd.nodes.model_nodes import model_node_types
from nexusd.planning.registry import compile_registry

if TYPE_CHECKING:
    from pathlib import Path

    from nexusd.definitions.registry import Registry

HEAD = """version: 1
models: {Note: {fields: {id: str, text: str}, publish: [create, read, list]}}
workflows: {one: {nodes: {read: {type: NoteReadNode, params: {id: "{{id}}"}}}}}
"""


def read(folder: Path, text: str) -> Registry:
    (folder / "r.yaml").write_text(HEAD + text)
    return load_registry(str(folder / "r.yaml"), PythonDefinitions())


def compiled(folder: Path, text: str) -> None:
    registry = read(folder, text)
    types = model_node_types(registry.models["Note"], registry.models, cursors=CursorSigner(b"x"))
    compile_registry(registry, {each.name: each for each in types})


def problems(folder: Path, text: str) -> list[str]:
    """Each problem as `line:column message`."""
    with pytest.raises(ConfigurationError) as caught:
        compiled(folder, text)
    return [f"{problem.line}:{problem.column} {problem.message}" for problem in caught.value.problems]


def test_arguments_are_what_the_messages_use_unless_they_are_declared(tmp_path: Path) -> None:
    text = """
prompts:
  bare: {messages: ["{{a}} {{b | default('x')}}"]}
  listed: {arguments: [b, {name: a, description: A, required: false, values: [p, q]}], messages: ["{{a}} {{b}}"]}
  mapped: {arguments: {a: str, b: null}, messages: [{role: assistant, text: "{{b}}{{a}}"}]}
"""
    prompts = read(tmp_path, text).prompts

    assert prompts["bare"].arguments == (PromptArgument(name="a"), PromptArgument(name="b", required=False))
    assert prompts["listed"].arguments == (
        PromptArgument(name="b"),
        PromptArgument(name="a", description="A", required=False, values=("p", "q")),
    )
    assert [argument.name for argument in prompts["mapped"].arguments] == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("prompts: {p: {}}", ["4:14 the prompt p has no messages"]),
        ("prompts: {p: {messages: [{role: bot, text: a}]}}", ["4:33 a role must be one of user, assistant"]),
        ("prompts: {p: {messages: [{role: user}]}}", ["4:26 a message has one of text, image, audio and resource"]),
        ("prompts: {p: {messages: [{image: no.png}]}}", ["4:34 there is no file 'no.png' beside this one"]),
        ("prompts: {p: {arguments: {a: int}, messages: ['{{a}}']}}", ["4:30 every argument is text: write `str`, or a mapping such as {description: …}"]),
        ("prompts: {p: {arguments: [a], messages: ['{{b}}']}}", ["4:27 no message uses the argument 'a'", "4:42 {{ b }}: there is no argument 'b'"]),
        ("prompts: {p: {arguments: [a, a], messages: ['{{a.b}}']}}", ["4:30 the argument 'a' is declared already", "4:45 {{ a.b }}: 'a' is text; nothing lies below it"]),
        ("prompts: {p: {messages: ['{{a']}}", ["4:26 the closing }} is missing"]),
        ("resources: {guide: {text: a}}", ["4:13 a resource's URI begins with a scheme, such as `docs://guide`"]),
        ("resources: {'nexusd://x': {text: a}}", ["4:13 URIs that begin with nexusd: are the server's own"]),
        ("resources: {'d://x': {}}", ["4:22 a resource has one of text, file and workflow"]),
        ("resources: {'d://{x}': {text: '{{y}}'}}", ["4:31 {{ y }}: there is no variable of the URI 'y'"]),
        ("resources: {'d://{x}': {file: r.yaml}}", ["4:31 a file has one URI, without variables"]),
        ("resources: {'d://x': {file: /etc/hosts}}", ["4:29 a file is a path relative to this one"]),
        ("resources: {'d://x': {text: a, mime_type: markdown}}", ["4:43 must be a media type, such as text/markdown"]),
        ("resources: {'d://x': {workflow: note_lst}}", ["4:33 there is no workflow 'note_lst'"]),
        ("resources: {'d://x': {workflow: one}}", ["4:33 one needs 'id': put {id} into the URI"]),
        ("resources: {'d://{id}/{x}': {workflow: note_read}}", ["4:40 note_read has no input 'x'"]),
        ("resources: {'d://{text}': {workflow: note_create}}", ["4:38 note_create writes; reading a resource must not change anything"]),
        ("toolsets: {a: [note_lst]}", ["4:16 there is no workflow 'note_lst'"]),
        ("toolsets: {a: []}", ["4:15 the toolset a lists no workflows"]),
        ("toolsets: {'a/b': [note_list]}", ["4:19 a toolset's name is letters, digits, _ and -, at most 64"]),
    ],
)  # fmt: skip
def test_mistakes_are_told_at_their_place(tmp_path: Path, text: str, expected: list[str]) -> None:
    assert problems(tmp_path, text) == expected


@pytest.mark.parametrize(
    ("template", "uri", "values"),
    [
        ("d://{a}/x", "d://1%202/x", {"a": "1 2"}),
        ("d://{a}/x", "d://1/2/x", None),
        ("d://{a}.{b}", "d://p.q", {"a": "p", "b": "q"}),
        ("d://a.b", "d://a.b", {}),
        ("d://a.b", "d://aXb", None),
        ("d://{a}", "d://", None),
    ],
)
def test_a_uri_template_finds_its_variables(template: str, uri: str, values: dict[str, str] | None) -> None:
    assert parse_uri(template).match(uri) == values


@pytest.mark.parametrize("text", ["d://{a}{", "d://{a}/{a}", "d://{a b}", "d://a b", "d://{+a}"])
def test_what_is_no_simple_uri_template_is_refused(text: str) -> None:
    with pytest.raises(UriError):
        parse_uri(text)


def test_a_text_is_rendered_with_filters_and_defaults() -> None:
    text = parse_template("{{a | upper}}, {{b | default('none')}}, {{c}}.")

    assert render_text(text, {"a": "x"}) == "X, none, ."


def test_a_filter_that_does_not_take_its_value_names_the_template() -> None:
    with pytest.raises(InvalidInput, match=r"\{\{ a \}\}: the filter int"):
        render_text(parse_template("{{a | int}}"), {"a": "x"})
