"""The processes that serve one registry together, as each of them sees the others.

A client may reach any of them. What one alone knows, such as its counters or the executions it runs, the others ask it
for: each says what it answers to a subject, and whoever needs to know asks all others. With one process there are none,
so nobody need care how many there are.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeAlias

Answerer: TypeAlias = Callable[[object], Awaitable[object]]
"""Answers the body of a question; a body is what MessagePack has: None, bool, int, float, str, bytes, list, dict."""


class Peers(Protocol):
    """This process and those that serve with it.

    Attributes:
        has_others: there are such, whether or not they answer now.
    """

    has_others: bool

    def answer(self, subject: str, answerer: Answerer) -> None:
        """Have questions about a subject answered; called once for each subject, before the process serves."""

    async def ask_others(self, subject: str, body: object = None) -> list[object]:
        """The answers of the other processes; one that fails or is late is left out."""


class Alone:
    """The only process."""

    has_others = False

    def answer(self, subject: str, answerer: Answerer) -> None:
        """Nobody will ask."""

    async def ask_others(self, subject: str, body: object = None) -> list[object]:
        """Nobody answers."""
        del subject, body
        return []
