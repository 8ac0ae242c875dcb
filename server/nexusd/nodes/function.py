"""FunctionNode: a function of the operator's as a node (docs/reference.md, section 8)."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from nexusd.definitions.shape import ANYTHING
from nexusd.errors import InputRequired, NexusError, NodeFailed, Overloaded, ToolError
from nexusd.events import NodeCrashed, ThreadAbandoned, positions_of
from nexusd.nodes.binding import Binder, Param, slot
from nexusd.nodes.function_context import BlockingContext, Context
from nexusd.nodes.node import Effects, ParamProblem
from nexusd.nodes.signature import Signature, UnusableFunction, signature_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import Binding, Choice, FirstOf, NodeContext, Runner
    from nexusd.nodes.threads import Threads

Function: TypeAlias = Callable[..., object]

FindFunction: TypeAlias = Callable[[str], Function]
"""The function at `module:attribute`; raises NexusError where there is none."""

Call: TypeAlias = "Callable[[Context | BlockingContext | None, NodeContext], Awaitable[object]]"

_PURE = Effects(idempotent=True)
_UNKNOWN = Effects(writes=True, destructive=True, outside=True)
"""Of a function nothing is known unless it says that it only computes."""


class FunctionNode:
    """Calls the function that stands in its key `call`."""

    name = "FunctionNode"
    keys = frozenset({"call", "pure"})

    def __init__(self, find: FindFunction, threads: Threads) -> None:
        self._find = find
        self._threads = threads
        self._found: dict[str, tuple[Function, Signature] | str] = {}

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, node: Node) -> Effects:
        """None if it says so, else all there are."""
        return _PURE if node.options.get("pure") is True else _UNKNOWN

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """The params are the function's keyword arguments."""
        binder = Binder()
        if not isinstance(node.options.get("pure", False), bool):
            binder.binding.problems.append(ParamProblem(("pure",), "pure is true or false"))
        found = self._function(node)
        if isinstance(found, str):
            place = ("call",) if "call" in node.options else ()
            binder.binding.problems.append(ParamProblem(place, found))
            return binder.binding
        signature = found[1]
        for name, param in signature.params.items():
            if param.required and name not in params and name not in connected:
                binder.problem((), f"the param {name!r} of {node.options['call']} is missing")
        for name in (*params, *sorted(connected - {"input"})):
            self._bind_param(binder, signature, name, params)
        return binder.binding

    @staticmethod
    def _bind_param(binder: Binder, signature: Signature, name: str, params: Mapping[str, object]) -> None:
        param = signature.params.get(name)
        if param is None and not signature.is_open:
            binder.unknown("param", (name,), signature.params)
            return
        param = param or Param(ANYTHING)
        if name not in params:
            binder.binding.slots[name,] = slot(param.shape, param.purpose)
        else:
            binder.bind(param.shape, params[name], (name,), param.purpose, param.inside)

    def result(self, node: Node) -> Shape:
        """What its return annotation says."""
        found = self._function(node)
        return ANYTHING if isinstance(found, str) else found[1].result

    def build(self, node: Node) -> Runner:
        """Call the function."""
        found = self._function(node)
        if isinstance(found, str):
            raise NodeFailed(found)
        function, signature = found
        argument = signature.context
        call = _await if signature.is_async else partial(_run_in_thread, self._threads)

        async def run(params: Mapping[str, object], context: NodeContext) -> object:
            values = signature.read(params)
            facts: Context | BlockingContext | None = None
            if argument is not None:
                facts = Context(context) if signature.is_async else BlockingContext(context)
                values[argument] = facts
            return signature.write(await _judged(partial(call, partial(function, **values)), facts, context))

        return run

    def _function(self, node: Node) -> tuple[Function, Signature] | str:
        """The function and its signature, or what is wrong."""
        reference = node.options.get("call")
        if not isinstance(reference, str):
            return "a FunctionNode needs call, such as `call: crm.scores:score`"
        if reference not in self._found:
            self._found[reference] = self._describe(reference)
        return self._found[reference]

    def _describe(self, reference: str) -> tuple[Function, Signature] | str:
        try:
            function = self._find(reference)
            return function, signature_of(function)
        except NexusError as error:
            return error.detail
        except UnusableFunction as error:
            return f"{reference} cannot be a node: {error}"


async def _judged(call: Call, facts: Context | BlockingContext | None, context: NodeContext) -> object:
    """Call the function; what it raises is hidden, unless it is meant for the caller."""
    result: object = None
    try:
        result = await call(facts, context)
    except (ToolError, InputRequired, Overloaded, GeneratorExit):
        raise
    except BaseException as error:
        task = asyncio.current_task()
        is_interrupt = isinstance(error, asyncio.CancelledError | KeyboardInterrupt)
        if is_interrupt and (task is None or task.cancelling()):
            raise
        if facts is None or facts.suspended is None:
            # The function is the operator's and may raise anything; its words may hold a row value or a secret.
            context.observe(_crash(error, context))
            raise NodeFailed("the function failed; the log says where, under this request id") from error
    if facts is not None and facts.suspended is not None:
        raise facts.suspended
    return result


def _crash(error: BaseException, context: NodeContext) -> NodeCrashed:
    called = context.invocation
    kind = type(error).__qualname__
    return NodeCrashed(
        called.workflow, context.node, context.execution_id, called.request_id, kind, positions_of(error)
    )


async def _await(function: Function, _facts: Context | BlockingContext | None, _context: NodeContext) -> object:
    result = function()
    return await result if inspect.isawaitable(result) else result


async def _run_in_thread(
    threads: Threads, function: Function, facts: Context | BlockingContext | None, context: NodeContext
) -> object:
    try:
        result = await threads.run(function)
    except asyncio.CancelledError:
        if isinstance(facts, BlockingContext):
            facts.end()
        context.observe(ThreadAbandoned(context.invocation.workflow, context.node, threads.abandoned, threads.limit))
        raise
    return await result if inspect.isawaitable(result) else result
