"""The OpenAPI 3.1 description of the HTTP channel: one path and one pair of schemas per workflow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd import __version__
from nexusd.channels.http.examples import example_of
from nexusd.channels.http.routes import PROBES
from nexusd.definitions.idempotency import KEY_PATTERN
from nexusd.definitions.model import Operation
from nexusd.documents import as_mapping
from nexusd.engines.history import Status
from nexusd.errors import Code

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.planning.plan import Plan

Json = dict[str, object]

_DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"
_TEXT: Final[Json] = {"type": "string"}
_OBJECT: Final[Json] = {"type": "object"}


def openapi_document(plans: Sequence[Plan], *, secured: bool = False) -> Json:
    """The whole description.

    Args:
        plans: the workflows that are shown.
        secured: whether the server wants a credential.
    """
    paths: dict[str, Json] = {f"/workflows/{plan.name}/execute": {"post": _execute(plan)} for plan in plans}
    paths |= _FIXED_PATHS
    document: Json = {
        "openapi": "3.1.1",
        "info": {"title": "nexusd", "version": __version__, "description": "Workflows over declared models."},
        "jsonSchemaDialect": _DIALECT,
        "servers": [{"url": "/"}],
        "tags": [
            {"name": "workflows", "description": "What there is to execute."},
            {"name": "executions", "description": "What is running, and how it ended."},
            {"name": "health", "description": "How the server is."},
        ],
        "paths": paths,
        "components": _COMPONENTS,
    }
    return {**document, **_secured(paths)} if secured else document


def _secured(paths: Mapping[str, Json]) -> Json:
    """What is told of credentials: a key or token in either header; probes need none."""
    probes = {path: {"get": {**as_mapping(paths[path]["get"]), "security": []}} for path in PROBES}
    return {
        "paths": {**paths, **probes},
        "components": {**_COMPONENTS, "securitySchemes": _SCHEMES},
        "security": [{name: []} for name in _SCHEMES],
    }


_SCHEMES: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key or a token."},
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key", "description": "An API key or a token."},
}


def request_body(plan: Plan) -> Json:
    """The schema of a workflow's request body.

    What must be given one way or another is told here alone: an alternative at the top of a tool's schema is more than
    many MCP clients can read.
    """
    inputs = dict(plan.inputs_schema)
    ways = _ways(plan)
    if ways:
        way = "oneOf" if ways == _ONE_RECORD else "anyOf"
        inputs[way] = [{"required": list(names)} for names in ways]
    schema: Json = {"type": "object", "properties": {"inputs": inputs}, "additionalProperties": False}
    if ways or plan.inputs_schema.get("required"):
        schema["required"] = ["inputs"]
    return schema


def _example(plan: Plan) -> Json:
    ways = _ways(plan)
    needed = [*plan.inputs.required, *(ways[0] if ways else ())]
    return {"inputs": example_of({**plan.inputs_schema, "required": needed})}


def _ways(plan: Plan) -> tuple[tuple[str, ...], ...]:
    return _WAYS.get(plan.workflow.published[1], ()) if plan.workflow.published else ()


_ONE_RECORD: Final = (("id",), ("where",))
_WAYS: Final[Mapping[Operation, tuple[tuple[str, ...], ...]]] = {
    **dict.fromkeys((Operation.READ, Operation.UPDATE, Operation.DELETE), _ONE_RECORD),
    Operation.BULK_UPDATE: (("filter", "fields"), ("all", "fields"), ("records",)),
    Operation.BULK_DELETE: (("filter",), ("ids",), ("all",)),
}
"""The inputs of published operations of which one set must be given."""


def _execute(plan: Plan) -> Json:
    body = request_body(plan)
    answer = _object(
        workflow={"const": plan.name},
        execution_id={"type": "string", "format": "uuid"},
        status={"const": "completed"},
        outputs=plan.outputs_schema,
        duration_ms={"type": "number", "minimum": 0},
    )
    operation: Json = {
        "operationId": f"execute_{plan.name}",
        "summary": plan.workflow.description.partition("\n")[0] or f"Execute {plan.name}.",
        "tags": ["workflows"],
        "parameters": [_ref("parameters", name) for name in ("IdempotencyKey", "Prefer", "RequestId")],
        "requestBody": {
            "required": "required" in body,
            "content": {
                "application/json": {
                    "schema": body,
                    "example": _example(plan),
                }
            },
        },
        "responses": {
            "200": {
                "description": "It completed.",
                "headers": _HEADERS | _REPLAYED | {"Preference-Applied": {"schema": _TEXT}},
                "content": {"application/json": {"schema": answer}},
            },
            "202": _answer("It has started.", _ref("schemas", "Execution"), Location={"schema": _TEXT}),
            **_PROBLEMS,
        },
    }
    if plan.workflow.description:
        operation["description"] = plan.workflow.description
    return operation


def _ref(kind: str, name: str) -> Json:
    return {"$ref": f"#/components/{kind}/{name}"}


def _object(**properties: object) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _answer(description: str, schema: Mapping[str, object], **headers: object) -> Json:
    return {
        "description": description,
        "headers": _HEADERS | headers,
        "content": {"application/json": {"schema": schema}},
    }


_HEADERS: Final[Json] = {"X-Request-ID": {"schema": _TEXT}}
_REPLAYED: Final[Json] = {"Idempotency-Replayed": {"schema": {"const": "true"}}}
_PROBLEMS: Final[Json] = {"4XX": _ref("responses", "Problem"), "5XX": _ref("responses", "Problem")}
_ID: Final[Json] = {
    "name": "id",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "format": "uuid"},
}


def _operation(name: str, tag: str, summary: str, answer: Json, *parameters: Json) -> Json:
    operation: Json = {
        "operationId": name,
        "summary": summary,
        "tags": [tag],
        "responses": {"200": answer, **_PROBLEMS},
    }
    if parameters:
        operation["parameters"] = list(parameters)
    return operation


def _query(name: str, schema: Json) -> Json:
    return {"name": name, "in": "query", "schema": schema}


_EXECUTION: Final = _answer("The execution.", _ref("schemas", "Execution"))
_STATE: Final = _answer("Ready.", {"type": "object", "required": ["status"]})
_EVENTS: Final[Json] = {
    "description": "Server-sent events, named execution.started, execution.completed and so on.",
    "headers": _HEADERS,
    "content": {"text/event-stream": {}},
}
_NEW: Final[Json] = {"description": "It has ended, and there is nothing new."}
_CANCEL: Final = _operation("cancel_execution", "executions", "Stop an execution.", _EXECUTION, _ID)
_FOLLOW: Final = _operation(
    "follow_execution",
    "executions",
    "Follow an execution to its end.",
    _EVENTS,
    _ID,
    {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "The last event that was seen; what is not the number of one is ignored.",
        "schema": _TEXT,
    },
)

_FIXED_PATHS: Final[dict[str, Json]] = {
    "/workflows": {
        "get": _operation(
            "list_workflows",
            "workflows",
            "Every workflow, by name.",
            _answer("The workflows.", _object(workflows={"type": "array", "items": _ref("schemas", "Workflow")})),
        )
    },
    "/workflows/{name}": {
        "get": _operation(
            "show_workflow",
            "workflows",
            "One workflow with its graph.",
            _answer("The workflow.", _ref("schemas", "Workflow")),
            {"name": "name", "in": "path", "required": True, "schema": _TEXT},
        )
    },
    "/executions": {
        "get": _operation(
            "list_executions",
            "executions",
            "The latest executions, the newest first.",
            _answer("The executions.", _ref("schemas", "Executions")),
            _query("workflow", _TEXT),
            _query("status", {"type": "string", "enum": [status.value for status in Status]}),
            _query("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}),
            _query("cursor", {"type": "string", "format": "uuid"}),
        )
    },
    "/executions/{id}": {"get": _operation("show_execution", "executions", "One execution.", _EXECUTION, _ID)},
    "/executions/{id}/events": {"get": {**_FOLLOW, "responses": {"200": _EVENTS, "204": _NEW, **_PROBLEMS}}},
    "/executions/{id}/cancel": {"post": {**_CANCEL, "responses": {"200": _EXECUTION, "202": _EXECUTION, **_PROBLEMS}}},
    "/health": {"get": _operation("health", "health", "The state of each part.", _STATE)},
    "/health/live": {"get": _operation("live", "health", "Whether the process answers.", _STATE)},
    "/health/ready": {"get": _operation("ready", "health", "Whether to send requests here.", _STATE)},
}

_COMPONENTS: Final[Json] = {
    "parameters": {
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "description": "tx=rollback: run everything, keep nothing. respond-async: answer 202 at once (RFC 7240).",
            "schema": _TEXT,
            "examples": {"dry_run": {"value": "tx=rollback"}, "asynchronous": {"value": "respond-async"}},
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "description": "Requests with one key and equal inputs have one effect and one answer, for 24 hours.",
            "schema": {"type": "string", "pattern": KEY_PATTERN},
        },
        "RequestId": {
            "name": "X-Request-ID",
            "in": "header",
            "description": "Comes back in the answer and stands in the log. Of 1 to 64 letters, digits and `._-`; "
            "else another one is made.",
            "schema": _TEXT,
        },
    },
    "responses": {
        "Problem": {
            "description": "What went wrong (RFC 9457).",
            "headers": _HEADERS,
            "content": {"application/problem+json": {"schema": _ref("schemas", "Problem")}},
        }
    },
    "schemas": {
        "Problem": {
            **_object(
                type={"type": "string", "pattern": "^urn:nexusd:"},
                title=_TEXT,
                status={"type": "integer"},
                detail=_TEXT,
                code={"type": "string", "enum": [code.value for code in Code]},
                errors={"type": "array", "items": _object(pointer=_TEXT, code=_TEXT, detail=_TEXT)},
                request_id=_TEXT,
            ),
        },
        "Workflow": _object(
            name=_TEXT,
            description=_TEXT,
            inputs=_OBJECT,
            outputs=_OBJECT,
            read_only={"type": "boolean"},
            durable={"type": "boolean"},
            scopes={"type": "array", "items": _TEXT},
        ),
        "Execution": _object(
            execution_id={"type": "string", "format": "uuid"},
            workflow=_TEXT,
            status={"type": "string", "enum": [status.value for status in Status]},
            channel=_TEXT,
            started_at={"type": "string", "format": "date-time"},
        ),
        "Executions": _object(
            executions={"type": "array", "items": _ref("schemas", "Execution")},
            count={"type": "integer"},
            limit={"type": "integer"},
            next_cursor={"anyOf": [_TEXT, {"type": "null"}]},
        ),
    },
}
