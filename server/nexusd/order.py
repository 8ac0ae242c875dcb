"""What a worker process is told to serve, by the parent that has read and checked it."""

from __future__ import annotations

import pickle
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from nexusd.supervisor.line import LineError, read_word

if TYPE_CHECKING:
    import socket
    from collections.abc import Mapping

    from nexusd.ddl.executor import DDLOutcome
    from nexusd.definitions.registry import Registry
    from nexusd.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """All that a worker needs; it reads no configuration of its own, which may have changed since.

    Attributes:
        number: of the worker, from 1.
        outcome: of the migration that the parent has made.
        sockets: the descriptors of the listening sockets, by channel.
        turns: the descriptor of a file by which workers take turns to write (see databases/sqlite_turns.py).
        path: where Python modules are found.
    """

    number: int
    settings: Settings
    registry: Registry
    outcome: DDLOutcome
    sockets: Mapping[str, int]
    turns: int
    path: tuple[str, ...]

    def written(self) -> bytes:
        """As it goes over the line."""
        return pickle.dumps(self)

    @classmethod
    def read(cls, sock: socket.socket) -> Self:
        """The order, as the first word on a worker's line: written by the parent, on a socket that nobody else has.

        Raises:
            LineError: the parent has gone.
        """
        subject, body = read_word(sock)
        order = pickle.loads(body) if subject == "order" and isinstance(body, bytes) else None  # noqa: S301 - the parent's
        if not isinstance(order, cls):
            raise LineError
        return order
