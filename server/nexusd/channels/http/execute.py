"""`POST /workflows/{name}/execute`: the hot path, in front of every framework."""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.channels.channel import execution_view
from nexusd.definitions.execution import Invocation
from nexusd.definitions.wire import write_json
from nexusd.errors import MalformedBody, Overloaded

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.channels.http.exchange import Exchange
    from nexusd.definitions.limits import Standing
    from nexusd.runtime import Runtime
    from nexusd.settings import HttpSettings

DRY_RUN: Final = "tx=rollback"
ASYNC: Final = "respond-async"
REPLAYED: Final = (b"idempotency-replayed", b"true")
_JSON: Final = (b"content-type", b"application/json")


class _Envelope(msgspec.Struct, forbid_unknown_fields=True):
    inputs: msgspec.Raw = msgspec.Raw(b"{}")


_envelopes: Final = msgspec.json.Decoder(_Envelope)


class ExecuteHandler:
    """Runs workflows for HTTP requests."""

    def __init__(self, runtime: Runtime, settings: HttpSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self.accepts_async = True

    async def __call__(self, exchange: Exchange, name: str) -> None:
        """Read the body, run the workflow, answer.

        Raises:
            NexusError: for the door to render.
        """
        plan = self._runtime.admit(exchange.principal, name)
        exchange.workflow = name
        body = await exchange.json_body(plan.workflow.max_body_bytes or self._settings.max_body_bytes)
        asked = exchange.preferences() if b"prefer" in exchange.headers else frozenset()
        respond_async = ASYNC in asked
        invocation = Invocation(
            workflow=name,
            inputs=_inputs(body),
            channel="http",
            request_id=exchange.request_id,
            principal=exchange.principal,
            standings=[],
            deadline=None if respond_async else asyncio.get_running_loop().time() + self._settings.request_timeout_s,
            dry_run=DRY_RUN in asked,
            idempotency_key=exchange.idempotency_key() if b"idempotency-key" in exchange.headers else None,
            trace=exchange.trace,
        )
        headers = [_JSON]
        applied = [preference for preference in (DRY_RUN, ASYNC) if preference in asked]
        if applied:
            headers.append((b"preference-applied", ", ".join(applied).encode()))
        if respond_async and not self.accepts_async:
            raise Overloaded("the server is stopping; try again later")
        # In flight from here on: counted earlier, slow bodies would keep everybody else out.
        if respond_async:
            await self._start(exchange, invocation, headers)
        else:
            await self._finish(exchange, invocation, headers)

    async def _finish(self, exchange: Exchange, invocation: Invocation, headers: list[tuple[bytes, bytes]]) -> None:
        try:
            execution = await self._runtime.execute(invocation)
        finally:
            exchange.extra += standing_headers(invocation.standings)
        exchange.execution_id = execution.id
        answer = {
            "workflow": execution.workflow,
            "execution_id": execution.id,
            "status": "completed",
            "outputs": execution.outputs,
            "duration_ms": execution.duration_ms,
        }
        if execution.replayed:
            headers.append(REPLAYED)
        await exchange.answer(200, headers, write_json(answer))

    async def _start(self, exchange: Exchange, invocation: Invocation, headers: list[tuple[bytes, bytes]]) -> None:
        """Answer where the outcome will be found; the run keeps its place until it has ended."""
        try:
            record, replayed = await self._runtime.start(invocation)
        finally:
            exchange.extra += standing_headers(invocation.standings)
        exchange.execution_id = record.id
        if replayed:
            headers.append(REPLAYED)
        location = f"/executions/{record.id}"
        body = write_json(execution_view(record))
        await exchange.answer(202, [*headers, (b"location", location.encode())], body)


def standing_headers(standings: Sequence[Standing] | None) -> list[tuple[bytes, bytes]]:
    """How the caller stands with its limits (IETF draft "RateLimit header fields for HTTP", revision 10).

    `q` requests in `w` seconds; `r` are left, and all of them in `t` seconds.
    """
    if not standings:
        return []
    policies = ", ".join([f'"{each.policy}";q={each.requests};w={math.ceil(each.per_s)}' for each in standings])
    left = ", ".join([f'"{each.policy}";r={each.remaining};t={math.ceil(each.reset_s)}' for each in standings])
    return [(b"ratelimit-policy", policies.encode()), (b"ratelimit", left.encode())]


def _inputs(body: bytes) -> bytes:
    """The JSON text of `inputs` in the body; an empty body means no inputs."""
    if not body:
        return b"{}"
    try:
        return bytes(_envelopes.decode(body).inputs)
    except msgspec.ValidationError as error:
        raise MalformedBody('the body must be {"inputs": {…}} and nothing else') from error
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedBody("the body is not valid JSON") from error
