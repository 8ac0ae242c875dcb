"""Prompts: the registry's messages, their blanks filled in."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from nexusd.channels.mcp.paging import page
from nexusd.channels.mcp.resources import read_contents
from nexusd.channels.mcp.tool import title_of
from nexusd.definitions.prompt import Part
from nexusd.definitions.text_template import render_text
from nexusd.documents import did_you_mean
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mcp.server.context import ServerRequestContext

    from nexusd.channels.mcp.view import View
    from nexusd.definitions.prompt import Prompt, PromptArgument, PromptMessage

MISSING: Final = "arguments"
"""The key of the question for arguments that are missing."""


class Prompts:
    """The handlers of `prompts/list` and `prompts/get`."""

    def __init__(self, view: View) -> None:
        self._view = view

    async def list(
        self, _context: ServerRequestContext[dict[str, object], object], params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """One page of prompts, by name."""
        prompts, cursor = page(self._view.prompts(), params)
        return types.ListPromptsResult(prompts=[_described(prompt) for prompt in prompts], next_cursor=cursor)

    async def get(
        self, context: ServerRequestContext[dict[str, object], object], params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """The messages; where arguments are missing and the client can ask its user, the question for them.

        Raises:
            MCPError: there is no such prompt, or its arguments are not what it takes.
        """
        prompt = self._view.registry.prompts.get(params.name)
        if prompt is None:
            known = [each.name for each in self._view.prompts()]
            hint = did_you_mean(params.name, known)
            raise MCPError(types.INVALID_PARAMS, f"there is no prompt named {params.name[:64]!r}; {hint}".rstrip("; "))
        values = dict(params.arguments or {}) | _answers(params)
        missing = [each for each in prompt.arguments if each.required and each.name not in values]
        if missing and _can_ask(context):
            return types.InputRequiredResult(input_requests={MISSING: _question(prompt, missing)})
        _check(prompt, values, missing)
        return types.GetPromptResult(
            description=prompt.description or None,
            messages=[await _message(message, values) for message in prompt.messages],
        )


def _can_ask(context: ServerRequestContext[dict[str, object], object]) -> bool:
    """Whether the client takes a question as the answer to its request (2026-07-28, "Multi round-trip requests")."""
    capabilities = context.session.client_capabilities
    modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
    return modern and capabilities is not None and capabilities.elicitation is not None


def _answers(params: types.GetPromptRequestParams) -> dict[str, str]:
    """What the user said to the question."""
    answer = (params.input_responses or {}).get(MISSING)
    if not isinstance(answer, types.ElicitResult) or answer.action != "accept":
        return {}
    return {name: value for name, value in (answer.content or {}).items() if isinstance(value, str)}


def _question(prompt: Prompt, missing: Sequence[PromptArgument]) -> types.ElicitRequest:
    properties: dict[str, object] = {}
    for argument in missing:
        schema: dict[str, object] = {"type": "string", "title": title_of(argument.name)}
        if argument.description:
            schema["description"] = argument.description
        if argument.values:
            schema["enum"] = list(argument.values)
        properties[argument.name] = schema
    names = [argument.name for argument in missing]
    return types.ElicitRequest(
        params=types.ElicitRequestFormParams(
            message=f"{prompt.title or title_of(prompt.name)} needs {', '.join(names)}",
            requested_schema={"type": "object", "properties": properties, "required": names},
        )
    )


def _check(prompt: Prompt, values: Mapping[str, str], missing: Sequence[PromptArgument]) -> None:
    """Refuse arguments with everything that is wrong with them."""
    known = {argument.name: argument for argument in prompt.arguments}
    faults = [f"{argument.name} is required" for argument in missing]
    for name, value in values.items():
        if name not in known:
            faults.append(f"{name[:64]} is not an argument of this prompt")
        elif known[name].values and value not in known[name].values:
            faults.append(f"{name} must be one of {', '.join(known[name].values)}")
    if faults:
        raise MCPError(types.INVALID_PARAMS, "; ".join(faults))


async def _message(message: PromptMessage, values: Mapping[str, str]) -> types.PromptMessage:
    return types.PromptMessage(role=message.role.value, content=await _content(message, values))


async def _content(message: PromptMessage, values: Mapping[str, str]) -> types.ContentBlock:
    try:
        text = render_text(message.text or "", values)
        uri = render_text(message.uri, values)
    except NexusError as error:
        raise MCPError(types.INVALID_PARAMS, error.detail) from error
    if message.part is Part.TEXT:
        return types.TextContent(type="text", text=text)
    if message.part is Part.RESOURCE:
        contents: types.TextResourceContents | types.BlobResourceContents
        if message.file is None:
            contents = types.TextResourceContents(uri=uri, mime_type=message.mime_type, text=text)
        else:
            contents = await read_contents(message.file, uri, message.mime_type)
        return types.EmbeddedResource(type="resource", resource=contents)
    try:
        data = b"" if message.file is None else await asyncio.to_thread(message.file.read_bytes)
    except OSError as error:
        raise MCPError(types.INTERNAL_ERROR, "a file of the prompt cannot be read") from error
    encoded = base64.b64encode(data).decode()
    if message.part is Part.IMAGE:
        return types.ImageContent(type="image", data=encoded, mime_type=message.mime_type)
    return types.AudioContent(type="audio", data=encoded, mime_type=message.mime_type)


def _described(prompt: Prompt) -> types.Prompt:
    return types.Prompt(
        name=prompt.name,
        title=prompt.title or title_of(prompt.name),
        description=prompt.description or None,
        arguments=[
            types.PromptArgument(
                name=argument.name,
                title=title_of(argument.name),
                description=argument.description
                or (f"one of {', '.join(argument.values)}" if argument.values else None),
                required=argument.required,
            )
            for argument in prompt.arguments
        ],
    )


def _choices(argument: PromptArgument) -> str | None:
    return f"one of {', '.join(argument.values)}" if argument.values else None
