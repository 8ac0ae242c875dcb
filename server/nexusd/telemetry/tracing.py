"""Traces: spans by OpenTelemetry's API, exported over OTLP where the extra `otel` is installed."""

from __future__ import annotations

import random
import threading
from typing import TYPE_CHECKING, Final, Self

from opentelemetry import context as contexts
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    SpanKind,
    Status,
    StatusCode,
    TraceFlags,
    TraceState,
    set_span_in_context,
)

from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from contextvars import Token
    from types import TracebackType

    from opentelemetry.context import Context
    from opentelemetry.trace import Span as OtelSpan
    from opentelemetry.trace import Tracer as OtelTracer

    from nexusd.definitions.trace import TraceParent

SHUTDOWN_S: Final = 3.0
"""How long the end of the server waits for the last spans to be taken."""


class RecordedSpan:
    """A span of OpenTelemetry; inside its block it is the current one, also for instrumented libraries."""

    __slots__ = ("_span", "_token", "_tracer")

    def __init__(self, tracer: OtelTracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span
        self._token: Token[Context] | None = None

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._span.get_span_context().trace_id:032x}"

    @property
    def span_id(self) -> str:
        """16 hexadecimal digits."""
        return f"{self._span.get_span_context().span_id:016x}"

    def child(self, name: str, attributes: Mapping[str, str]) -> RecordedSpan:
        """A part of this part."""
        within = set_span_in_context(self._span, contexts.Context())
        return RecordedSpan(self._tracer, self._tracer.start_span(name, within, attributes=attributes))

    def rename(self, name: str, attributes: Mapping[str, str | int]) -> None:
        """Say what was not known when it began."""
        self._span.update_name(name)
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        """Mark it as failed."""
        self._span.set_attribute("error.type", reason)
        self._span.set_status(Status(StatusCode.ERROR))

    def end(self) -> None:
        """It ends now."""
        self._span.end()

    def __enter__(self) -> Self:
        self._token = contexts.attach(set_span_in_context(self._span))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            contexts.detach(self._token)
        if kind is not None:
            # An error's message may hold a value; its code or type does not.
            self.fail(error.code.value if isinstance(error, NexusError) else kind.__qualname__)
        self._span.end()


class RecordingTracer:
    """Begins spans for calls whose caller records them, and for some of those that are in no trace.

    Args:
        tracer: of a provider that records whatever it is asked to; who is asked is decided here, since even a span
            that is not recorded costs 8 µs.
        ratio: of the calls without a caller's trace that are recorded.
        shut_down: has what was recorded exported, and ends the provider.
    """

    def __init__(self, tracer: OtelTracer, ratio: float, shut_down: Callable[[], object]) -> None:
        self._tracer = tracer
        self._ratio = ratio
        self._shut_down = shut_down

    def begin(self, name: str, parent: TraceParent | None) -> RecordedSpan | None:
        """A span, or None where this call is not recorded."""
        if parent is None:
            if random.random() >= self._ratio:  # noqa: S311 - chooses a sample, guards nothing
                return None
            within = contexts.Context()
        elif parent.sampled:
            within = _within(parent)
        else:
            return None
        return RecordedSpan(self._tracer, self._tracer.start_span(name, within, kind=SpanKind.SERVER))

    def close(self) -> None:
        """Export what was recorded, unless nobody takes it."""
        ending = threading.Thread(target=self._shut_down, name="nexusd-traces", daemon=True)
        ending.start()
        ending.join(SHUTDOWN_S)


def _within(parent: TraceParent) -> Context:
    remote = SpanContext(
        trace_id=int(parent.trace_id, 16),
        span_id=int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED),
        trace_state=TraceState.from_header([parent.state]) if parent.state else None,
    )
    return set_span_in_context(NonRecordingSpan(remote), contexts.Context())
