from __future__ import annotations

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import get_current_span

from nexusd.definitions.trace import Trace, TraceParent
from nexusd.errors import RecordNotFound
from nexusd.telemetry.tracing import RecordingTracer

PARENT = TraceParent("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", sampled=True, state="a=1")


class Recorded:
    def __init__(self, ratio: float) -> None:
        self.exporter = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.tracer = RecordingTracer(provider.get_tracer("test"), ratio, provider.shutdown)


def test_span_of_a_caller_is_the_parent() -> None:
    recorded = Recorded(0.0)
    span = recorded.tracer.begin("POST", PARENT)
    assert span is not None
    with span.child("execute w", {"k": "v"}) as inner:
        assert get_current_span().get_span_context().span_id == int(inner.span_id, 16)
        headers = Trace(PARENT, span).headers(inner)
    span.rename("POST /x", {"http.response.status_code": 200})
    span.end()

    child, root = recorded.exporter.get_finished_spans()
    assert (root.name, child.name) == ("POST /x", "execute w")
    assert root.parent is not None
    assert (root.context.trace_id, root.parent.span_id) == (int(PARENT.trace_id, 16), int(PARENT.span_id, 16))
    assert child.parent == root.context
    assert headers == {"traceparent": f"00-{PARENT.trace_id}-{inner.span_id}-01", "tracestate": "a=1"}


@pytest.mark.parametrize(("ratio", "begun"), [(0.0, 0), (1.0, 100)])
def test_calls_without_a_trace_are_recorded_by_ratio(ratio: float, begun: int) -> None:
    spans = [Recorded(ratio).tracer.begin("GET", None) for _ in range(100)]
    assert sum(span is not None for span in spans) == begun


def test_call_whose_caller_records_nothing_is_not_recorded() -> None:
    assert Recorded(1.0).tracer.begin("GET", TraceParent(PARENT.trace_id, PARENT.span_id, sampled=False)) is None


@pytest.mark.parametrize(
    ("error", "told"),
    [(RecordNotFound("no record a@b.example"), "record_not_found"), (ValueError("s3cret"), "ValueError")],
)
def test_failure_is_told_without_its_text(error: Exception, told: str) -> None:
    recorded = Recorded(1.0)
    span = recorded.tracer.begin("GET", None)
    assert span is not None
    with pytest.raises(type(error)), span.child("node a", {}):
        raise error

    (child,) = recorded.exporter.get_finished_spans()
    assert child.attributes == {"error.type": told}
    assert not child.status.is_ok
    assert (child.status.description, child.events) == (None, ())


def test_close_returns_although_nobody_takes_what_was_recorded() -> None:
    closed: list[str] = []
    RecordingTracer(TracerProvider().get_tracer("test"), 1.0, lambda: closed.append("closed")).close()
    assert closed == ["closed"]
