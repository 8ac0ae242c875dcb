"""Who waits for whom: the edges of a workflow, from its connections and from its templates."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from nexusd.definitions.template import TemplateSyntaxError, parse_template

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.definitions.workflow import Connection, Workflow

WHOLE: Final = "result"
"""The output that stands for a node's whole result."""


class Graph:
    """The edges of one workflow; only nodes that exist are counted."""

    def __init__(self, workflow: Workflow) -> None:
        self._into: dict[str, list[tuple[int, Connection]]] = {node.id: [] for node in workflow.nodes}
        self._needs: dict[str, set[str]] = {node.id: set() for node in workflow.nodes}
        for i, edge in enumerate(workflow.connections):
            self._into.setdefault(edge.target, []).append((i, edge))
            self.add(edge.source, edge.target)

    def needs(self) -> dict[str, frozenset[str]]:
        """For each node the nodes it waits for, as far as edges were added."""
        return {name: frozenset(needed) for name, needed in self._needs.items()}

    def add(self, source: str, target: str) -> None:
        """`target` waits for `source`."""
        if source in self._needs and target in self._needs:
            self._needs[target].add(source)

    def connected_params(self, node: str) -> frozenset[str]:
        """The params of a node that connections fill, `input` included."""
        return frozenset(edge.input for _, edge in self.into(node))

    def into(self, node: str) -> Sequence[tuple[int, Connection]]:
        """The connections to a node, each behind its place among those of the workflow."""
        return self._into[node]

    def steps(self, edge: Connection) -> tuple[str | int, ...]:
        """The path in the source's result that a connection delivers; empty for the whole."""
        if edge.output == WHOLE:
            return ()
        try:
            parsed = parse_template(f"{{{{{edge.output}}}}}")
        except TemplateSyntaxError:
            return (edge.output,)
        if isinstance(parsed, str) or parsed.expressions[0].filters or len(parsed.expressions) > 1:
            return (edge.output,)
        path = parsed.expressions[0].path
        return path[1:] if path[0] == WHOLE else path

    def is_chain(self, order: list[str]) -> bool:
        """Whether each node waits for the one before it, so that nothing could run beside anything."""
        return all(before in self._needs[node] for before, node in itertools.pairwise(order))
