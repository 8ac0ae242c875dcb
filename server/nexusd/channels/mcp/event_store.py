"""What was sent to 2025-era sessions, kept for a client whose connection broke ("Transports", resumability).

The SDK asks for one store for all sessions, but names streams by the ids of requests, which every client counts from
the same number: in a shared store one session would be played another's answers. So each session has a store of its
own, and all of them share one budget of bytes.
"""

from __future__ import annotations

import weakref
from collections import Counter, OrderedDict, deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from mcp.server.streamable_http import EventMessage, EventStore
from mcp_types import JSONRPCError, JSONRPCResponse, jsonrpc_message_adapter

if TYPE_CHECKING:
    from mcp.server.streamable_http import EventCallback
    from mcp_types import JSONRPCMessage

MAX_BYTES: Final = 32 * 1024 * 1024
MAX_SESSION_BYTES: Final = 2 * 1024 * 1024
OVERHEAD_BYTES: Final = 200
"""What an event costs besides its message."""


@dataclass(frozen=True, slots=True)
class _Event:
    """A message, or None for the empty event that a stream begins with."""

    number: int
    stream: str
    message: bytes | None

    @property
    def size(self) -> int:
        return OVERHEAD_BYTES + len(self.message or b"")


class _Kept:
    """The events of one session, in order.

    Attributes:
        streams: events of each stream.
        ended: streams that have their answer.
    """

    def __init__(self) -> None:
        self.events: deque[_Event] = deque()
        self.streams: Counter[str] = Counter()
        self.ended: set[str] = set()
        self.size = 0

    def add(self, event: _Event) -> None:
        self.events.append(event)
        self.streams[event.stream] += 1
        self.size += event.size

    def drop_oldest(self) -> int:
        """Forget the oldest event; its size."""
        event = self.events.popleft()
        self.size -= event.size
        self.streams[event.stream] -= 1
        if not self.streams[event.stream]:
            del self.streams[event.stream]
            self.ended.discard(event.stream)
        return event.size


class EventBudget:
    """What all sessions may keep together; who has been silent for longest loses first.

    Attributes:
        used: bytes.
    """

    def __init__(self, max_bytes: int = MAX_BYTES, max_session_bytes: int = MAX_SESSION_BYTES) -> None:
        self.used = 0
        self._max_bytes = max_bytes
        self._max_session_bytes = max_session_bytes
        self._sessions: OrderedDict[_Kept, None] = OrderedDict()

    def store(self) -> SessionEvents:
        """The store of a new session; what it keeps is forgotten with it."""
        kept = _Kept()
        store = SessionEvents(self, kept)
        weakref.finalize(store, self._forget, kept)
        return store

    def keep(self, kept: _Kept, event: _Event) -> None:
        """Add an event, and drop what no longer fits."""
        kept.add(event)
        self.used += event.size
        self._sessions[kept] = None
        self._sessions.move_to_end(kept)
        while kept.size > self._max_session_bytes and kept.events:
            self.used -= kept.drop_oldest()
        while self.used > self._max_bytes and self._sessions:
            oldest = next(iter(self._sessions))
            if oldest.events:
                self.used -= oldest.drop_oldest()
            else:
                del self._sessions[oldest]

    def _forget(self, kept: _Kept) -> None:
        self._sessions.pop(kept, None)
        self.used -= kept.size


class SessionEvents(EventStore):
    """The events of one session; made by EventBudget."""

    def __init__(self, budget: EventBudget, kept: _Kept) -> None:
        self._budget = budget
        self._kept = kept
        self._last = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep an event; its id."""
        text = None if message is None else message.model_dump_json(by_alias=True, exclude_none=True).encode()
        self._last += 1
        if isinstance(message, JSONRPCResponse | JSONRPCError):
            self._kept.ended.add(stream_id)
        self._budget.keep(self._kept, _Event(self._last, stream_id, text))
        return str(self._last)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send again what followed an event on its stream; the stream, if more may follow on it."""
        events = list(self._kept.events)
        stream = next((event.stream for event in events if str(event.number) == last_event_id), None)
        if stream is None:
            return None
        number = int(last_event_id)
        for event in events:
            if event.stream == stream and event.number > number and event.message is not None:
                message = jsonrpc_message_adapter.validate_json(event.message)
                await send_callback(EventMessage(message, str(event.number)))
        # Nothing follows an answer: a stream that were kept open for it would never end.
        return None if stream in self._kept.ended else stream
