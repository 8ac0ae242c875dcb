"""One call of a tool, from its arguments as JSON text to its result as JSON text; the same whichever way it came in."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.channels.channel import problem_document
from nexusd.channels.mcp.call_options import DRY_RUN, EXECUTION_ID, REPLAYED, read_options
from nexusd.channels.mcp.content import split
from nexusd.channels.mcp.problems import PLACEMENT, Placement
from nexusd.definitions.execution import Invocation
from nexusd.definitions.principal import shown
from nexusd.definitions.trace import begin_trace, ids
from nexusd.definitions.wire import write_json
from nexusd.errors import Code, InputRequired, NexusError, NotSupported, QuestionsPending
from nexusd.events import ToolCalled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.channels.channel import Telemetry
    from nexusd.channels.mcp.call_options import CallOptions
    from nexusd.channels.mcp.exchange import Exchange
    from nexusd.definitions.conversation import Conversation
    from nexusd.definitions.execution import Execution
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.trace import Span, Trace, Tracer
    from nexusd.planning.plan import Plan
    from nexusd.runtime import Runtime

SUSPENDED: Final = "suspended"
"""The status of a call that ended with a question to its caller."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call of a tool.

    Attributes:
        arguments: JSON text of an object.
        meta: the request's `_meta`.
        conversation: the line to the client, where it can hear while the workflow runs.
        shows_blocks: whether content blocks in the outputs are to be told apart.
    """

    name: str
    arguments: bytes
    meta: Mapping[str, object] | None
    principal: Principal
    conversation: Conversation | None = None
    shows_blocks: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a call came to.

    Attributes:
        document: JSON text of the outputs, or of the problem document.
        blocks: content to show as it stands; the document then holds what else there is.
        code: of the error, if it is one.
        meta: for the result's `_meta`.
    """

    document: bytes
    is_error: bool
    code: Code | None = None
    meta: Mapping[str, object] = field(default_factory=dict)
    blocks: Sequence[Mapping[str, object]] = ()


@dataclass(frozen=True, slots=True)
class Via:
    """Which way a call came in; see `events.ToolCalled`.

    Attributes:
        traceparent, tracestate: headers of the HTTP request; those in the call's `_meta` win.
    """

    era: str
    path: str
    traceparent: str | None = None
    tracestate: str = ""


class Calls:
    """Runs tools.

    Args:
        statuses: HTTP status by error code, told in the problem document like on the HTTP door.
        max_result_bytes: what a read-only workflow may answer at most.
        telemetry: told of each call.
    """

    def __init__(
        self, runtime: Runtime, statuses: Mapping[Code, int], max_result_bytes: int, telemetry: Telemetry
    ) -> None:
        self.runtime = runtime
        self.statuses = statuses
        self._max_result_bytes = max_result_bytes
        self.observe = telemetry.observe
        self._tracer = telemetry.tracer

    async def call(self, call: Call, via: Via, exchange: Exchange) -> Outcome:
        """Run a workflow to its end, and say that it was called.

        Raises:
            InputRequired: the conversation has questions for the client.
            NexusError: the call has no tool result: there is no such tool, or its arguments are no JSON object.
        """
        started = time.perf_counter()
        status = Code.CANCELLED.value
        trace = exchange.trace = _trace(self._tracer, call.meta or {}, via)
        try:
            outcome = await self.run(call, exchange)
            status = "ok" if outcome.code is None else outcome.code.value
        except NexusError as error:
            status = SUSPENDED if isinstance(error, QuestionsPending) else error.code.value
            raise
        finally:
            # A client may call a tool by any name it makes up.
            tool = call.name if call.name in self.runtime.plans else "other"
            duration_s = time.perf_counter() - started
            told = (tool, via.era, via.path, status, exchange.request_id, duration_s)
            self.observe(ToolCalled(*told, shown(call.principal), *ids(trace)))
            if trace is not None and trace.span is not None:
                _end(trace.span, tool, status)
        return outcome

    async def run(self, call: Call, exchange: Exchange) -> Outcome:
        """Run a workflow to its end, and note in the exchange what was run; see `call`."""
        plan = self.runtime.plan(call.name)
        exchange.workflow = call.name
        try:
            options = read_options(call.meta)
            invocation = Invocation(
                workflow=call.name,
                inputs=call.arguments,
                channel="mcp",
                request_id=exchange.request_id,
                principal=call.principal,
                trace=exchange.trace,
                dry_run=options.dry_run,
                idempotency_key=options.idempotency_key,
                conversation=call.conversation,
            )
            execution = await self.runtime.execute(invocation)
            exchange.execution_id = execution.id
            meta = _meta(execution, options)
            if call.shows_blocks:
                blocks, rest = split(execution.outputs)
                return Outcome(write_json(rest), is_error=False, meta=meta, blocks=blocks)
            return Outcome(self._document(plan, execution), is_error=False, meta=meta)
        except NexusError as error:
            exchange.execution_id = error.execution_id
            is_question = isinstance(error, InputRequired) and call.conversation is not None
            if is_question or PLACEMENT[error.code] is not Placement.TOOL_RESULT:
                raise
            document = problem_document(error, status=self.statuses[error.code], request_id=exchange.request_id)
            return Outcome(write_json(document), is_error=True, code=error.code)

    def _document(self, plan: Plan, execution: Execution) -> bytes:
        """The outputs.

        A client hands a result to a model whole, so one that is too large helps nobody. It can be refused where asking
        again costs nothing; what a write answers is always told, since it has happened.
        """
        document = write_json(execution.outputs)
        if len(document) > self._max_result_bytes and plan.read_only:
            error = NotSupported(
                f"the result has {len(document)} bytes, more than the {self._max_result_bytes} that one may have here"
                + _how_to_get_less(plan)
            )
            error.execution_id = execution.id
            raise error
        return document


def _trace(tracer: Tracer | None, meta: Mapping[str, object], via: Via) -> Trace | None:
    told = meta.get("traceparent")
    if isinstance(told, str):
        state = meta.get("tracestate")
        return begin_trace(tracer, "tools/call", told, state if isinstance(state, str) else "")
    return begin_trace(tracer, "tools/call", via.traceparent, via.tracestate)


def _end(span: Span, tool: str, status: str) -> None:
    attributes = {"mcp.method.name": "tools/call", "gen_ai.tool.name": tool}
    span.rename(f"tools/call {tool}", attributes)
    if status not in {"ok", SUSPENDED}:
        span.fail(status)
    span.end()


def _meta(execution: Execution, options: CallOptions) -> dict[str, object]:
    meta: dict[str, object] = {EXECUTION_ID: execution.id}
    if options.dry_run:
        meta[DRY_RUN] = True
    if execution.replayed:
        meta[REPLAYED] = True
    return meta


def _how_to_get_less(plan: Plan) -> str:
    """What a caller can do about a result that is too large: the inputs that page and cut a list."""
    by_param = {param: pointer for node in plan.nodes for param, pointer in node.pointers.items()}
    limit, cursor, fields = (by_param.get(param, "") for param in ("/limit", "/cursor", "/fields"))
    ways = []
    if limit:
        ways.append(f"ask for fewer records with {_input(limit)}")
        if cursor:
            ways.append(f"pass the next_cursor of the answer as {_input(cursor)} to go on")
    if fields:
        ways.append(f"name only the fields that are needed in {_input(fields)}")
    return f": {'; '.join(ways)}" if ways else ""


def _input(pointer: str) -> str:
    return f"`{pointer.rpartition('/')[2]}`"
