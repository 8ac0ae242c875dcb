"""What the templates and conditions of one workflow can see: which names there are, and what is known behind them."""

from __future__ import annotations

import difflib
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.definitions.shape import ANYTHING, Record
from nexusd.definitions.template import UNDEFINED, Template, path_text, step_into
from nexusd.planning.control import rescues
from nexusd.planning.names import Resolved, Root, UnresolvedName
from nexusd.planning.trees import along
from nexusd.planning.values import LIST, OBJECT, SOME_TEXT, UnfitValue, filtered, in_words, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nexusd.definitions.condition import Reference
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.template import Expression
    from nexusd.definitions.workflow import Connection, Workflow
    from nexusd.planning.assemble import Part
    from nexusd.planning.control import Report
    from nexusd.planning.graph import Graph
    from nexusd.planning.names import Names

_FAILURE: Final = Record(dict.fromkeys(("node", "code", "detail"), SOME_TEXT), frozenset({"node", "code", "detail"}))
"""What a node that takes over is told of the failure."""


_SHOWN_PARTS: Final = 8
"""Parts of a result that a hint names."""


class Visible:
    """Resolves paths and says what is wrong with them.

    Args:
        workflow: whose templates they are.
        names: of the workflow.
        graph: of the workflow.
        parts: its nodes as far as they are known, by id.
        report: is told of problems.
    """

    def __init__(
        self, workflow: Workflow, names: Names, graph: Graph, parts: Mapping[str, Part], report: Report
    ) -> None:
        self._rescued = rescues(workflow)
        self._names = names
        self._graph = graph
        self._parts = parts
        self._report = report

    def resolve(self, expression: Expression, path: RegistryPath, node_id: str | None) -> Iterator[Resolved]:
        """What an expression at a place begins with; nothing, and a problem, where it means nothing."""
        return self.resolve_all([(expression, expression.has_default)], path, node_id)

    def resolve_all(
        self, pairs: Iterable[tuple[Expression | Reference, bool]], path: RegistryPath, node_id: str | None
    ) -> Iterator[Resolved]:
        """The same of several paths at one place, each with whether it may lead nowhere."""
        names = self._names
        if node_id is not None and self._parts[node_id].foreach is not None and path[2] == "params":
            names = replace(names, has_item=True)
        for expression, defaulted in pairs:
            try:
                resolved = names.resolve(expression)
            except UnresolvedName as error:
                self._report(path, str(error), "")
                continue
            fault = self._fault(resolved, node_id, defaulted=defaulted)
            if fault is not None:
                self._report(path, *fault)
            else:
                yield resolved

    def given(
        self, expression: Expression, resolved: Resolved, path: RegistryPath, node_id: str | None, *, is_whole: bool
    ) -> Shape:
        """What an expression gives behind its filters; a problem where a filter or a text never takes that."""
        try:
            shape = filtered(self.shape(resolved, node_id) or ANYTHING, expression.filters)
        except UnfitValue as error:
            self._report(path, f"{expression.text}: {error}", "")
            return ANYTHING
        kind = kind_of(shape)
        if not is_whole and kind in {LIST, OBJECT}:
            message = f"{expression.text} is {in_words(shape)}, which cannot stand inside a text"
            self._report(path, message, "use the filter json, or let the template stand alone")
        return shape

    def shape(self, resolved: Resolved, node_id: str | None) -> Shape | None:
        """What is known of what a path leads to; None when it surely leads nowhere. Of inputs nothing is known yet."""
        if resolved.root in {Root.NOW, Root.UUID}:
            return SOME_TEXT
        start: Shape = ANYTHING
        if resolved.root is Root.NODE and resolved.name in self._parts:
            start = self._parts[resolved.name].result
        elif resolved.root is Root.ITEM and node_id is not None:
            start = self._item(node_id)
        elif resolved.root is Root.CONNECTED and node_id is not None:
            start = self._connected(node_id)
        return along(start, resolved.steps)

    def foreach_source(self, node_id: str) -> Resolved | None:
        """The path that is the whole of a node's foreach, if it is one."""
        foreach = self._parts[node_id].foreach
        if not isinstance(foreach, Template) or not foreach.is_whole or foreach.expressions[0].filters:
            return None
        try:
            return self._names.resolve(foreach.expressions[0])
        except UnresolvedName:
            return None

    def _fault(self, resolved: Resolved, node_id: str | None, *, defaulted: bool) -> tuple[str, str] | None:
        """Message and hint where a path surely leads nowhere."""
        fault = None
        if resolved.root is Root.INPUT:
            fault = self._misnamed(resolved)
        elif resolved.root is Root.CONNECTED:
            fault = self._unconnected(node_id)
        elif resolved.root is Root.NODE and node_id is not None:
            fault = self._without_result(resolved.name, node_id)
        if fault is not None or defaulted or (self.shape(resolved, node_id) and not self._misses(resolved, node_id)):
            return fault
        whose = {Root.ITEM: "an item", Root.CONNECTED: "what is connected to input"}
        message = f"{whose.get(resolved.root, f'the result of {resolved.name}')} has no {path_text(resolved.steps)}"
        part = self._parts.get(resolved.name) if resolved.root is Root.NODE else None
        return message, "" if part is None else _named_parts(part.result)

    def _without_result(self, name: str, node_id: str) -> tuple[str, str] | None:
        if name == node_id:
            return f"the node {node_id} cannot use its own result", f"an input of that name is inputs.{name}"
        part = self._parts.get(name)
        if part is None or part.node.on_error != node_id:
            return None
        message = f"{node_id} runs when {name} failed, and then {name} has no result"
        return message, "input.code and input.detail tell what went wrong"

    def _misnamed(self, resolved: Resolved) -> tuple[str, str] | None:
        """A path below a name that nobody declared is taken for a slip in a node's name."""
        name = resolved.name
        if not resolved.steps or resolved.is_explicit or name in self._names.inputs:
            return None
        close = difflib.get_close_matches(name, self._names.nodes, n=1)
        guess = f" (did you mean {close[0]!r}?)" if close else ""
        return f"there is no node {name!r}{guess}", f"an input that is an object is declared, or written inputs.{name}"

    def _unconnected(self, node_id: str | None) -> tuple[str, str] | None:
        if node_id is None:
            return "input means something only in a node", ""
        edges = self._edges(node_id)
        if len(edges) > 1:
            sources = " and ".join(dict.fromkeys(edge.source for edge in edges))
            return f"input could be what {sources} deliver", "read their results by their names"
        if not edges and not self._is_handler(node_id):
            return f"nothing is connected to the input of {node_id}", "write inputs. before the name of an input"
        return None

    def _edges(self, node_id: str) -> list[Connection]:
        return [edge for _, edge in self._graph.into(node_id) if edge.input == "input"]

    def _is_handler(self, node_id: str) -> bool:
        return node_id in self._rescued

    def _connected(self, node_id: str) -> Shape:
        edges = self._edges(node_id)
        if not edges:
            return _FAILURE
        source = self._parts.get(edges[0].source)
        return (None if source is None else along(source.result, self._graph.steps(edges[0]))) or ANYTHING

    def _item(self, node_id: str) -> Shape:
        source = self.foreach_source(node_id)
        if source is None or source.root is Root.INPUT:
            return ANYTHING
        items = self.shape(source, node_id)
        return (None if items is None else items.at(0)) or ANYTHING

    def _misses(self, resolved: Resolved, node_id: str | None) -> bool:
        """Whether an item that stands in the registry itself lacks what a path leads to."""
        if resolved.root is not Root.ITEM or node_id is None:
            return False
        items = self._parts[node_id].foreach
        return isinstance(items, list) and any(_lacks(item, resolved.steps) for item in items)


def _named_parts(shape: Shape) -> str:
    """A hint which parts there are, if they are few."""
    if not isinstance(shape, Record) or not 0 < len(shape.properties) <= _SHOWN_PARTS:
        return ""
    return f"its parts: {', '.join(shape.properties)}"


def _lacks(value: object, steps: tuple[str | int, ...]) -> bool:
    for step in steps:
        if isinstance(value, Template):
            return False
        value = step_into(value, step)
        if value is UNDEFINED:
            return True
    return False
