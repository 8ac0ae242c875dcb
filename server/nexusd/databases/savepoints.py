"""Transaction control that waits for the next statement, so that it costs no round trip of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from types import TracebackType

    from nexusd.databases.database import Session


class HeldBack:
    """Commands that will be sent in front of the next statement, in order."""

    __slots__ = ("_commands", "_savepoints")

    def __init__(self) -> None:
        self._commands: list[str] = []
        self._savepoints = 0

    def __bool__(self) -> bool:
        return bool(self._commands)

    def add(self, command: str) -> None:
        """Send it with the next statement."""
        self._commands.append(command)

    def drain(self) -> list[str]:
        """What is to be sent now."""
        commands, self._commands = self._commands, []
        return commands

    def restore(self, commands: list[str]) -> None:
        """Put back what was drained in vain."""
        self._commands = commands + self._commands

    def take_back(self, command: str) -> bool:
        """Forget a command and those after it; False if it was sent."""
        if command not in self._commands:
            return False
        del self._commands[self._commands.index(command) :]
        return True

    def savepoint(self, session: Session, roll_back_to: Callable[[str], Awaitable[None]]) -> Savepoint:
        """A savepoint of its own name."""
        self._savepoints += 1
        return Savepoint(session, self, f"s{self._savepoints}", roll_back_to)

    def read_only(self, session: Session, roll_back_to: Callable[[str], Awaitable[None]]) -> Savepoint:
        """The same, and nothing can be written inside; always undone, which is what ends that (PostgreSQL)."""
        self._savepoints += 1
        name = f"s{self._savepoints}"
        opening = (f"SAVEPOINT {name}", "SET LOCAL transaction_read_only = on")
        ending = (f"ROLLBACK TO SAVEPOINT {name}", f"RELEASE SAVEPOINT {name}")
        return Savepoint(session, self, name, roll_back_to, opening=opening, ending=ending)


class Savepoint:
    """What is done inside it is undone if it raises; inside nothing else changes.

    Args:
        session: the transaction.
        held_back: of that transaction.
        name: the savepoint's.
        roll_back_to: undoes what was done since the savepoint of that name, at once.
        opening, ending: the commands around what is done; left out, a savepoint that is kept.
    """

    __slots__ = ("_ending", "_held_back", "_name", "_opening", "_roll_back_to", "_session")

    def __init__(
        self,
        session: Session,
        held_back: HeldBack,
        name: str,
        roll_back_to: Callable[[str], Awaitable[None]],
        *,
        opening: tuple[str, ...] = (),
        ending: tuple[str, ...] = (),
    ) -> None:
        self._opening = opening or (f"SAVEPOINT {name}",)
        self._ending = ending or (f"RELEASE SAVEPOINT {name}",)
        self._session = session
        self._held_back = held_back
        self._name = name
        self._roll_back_to = roll_back_to

    async def __aenter__(self) -> Session:
        for command in self._opening:
            self._held_back.add(command)
        return self._session

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._held_back.take_back(self._opening[0]):
            return
        if kind is None:
            for command in self._ending:
                self._held_back.add(command)
        elif issubclass(kind, Exception):
            self._held_back.drain()
            await self._roll_back_to(self._name)
