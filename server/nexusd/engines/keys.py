"""Requests under an Idempotency-Key: what is known of one, and what is kept."""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.database import Bound, Dialect
from nexusd.databases.idempotency import KEY_STATEMENTS, Stored, arguments, compact, stored
from nexusd.definitions.wire import write_json
from nexusd.engines.liveness import is_alive
from nexusd.errors import IdempotencyInFlight, IdempotencyMismatch, NexusError, UnknownOutcome

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Session
    from nexusd.databases.idempotency import Once
    from nexusd.definitions.idempotency import Key
    from nexusd.engines.history import Record

MISMATCH: Final = "mismatch"
IN_FLIGHT: Final = "in_flight"
UNKNOWN: Final = "unknown"


class _Document(msgspec.Struct, omit_defaults=True):
    duration_ms: float
    outputs: msgspec.Raw
    spaced: bool = False
    """PostgreSQL put it together, with blanks that the first answer did not have."""


_documents: Final = msgspec.json.Decoder(_Document)
_objects: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


@dataclass(frozen=True, slots=True)
class Answer:
    """What every request under one key is answered.

    Attributes:
        outputs: JSON text of the outputs object.
    """

    execution_id: str
    duration_ms: float
    outputs: bytes

    @property
    def text(self) -> str:
        """As it is stored beside the execution's id."""
        return write_json(_Document(self.duration_ms, msgspec.Raw(self.outputs))).decode()

    @property
    def members(self) -> dict[str, object]:
        """The outputs by name, each as JSON text."""
        return dict(_objects.decode(self.outputs))


@dataclass(slots=True, eq=False)
class Keyed:
    """One request under a key.

    Attributes:
        inputs: decoded.
        record: of the run that was begun for it, or for an earlier one.
        is_attended: its caller waits.
        started: `time.perf_counter()` of its begin.
        answer: what it is answered, once that is kept.
        once: what its one node is to keep the answer with, while it tries to.
        is_replay: the answer is that of an earlier request.
        refused: why it is not served: `mismatch`, `in_flight`, or `unknown`, what became of an earlier one.
    """

    key: Key
    inputs: Mapping[str, object]
    is_attended: bool = True
    record: Record | None = None
    started: float = field(default_factory=time.perf_counter)
    answer: Answer | None = None
    once: Once | None = None
    is_replay: bool = False
    refused: str = ""

    @property
    def execution_id(self) -> str:
        """Id of the run that was begun for it."""
        return "" if self.record is None else self.record.id

    @property
    def lock_number(self) -> int:
        """What the key is called among PostgreSQL's advisory locks: 64 bits of a hash."""
        name = f"nexusd:key:{self.key.scope}\0{self.key.text}".encode()
        return int.from_bytes(hashlib.sha256(name).digest()[:8], signed=True)

    @property
    def found(self) -> dict[str, object]:
        """The outputs of an answer that was found."""
        return {} if self.answer is None else self.answer.members

    def answered(self, outputs: Mapping[str, object]) -> Answer:
        """The answer that these outputs are, to be kept."""
        duration_ms = round((time.perf_counter() - self.started) * 1000, 3)
        return Answer(self.execution_id, duration_ms, write_json(outputs))

    async def look(self, session: Session) -> bool:
        """Whether the key has its answer already; `answer` is then set.

        Raises:
            IdempotencyMismatch: it was used with other inputs.
            IdempotencyInFlight: its run may still be going on.
            UnknownOutcome: its run ended without an answer that was kept.
        """
        rows = (await session.run(Bound(KEY_STATEMENTS[session.dialect].find, arguments(self.key)))).rows
        found = stored(rows[0]) if rows else None
        return found is not None and self.take(found, session.dialect)

    def take(self, found: Stored, dialect: Dialect) -> bool:
        """Take what is kept of the key; as `look`."""
        if found.is_held and (dialect is Dialect.POSTGRESQL or is_alive(found.holder or "")):
            raise self.in_flight()
        if found.fingerprint != self.key.fingerprint:
            raise self._refusal(IdempotencyMismatch(), MISMATCH)
        if found.answer is None:
            error = self._refusal(_left(), UNKNOWN)
            error.execution_id = found.execution_id
            raise error
        document = _documents.decode(found.answer)
        outputs = bytes(document.outputs)
        if document.spaced:
            outputs = compact(outputs)
        self.answer = Answer(found.execution_id, document.duration_ms, outputs)
        # A run that was begun again may find the answer of its own first attempt.
        self.is_replay = found.execution_id != self.execution_id
        return True

    def in_flight(self) -> NexusError:
        """The error for a key that another request holds."""
        return self._refusal(IdempotencyInFlight(), IN_FLIGHT)

    def _refusal(self, error: NexusError, why: str) -> NexusError:
        self.refused = why
        return error


def _left() -> UnknownOutcome:
    return UnknownOutcome("the run under this Idempotency-Key was cut off; whether its work was kept is not known")
