"""Who wants to hear of changes: the listen streams of 2026-07-28, and sessions of earlier revisions."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import mcp_types as types
from mcp.server.subscriptions import (
    InMemorySubscriptionBus,
    ListenHandler,
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
)

from nexusd.channels.mcp.exchange import caller_of
from nexusd.channels.mcp.resources import EXECUTIONS
from nexusd.definitions.principal import shown
from nexusd.errors import ExecutionNotFound
from nexusd.events import SessionClosed, SessionOpened, SubscriptionsChanged

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mcp.server.connection import Connection
    from mcp.server.context import ServerRequestContext
    from mcp.server.session import ServerSession
    from mcp.server.subscriptions import ServerEvent

    from nexusd.definitions.principal import Principal
    from nexusd.engines.history import History, Record
    from nexusd.events import Observer

MAX_SUBSCRIPTIONS: Final = 1024
"""Resources that one session may subscribe to, and listen streams in all."""

SEND_S: Final = 5.0
"""How long a session may take to take a notification."""


@dataclass(slots=True)
class _Session:
    """A session of an earlier revision, which is told on its own stream."""

    session: ServerSession
    level: types.LoggingLevel = "debug"
    uris: set[str] = field(default_factory=set)


class Subscriptions:
    """Tells every subscriber of one endpoint what has changed."""

    def __init__(self, history: History, observe: Observer) -> None:
        self._history = history
        self._observe = observe
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus, max_subscriptions=MAX_SUBSCRIPTIONS)
        self._sessions: dict[Connection, _Session] = {}
        self._watched: dict[str, asyncio.Task[None]] = {}

    async def initialized(
        self, context: ServerRequestContext[dict[str, object], object], _params: types.NotificationParams | None
    ) -> None:
        """A session has begun."""
        self._session(context)

    async def set_level(
        self, context: ServerRequestContext[dict[str, object], object], params: types.SetLevelRequestParams
    ) -> types.EmptyResult:
        """`logging/setLevel` of an earlier revision."""
        self._session(context).level = params.level
        return types.EmptyResult()

    def level(self, context: ServerRequestContext[dict[str, object], object]) -> types.LoggingLevel:
        """The least severe lines that a session wants."""
        found = self._sessions.get(context.session._connection)  # noqa: SLF001 - see _session
        return "debug" if found is None else found.level

    async def subscribe(
        self, context: ServerRequestContext[dict[str, object], object], params: types.SubscribeRequestParams
    ) -> types.EmptyResult:
        """`resources/subscribe` of an earlier revision; of what is not there for the caller nothing is ever told."""
        uris = self._session(context).uris
        principal = caller_of(context)
        if len(uris) < MAX_SUBSCRIPTIONS and params.uri not in uris and self._is_there(params.uri, principal):
            uris.add(params.uri)
            self._observe(SubscriptionsChanged(1))
            self._watch(params.uri, principal)
        return types.EmptyResult()

    async def unsubscribe(
        self, context: ServerRequestContext[dict[str, object], object], params: types.UnsubscribeRequestParams
    ) -> types.EmptyResult:
        """`resources/unsubscribe` of an earlier revision."""
        uris = self._session(context).uris
        if params.uri in uris:
            uris.discard(params.uri)
            self._observe(SubscriptionsChanged(-1))
        return types.EmptyResult()

    async def listen(
        self, context: ServerRequestContext[dict[str, object], object], params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """`subscriptions/listen` of 2026-07-28: the answer is the stream.

        Its first message says what will be told: executions that are there for the caller, and no others.
        """
        wanted = params.notifications
        principal = caller_of(context)
        uris = [uri for uri in wanted.resource_subscriptions or () if self._is_there(uri, principal)]
        for uri in uris[:MAX_SUBSCRIPTIONS]:
            self._watch(uri, principal)
        told = params.model_copy(update={"notifications": wanted.model_copy(update={"resource_subscriptions": uris})})
        self._observe(SubscriptionsChanged(1))
        try:
            return await self._listen(context, told)
        finally:
            self._observe(SubscriptionsChanged(-1))

    async def publish(self, events: Iterable[ServerEvent]) -> None:
        """Tell everybody who wants to know."""
        for event in events:
            await self._bus.publish(event)
            # One that has stopped to listen must not keep the news from the others.
            await asyncio.gather(*(_tell_in_time(each, event) for each in list(self._sessions.values())))

    def close(self) -> None:
        """End the listen streams, each with its last message."""
        self._listen.close()
        for task in self._watched.values():
            task.cancel()

    def _session(self, context: ServerRequestContext[dict[str, object], object]) -> _Session:
        # The SDK shows a handler its connection only through the session (a contract test watches this name).
        connection = context.session._connection  # noqa: SLF001
        found = self._sessions.get(connection)
        if found is None:
            found = self._sessions[connection] = _Session(context.session)
            principal = shown(caller_of(context))
            connection.exit_stack.callback(self._ended, connection, principal)
            self._observe(SessionOpened(principal))
        return found

    def _ended(self, connection: Connection, principal: str | None) -> None:
        session = self._sessions.pop(connection, None)
        if session is not None:
            self._observe(SubscriptionsChanged(-len(session.uris)))
            self._observe(SessionClosed(principal))

    def _record(self, uri: str, principal: Principal) -> Record | None:
        """The execution of a URI, if there is one that this caller may see."""
        try:
            return self._history.get(uri.removeprefix(EXECUTIONS), principal)
        except ExecutionNotFound:
            return None

    def _is_there(self, uri: str, principal: Principal) -> bool:
        """Whether what happens to a URI may be told to this caller: an execution's end is news for who may see it."""
        return not uri.startswith(EXECUTIONS) or self._record(uri, principal) is not None

    def _watch(self, uri: str, principal: Principal) -> None:
        """Tell when an execution has ended, if the URI is one's that still runs."""
        if not uri.startswith(EXECUTIONS) or uri in self._watched:
            return
        record = self._record(uri, principal)
        if record is None or record.task is None:
            return

        async def wait() -> None:
            await record.wait()
            await self.publish([ResourceUpdated(uri)])

        task = self._watched[uri] = asyncio.create_task(wait())
        task.add_done_callback(lambda _: self._watched.pop(uri, None))


async def _tell_in_time(each: _Session, event: ServerEvent) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SEND_S):
            await _tell(each, event)


async def _tell(each: _Session, event: ServerEvent) -> None:
    if isinstance(event, ToolsListChanged):
        await each.session.send_tool_list_changed()
    elif isinstance(event, PromptsListChanged):
        await each.session.send_prompt_list_changed()
    elif isinstance(event, ResourcesListChanged):
        await each.session.send_resource_list_changed()
    elif event.uri in each.uris:
        await each.session.send_resource_updated(event.uri)
