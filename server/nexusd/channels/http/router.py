"""From a method and a path to what answers: a look-up per segment, whatever the number of routes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from nexusd.errors import MethodNotAllowed, RouteNotFound

if TYPE_CHECKING:
    from nexusd.channels.http.exchange import Exchange

Handler: TypeAlias = Callable[..., Awaitable[None]]
"""Answers an exchange; takes it and the values of the route's `{…}` segments."""


@dataclass(slots=True)
class _Place:
    """A place in the tree of paths.

    Attributes:
        template: the whole path, as registered.
        wildcard: where any further segment leads.
    """

    template: str = ""
    handlers: dict[str, Handler] = field(default_factory=dict)
    segments: dict[str, _Place] = field(default_factory=dict)
    wildcard: _Place | None = None


class Router:
    """Routes by method and template, such as `/workflows/{name}`; a trailing slash is another path.

    Attributes:
        routes: method and template of each.
    """

    def __init__(self) -> None:
        self._root = _Place()
        self.routes: list[tuple[str, str]] = []

    def add(self, method: str, template: str, handler: Handler) -> None:
        """Register a route; GET answers HEAD as well."""
        self.routes.append((method, template))
        place = self._root
        for segment in template.split("/")[1:]:
            if segment.startswith("{"):
                place.wildcard = place.wildcard or _Place()
                place = place.wildcard
            else:
                place = place.segments.setdefault(segment, _Place())
        place.template = template
        place.handlers[method] = handler
        if method == "GET":
            place.handlers["HEAD"] = handler

    async def __call__(self, exchange: Exchange) -> None:
        """Let the route answer.

        Raises:
            RouteNotFound: there is nothing at the path.
            MethodNotAllowed: there is, but not for this method.
        """
        place: _Place | None = self._root
        values: list[str] = []
        for segment in exchange.path.split("/")[1:]:
            if place is None:
                break
            following = place.segments.get(segment)
            if following is None:
                following = place.wildcard if segment else None
                values.append(segment)
            place = following
        if place is None or not place.handlers:
            raise RouteNotFound
        exchange.route = place.template
        handler = place.handlers.get(exchange.method)
        if handler is not None:
            await handler(exchange, *values)
            return
        allow = (*sorted(place.handlers), "OPTIONS")
        if exchange.method != "OPTIONS":
            raise MethodNotAllowed(f"{place.template} takes {', '.join(allow)}", allow=allow)
        await exchange.answer(204, [(b"allow", ", ".join(allow).encode())], b"")
