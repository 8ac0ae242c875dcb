"""The processes that serve one registry together, as each of them sees the others.

A client may reach any of them. What one alone knows, such as its counters or the executions it runs, the others ask it
for: each says what it answers to a subject, and whoever needs to know gathers the answers of all. With one process the
only answer is its own, so nobody need care how many there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

Answerer: TypeAlias = Callable[[object], Awaitable[object]]
"""Answers the body of a question; a body is what MessagePack has: None, bool, int, float, str, bytes, list, dict."""


class Peers(Protocol):
    """This process and those that serve with it."""

    def answer(self, subject: str, answerer: Answerer) -> None:
        """Have questions about a subject answered; called once for each subject, before the process serves."""

    async def gather(self, subject: str, body: object = None) -> list[object]:
        """The answers of all processes, this one's first; one that fails or is late is left out."""


class Alone:
    """The only process."""

    def __init__(self) -> None:
        self._answerers: dict[str, Answerer] = {}

    def answer(self, subject: str, answerer: Answerer) -> None:
        """Have questions about a subject answered."""
        self._answerers[subject] = answerer

    async def gather(self, subject: str, body: object = None) -> list[object]:
        """Its own answer."""
        return [await self._answerers[subject](body)]
