"""From the registry to plans: every workflow checked and compiled once; all problems at once, each with its place."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import msgspec

from nexusd.definitions.model import MISSING
from nexusd.definitions.shape import ANYTHING, Record
from nexusd.definitions.template import Template, TemplateSyntaxError, parse_template
from nexusd.definitions.workflow import TransactionMode
from nexusd.documents import did_you_mean
from nexusd.errors import ConfigurationError, Problem
from nexusd.nodes.node import Effects, Slot
from nexusd.planning.graph import Graph
from nexusd.planning.inputs import InputTable, Use, compile_decoder
from nexusd.planning.intersection import assignable
from nexusd.planning.names import Names, Resolved, Root, UnresolvedName
from nexusd.planning.order import CycleError, topological_order
from nexusd.planning.plan import Plan, PlannedNode, Strategy
from nexusd.planning.render import compile_params, compile_path

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.definitions.registry import Registry, RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.nodes.node import NodeType, ParamPath


def compile_registry(registry: Registry, node_types: Mapping[str, NodeType]) -> dict[str, Plan]:
    """A plan for every workflow, by name in order.

    Raises:
        ConfigurationError: with every problem of every workflow.
    """
    problems: list[Problem] = []
    plans: dict[str, Plan] = {}
    for name in sorted(registry.workflows):
        compiler = _Compiler(registry.workflows[name], node_types)
        plan = compiler.compile()
        for path, message, hint in compiler.problems:
            problems.append(registry.sources.problem(("workflows", name, *path), message, hint))
        if plan is not None:
            plans[name] = plan
    if problems:
        raise ConfigurationError(problems)
    return plans


@dataclass(slots=True)
class _Part:
    """A node on its way into a plan."""

    node: Node
    type: NodeType
    effects: Effects
    result: Shape
    params: dict[str, object]
    slots: Mapping[ParamPath, Slot] = field(default_factory=dict)


class _Compiler:
    """Compiles one workflow; problems are (path below the workflow, message, hint)."""

    def __init__(self, workflow: Workflow, node_types: Mapping[str, NodeType]) -> None:
        self.problems: list[tuple[RegistryPath, str, str]] = []
        self._workflow = workflow
        self._types = node_types
        self._names = Names(frozenset(node.id for node in workflow.nodes), frozenset(workflow.inputs))
        self._graph = Graph(workflow)
        self._parts: dict[str, _Part] = {}
        self._inputs = InputTable()
        self._pointers: dict[str, dict[str, str]] = {}

    def compile(self) -> Plan | None:
        """The plan, or None if there are problems."""
        for node in self._workflow.nodes:
            self.problems += _beyond_language(node)
            self._take(node)
        self._check_connections()
        for part in self._parts.values():
            self._bind(part)
        outputs = self._outputs()
        inputs = self._infer()
        if self.problems:
            return None
        try:
            order = topological_order(self._graph.needs)
        except CycleError as error:
            self._problem(("nodes", error.cycle[0]), f"the nodes wait for each other: {error}")
            return None
        return self._assemble(order, inputs, outputs)

    def _problem(self, path: RegistryPath, message: str, hint: str = "") -> None:
        self.problems.append((path, message, hint))

    def _take(self, node: Node) -> None:
        path = ("nodes", node.id)
        node_type = self._types.get(node.type)
        params = {name: self._parse(value, (*path, "params", name)) for name, value in node.params.items()}
        if node_type is None:
            self._problem((*path, "type"), f"there is no node type {node.type!r}", did_you_mean(node.type, self._types))
            return
        result = node_type.result(node)
        self._parts[node.id] = _Part(node, node_type, node_type.effects(node), result, params)

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

    def _bind(self, part: _Part) -> None:
        node = part.node
        binding = part.type.bind(node, part.params, self._graph.connected_params(node.id))
        for found in binding.problems:
            self._problem(("nodes", node.id, *found.path), found.message, found.hint)
        part.slots = binding.slots
        self._pointers[node.id] = {}
        for param_path, template in _templates(part.params):
            path: RegistryPath = ("nodes", node.id, "params", *param_path)
            slot = binding.slots.get(param_path)
            for resolved, defaulted in self._resolve(template, path, node.id):
                self._use(resolved, Use(slot, path, defaulted), template, node.id, param_path)

    def _resolve(self, template: Template, path: RegistryPath, node_id: str | None) -> Iterator[tuple[Resolved, bool]]:
        for expression in template.expressions:
            try:
                resolved = self._names.resolve(expression)
            except UnresolvedName as error:
                self._problem(path, str(error))
                continue
            if resolved.root is Root.NODE:
                if resolved.name == node_id:
                    self._problem(path, f"the node {node_id} cannot use its own result")
                    continue
                part = self._parts.get(resolved.name)
                if part is not None and _along(part.result, resolved.steps) is None and not expression.has_default:
                    self._problem(path, f"the result of {resolved.name} has no {_dotted(resolved.steps)}")
                    continue
            yield resolved, expression.has_default

    def _use(self, resolved: Resolved, use: Use, template: Template, node_id: str, param_path: ParamPath) -> None:
        if resolved.root is Root.NODE:
            self._graph.add(resolved.name, node_id)
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
            self._pointers[node_id][pointer] = f"/inputs/{resolved.name}"

    def _check_assignable(self, resolved: Resolved, use: Use, template: Template) -> None:
        part = self._parts.get(resolved.name)
        if part is None or use.slot is None or not template.is_whole or template.expressions[0].filters:
            return
        source = _along(part.result, resolved.steps)
        if source is not None and not assignable(source, use.slot.shape):
            self._problem(use.path, f"{template.expressions[0].text} is of another type than what stands here")

    def _outputs(self) -> tuple[Record, Mapping[str, object] | None]:
        declared = self._workflow.outputs
        if declared is None:
            return Record({part.node.id: part.result for part in self._parts.values()}, frozenset(self._parts)), None
        parsed: dict[str, object] = {}
        shapes: dict[str, Shape] = {}
        for name, value in declared.items():
            parsed[name] = self._parse(value, ("outputs", name))
            shapes[name] = ANYTHING
            for param_path, template in _templates({name: parsed[name]}):
                path: RegistryPath = ("outputs", *param_path)
                for resolved, defaulted in self._resolve(template, path, None):
                    if resolved.root is Root.INPUT:
                        self._inputs.add(resolved.name, Use(None, path, defaulted))
                    if template is parsed[name] and template.is_whole and resolved.root is Root.NODE:
                        part = self._parts.get(resolved.name)
                        along = None if part is None else _along(part.result, resolved.steps)
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

    def _assemble(self, order: list[str], inputs: Record, outputs: tuple[Record, Mapping[str, object] | None]) -> Plan:
        parts = [self._parts[name] for name in order]
        effects = [part.effects for part in parts]
        transaction = self._transaction(effects)
        shape, mapping = outputs
        defaults = {
            name: declared.field.default
            for name, declared in self._workflow.inputs.items()
            if declared.field.default is not MISSING
        }
        linear = transaction or len(parts) == 1 or self._graph.is_chain(order)
        return Plan(
            name=self._workflow.name,
            workflow=self._workflow,
            nodes=tuple(self._planned(i, part, order) for i, part in enumerate(parts)),
            inputs=inputs,
            outputs=shape,
            inputs_schema=inputs.schema(),
            outputs_schema=shape.schema(),
            decode=compile_decoder(inputs, defaults),
            strategy=Strategy.LINEAR if linear else Strategy.PARALLEL,
            transaction=transaction,
            read_only=not any(effect.writes for effect in effects),
            destructive=any(effect.destructive for effect in effects),
            idempotent=all(effect.idempotent for effect in effects),
            render_outputs=None if mapping is None else compile_params(mapping, self._names, "the outputs"),
            hash=_hash(self._workflow),
        )

    def _transaction(self, effects: list[Effects]) -> bool:
        """Whether all database nodes of a run share one transaction."""
        mode = self._workflow.transaction
        several = sum(effect.database for effect in effects) > 1
        return several and mode is not TransactionMode.NONE

    def _planned(self, index: int, part: _Part, order: list[str]) -> PlannedNode:
        node = part.node
        position = {name: i for i, name in enumerate(order)}
        connections = {
            edge.input: compile_path(edge.source, self._graph.steps(edge))
            for edge in self._workflow.connections
            if edge.target == node.id
        }
        return PlannedNode(
            index=index,
            id=node.id,
            type=node.type,
            effects=part.effects,
            render=compile_params(part.params, self._names, f"node {node.id}"),
            connections=connections,
            run=part.type.build(node),
            needs=tuple(sorted(position[name] for name in self._graph.needs[node.id])),
            timeout_s=node.timeout_s,
            pointers=self._pointers[node.id],
        )


def _beyond_language(node: Node) -> Iterator[tuple[RegistryPath, str, str]]:
    """Keys of the language that this version cannot honour: refused, never ignored."""
    for key, given in (
        ("when", node.when is not None),
        ("foreach", node.foreach is not None),
        ("concurrency", node.concurrency is not None),
        ("retry", node.retry is not None),
        ("on_error", node.on_error != "fail"),
    ):
        if given:
            yield ("nodes", node.id, key), f"{key} is not part of this version", ""
    for key in node.options:
        yield ("nodes", node.id, key), f"{node.type} has no key {key!r}", ""


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


def _dotted(steps: tuple[str | int, ...]) -> str:
    return "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in steps).lstrip(".")


def _hash(workflow: Workflow) -> str:
    def plain(value: object) -> object:
        return str(value)

    text = msgspec.json.encode(workflow, order="sorted", enc_hook=plain)
    return hashlib.sha256(text).hexdigest()
