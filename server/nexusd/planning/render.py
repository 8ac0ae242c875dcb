"""Params trees compiled to closures: what runs for each call is dict and list look-ups, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nexusd.definitions.template import FILTERS, UNDEFINED, Template, as_text, path_text, step_into
from nexusd.errors import Fault, InvalidInput, UnfitInput
from nexusd.planning.names import Root

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from nexusd.definitions.template import Expression
    from nexusd.planning.names import Names, Resolved
    from nexusd.planning.plan import Render, Scope

Getter: TypeAlias = "Callable[[Scope], object]"
"""A value out of a run's scope; UNDEFINED where there is none."""


def compile_params(params: Mapping[str, object], names: Names, where: str) -> Render:
    """A function that renders a node's params; `where` names the node in errors."""
    parts = {name: compile_value(value, names, f"{where}, param {name}") for name, value in params.items()}

    def render(scope: Scope) -> dict[str, object]:
        return {name: value for name, part in parts.items() if (value := part(scope)) is not UNDEFINED}

    return render


def compile_outputs(outputs: Mapping[str, object], names: Names) -> Render:
    """A function that renders a mapping of outputs; each is always there, null where its input was left out."""
    parts = {name: compile_value(value, names, f"output {name}") for name, value in outputs.items()}

    def render(scope: Scope) -> dict[str, object]:
        return {name: None if (value := part(scope)) is UNDEFINED else value for name, part in parts.items()}

    return render


def compile_value(value: object, names: Names, where: str) -> Getter:
    """A function that renders one value."""
    if isinstance(value, Template):
        return _template(value, names, where)
    if isinstance(value, dict):
        return _object({name: compile_value(item, names, f"{where}.{name}") for name, item in value.items()})
    if isinstance(value, list):
        items = [compile_value(item, names, f"{where}[{i}]") for i, item in enumerate(value)]
        return lambda scope: [item for part in items if (item := part(scope)) is not UNDEFINED]
    return lambda _scope: value


def _object(parts: Mapping[str, Getter]) -> Getter:
    def get(scope: Scope) -> object:
        rendered = {name: item for name, part in parts.items() if (item := part(scope)) is not UNDEFINED}
        # An object that lost everything it had goes itself: a filter on an input left out is no filter.
        return rendered if rendered or not parts else UNDEFINED

    return get


def _template(template: Template, names: Names, where: str) -> Getter:
    if template.is_whole:
        return _expression(template.expressions[0], names, where, optional=True)
    getters = [
        (_expression(each, names, where, optional=False), names.resolve(each).pointer) for each in template.expressions
    ]
    pieces = template.pieces

    def get(scope: Scope) -> str:
        text = [pieces[0]]
        for (getter, pointer), piece in zip(getters, pieces[1:], strict=True):
            value = getter(scope)
            try:
                text += (as_text(value), piece)
            except InvalidInput as error:
                raise _unfit(error, pointer) from error
        return "".join(text)

    return get


def _expression(expression: Expression, names: Names, where: str, *, optional: bool) -> Getter:
    resolved = names.resolve(expression)
    plain = path_getter(resolved, where)
    # An input by itself may be missing only where the planner allowed it to be left out; then the param is left out.
    may_miss = optional and resolved.root is Root.INPUT and not resolved.steps and not expression.filters
    if may_miss:
        return plain
    calls = expression.filters
    text, pointer = expression.text, resolved.pointer

    def get(scope: Scope) -> object:
        value = plain(scope)
        for call in calls:
            if call.name == "default":
                value = call.argument if value is UNDEFINED or value is None else value
            elif value is not UNDEFINED:
                try:
                    value = FILTERS[call.name](value)
                except InvalidInput as error:
                    raise _unfit(error, pointer) from error
        if value is UNDEFINED:
            message = f"the template {{{{ {text} }}}} of {where} is undefined"
            raise UnfitInput(message, faults=[] if pointer is None else [Fault(pointer, "required", "is required")])
        return value

    return get


def _unfit(error: InvalidInput, pointer: str | None) -> InvalidInput:
    """The error with the input that it is about, if it is about one."""
    return error if pointer is None else UnfitInput(error.detail, faults=[Fault(pointer, "type", error.detail)])


def path_getter(resolved: Resolved, where: str) -> Getter:
    """What a path leads to; `where` is the place that a uuid is for."""
    name, steps = resolved.name, resolved.steps
    if resolved.root is Root.NOW:
        return lambda scope: scope.now
    if resolved.root is Root.UUID:
        return lambda scope: scope.uuid(where)
    if resolved.root is Root.INPUT:
        if not steps:
            return lambda scope: scope.inputs.get(name, UNDEFINED)
        return lambda scope: _follow(scope.inputs.get(name, UNDEFINED), steps)
    if resolved.root is Root.NODE:
        return _of_node(name, steps)
    is_item = resolved.root is Root.ITEM
    return lambda scope: _follow(scope.item if is_item else scope.input, steps)


def _of_node(name: str, steps: tuple[str | int, ...]) -> Getter:
    first, *rest = steps or (None,)

    def get(scope: Scope) -> object:
        value = scope.nodes.get(name, UNDEFINED)
        if first is not None:
            # A field of a result is by far the most frequent path.
            value = value.get(first, UNDEFINED) if type(value) is dict else _follow(value, (first,))
        if rest:
            value = _follow(value, rest)
        # A node without a result counts as null, and so does what is read out of it.
        return None if value is UNDEFINED and name in scope.absent else value

    return get


def _follow(value: object, steps: Sequence[str | int]) -> object:
    for step in steps:
        value = step_into(value, step)
        if value is UNDEFINED:
            break
    return value


def compile_path(node: str, steps: tuple[str | int, ...], where: str) -> Getter:
    """What a connection delivers: a node's result, or what a path leads to in it; `where` names it in errors."""
    of_node = _of_node(node, steps)
    if not steps:
        return of_node

    def get(scope: Scope) -> object:
        value = of_node(scope)
        if value is UNDEFINED:
            message = f"{path_text((node, *steps))}, which is connected to {where}, is undefined"
            raise InvalidInput(message)
        return value

    return get
