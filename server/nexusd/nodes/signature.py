"""The signature of an operator's function: what its node takes and gives, and how wire values become Python's."""

from __future__ import annotations

import inspect
import typing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.definitions.annotations import UnknownAnnotation, typed
from nexusd.definitions.content import BlockShape
from nexusd.definitions.model import MISSING
from nexusd.definitions.plain import NotJson, from_wire, to_wire
from nexusd.definitions.shape import ANYTHING, ListOf, OrNull
from nexusd.errors import InvalidInput, NodeFailed
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.function_context import BlockingContext, Context

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.annotations import Read
    from nexusd.definitions.shape import Shape
    from nexusd.errors import Fault

CONTEXT: Final = "ctx"
_CONTEXTS: Final = (Context, BlockingContext)


class UnusableFunction(ValueError):
    """A function that cannot be a node; the message says why."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function takes and gives.

    Attributes:
        params: its keyword arguments.
        reads: makes the Python value of each.
        is_open: whether it takes further ones.
        context: the argument that is the context, or None.
        result: the shape of what it returns.
        is_async: whether calling it gives a coroutine.
    """

    params: Mapping[str, Param]
    reads: Mapping[str, Read]
    is_open: bool
    context: str | None
    result: Shape
    is_async: bool

    def read(self, params: Mapping[str, object]) -> dict[str, object]:
        """Python values of rendered params.

        Raises:
            InvalidInput: with every fault, pointers into the params.
        """
        faults: list[Fault] = []
        values: dict[str, object] = {}
        for name, value in params.items():
            known = self.params.get(name)
            if known is None:
                values[name] = from_wire(value)
                continue
            found = known.shape.check(value, f"/{name}")
            if found:
                faults += found
            else:
                values[name] = self.reads[name](known.shape.normalise(value))
        if faults:
            message = "; ".join(f"{fault.pointer[1:]} {fault.detail}" for fault in faults[:5])
            raise InvalidInput(message, faults=faults)
        return values

    def write(self, result: object) -> object:
        """The wire form of what the function returned.

        Raises:
            NodeFailed: it has none, or not the one that its annotation says.
        """
        if _is_content(self.result):
            wire = result if result is None or not isinstance(result, list | tuple) else list(result)
        else:
            try:
                wire = to_wire(result, "the result")
            except NotJson as error:
                raise NodeFailed(f"the function gives what cannot be answered: {error}") from None
            except RecursionError:
                raise NodeFailed("the function gives what cannot be answered: it is nested too deeply") from None
        faults = self.result.check(wire, "")
        if faults:
            first = faults[0]
            where = f" at {first.pointer}" if first.pointer else ""
            raise NodeFailed(
                f"the function gives something else than its annotation says: the result{where} {first.detail}"
            )
        return self.result.normalise(wire)


def signature_of(function: Callable[..., object]) -> Signature:
    """Read a function's signature.

    Raises:
        UnusableFunction: it cannot be called with keyword arguments of JSON values.
    """
    try:
        found = inspect.signature(function)
        hints = typing.get_type_hints(function, include_extras=True)
    except (TypeError, ValueError, NameError) as error:
        raise UnusableFunction(f"its signature cannot be read: {error}") from error
    params: dict[str, Param] = {}
    reads: dict[str, Read] = {}
    is_open, context = False, None
    for name, parameter in found.parameters.items():
        hint = hints.get(name, parameter.annotation)
        if parameter.kind is parameter.VAR_KEYWORD:
            is_open = True
        elif parameter.kind is parameter.VAR_POSITIONAL:
            continue
        elif name == CONTEXT or hint in _CONTEXTS:
            context = name
        elif parameter.kind is parameter.POSITIONAL_ONLY:
            raise UnusableFunction(f"its param {name!r} cannot be given by name")
        else:
            params[name], reads[name] = _param(name, hint, parameter.default)
    is_async = any(map(inspect.iscoroutinefunction, (function, type(function).__call__)))
    _check_context(context, hints, is_async=is_async)
    return Signature(params, reads, is_open, context, _result(hints), is_async)


def _param(name: str, hint: object, default: object) -> tuple[Param, Read]:
    required = default is inspect.Parameter.empty
    shown: object = MISSING
    if not required:
        try:
            shown = to_wire(default, name)
        except NotJson:
            shown = MISSING
    try:
        found = typed(hint, name, shown)
    except UnknownAnnotation as error:
        raise UnusableFunction(f"its param {name!r}: {error}") from error
    purpose = Purpose.NEED if required else Purpose.OPTION
    return Param(found.shape, purpose, required=required), found.read


def _result(hints: Mapping[str, object]) -> Shape:
    if "return" not in hints:
        return ANYTHING
    try:
        return typed(hints["return"], "result").shape
    except UnknownAnnotation as error:
        raise UnusableFunction(f"its result: {error}") from error


def _check_context(context: str | None, hints: Mapping[str, object], *, is_async: bool) -> None:
    wanted = Context if is_async else BlockingContext
    hint = hints.get(context, wanted) if context is not None else wanted
    if hint in _CONTEXTS and hint is not wanted:
        kind = "a coroutine function" if is_async else "a function that runs in a thread"
        raise UnusableFunction(f"its param {context!r}: {kind} gets a {wanted.__name__}")


def _is_content(shape: Shape) -> bool:
    """Whether the result is blocks and nothing else."""
    if isinstance(shape, OrNull):
        return _is_content(shape.shape)
    return isinstance(shape.items if isinstance(shape, ListOf) else shape, BlockShape)
