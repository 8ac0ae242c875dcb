"""The latest executions, in memory: what is running, and how the last ones ended. Gone when the process ends."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.access import sees_all
from nexusd.definitions.principal import EVERYTHING_SEEN
from nexusd.errors import Code, ExecutionNotFound, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nexusd.definitions.principal import Principal
    from nexusd.errors import NexusError

MAX_RECORDS: Final = 1000
MAX_RESULT_BYTES: Final = 64 * 1024 * 1024
MAX_WRITTEN_BYTES: Final = 16 * 1024 * 1024
"""How much of it another process is told."""


class Status(StrEnum):
    """Where an execution stands."""

    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Failure(msgspec.Struct, frozen=True, eq=False):
    """What is kept of an error: its words, not the frames that its traceback would keep alive."""

    code: Code
    detail: str
    faults: tuple[Fault, ...]
    node: str | None
    execution_id: str | None


class Record(msgspec.Struct, eq=False):
    """One execution.

    Attributes:
        principal: id of the caller.
        sight: what the caller could see.
        started_at: RFC 3339, UTC.
        task: runs it; None when it has ended.
        outputs: JSON text, kept only where the caller did not wait for it.
        cancel_asked: by `cancel`, not by a caller who has gone.
    """

    id: str
    workflow: str
    channel: str
    principal: str
    request_id: str
    started_at: str
    task: asyncio.Task[object] | None
    status: Status = Status.RUNNING
    duration_ms: float | None = None
    outputs: bytes | None = None
    failure: Failure | None = None
    cancel_asked: bool = False
    sight: str = ""
    _ended: asyncio.Event | None = None

    def is_visible_to(self, principal: Principal) -> bool:
        """Whether this caller may look at it and cancel it.

        That is who ran it, and who may do everything: of what it could see itself, where models have policies.
        """
        if principal.sight != self.sight:
            return principal.sight == EVERYTHING_SEEN
        return self.principal == principal.id or sees_all(principal)

    def cancel(self) -> None:
        """Ask a running execution to stop; one that has ended stays as it is."""
        if self.task is not None and not self.cancel_asked:
            self.cancel_asked = True
            self.task.cancel()

    def end(self, status: Status, duration_ms: float) -> None:
        """Note how it ended."""
        self.status = status
        self.duration_ms = duration_ms
        self.task = None
        if self._ended is not None:
            self._ended.set()

    def fail(self, error: NexusError, duration_ms: float) -> None:
        """Note that it ended with an error."""
        self.failure = Failure(error.code, error.detail, error.faults, error.node, error.execution_id)
        self.end(Status.CANCELLED if error.code is Code.CANCELLED else Status.FAILED, duration_ms)

    async def wait(self) -> None:
        """Return when it has ended."""
        if self.task is not None:
            if self._ended is None:
                self._ended = asyncio.Event()
            await self._ended.wait()


class _Ended(msgspec.Struct, omit_defaults=True):
    """A record that has ended, on its way to another process."""

    id: str
    workflow: str
    channel: str
    principal: str
    request_id: str
    started_at: str
    status: Status
    duration_ms: float | None
    outputs: bytes | None = None
    failure: Failure | None = None
    sight: str = ""

    @classmethod
    def of(cls, record: Record) -> _Ended:
        return cls(**{name: getattr(record, name) for name in cls.__struct_fields__})

    def record(self) -> Record:
        return Record(**msgspec.structs.asdict(self), task=None)


class History:
    """Records by id, the oldest ended ones dropped when there are too many, or when their results take too much."""

    def __init__(self, max_records: int = MAX_RECORDS, max_result_bytes: int = MAX_RESULT_BYTES) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._max_records = max_records
        self._max_result_bytes = max_result_bytes
        self._result_bytes = 0

    def add(self, record: Record) -> None:
        """Keep a record."""
        self._records[record.id] = record
        if len(self._records) > self._max_records:
            self._drop_one()

    def drop(self, record: Record) -> None:
        """Forget a record that turned out to be no execution."""
        self._records.pop(record.id, None)

    def find(self, execution_id: str) -> Record | None:
        """The record of that id, if it is kept."""
        return self._records.get(execution_id)

    def keep_outputs(self, record: Record, outputs: bytes) -> None:
        """Keep a result for whoever asks for it later."""
        record.outputs = outputs
        self._result_bytes += len(outputs)
        while self._result_bytes > self._max_result_bytes and self._drop_one():
            pass

    def get(self, execution_id: str, principal: Principal) -> Record:
        """The record of that id.

        Raises:
            ExecutionNotFound: there is none, it was dropped, or it is somebody else's.
        """
        record = self._records.get(execution_id)
        if record is None or not record.is_visible_to(principal):
            raise ExecutionNotFound
        return record

    def newest_first(self, principal: Principal) -> Iterator[Record]:
        """Every record that is kept, of those that this caller may see."""
        return (record for record in reversed(self._records.values()) if record.is_visible_to(principal))

    def written(self) -> list[bytes]:
        """What has ended, the oldest first and without the oldest of too much, for another process to go on with."""
        kept: list[bytes] = []
        room = MAX_WRITTEN_BYTES
        for record in reversed(self._records.values()):
            if record.task is None:
                text = msgspec.msgpack.encode(_Ended.of(record))
                room -= len(text)
                if room < 0:
                    break
                kept.append(text)
        return kept[::-1]

    def take_over(self, written: Iterable[bytes]) -> None:
        """Keep what another process has written, as if it had ended here before everything else."""
        before = list(self._records.values())
        self._records.clear()
        for text in written:
            record = msgspec.msgpack.decode(text, type=_Ended).record()
            self.add(record)
            if record.outputs is not None:
                self._result_bytes += len(record.outputs)
        for record in before:
            self.add(record)

    def _drop_one(self) -> bool:
        """Drop the oldest record that has ended; whether there was one."""
        for record in self._records.values():
            if record.task is None:
                del self._records[record.id]
                self._result_bytes -= len(record.outputs or b"")
                return True
        return False
