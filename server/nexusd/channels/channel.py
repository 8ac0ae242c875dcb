"""What all doors share: a workflow as it is shown, and an error as it is told."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

import msgspec

from nexusd.definitions.execution import new_request_id
from nexusd.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.trace import Span, Tracer
    from nexusd.engines.history import Failure, Record
    from nexusd.errors import NexusError
    from nexusd.events import Observer
    from nexusd.planning.plan import Plan

Scrape: TypeAlias = Callable[[str], Awaitable[tuple[str, bytes]]]
"""Gives content type and text of the metrics for an `Accept` header."""

REQUEST_ID: Final = b"x-request-id"
"""The header that names a request: a client may say it, and every answer does."""

_GIVEN: Final = re.compile(rb"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Telemetry:
    """How a door tells what happens.

    Attributes:
        scrape: None while metrics are off.
        tracer: None while no traces are recorded.
    """

    observe: Observer
    scrape: Scrape | None = None
    tracer: Tracer | None = None


def request_id_for(given: bytes | None) -> str:
    """The id of a request: the one that its client gives, where it is short and of plain letters; else a new one."""
    return given.decode() if given is not None and _GIVEN.fullmatch(given) else new_request_id()


def end_request(span: Span, method: str, route: str, status: int) -> None:
    """End the span of an HTTP request; a status from 500 on is a failure."""
    attributes: dict[str, str | int] = {"http.request.method": method, "http.route": route}
    attributes["http.response.status_code"] = status
    span.rename(f"{method} {route}", attributes)
    if status >= 500:  # noqa: PLR2004 - the server's own (RFC 9110, section 15.6)
        span.fail(str(status))
    span.end()


class Health(Protocol):
    """What the daemon says of itself."""

    @property
    def ready(self) -> bool:
        """Whether every enabled channel and the database answer."""

    def checks(self) -> Mapping[str, str]:
        """The state of each part by name."""


def workflow_view(plan: Plan) -> dict[str, object]:
    """W of docs/reference.md, section 6: name, description, inputs, outputs, read_only, durable, scopes."""
    return {
        "name": plan.name,
        "description": plan.workflow.description,
        "inputs": plan.inputs_schema,
        "outputs": outputs_view(plan),
        "read_only": plan.read_only,
        "durable": plan.workflow.durable,
        "scopes": list(plan.workflow.scopes),
    }


def outputs_view(plan: Plan) -> dict[str, object]:
    """The schema of the outputs as it is shown: open, and without anything that must be there.

    Over MCP a failure's problem document stands where the outputs would, and some clients hold it against this
    schema before they look whether it is one (the TypeScript SDK 1.x).
    """
    return {key: value for key, value in plan.outputs_schema.items() if key not in {"required", "additionalProperties"}}


def graph_view(plan: Plan) -> dict[str, object]:
    """W with the graph as declared: `nodes` and `connections`."""
    workflow = plan.workflow
    nodes: dict[str, object] = {}
    for node in workflow.nodes:
        shown: dict[str, object] = {"type": node.type}
        if node.params:
            shown["params"] = node.params
        if node.when is not None:
            shown["when"] = node.when
        if node.foreach is not None:
            shown["foreach"] = node.foreach
        if node.concurrency is not None:
            shown["concurrency"] = node.concurrency
        if node.retry is not None:
            shown["retry"] = asdict(node.retry)
        if node.on_error != "fail":
            shown["on_error"] = node.on_error
        if node.timeout_s is not None:
            shown["timeout_s"] = node.timeout_s
        shown.update(node.options)
        nodes[node.id] = shown
    edges = [[edge.source, edge.output, edge.target, edge.input] for edge in workflow.connections]
    return {**workflow_view(plan), "nodes": nodes, "connections": edges}


def execution_view(record: Record) -> dict[str, object]:
    """An execution as it is shown; `outputs` only where they were kept."""
    view: dict[str, object] = {
        "execution_id": record.id,
        "workflow": record.workflow,
        "status": record.status.value,
        "channel": record.channel,
        "started_at": record.started_at,
    }
    if record.duration_ms is not None:
        view["duration_ms"] = record.duration_ms
    if record.outputs is not None:
        view["outputs"] = msgspec.Raw(record.outputs)
    return view


def problem_document(error: NexusError | Failure, *, status: int, request_id: str) -> dict[str, object]:
    """An error as a problem document (RFC 9457, section 3) with the members of docs/reference.md, section 6.

    The text of an internal error is never told: it may hold anything.
    """
    hidden = error.code is Code.INTERNAL
    document: dict[str, object] = {
        "type": f"urn:nexusd:{error.code.value}",
        "title": error.code.value.replace("_", " ").capitalize(),
        "status": status,
        "detail": "An unexpected error; the log has it under this request id." if hidden else error.detail,
        "code": error.code.value,
        "errors": []
        if hidden
        else [{"pointer": fault.pointer, "code": fault.code, "detail": fault.detail} for fault in error.faults],
        "request_id": request_id,
    }
    if error.execution_id is not None:
        document["execution_id"] = error.execution_id
    if error.node is not None:
        document["node"] = error.node
    return document
