"""What a registry without mistakes could say better: advice, which keeps nothing from being served."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.registry import Registry
    from nexusd.errors import Problem
    from nexusd.planning.plan import Plan, PlannedNode


def advice(registry: Registry, plans: Mapping[str, Plan]) -> list[Problem]:
    """Advice about these workflows, each with its place, in the order of the files."""
    creating = {f"{model}CreateNode": f"{model}BulkCreateNode" for model in registry.models}
    found = [
        registry.sources.problem(("workflows", plan.name, "nodes", node.id, key), message, hint)
        for plan in plans.values()
        for node in plan.nodes
        for key, message, hint in _about(plan, node, creating.get(node.type))
    ]
    return sorted(found, key=lambda each: (each.file, each.line, each.column))


def _about(plan: Plan, node: PlannedNode, bulk: str | None) -> Iterator[tuple[str, str, str]]:
    """Of one node: a key, what is to be said about it, and what to do."""
    if node.foreach is not None and bulk is not None:
        yield "foreach", f"{node.id} makes each record by a statement of its own", f"a {bulk} makes all of them by one"
    if plan.transaction and node.effects.outside and node.timeout_s is None:
        yield (
            "type",
            f"{node.id} calls what may be slow while the transaction of the workflow holds its rows and a connection",
            "a limit keeps that short: timeout_s",
        )
