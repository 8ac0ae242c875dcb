"""What a door hands to the runtime and what it gets back."""

from __future__ import annotations

import os
import time
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.definitions.principal import ANONYMOUS, Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.conversation import Conversation
    from nexusd.definitions.limits import Standing
    from nexusd.definitions.trace import Trace

_VARIANT: Final = dict(zip("0123456789abcdef", "89ab" * 4, strict=True))


class Invocation(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One call of a workflow, whichever door it came through.

    Attributes:
        inputs: JSON text of the inputs object, not yet validated.
        channel: `http`, `mcp` or `cli`.
        deadline: `loop.time()` at which the caller stops waiting; None: the workflow's own limit alone.
        dry_run: run everything, keep nothing in the database.
        now: the start that the run is told, RFC 3339 in UTC with six digits; None: the clock's.
        standings: a list that is told how the caller stands with each limit.
        conversation: the line to a caller who hears while the run lasts; None: nobody does.
    """

    workflow: str
    inputs: bytes
    channel: str
    request_id: str
    principal: Principal = ANONYMOUS
    deadline: float | None = None
    dry_run: bool = False
    idempotency_key: str | None = None
    now: str | None = None
    standings: list[Standing] | None = None
    trace: Trace | None = None
    conversation: Conversation | None = None


class Execution(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """A run that completed.

    Attributes:
        outputs: wire values by name; parts may be `msgspec.Raw` (JSON text passed through).
        duration_ms: wall time inside the runtime.
    """

    id: str
    workflow: str
    outputs: Mapping[str, object]
    duration_ms: float
    replayed: bool = False


def utc_now() -> str:
    """Now, RFC 3339 in UTC with six digits."""
    second, micros = divmod(time.time_ns() // 1000, 1_000_000)
    return f"{_second(second)}.{micros:06d}Z"


@lru_cache(maxsize=2)
def _second(second: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(second))


def new_request_id() -> str:
    """16 hexadecimal digits from the system's random source."""
    return os.urandom(8).hex()


def new_uuid7s(count: int) -> list[str]:
    """Several UUIDs of version 7 made at once, in ascending order."""
    stamp = f"{time.time_ns() // 1_000_000:012x}"
    head = f"{stamp[:8]}-{stamp[8:]}-7"
    digits = os.urandom(10 * count).hex()
    # The variant's two bits are 10, so its digit is one of four.
    return sorted(
        f"{head}{digits[i : i + 3]}-{_VARIANT[digits[i + 3]]}{digits[i + 4 : i + 7]}-{digits[i + 7 : i + 19]}"
        for i in range(0, 20 * count, 20)
    )


def new_uuid7() -> str:
    """A UUID version 7 (RFC 9562, section 5.7): milliseconds since 1970, then 74 random bits, as lower-case text."""
    value = (time.time_ns() // 1_000_000) << 80 | int.from_bytes(os.urandom(10), "big")
    value = value & ~(0xF << 76) | 0x7 << 76
    value = value & ~(0x3 << 62) | 0x2 << 62
    digits = f"{value:032x}"
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
