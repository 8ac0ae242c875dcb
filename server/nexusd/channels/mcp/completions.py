"""Suggestions while a client's user types: names, and values of closed sets."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import mcp_types as types
from mcp.shared.exceptions import MCPError

from nexusd.channels.mcp.exchange import caller_of
from nexusd.channels.mcp.resources import EXECUTIONS, MODELS, WORKFLOWS
from nexusd.definitions.shape import OrNull, Scalar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.context import ServerRequestContext

    from nexusd.channels.mcp.view import View
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.shape import Shape
    from nexusd.engines.history import History

MAX_VALUES: Final = 100
"""What one answer may hold ("Completion", response values)."""

MAX_EXECUTIONS: Final = 1000


class Completions:
    """The handler of `completion/complete`."""

    def __init__(self, view: View, history: History) -> None:
        self._view = view
        self._history = history

    async def complete(
        self, context: ServerRequestContext[dict[str, object], object], params: types.CompleteRequestParams
    ) -> types.CompleteResult:
        """The values that begin with what is typed, then those that contain it."""
        typed = params.argument.value.casefold()
        values = list(self._values(params, caller_of(context)))
        found = [value for value in values if value.casefold().startswith(typed)]
        found += [value for value in values if typed in value.casefold() and value not in found]
        completion = types.Completion(values=found[:MAX_VALUES], total=len(found), has_more=len(found) > MAX_VALUES)
        return types.CompleteResult(completion=completion)

    def _values(self, params: types.CompleteRequestParams, principal: Principal) -> Iterable[str]:
        if isinstance(params.ref, types.PromptReference):
            prompt = self._view.registry.prompts.get(params.ref.name)
            if prompt is None:
                raise MCPError(types.INVALID_PARAMS, f"there is no prompt named {params.ref.name[:64]!r}")
            return next((each.values for each in prompt.arguments if each.name == params.argument.name), ())
        return self._of_template(params.ref.uri, params.argument.name, principal)

    def _of_template(self, uri: str, variable: str, principal: Principal) -> Iterable[str]:
        if uri == MODELS + "{name}":
            return self._view.models(principal)
        if uri == WORKFLOWS + "{name}":
            return [plan.name for plan in self._view.plans(principal)]
        if uri == EXECUTIONS + "{id}":
            return [record.id for record in islice(self._history.newest_first(principal), MAX_EXECUTIONS)]
        resource = self._view.registry.resources.get(uri)
        if resource is None:
            raise MCPError(types.INVALID_PARAMS, "there is no such resource template", {"uri": uri})
        plan = self._view.plan(resource.workflow or "", principal)
        return () if plan is None else _closed_set(plan.inputs.properties.get(variable))


def _closed_set(shape: Shape | None) -> tuple[str, ...]:
    """The values of an enum; empty where there is any other shape."""
    if isinstance(shape, OrNull):
        shape = shape.shape
    return shape.field.values if isinstance(shape, Scalar) else ()
