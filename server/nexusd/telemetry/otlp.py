"""The exporter behind the traces: OpenTelemetry's SDK, sending OTLP over HTTP. Needs the extra `otel`."""

from __future__ import annotations

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_ON

from nexusd.telemetry.tracing import RecordingTracer


def exporting_tracer(endpoint: str, ratio: float, version: str) -> RecordingTracer:
    """A tracer whose spans go to `endpoint`.

    The SDK reads its own variables: OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_EXPORTER_OTLP_HEADERS and the
    like.

    Args:
        endpoint: base URL of a collector, such as `http://127.0.0.1:4318`.
        ratio: of the calls without a caller's trace that are recorded.
        version: of the program.
    """
    ours = Resource.create({"service.name": "nexusd", "service.version": version})
    provider = TracerProvider(
        # What the environment says wins.
        resource=ours.merge(OTELResourceDetector().detect()),
        sampler=ALWAYS_ON,
        shutdown_on_exit=False,
    )
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    provider.add_span_processor(BatchSpanProcessor(exporter))
    return RecordingTracer(provider.get_tracer("nexusd", version), ratio, provider.shutdown)
