"""Where a call stands in a distributed trace (W3C Trace Context), and the spans of one that is recorded.

Most calls are in no trace or in one that nobody records: they cost a look at a header, and no object.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, Self

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

_TRACEPARENT: Final = re.compile(
    r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_SAMPLED: Final = 1
MAX_STATE: Final = 512
"""Characters of `tracestate` that are passed on; a longer one is left out (section 3.3.1.5 lets it be cut there)."""


@dataclass(frozen=True, slots=True)
class TraceParent:
    """What a caller says of its trace.

    Attributes:
        sampled: whether the caller records it.
        state: `tracestate` as it came.
    """

    trace_id: str
    span_id: str
    sampled: bool
    state: str = ""


def parse_traceparent(text: str, state: str = "") -> TraceParent | None:
    """What a `traceparent` header says; None where it is not valid (Trace Context, section 3.2)."""
    found = _TRACEPARENT.fullmatch(text)
    # A version that is not known yet may say more; the first one may not.
    if found is None or (found[1] == "00" and found[5]):
        return None
    kept = state if len(state) <= MAX_STATE and state.isprintable() else ""
    return TraceParent(found[2], found[3], bool(int(found[4], 16) & _SAMPLED), kept)


class Span(Protocol):
    """A part of a call that is recorded; leaving its block ends it, with the type of the error that left it, if any.

    Names and attributes say what was done, never with which values.
    """

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""

    def child(self, name: str, attributes: Mapping[str, str]) -> Span:
        """A part of this part; it begins now."""

    def rename(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Say what was not known when it began."""

    def fail(self, reason: str) -> None:
        """Mark it as failed."""

    def end(self) -> None:
        """It ends now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


class Tracer(Protocol):
    """Begins spans for calls that come in."""

    def begin(self, name: str, parent: TraceParent | None) -> Span | None:
        """A span, or None where this call is not recorded."""


@dataclass(frozen=True, slots=True)
class Trace:
    """The trace of one call: what its caller said, and what is recorded here; at least one of them is there."""

    parent: TraceParent | None
    span: Span | None

    @property
    def trace_id(self) -> str | None:
        """The trace's id, for the log."""
        known = self.span or self.parent
        return None if known is None else known.trace_id

    @property
    def span_id(self) -> str | None:
        """The recorded span's id, for the log."""
        return None if self.span is None else self.span.span_id

    def headers(self, span: Span | None) -> dict[str, str]:
        """What a call to another service carries, made within `span`."""
        within = span or self.span
        parent = self.parent
        state = {"tracestate": parent.state} if parent is not None and parent.state else {}
        if within is not None:
            return {"traceparent": f"00-{within.trace_id}-{within.span_id}-01", **state}
        if parent is not None:
            flags = "01" if parent.sampled else "00"
            return {"traceparent": f"00-{parent.trace_id}-{parent.span_id}-{flags}", **state}
        return {}


def begin_trace(tracer: Tracer | None, name: str, traceparent: str | None, state: str = "") -> Trace | None:
    """The trace of a call that has just come in; None where there is none.

    Args:
        tracer: None while nothing is recorded.
        name: of the span, until it is renamed.
        traceparent: the header, if there is one.
        state: the header `tracestate`.
    """
    parent = None if traceparent is None else parse_traceparent(traceparent, state)
    span = None if tracer is None else tracer.begin(name, parent)
    return None if parent is None and span is None else Trace(parent, span)


def ids(trace: Trace | None) -> tuple[str | None, str | None]:
    """Ids of trace and span, for the log."""
    return (None, None) if trace is None else (trace.trace_id, trace.span_id)
