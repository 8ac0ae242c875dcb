"""A workflow as an MCP tool."""

from __future__ import annotations

from typing import TYPE_CHECKING

import mcp_types as types

from nexusd.channels.channel import outputs_view
from nexusd.channels.mcp.call_options import OPTIONS, declared_options
from nexusd.definitions.content import holds_blocks

if TYPE_CHECKING:
    from nexusd.planning.plan import Plan


def title_of(name: str) -> str:
    """A name as people write it."""
    return name.replace("_", " ").replace("-", " ").capitalize()


def tool_of(plan: Plan) -> types.Tool:
    """The tool of a workflow."""
    title = title_of(plan.name)
    options = declared_options(plan)
    return types.Tool(
        name=plan.name,
        title=title,
        description=plan.workflow.description or title,
        input_schema=dict(plan.inputs_schema),
        # Content that is more than JSON has no structured content beside it, which a schema would promise.
        output_schema=None if holds_blocks(plan.outputs) else outputs_view(plan),
        annotations=types.ToolAnnotations(
            title=title,
            read_only_hint=plan.read_only,
            destructive_hint=plan.destructive,
            idempotent_hint=plan.idempotent,
            open_world_hint=any(node.effects.outside for node in plan.nodes),
        ),
        _meta={OPTIONS: options} if options else None,
    )
