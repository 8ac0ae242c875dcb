"""Executions as they are seen by a client: of this process, and of the others that serve with it."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.channels.channel import execution_view, problem_document
from nexusd.channels.http.problems import STATUS
from nexusd.definitions.principal import Principal
from nexusd.definitions.wire import write_json
from nexusd.errors import ExecutionNotFound

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.engines.history import History, Record
    from nexusd.engines.peers import Peers

WAIT_S: Final = 1.0
"""How long a look waits for the end of an execution, or for what comes of its cancellation."""

_views: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_texts: Final = msgspec.json.Decoder(str)


@dataclass(frozen=True, slots=True)
class Sighting:
    """An execution at a moment.

    Attributes:
        view: as it is shown; parts may be JSON text.
        ended: whether it stays so.
    """

    view: Mapping[str, object]
    status: str
    started_at: str
    ended: bool

    @classmethod
    def of(cls, record: Record) -> Sighting:
        """One of this process."""
        view = execution_view(record)
        if record.failure is not None:
            status = STATUS[record.failure.code]
            view["error"] = problem_document(record.failure, status=status, request_id=record.request_id)
        return cls(view, record.status.value, record.started_at, record.task is None)

    @classmethod
    def told(cls, text: bytes, *, ended: bool) -> Sighting:
        """One of another process, from its JSON text."""
        view = _views.decode(text)
        return cls(view, _texts.decode(view["status"]), _texts.decode(view["started_at"]), ended)

    def shortened(self) -> dict[str, object]:
        """For a list: without outputs."""
        return {name: value for name, value in self.view.items() if name != "outputs"}


class Sightings:
    """Executions by their id, wherever they are.

    Args:
        history: of this process.
        peers: the others are asked, and ask.
    """

    def __init__(self, history: History, peers: Peers) -> None:
        self._history = history
        self._peers = peers
        peers.answer("execution", self._answer_one)
        peers.answer("executions", self._answer_all)

    async def look(self, execution_id: str, principal: Principal) -> Sighting:
        """The execution as it is now.

        Raises:
            ExecutionNotFound: no process has it, or it is somebody else's.
        """
        return await self._find("look", execution_id, principal)

    async def wait(self, execution_id: str, principal: Principal) -> Sighting:
        """The execution as it is when it has ended, or after a moment.

        Raises:
            ExecutionNotFound: as `look`.
        """
        return await self._find("wait", execution_id, principal)

    async def cancel(self, execution_id: str, principal: Principal) -> Sighting:
        """Stop it; how it is after a moment.

        Raises:
            ExecutionNotFound: as `look`.
        """
        return await self._find("cancel", execution_id, principal)

    async def elsewhere(self, principal: Principal) -> list[Sighting]:
        """Those of the other processes that this caller may see."""
        answers = await self._peers.ask_others("executions", _told(principal))
        return [
            Sighting.told(text, ended=ended) for answer in answers if isinstance(answer, list) for text, ended in answer
        ]

    async def _find(self, action: str, execution_id: str, principal: Principal) -> Sighting:
        record = self._history.find(execution_id)
        if record is not None and record.is_visible_to(principal):
            return await _acted(action, record)
        question = [action, execution_id, *_told(principal)]
        for answer in await self._peers.ask_others("execution", question):
            if isinstance(answer, list):
                text, ended = answer
                return Sighting.told(text, ended=ended)
        raise ExecutionNotFound

    async def _answer_one(self, body: object) -> object:
        if not isinstance(body, list):
            return None
        action, execution_id, *caller = body
        record = self._history.find(execution_id)
        if record is None or not record.is_visible_to(_caller(caller)):
            return None
        return _written(await _acted(action, record))

    async def _answer_all(self, body: object) -> object:
        if not isinstance(body, list):
            return []
        records = self._history.newest_first(_caller(body))
        return [_written(Sighting.of(record), short=True) for record in records]


async def _acted(action: str, record: Record) -> Sighting:
    if action == "cancel":
        record.cancel()
    if action in {"cancel", "wait"}:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                await record.wait()
    return Sighting.of(record)


def _written(sighting: Sighting, *, short: bool = False) -> list[object]:
    return [write_json(sighting.shortened() if short else dict(sighting.view)), sighting.ended]


def _told(principal: Principal) -> list[object]:
    """What another process must know of a caller."""
    return [principal.id, sorted(principal.scopes), principal.sight]


def _caller(told: list[object]) -> Principal:
    name, scopes, sight = told
    held = frozenset(map(str, scopes)) if isinstance(scopes, list) else frozenset()
    return Principal(str(name), held, sight=str(sight))
