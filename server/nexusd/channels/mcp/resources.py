"""What can be read: the registry, its models and workflows, executions, and the registry's own resources."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING, Final
from urllib.parse import quote, unquote

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from nexusd.channels.channel import execution_view, graph_view, problem_document, workflow_view
from nexusd.channels.mcp.calls import Call
from nexusd.channels.mcp.exchange import caller_of, exchange_of
from nexusd.channels.mcp.paging import page
from nexusd.channels.mcp.tool import title_of
from nexusd.definitions.shape import Record, Scalar
from nexusd.definitions.text_template import render_text
from nexusd.definitions.wire import write_json
from nexusd.errors import ExecutionNotFound, NexusError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from mcp.server.context import ServerRequestContext

    from nexusd.channels.mcp.calls import Calls
    from nexusd.channels.mcp.exchange import Exchange
    from nexusd.channels.mcp.view import View
    from nexusd.definitions.model import Model
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.resource import Resource

    Contents = types.TextResourceContents | types.BlobResourceContents

REGISTRY: Final = "nexusd://registry"
MODELS: Final = "nexusd://models/"
WORKFLOWS: Final = "nexusd://workflows/"
EXECUTIONS: Final = "nexusd://executions/"
JSON: Final = "application/json"

RESOURCE_NOT_FOUND: Final = -32002
"""What revisions up to 2025-11-25 answer ("Resources", error handling); later ones say invalid params."""

_TEMPLATES: Final = (
    (EXECUTIONS + "{id}", "execution", "A run of a workflow: its state, and how it ended"),
    (MODELS + "{name}", "model", "A model: its table and fields"),
    (WORKFLOWS + "{name}", "workflow", "A workflow: its inputs, outputs, nodes and connections"),
)
_TEXTUAL: Final = ("application/json", "application/xml", "application/yaml", "image/svg+xml", "application/javascript")


class Resources:
    """The handlers of `resources/list`, `resources/templates/list` and `resources/read`."""

    def __init__(self, view: View, calls: Calls) -> None:
        self._view = view
        self._calls = calls
        self._history = calls.runtime.history

    async def list(
        self, context: ServerRequestContext[dict[str, object], object], params: types.PaginatedRequestParams | None
    ) -> types.ListResourcesResult:
        """One page of what has a URI of its own, by URI."""
        principal = caller_of(context)
        found = [_own(REGISTRY, "registry", "What this server offers")]
        found += [_own(MODELS + quote(name), name, f"The model {name}") for name in self._view.models(principal)]
        found += [
            _own(WORKFLOWS + plan.name, plan.name, plan.workflow.description or title_of(plan.name))
            for plan in self._view.plans(principal)
        ]
        found += [
            types.Resource(
                uri=resource.uri.text,
                name=resource.name,
                title=resource.title or None,
                description=resource.description or None,
                mime_type=resource.mime_type,
            )
            for resource in self._view.resources(principal)
            if not resource.uri.variables
        ]
        resources, cursor = page(sorted(found, key=lambda each: each.uri), params)
        return types.ListResourcesResult(resources=resources, next_cursor=cursor)

    async def list_templates(
        self, context: ServerRequestContext[dict[str, object], object], params: types.PaginatedRequestParams | None
    ) -> types.ListResourceTemplatesResult:
        """One page of URI templates, by template."""
        found = [
            types.ResourceTemplate(
                uri_template=template, name=name, title=title_of(name), description=text, mime_type=JSON
            )
            for template, name, text in _TEMPLATES
        ]
        found += [
            types.ResourceTemplate(
                uri_template=resource.uri.text,
                name=resource.name,
                title=resource.title or None,
                description=resource.description or None,
                mime_type=resource.mime_type,
            )
            for resource in self._view.resources(caller_of(context))
            if resource.uri.variables
        ]
        templates, cursor = page(sorted(found, key=lambda each: each.uri_template), params)
        return types.ListResourceTemplatesResult(resource_templates=templates, next_cursor=cursor)

    async def read(
        self, context: ServerRequestContext[dict[str, object], object], params: types.ReadResourceRequestParams
    ) -> types.ReadResourceResult:
        """What stands at a URI.

        Raises:
            MCPError: nothing that this caller may read, or it cannot be read.
        """
        exchange = exchange_of(context)
        contents = self._read_own(params.uri, exchange.principal)
        if contents is None:
            contents = await self._read_declared(params.uri, exchange)
        if contents is None:
            modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
            code = types.INVALID_PARAMS if modern else RESOURCE_NOT_FOUND
            raise MCPError(code, "Resource not found", {"uri": params.uri})
        return types.ReadResourceResult(contents=[contents])

    def _read_own(self, uri: str, principal: Principal) -> Contents | None:
        document: object = None
        if uri == REGISTRY:
            document = self._registry(principal)
        elif uri.startswith(MODELS):
            model = self._view.models(principal).get(unquote(uri.removeprefix(MODELS)))
            document = None if model is None else model_view(model)
        elif uri.startswith(WORKFLOWS):
            plan = self._view.plan(unquote(uri.removeprefix(WORKFLOWS)), principal)
            document = None if plan is None else graph_view(plan)
        elif uri.startswith(EXECUTIONS):
            document = self._execution(uri.removeprefix(EXECUTIONS), principal)
        if document is None:
            return None
        return types.TextResourceContents(uri=uri, mime_type=JSON, text=write_json(document).decode())

    def _registry(self, principal: Principal) -> dict[str, object]:
        return {
            "models": [model_view(model) for model in self._view.models(principal).values()],
            "workflows": [workflow_view(plan) for plan in self._view.plans(principal)],
            "prompts": [prompt.name for prompt in self._view.prompts()],
            "resources": [resource.uri.text for resource in self._view.resources(principal)],
            "toolsets": {
                name: [member for member in members if self._view.plan(member, principal) is not None]
                for name, members in sorted(self._view.registry.toolsets.items())
            },
        }

    def _execution(self, execution_id: str, principal: Principal) -> dict[str, object] | None:
        try:
            record = self._history.get(execution_id, principal)
        except ExecutionNotFound:
            return None
        view = execution_view(record)
        if record.failure is not None:
            status = self._calls.statuses[record.failure.code]
            view["error"] = problem_document(record.failure, status=status, request_id=record.request_id)
        return view

    async def _read_declared(self, uri: str, exchange: Exchange) -> Contents | None:
        # One without variables is meant before a template that it happens to fit.
        for resource in sorted(self._view.resources(exchange.principal), key=lambda each: len(each.uri.variables)):
            values = resource.uri.match(uri)
            if values is not None:
                return await self._contents(resource, uri, values, exchange)
        return None

    async def _contents(self, resource: Resource, uri: str, values: Mapping[str, str], exchange: Exchange) -> Contents:
        if resource.file is not None:
            return await read_contents(resource.file, uri, resource.mime_type)
        if resource.text is not None:
            try:
                text = render_text(resource.text, values)
            except NexusError as error:
                raise MCPError(types.INVALID_PARAMS, error.detail, {"uri": uri}) from error
            return types.TextResourceContents(uri=uri, mime_type=resource.mime_type, text=text)
        try:
            name, arguments = str(resource.workflow), write_json(values)
            call = Call(name=name, arguments=arguments, meta=None, principal=exchange.principal)
            outcome = await self._calls.run(call, exchange)
        except NexusError as error:
            raise MCPError(types.INVALID_PARAMS, error.detail, {"uri": uri}) from error
        text = outcome.document.decode()
        if outcome.is_error:
            raise MCPError(types.INTERNAL_ERROR, "the resource cannot be read", {"uri": uri, "problem": text})
        return types.TextResourceContents(uri=uri, mime_type=resource.mime_type, text=text)


async def read_contents(file: Path, uri: str, mime_type: str) -> Contents:
    """A file as contents: text where its media type says so, else base64.

    Raises:
        MCPError: it cannot be read.
    """
    try:
        data = await asyncio.to_thread(file.read_bytes)
        if is_textual(mime_type):
            return types.TextResourceContents(uri=uri, mime_type=mime_type, text=data.decode())
    except (OSError, UnicodeDecodeError) as error:
        raise MCPError(types.INTERNAL_ERROR, "the resource cannot be read", {"uri": uri}) from error
    return types.BlobResourceContents(uri=uri, mime_type=mime_type, blob=base64.b64encode(data).decode())


def is_textual(mime_type: str) -> bool:
    """Whether contents of this media type are text."""
    return mime_type.startswith(("text/", *_TEXTUAL)) or mime_type.partition(";")[0].endswith(("+json", "+xml"))


def model_view(model: Model) -> dict[str, object]:
    """A model as it is shown: its table, its key, and the JSON Schema of a record."""
    record = Record({column.name: Scalar(column) for column in model.columns})
    return {
        "name": model.name,
        "table": model.table,
        "key": model.key.name,
        "schema": record.schema(),
        "references": {
            column.name: f"{column.references.model}.{column.references.field}"
            for column in model.columns
            if column.references is not None
        },
        "published": [operation.value for operation in model.publish],
    }


def _own(uri: str, name: str, description: str) -> types.Resource:
    return types.Resource(uri=uri, name=name, title=title_of(name), description=description, mime_type=JSON)
