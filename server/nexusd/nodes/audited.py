"""A node type whose nodes leave a note of every record they change."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.databases.audit import AuditedSession, Author

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, NodeContext, NodeType, Runner


class AuditedNode:
    """Another node type, audited."""

    def __init__(self, audited: NodeType) -> None:
        self._audited = audited
        self.name = audited.name
        self.keys = audited.keys

    def derived(self, node: Node) -> Mapping[str, Choice | FirstOf]:
        """As without."""
        return self._audited.derived(node)

    def effects(self, node: Node) -> Effects:
        """As without."""
        return self._audited.effects(node)

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """As without."""
        return self._audited.bind(node, params, connected)

    def result(self, node: Node) -> Shape:
        """As without."""
        return self._audited.result(node)

    def build(self, node: Node) -> Runner:
        """The same function, in a session that notes what is changed."""
        run = self._audited.build(node)
        effects = self._audited.effects(node)
        if not (effects.database and effects.writes):
            return run

        async def noted(params: Mapping[str, object], context: NodeContext) -> object:
            invocation = context.invocation
            author = Author(
                context.now, invocation.principal.id, invocation.workflow, context.node, context.execution_id
            )
            context.session = AuditedSession(context.session, author)
            return await run(params, context)

        return noted
