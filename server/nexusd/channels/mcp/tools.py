"""Workflows as MCP tools: what is listed, and what a call answers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import mcp_types as types
import msgspec
from mcp.shared.exceptions import MCPError
from starlette.requests import Request

from nexusd.channels.mcp.calls import Call, Via
from nexusd.channels.mcp.conversation import McpConversation
from nexusd.channels.mcp.exchange import caller_of, exchange_of
from nexusd.channels.mcp.paging import page
from nexusd.channels.mcp.problems import PLACEMENT, Placement
from nexusd.definitions.wire import write_json
from nexusd.errors import InputRequired, NexusError, WorkflowNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext

    from nexusd.channels.mcp.calls import Calls, Outcome
    from nexusd.channels.mcp.subscriptions import Subscriptions
    from nexusd.channels.mcp.view import View


class _Params(msgspec.Struct):
    arguments: msgspec.Raw = msgspec.Raw(b"{}")


class _Request(msgspec.Struct):
    params: _Params


STATELESS: Final = "2026"
"""Where the protocol versions without sessions begin."""

_requests = msgspec.json.Decoder(_Request)


class Tools:
    """The handlers of `tools/list` and `tools/call`."""

    def __init__(self, view: View, calls: Calls, subscriptions: Subscriptions) -> None:
        self._view = view
        self._calls = calls
        self._subscriptions = subscriptions

    def input_schema(self, name: str) -> Mapping[str, object] | None:
        """The input schema of a tool; without it the SDK lists all tools before each call."""
        tool = self._view.tools.get(name)
        return None if tool is None else tool.input_schema

    async def list(
        self,
        context: ServerRequestContext[dict[str, object], object],
        params: types.PaginatedRequestParams | None,
    ) -> types.ListToolsResult:
        """One page of the tools that the caller may use, by name."""
        tools = [self._view.tools[plan.name] for plan in self._view.plans(caller_of(context))]
        tools, cursor = page(tools, params)
        return types.ListToolsResult(tools=tools, next_cursor=cursor)

    async def call(
        self,
        context: ServerRequestContext[dict[str, object], object],
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult | types.InputRequiredResult:
        """Run the workflow; whatever goes wrong after it was found is a result with `is_error`."""
        if self._view.hides(params.name):
            raise refusal(WorkflowNotFound(f"there is no workflow named {params.name[:64]!r}"))
        exchange = exchange_of(context)
        conversation = McpConversation(
            context, params, nodes=self._view.nodes(params.name), quiet_below=self._subscriptions.level(context)
        )
        call = Call(
            name=params.name,
            arguments=await _arguments(context, params),
            meta=context.meta,
            principal=exchange.principal,
            conversation=conversation,
            shows_blocks=self._view.shows_blocks(params.name),
        )
        try:
            era = "2026" if context.protocol_version >= STATELESS else "2025"
            headers = context.request.headers if isinstance(context.request, Request) else {}
            via = Via(era, "sdk", headers.get("traceparent"), headers.get("tracestate", ""))
            return _result(await self._calls.call(call, via, exchange))
        except InputRequired as error:
            if conversation.unanswerable:
                data = {"requiredCapabilities": conversation.unanswerable}
                raise MCPError(types.MISSING_REQUIRED_CLIENT_CAPABILITY, error.detail, data) from error
            return conversation.interim_result()
        except NexusError as error:
            raise refusal(error) from error


def refusal(error: NexusError) -> MCPError:
    """The JSON-RPC error for a call that came to no tool result."""
    if PLACEMENT[error.code] is Placement.INVALID_PARAMS:
        return MCPError(types.INVALID_PARAMS, error.detail)
    return MCPError(types.INVALID_REQUEST, error.detail)


async def _arguments(
    context: ServerRequestContext[dict[str, object], object], params: types.CallToolRequestParams
) -> bytes:
    """The arguments as JSON text, as they were sent where the transport still has the bytes.

    The SDK reads numbers as floats; a decimal of many digits would lose some of them.
    """
    if params.arguments is None:
        return b"{}"
    if isinstance(context.request, Request):
        try:
            return bytes(_requests.decode(await context.request.body()).params.arguments)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            # Python's own parser, which the SDK uses, takes NaN, Infinity and half surrogate pairs; JSON does not.
            raise MCPError(types.PARSE_ERROR, "the body is not valid JSON") from error
    return write_json(params.arguments)


def _result(outcome: Outcome) -> types.CallToolResult:
    meta = dict(outcome.meta) or None
    content: list[Mapping[str, object]] = list(outcome.blocks)
    if not content or outcome.document != b"{}":
        content.insert(0, {"type": "text", "text": outcome.document.decode()})
    if outcome.blocks:
        return types.CallToolResult.model_validate({"content": content, "_meta": meta})
    # Outputs may hold JSON text that was passed through; the SDK wants plain values, so the text is read once.
    return types.CallToolResult.model_validate(
        {
            "content": content,
            "structuredContent": msgspec.json.decode(outcome.document),
            "isError": outcome.is_error,
            "_meta": meta,
        }
    )
