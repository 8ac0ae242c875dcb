"""What a new registry changes for those who listen."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

from mcp.server.subscriptions import PromptsListChanged, ResourcesListChanged, ResourceUpdated, ToolsListChanged

from nexusd.channels.mcp.resources import MODELS, REGISTRY, WORKFLOWS
from nexusd.definitions.principal import ANONYMOUS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mcp.server.subscriptions import ServerEvent

    from nexusd.channels.mcp.view import View


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What there was; things by their URI, compared by value."""

    tools: object
    prompts: object
    resources: Mapping[str, object]


def snapshot(view: View) -> Snapshot:
    """What there is now, as one sees it who may see everything."""
    registry = view.registry
    resources: dict[str, object] = {MODELS + quote(name): model for name, model in view.models(ANONYMOUS).items()}
    resources |= {WORKFLOWS + plan.name: plan.hash for plan in view.plans(ANONYMOUS)}
    resources |= {uri: (each.name, each.text, each.file, each.workflow) for uri, each in registry.resources.items()}
    return Snapshot(view.tools, dict(registry.prompts), resources)


def changes(before: Snapshot, after: Snapshot) -> list[ServerEvent]:
    """What those who listen are to be told."""
    events: list[ServerEvent] = []
    if before.tools != after.tools:
        events.append(ToolsListChanged())
    if before.prompts != after.prompts:
        events.append(PromptsListChanged())
    if before.resources.keys() != after.resources.keys():
        events.append(ResourcesListChanged())
    updated = [uri for uri, value in after.resources.items() if before.resources.get(uri, value) != value]
    if events or updated:
        updated.append(REGISTRY)
    return events + [ResourceUpdated(uri) for uri in updated]
