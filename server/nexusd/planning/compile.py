"""From a workflow to its plan: checked and compiled once; all problems at once, each with its place."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING, ListOf, OrNull, Record
from nexusd.definitions.template import Template, TemplateSyntaxError, parse_template, path_text
from nexusd.documents import did_you_mean
from nexusd.nodes.node import Slot
from nexusd.planning.assemble import MODE_NEEDED, Part, Surroundings, asks_for_mode, assemble
from nexusd.planning.conditions import ConditionCompiler
from nexusd.planning.control import absentable, check_foreach, check_handlers, read_control
from nexusd.planning.graph import Graph
from nexusd.planning.inputs import InputTable, Use
from nexusd.planning.intersection import assignable
from nexusd.planning.names import Names, Resolved, Root, UnresolvedName
from nexusd.planning.order import CycleError, topological_order

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nexusd.definitions.condition import Reference
    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.template import Expression
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.nodes.node import NodeType, ParamPath
    from nexusd.planning.control import Report
    from nexusd.planning.plan import Plan


def compile_workflow(
    workflow: Workflow, node_types: Mapping[str, NodeType], callees: Mapping[str, Plan], report: Report
) -> Plan | None:
    """The plan of one workflow, or None if there are problems; `callees` are plans of the workflows it may run."""
    return _Compiler(workflow, node_types, callees, report).compile()


class _Compiler:
    """Compiles one workflow."""

    def __init__(
        self, workflow: Workflow, node_types: Mapping[str, NodeType], callees: Mapping[str, Plan], report: Report
    ) -> None:
        self._report = report
        self._sound = True
        self._workflow = workflow
        self._types = node_types
        self._callees = callees
        self._names = Names(frozenset(node.id for node in workflow.nodes), frozenset(workflow.inputs))
        self._graph = Graph(workflow)
        self._parts: dict[str, Part] = {}
        self._inputs = InputTable()

    def compile(self) -> Plan | None:
        """The plan, or None if there are problems."""
        for node in self._workflow.nodes:
            self._take(node)
        self._check_connections()
        for part in self._parts.values():
            self._bind(part)
        check_handlers(self._workflow, self._graph.needs, self._problem)
        for node in self._workflow.nodes:
            self._graph.add(node.id, node.on_error)
        outputs = self._outputs()
        inputs = self._infer()
        for part in self._parts.values():
            compiler = ConditionCompiler(self._names, partial(self._shape_of, inputs), f"node {part.node.id}")
            if self._sound:
                part.control.compile(compiler, ("nodes", part.node.id), self._problem)
        if not self._sound:
            return None
        try:
            order = topological_order(self._graph.needs)
        except CycleError as error:
            self._problem(("nodes", error.cycle[0]), f"the nodes wait for each other: {error}")
            return None
        if asks_for_mode(self._workflow, self._parts.values()):
            self._problem(("transaction",), *MODE_NEEDED)
            return None
        return assemble(
            self._workflow,
            [self._parts[name] for name in order],
            Surroundings(self._names, self._graph, self._callees, inputs, *outputs),
        )

    def _problem(self, path: RegistryPath, message: str, hint: str = "") -> None:
        self._sound = False
        self._report(path, message, hint)

    def _take(self, node: Node) -> None:
        path = ("nodes", node.id)
        node_type = self._types.get(node.type)
        params = {name: self._parse(value, (*path, "params", name)) for name, value in node.params.items()}
        if node_type is None:
            self._problem((*path, "type"), f"there is no node type {node.type!r}", did_you_mean(node.type, self._types))
            return
        for key in node.options:
            if key not in node_type.keys:
                self._problem((*path, key), f"{node.type} has no key {key!r}")
        result = node_type.result(node)
        control = read_control(node, node_type.derived(node), self._problem)
        part = Part(node, node_type, node_type.effects(node), result, params, control)
        if node.foreach is not None:
            part.foreach = self._parse(node.foreach, (*path, "foreach"))
            part.result = ListOf(result)
            check_foreach(node, part.foreach, self._problem)
        self._parts[node.id] = part

    def _parse(self, value: object, path: RegistryPath) -> object:
        """A params tree with its templates parsed."""
        if isinstance(value, dict):
            return {name: self._parse(item, (*path, name)) for name, item in value.items()}
        if isinstance(value, list):
            return [self._parse(item, (*path, i)) for i, item in enumerate(value)]
        if not isinstance(value, str):
            return value
        try:
            return parse_template(value)
        except TemplateSyntaxError as error:
            self._problem(path, f"not a template: {error}")
            return ""

    def _check_connections(self) -> None:
        for i, edge in enumerate(self._workflow.connections):
            path: RegistryPath = ("connections", i)
            for step, name in ((0, edge.source), (2, edge.target)):
                if name not in self._names.nodes:
                    self._problem((*path, step), f"there is no node {name!r}", did_you_mean(name, self._names.nodes))
            source, target = self._parts.get(edge.source), self._parts.get(edge.target)
            if source is not None and _along(source.result, self._graph.steps(edge)) is None:
                hint = "`result` is the whole result; a field of it by its name"
                self._problem((*path, 1), f"{edge.source} has no output {edge.output!r}", hint)
            if target is not None and edge.input in target.params:
                self._problem((*path, 3), f"the param {edge.input!r} of {edge.target} is given already")

    def _bind(self, part: Part) -> None:
        node = part.node
        binding = part.type.bind(node, part.params, self._graph.connected_params(node.id))
        for found in binding.problems:
            self._problem(("nodes", node.id, *found.path), found.message, found.hint)
        for param_path, template in _templates(part.params):
            path: RegistryPath = ("nodes", node.id, "params", *param_path)
            slot = binding.slots.get(param_path)
            for resolved, defaulted in self._resolve(_expressions(template), path, node.id):
                self._use(resolved, Use(slot, path, defaulted), template, part, param_path)
        self._bind_control(part)

    def _bind_control(self, part: Part) -> None:
        """Note what the control keys read."""
        node = part.node
        for below, pairs in part.control.uses():
            path: RegistryPath = ("nodes", node.id, *below)
            for resolved, defaulted in self._resolve(pairs, path, node.id):
                self._note(resolved, Use(None, path, defaulted), node.id)
        for param_path, template in _templates(part.foreach):
            path = ("nodes", node.id, "foreach", *param_path)
            plain = template is part.foreach and not template.expressions[0].filters
            for resolved, defaulted in self._resolve(_expressions(template), path, node.id):
                slot = Slot(ListOf(ANYTHING)) if plain and not resolved.steps else None
                self._note(resolved, Use(slot, path, defaulted), node.id)
                if plain and resolved.root is Root.NODE:
                    self._check_assignable(resolved, Use(Slot(ListOf(ANYTHING)), path), template)
        for first in part.control.sources.values():
            for i, name in enumerate(first.nodes):
                if name not in self._names.nodes or name == node.id:
                    hint = did_you_mean(name, self._names.nodes - {node.id})
                    self._problem(("nodes", node.id, "from", i), f"there is no other node {name!r}", hint)
                self._graph.add(name, node.id)

    def _note(self, resolved: Resolved, use: Use, node_id: str) -> None:
        if resolved.root is Root.NODE:
            self._graph.add(resolved.name, node_id)
        elif resolved.root is Root.INPUT:
            self._inputs.add(resolved.name, use)

    def _shape_of(self, inputs: Record, resolved: Resolved) -> Shape:
        """What is known of what a path of a condition leads to."""
        shape: Shape | None = ANYTHING
        if resolved.root is Root.INPUT:
            shape = inputs.at(resolved.name)
        elif resolved.root is Root.NODE:
            shape = self._parts[resolved.name].result
        return (None if shape is None else _along(shape, resolved.steps)) or ANYTHING

    def _resolve(
        self, pairs: Iterable[tuple[Expression | Reference, bool]], path: RegistryPath, node_id: str | None
    ) -> Iterator[tuple[Resolved, bool]]:
        names = self._names
        if node_id is not None and self._parts[node_id].foreach is not None and path[2] == "params":
            names = replace(names, has_item=True)
        for expression, defaulted in pairs:
            try:
                resolved = names.resolve(expression)
            except UnresolvedName as error:
                self._problem(path, str(error))
                continue
            if resolved.root is Root.NODE:
                if resolved.name == node_id:
                    self._problem(path, f"the node {node_id} cannot use its own result")
                    continue
                part = self._parts.get(resolved.name)
                if part is not None and _along(part.result, resolved.steps) is None and not defaulted:
                    self._problem(path, f"the result of {resolved.name} has no {path_text(resolved.steps)}")
                    continue
                if node_id is not None and part is not None and part.node.on_error == node_id:
                    message = f"{node_id} runs when {resolved.name} failed, and then {resolved.name} has no result"
                    self._problem(path, message, "input.code and input.detail tell what went wrong")
                    continue
            yield resolved, defaulted

    def _use(self, resolved: Resolved, use: Use, template: Template, part: Part, param_path: ParamPath) -> None:
        if resolved.root is Root.NODE:
            self._graph.add(resolved.name, part.node.id)
            self._check_assignable(resolved, use, template)
        if resolved.root is not Root.INPUT:
            return
        alone = template.is_whole and not resolved.steps
        plain = alone and all(call.name == "default" for call in template.expressions[0].filters)
        slot = use.slot
        if not plain:
            # In a text, through a filter or below a step, the input is something else than what the place takes.
            slot = None if slot is None or not use.defaulted else Slot(ANYTHING, optional=True)
        self._inputs.add(resolved.name, Use(slot, use.path, use.defaulted))
        if alone:
            pointer = "".join(f"/{step}" for step in param_path)
            part.pointers[pointer] = f"/inputs/{resolved.name}"

    def _check_assignable(self, resolved: Resolved, use: Use, template: Template) -> None:
        part = self._parts.get(resolved.name)
        if part is None or use.slot is None or not template.is_whole or template.expressions[0].filters:
            return
        source = _along(part.result, resolved.steps)
        if source is not None and not assignable(source, use.slot.shape):
            self._problem(use.path, f"{template.expressions[0].text} is of another type than what stands here")

    def _outputs(self) -> tuple[Record, Mapping[str, object] | None]:
        declared = self._workflow.outputs
        gatherers = frozenset(name for name, part in self._parts.items() if part.control.sources)
        absent = absentable(self._workflow, self._graph.needs, gatherers)
        results = {name: OrNull(part.result) if name in absent else part.result for name, part in self._parts.items()}
        if declared is None:
            return Record(results, frozenset(results)), None
        parsed: dict[str, object] = {}
        shapes: dict[str, Shape] = {}
        for name, value in declared.items():
            parsed[name] = self._parse(value, ("outputs", name))
            shapes[name] = ANYTHING
            for param_path, template in _templates({name: parsed[name]}):
                path: RegistryPath = ("outputs", *param_path)
                for resolved, defaulted in self._resolve(_expressions(template), path, None):
                    if resolved.root is Root.INPUT:
                        self._inputs.add(resolved.name, Use(None, path, defaulted))
                    if template is parsed[name] and template.is_whole and resolved.root is Root.NODE:
                        result = results.get(resolved.name)
                        along = None if result is None else _along(result, resolved.steps)
                        if along is not None and not template.expressions[0].filters:
                            shapes[name] = along
        return Record(shapes, frozenset(shapes)), parsed

    def _infer(self) -> Record:
        inputs, problems = self._inputs.infer(self._workflow.inputs)
        for path, message in problems:
            self._problem(path, message)
        for name in self._workflow.inputs:
            if name not in self._inputs.uses:
                self._problem(("inputs", name), f"no template uses the input {name!r}")
        return inputs


def _expressions(template: Template) -> Iterator[tuple[Expression, bool]]:
    """The paths of a template, and whether each may lead nowhere."""
    return ((expression, expression.has_default) for expression in template.expressions)


def _templates(tree: object, path: ParamPath = ()) -> Iterator[tuple[ParamPath, Template]]:
    """Every template of a params tree with its place."""
    if isinstance(tree, Template):
        yield path, tree
    elif isinstance(tree, dict):
        for name, item in tree.items():
            yield from _templates(item, (*path, name))
    elif isinstance(tree, list):
        for i, item in enumerate(tree):
            yield from _templates(item, (*path, i))


def _along(shape: Shape, steps: tuple[str | int, ...]) -> Shape | None:
    """What a path leads to; None when it surely leads nowhere."""
    current: Shape | None = shape
    for step in steps:
        if current is None:
            return None
        current = current.at(step)
    return current
