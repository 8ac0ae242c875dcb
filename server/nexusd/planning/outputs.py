"""The outputs of a workflow: every node's result, or what its mapping makes of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.shape import ANYTHING, ListOf, OrNull, Record
from nexusd.definitions.template import Template
from nexusd.nodes.node import Slot
from nexusd.planning.inputs import Use
from nexusd.planning.names import Root
from nexusd.planning.trees import along, parse_tree, templates
from nexusd.planning.values import SOME_TEXT, around, filtered, inside_text, literal_shape, taken_by_filters

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.registry import RegistryPath
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.template import Expression
    from nexusd.planning.control import Report
    from nexusd.planning.inputs import InputTable
    from nexusd.planning.names import Names, Resolved
    from nexusd.planning.visible import Visible


class Outputs:
    """A declared mapping.

    Args:
        declared: templates by output.
        names: of the workflow.
        visible: what the templates can see.
        report: is told of problems.
        defaulted: inputs with a default, which are never missing.
    """

    def __init__(
        self,
        declared: Mapping[str, object],
        names: Names,
        visible: Visible,
        report: Report,
        defaulted: frozenset[str] = frozenset(),
    ) -> None:
        self.mapping = {name: parse_tree(value, ("outputs", name), report) for name, value in declared.items()}
        self._names = names
        self._visible = visible
        self._report = report
        self._defaulted = defaulted

    def note_inputs(self, inputs: InputTable) -> None:
        """Note what the mapping reads of the inputs, and tell what its templates cannot give."""
        for place, template in templates(self.mapping):
            path: RegistryPath = ("outputs", *place)
            for expression in template.expressions:
                for resolved in self._visible.resolve(expression, path, None):
                    self._visible.given(expression, resolved, path, None, is_whole=template.is_whole)
                    if resolved.root is Root.INPUT:
                        slot = _slot(template, expression, resolved)
                        inputs.add(resolved.name, Use(slot, path, expression.has_default))

    def shape(self, results: Mapping[str, Shape], inputs: Record) -> Record:
        """The shape of the outputs; an output is null where it is an input that was left out."""
        shapes: dict[str, Shape] = {}
        for name, value in self.mapping.items():
            shape = self._of(value, results, inputs)
            shapes[name] = OrNull(shape) if self._may_miss(value, inputs) else shape
        return Record(shapes, frozenset(shapes))

    def _of(self, value: object, results: Mapping[str, Shape], inputs: Record) -> Shape:
        if isinstance(value, dict):
            needed = frozenset(name for name, item in value.items() if not self._may_miss(item, inputs))
            return Record({name: self._of(item, results, inputs) for name, item in value.items()}, needed)
        if isinstance(value, list):
            return ListOf(ANYTHING)
        if not isinstance(value, Template):
            return literal_shape(value)
        return self._of_template(value, results, inputs) if value.is_whole else SOME_TEXT

    def _of_template(self, template: Template, results: Mapping[str, Shape], inputs: Record) -> Shape:
        expression = template.expressions[0]
        resolved = self._names.resolve(expression)
        shape: Shape | None
        if resolved.root is Root.INPUT:
            shape = along(inputs.properties[resolved.name], resolved.steps)
        elif resolved.root is Root.NODE:
            shape = along(results[resolved.name], resolved.steps)
        else:
            shape = SOME_TEXT
        return ANYTHING if shape is None else filtered(shape, expression.filters)

    def _may_miss(self, value: object, inputs: Record) -> bool:
        """Whether it is an input that may be left out, or an object of nothing else."""
        if isinstance(value, dict):
            return bool(value) and all(self._may_miss(item, inputs) for item in value.values())
        if not isinstance(value, Template) or not value.is_whole or value.expressions[0].filters:
            return False
        resolved = self._names.resolve(value.expressions[0])
        return (
            resolved.root is Root.INPUT
            and not resolved.steps
            and resolved.name not in inputs.required | self._defaulted
        )


def _slot(template: Template, expression: Expression, resolved: Resolved) -> Slot:
    """What an output takes of an input; by itself it may be left out where it is declared so."""
    through = taken_by_filters if template.is_whole else inside_text
    shape = through(expression.filters) or ANYTHING
    if expression.has_default:
        return Slot(ANYTHING if resolved.steps else shape, optional=True)
    droppable = template.is_whole and not resolved.steps and not expression.filters
    return Slot(around(shape, resolved.steps), droppable=droppable)
