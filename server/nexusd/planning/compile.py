"""From a workflow to its plan: checked and compiled once; all problems at once, each with its place."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from nexusd.definitions.shape import ANYTHING, ListOf, OrNull, Record, pointer_of
from nexusd.definitions.template import parse_template
from nexusd.documents import did_you_mean
from nexusd.nodes.node import Slot
from nexusd.planning.assemble import MODE_NEEDED, Part, Surroundings, asks_for_mode, assemble, called_by
from nexusd.planning.conditions import ConditionCompiler
from nexusd.planning.control import (
    MAX_ITEMS,
    absentable,
    check_foreach,
    check_handlers,
    check_takeovers,
    read_control,
)
from nexusd.planning.extent import Extents
from nexusd.planning.gather import check_sources, gather
from nexusd.planning.graph import Graph
from nexusd.planning.inputs import InputTable, Use
from nexusd.planning.intersection import assignable, intersect
from nexusd.planning.names import Names, Root, UnresolvedName
from nexusd.planning.order import CycleError, topological_order
from nexusd.planning.outputs import Outputs
from nexusd.planning.trees import along, parse_tree, templates
from nexusd.planning.values import (
    INSIDE_TEXT,
    UnfitValue,
    around,
    check_defaults,
    in_words,
    inside_text,
    taken_by_filters,
    without_default,
)
from nexusd.planning.visible import Visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.template import Expression, Template
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.nodes.node import Binding, NodeType, ParamPath
    from nexusd.planning.control import Report
    from nexusd.planning.names import Resolved
    from nexusd.planning.plan import Plan

_DELIVERED: Final = parse_template("{{ input }}")
"""Stands for what a connection delivers, where a node type is asked for its result."""


def compile_workflow(
    workflow: Workflow,
    node_types: Mapping[str, NodeType],
    callees: Mapping[str, Plan],
    report: Report,
    locate: Callable[[RegistryPath], str],
) -> Plan | None:
    """The plan of one workflow, or None if there are problems.

    Args:
        workflow: as declared.
        node_types: by name.
        callees: plans of the workflows that it may run.
        report: is told of problems; their paths begin in the workflow.
        locate: a place in words, for problems that have two.
    """
    return _Compiler(workflow, node_types, callees, report, locate).compile()


class _Compiler:
    """Compiles one workflow."""

    def __init__(
        self,
        workflow: Workflow,
        node_types: Mapping[str, NodeType],
        callees: Mapping[str, Plan],
        report: Report,
        locate: Callable[[RegistryPath], str],
    ) -> None:
        self._report = report
        self._locate = locate
        self._sound = True
        self._workflow = workflow
        self._types = node_types
        self._callees = callees
        self._names = Names(frozenset(node.id for node in workflow.nodes), frozenset(workflow.inputs))
        self._graph = Graph(workflow)
        self._parts: dict[str, Part] = {}
        self._inputs = InputTable(workflow.inputs, self._problem, locate)
        self._visible = Visible(workflow, self._names, self._graph, self._parts, self._problem)

    def compile(self) -> Plan | None:
        """The plan, or None if there are problems."""
        workflow = self._workflow
        for node in workflow.nodes:
            self._take(node)
        gather(self._parts)
        self._check_connections()
        for part in self._parts.values():
            self._bind(part)
        for name, handler in check_handlers(workflow, self._graph.needs(), self._problem):
            self._graph.add(name, handler)
        check_takeovers(workflow, self._graph.needs(), self._gatherers, self._problem)
        mapping = None
        if workflow.outputs is not None:
            defaulted = frozenset(name for name, each in workflow.inputs.items() if each.field.has_default)
            mapping = Outputs(workflow.outputs, self._names, self._visible, self._problem, defaulted)
            mapping.note_inputs(self._inputs)
        inputs = self._inputs.infer()
        extents = Extents()
        if not extents.check(inputs, "inputs", self._problem):
            return None
        for part in self._parts.values():
            compiler = ConditionCompiler(self._names, partial(self._shape_of, inputs, part), f"node {part.node.id}")
            if self._sound:
                part.control.compile(compiler, ("nodes", part.node.id), self._problem)
        order = self._order()
        # A callee without a plan has problems of its own, which are told.
        if order is None or not self._sound or not self._callees.keys() >= set(called_by(self._parts.values())):
            return None
        results = self._results()
        outputs = Record(results, frozenset(results)) if mapping is None else mapping.shape(results, inputs)
        if not extents.check(outputs, "outputs", self._problem):
            return None
        around_them = Surroundings(
            self._names, self._graph, self._callees, inputs, outputs, None if mapping is None else mapping.mapping
        )
        return assemble(workflow, [self._parts[name] for name in order], around_them)

    @property
    def _gatherers(self) -> frozenset[str]:
        return frozenset(name for name, part in self._parts.items() if part.control.sources)

    def _order(self) -> list[str] | None:
        try:
            order = topological_order(self._graph.needs())
        except CycleError as error:
            self._problem(("nodes", error.cycle[0]), f"the nodes wait for each other: {error}")
            return None
        if asks_for_mode(self._workflow, self._parts.values()):
            self._problem(("transaction",), *MODE_NEEDED)
        return order

    def _problem(self, path: RegistryPath, message: str, hint: str = "") -> None:
        self._sound = False
        self._report(path, message, hint)

    def _take(self, node: Node) -> None:
        path = ("nodes", node.id)
        node_type = self._types.get(node.type)
        parsed = parse_tree(node.params, (*path, "params"), self._problem)
        params = parsed if isinstance(parsed, dict) else {}
        if node_type is None:
            self._problem((*path, "type"), f"there is no node type {node.type!r}", did_you_mean(node.type, self._types))
            return
        for key in node.options:
            if key not in node_type.keys:
                self._problem((*path, key), f"{node.type} has no key {key!r}")
        delivered = dict.fromkeys(self._graph.connected_params(node.id) - {"input"}, _DELIVERED)
        result = node_type.result(replace(node, params={**delivered, **params}))
        control = read_control(node, node_type.derived(node), self._problem)
        part = Part(node, node_type, node_type.effects(node), result, params, control)
        if node.foreach is not None:
            part.foreach = parse_tree(node.foreach, (*path, "foreach"), self._problem)
            part.result = ListOf(result)
            check_foreach(node, part.foreach, self._problem)
        self._parts[node.id] = part

    def _check_connections(self) -> None:
        taken: set[tuple[str, str]] = set()
        for i, edge in enumerate(self._workflow.connections):
            path: RegistryPath = ("connections", i)
            for step, name in ((0, edge.source), (2, edge.target)):
                if name not in self._names.nodes:
                    self._problem((*path, step), f"there is no node {name!r}", did_you_mean(name, self._names.nodes))
            source, target = self._parts.get(edge.source), self._parts.get(edge.target)
            if source is not None and along(source.result, self._graph.steps(edge)) is None:
                hint = "`result` is the whole result; a field of it by its name"
                self._problem((*path, 1), f"{edge.source} has no output {edge.output!r}", hint)
            if target is not None and edge.input in target.params:
                self._problem((*path, 3), f"the param {edge.input!r} of {edge.target} is given already")
            if source is not None and source.node.on_error == edge.target:
                message = f"{edge.target} runs when {edge.source} failed, and then {edge.source} has no result"
                self._problem((*path, 0), message, "without a connection input tells what went wrong")
            if edge.input != "input" and (edge.target, edge.input) in taken:
                self._problem((*path, 3), f"another connection gives the param {edge.input!r} of {edge.target} already")
            taken.add((edge.target, edge.input))

    def _bind(self, part: Part) -> None:
        node = part.node
        binding = part.type.bind(node, part.params, self._graph.connected_params(node.id))
        for found in binding.problems:
            self._problem(_place(part, found.path, self._graph), found.message, found.hint)
        items: list[tuple[RegistryPath, Shape]] = []
        source = self._visible.foreach_source(node.id)
        for place, template in templates(part.params):
            path: RegistryPath = ("nodes", node.id, "params", *place)
            slot = binding.slots.get(place)
            for expression in template.expressions:
                for resolved in self._visible.resolve(expression, path, node.id):
                    self._check(expression, resolved, template, slot, path)
                    self._use(
                        part, resolved, Use(_slot(template, expression, resolved, slot), path, expression.has_default)
                    )
                    if resolved.root is Root.ITEM and not expression.has_default:
                        through = _slot(template, expression, resolved, slot)
                        items.append((path, ANYTHING if through is None else without_default(through.shape)))
                    if resolved.root is Root.INPUT and template.is_whole:
                        part.pointers[pointer_of(place)] = f"/inputs{pointer_of((resolved.name, *resolved.steps))}"
                    elif resolved.root is Root.ITEM and template.is_whole:
                        part.pointers |= _into_items(source, place, resolved)
        if source is not None and source.root is Root.INPUT:
            part.pointers["*"] = f"/inputs{pointer_of((source.name, *source.steps))}/*"
        self._check_delivered(part, binding)
        self._bind_control(part, self._common(items))

    def _check(
        self, expression: Expression, resolved: Resolved, template: Template, slot: Slot | None, path: RegistryPath
    ) -> None:
        """Whether what an expression gives can stand where it stands."""
        node_id = str(path[1])
        given = self._visible.given(expression, resolved, path, node_id, is_whole=template.is_whole)
        takes = INSIDE_TEXT if not template.is_whole else None if slot is None else slot.shape
        if takes is None:
            return
        if template.is_whole and not assignable(given, takes):
            self._problem(path, f"{expression.text} is {in_words(given)}; here must stand {in_words(takes)}")
        try:
            check_defaults(expression.filters, lambda value: takes.check(value, ""))
        except UnfitValue as error:
            self._problem(path, str(error))

    def _use(self, part: Part, resolved: Resolved, use: Use) -> None:
        if resolved.root is Root.NODE:
            self._graph.add(resolved.name, part.node.id)
        elif resolved.root is Root.INPUT:
            self._inputs.add(resolved.name, use)

    def _check_delivered(self, part: Part, binding: Binding) -> None:
        """Whether connections deliver what the params that they fill take."""
        for i, edge in self._graph.into(part.node.id):
            slot = binding.slots.get((edge.input,))
            source = self._parts.get(edge.source)
            if edge.input == "input" or slot is None or source is None:
                continue
            given = along(source.result, self._graph.steps(edge))
            if given is not None and not assignable(given, slot.shape):
                what = f"{edge.source} delivers {in_words(given)}"
                self._problem(
                    ("connections", i, 1), f"{what}; {edge.input} of {edge.target} takes {in_words(slot.shape)}"
                )

    def _common(self, items: list[tuple[RegistryPath, Shape]]) -> Shape:
        """What an item must be that stands in all these places."""
        item: Shape = ANYTHING
        for path, shape in items:
            narrower = intersect(item, shape)
            if narrower is None:
                other = next((place for place, each in items if intersect(each, shape) is None), path)
                self._problem(path, f"no item is {in_words(shape)} here and fits {self._locate(other)} too")
            else:
                item = narrower
        return item

    def _bind_control(self, part: Part, item: Shape) -> None:
        """Note what the control keys read; `item` is what the items of a foreach must be."""
        node = part.node
        _imply(part, self._names, self._inputs)
        for below, pairs in part.control.uses():
            path: RegistryPath = ("nodes", node.id, *below)
            for pair in pairs:
                for resolved in self._visible.resolve_all([pair], path, node.id):
                    slot = None if pair[1] or not resolved.steps else Slot(around(ANYTHING, resolved.steps))
                    self._use(part, resolved, Use(slot, path, pair[1]))
        for place, template in templates(part.foreach):
            path = ("nodes", node.id, "foreach", *place)
            items = Slot(ListOf(item, MAX_ITEMS)) if template is part.foreach else None
            for expression in template.expressions:
                for resolved in self._visible.resolve(expression, path, node.id):
                    self._check(expression, resolved, template, items, path)
                    self._use(
                        part, resolved, Use(_slot(template, expression, resolved, items), path, expression.has_default)
                    )
        for name in check_sources(part, self._names.nodes, self._problem):
            self._graph.add(name, node.id)

    def _shape_of(self, inputs: Record, part: Part, resolved: Resolved) -> Shape:
        """What is known of what a path of a condition leads to."""
        if resolved.root is Root.INPUT:
            shape = inputs.at(resolved.name)
            return (None if shape is None else along(shape, resolved.steps)) or ANYTHING
        return self._visible.shape(resolved, part.node.id) or ANYTHING

    def _results(self) -> dict[str, Shape]:
        absent = absentable(self._workflow, self._graph.needs(), self._gatherers)
        return {name: OrNull(part.result) if name in absent else part.result for name, part in self._parts.items()}


def _place(part: Part, path: ParamPath, graph: Graph) -> RegistryPath:
    """Where something stands in the workflow that is wrong in a node; a param may stand in a connection."""
    match path:
        case ("params", str(name), *_) if name not in part.params:
            edges = [i for i, edge in graph.into(part.node.id) if edge.input == name]
            return ("connections", edges[0], 3) if edges else ("nodes", part.node.id, *path)
    return ("nodes", part.node.id, *path)


def _imply(part: Part, names: Names, inputs: InputTable) -> None:
    """Note what the conditions of a node say of the inputs; a name that means nothing is told elsewhere."""
    for reference, shape in part.control.implied():
        with suppress(UnresolvedName):
            resolved = names.resolve(reference)
            if resolved.root is Root.INPUT:
                inputs.imply(resolved.name, resolved.steps, shape)


def _into_items(source: Resolved | None, place: ParamPath, resolved: Resolved) -> dict[str, str]:
    """The pointer of a param that is a part of an item, where the items are an input; * stands for which."""
    if source is None or source.root is not Root.INPUT:
        return {}
    items = pointer_of((source.name, *source.steps))
    return {pointer_of(place): f"/inputs{items}/*{pointer_of(resolved.steps)}"}


def _slot(template: Template, expression: Expression, resolved: Resolved, slot: Slot | None) -> Slot | None:
    """What an input or item must be that an expression reads, where a slot takes the template."""
    defaulted = expression.has_default
    if not template.is_whole:
        shape = inside_text(expression.filters)
    elif any(call.name != "default" for call in expression.filters):
        shape = taken_by_filters(expression.filters)
    elif not resolved.steps:
        if slot is None or not defaulted:
            return slot
        return Slot(slot.shape if isinstance(slot.shape, OrNull) else OrNull(slot.shape), optional=True)
    else:
        shape = None if slot is None else slot.shape
    if defaulted:
        # A path that may lead nowhere asks nothing of what it begins with.
        return Slot(ANYTHING if shape is None or resolved.steps else shape, optional=True)
    if shape is None and not resolved.steps:
        return None
    return Slot(around(ANYTHING if shape is None else shape, resolved.steps))
