"""The other workers, as one of them sees them: through the line to the parent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.supervisor.line import LineError

if TYPE_CHECKING:
    from nexusd.engines.peers import Answerer
    from nexusd.supervisor.line import Line

GATHER_S: Final = 5.0


class Colleagues:
    """This worker and the others."""

    has_others = True

    def __init__(self) -> None:
        self._answerers: dict[str, Answerer] = {}
        self._line: Line | None = None

    def use(self, line: Line) -> None:
        """Ask the others over this line to the parent."""
        self._line = line

    def answer(self, subject: str, answerer: Answerer) -> None:
        """Have questions about a subject answered."""
        self._answerers[subject] = answerer

    async def replied(self, subject: str, body: object) -> object:
        """This worker's own answer."""
        return await self._answerers[subject](body)

    async def ask_others(self, subject: str, body: object = None) -> list[object]:
        """The answers of the others; none where the parent has gone."""
        if self._line is None:
            return []
        try:
            answers = await self._line.ask("gather", [subject, body], GATHER_S)
        except LineError:
            return []
        return answers if isinstance(answers, list) else []
