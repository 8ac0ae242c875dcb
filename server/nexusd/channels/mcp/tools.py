"""Workflows as MCP tools: what is listed, and what a call answers."""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Final

import mcp_types as types
import msgspec
from mcp.shared.exceptions import MCPError

from nexusd.channels.channel import problem_document
from nexusd.channels.mcp.caller import caller_of
from nexusd.channels.mcp.problems import PLACEMENT, Placement
from nexusd.definitions.execution import Invocation, new_request_id
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.context import ServerRequestContext

    from nexusd.errors import Code
    from nexusd.planning.plan import Plan
    from nexusd.runtime import Runtime

PAGE_SIZE: Final = 50
"""Tools in one page of `tools/list` (docs/reference.md, section 7)."""


class Tools:
    """The handlers of `tools/list` and `tools/call` over one runtime.

    Args:
        statuses: HTTP status by error code, told in the problem document like on the HTTP door.
    """

    def __init__(self, runtime: Runtime, statuses: Mapping[Code, int]) -> None:
        self._runtime = runtime
        self._statuses = statuses
        self._tools = {name: _tool(plan) for name, plan in sorted(runtime.plans.items())}

    def input_schema(self, name: str) -> Mapping[str, object] | None:
        """The input schema of a tool; without it the SDK lists all tools before each call."""
        tool = self._tools.get(name)
        return None if tool is None else tool.input_schema

    async def list(
        self,
        context: ServerRequestContext[dict[str, object], object],
        params: types.PaginatedRequestParams | None,
    ) -> types.ListToolsResult:
        """One page of the tools that the caller may use, by name."""
        start = 0 if params is None or params.cursor is None else _position(params.cursor)
        tools = [self._tools[plan.name] for plan in self._runtime.allowed(caller_of(context))]
        end = start + PAGE_SIZE
        return types.ListToolsResult(
            tools=tools[start:end],
            next_cursor=_cursor(end) if end < len(tools) else None,
        )

    async def call(
        self,
        context: ServerRequestContext[dict[str, object], object],
        params: types.CallToolRequestParams,
    ) -> types.CallToolResult:
        """Run the workflow; whatever goes wrong after it was found is a result with `is_error`."""
        request_id = new_request_id()
        invocation = Invocation(
            workflow=params.name,
            inputs=msgspec.json.encode(params.arguments or {}),
            channel="mcp",
            request_id=request_id,
            principal=caller_of(context),
        )
        try:
            execution = await self._runtime.execute(invocation)
        except NexusError as error:
            if PLACEMENT[error.code] is Placement.INVALID_PARAMS:
                raise MCPError(types.INVALID_PARAMS, error.detail) from error
            document = problem_document(error, status=self._statuses[error.code], request_id=request_id)
            return _result(document, is_error=True)
        return _result(execution.outputs, is_error=False)


def _result(content: Mapping[str, object], *, is_error: bool) -> types.CallToolResult:
    # Outputs may hold JSON text that was passed through; the SDK wants plain values, so the text is read once.
    text = msgspec.json.encode(content)
    return types.CallToolResult(
        content=[types.TextContent(type="text", text=text.decode())],
        structured_content=msgspec.json.decode(text),
        is_error=is_error,
    )


def _tool(plan: Plan) -> types.Tool:
    title = plan.name.replace("_", " ").replace("-", " ").capitalize()
    return types.Tool(
        name=plan.name,
        title=title,
        description=plan.workflow.description or title,
        input_schema=dict(plan.inputs_schema),
        output_schema=dict(plan.outputs_schema),
        annotations=types.ToolAnnotations(
            title=title,
            read_only_hint=plan.read_only,
            destructive_hint=plan.destructive,
            idempotent_hint=plan.idempotent,
            open_world_hint=any(node.effects.outside for node in plan.nodes),
        ),
    )


def _cursor(position: int) -> str:
    return base64.urlsafe_b64encode(str(position).encode()).decode()


def _position(cursor: str) -> int:
    try:
        position = int(base64.b64decode(cursor, altchars=b"-_", validate=True))
    except (binascii.Error, ValueError) as error:
        raise MCPError(types.INVALID_PARAMS, "the cursor was not made by this server") from error
    if position < 0:
        raise MCPError(types.INVALID_PARAMS, "the cursor was not made by this server")
    return position
