"""The line from a running workflow to the MCP client that called it.

In revisions up to 2025-11-25 a question is a request to the client, which is answered while the workflow waits. In
2026-07-28 a server sends no requests: a question ends the run, whose transaction is rolled back; the client gets it as
the answer to its call and calls again, with the answers and with a sealed note of those that it gave before.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from typing import TYPE_CHECKING, Any, Final

import mcp_types as types
import msgspec
from mcp.server.connection import allowed_log_levels
from mcp.shared.exceptions import MCPError
from mcp.shared.message import ServerMessageMetadata
from mcp_types.version import MODERN_PROTOCOL_VERSIONS

from nexusd.definitions.conversation import Elicit, Roots, Sample
from nexusd.errors import InputRequired, QuestionsPending

if TYPE_CHECKING:
    from collections.abc import Coroutine, Mapping

    from mcp.server.context import ServerRequestContext

    from nexusd.definitions.conversation import Answer, Level, Question

    Request = types.ElicitRequest | types.CreateMessageRequest | types.ListRootsRequest

SEND_S: Final = 5.0
"""How long a client may take to take a notification; later it is told nothing more, and the run goes on."""

_SEVERITY: Final = ("debug", "info", "notice", "warning", "error", "critical", "alert", "emergency")
_RESULTS: Final[Mapping[str, type[types.ElicitResult | types.CreateMessageResult | types.ListRootsResult]]] = {
    "elicitation/create": types.ElicitResult,
    "sampling/createMessage": types.CreateMessageResult,
    "roots/list": types.ListRootsResult,
}


class McpConversation:
    """The line to the client of one call.

    Args:
        context: of the call.
        params: of the call, with what the client answers and what it answered before.
        nodes: how many the workflow has.
        quiet_below: the least severe level of log lines that the client wants.

    Attributes:
        pending: what the client is to answer before it calls again.
        unanswerable: capabilities that a question needs and that the client does not have.
    """

    def __init__(
        self,
        context: ServerRequestContext[dict[str, object], object],
        params: types.CallToolRequestParams,
        nodes: int,
        quiet_below: str,
    ) -> None:
        self._context = context
        self._is_modern = context.protocol_version in MODERN_PROTOCOL_VERSIONS
        self._quiet_below = quiet_below
        self._answers = _earlier_answers(params)
        self._is_deaf = False
        self._completed = 0
        self._total = nodes
        self._told = -math.inf
        self.pending: dict[str, Request] = {}
        self.unanswerable: dict[str, object] = {}
        capabilities = context.session.client_capabilities
        self.client_capabilities: Mapping[str, object] = (
            {} if capabilities is None else capabilities.model_dump(by_alias=True, mode="json", exclude_none=True)
        )

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """Tell how far a node has come; among several nodes, as its share of the whole."""
        if self._total == 1:
            await self._tell_progress(done, total, text)
        elif total:
            share = min(max(done / total, 0.0), 1.0)
            await self._tell_progress(self._completed + share, self._total, text)

    async def step(self, done: int, total: int, node: str) -> None:
        """Tell that a node has ended; where there is one alone, the result tells it."""
        self._completed, self._total = done, total
        if total > 1:
            await self._tell_progress(done, total, node)

    async def log(self, level: Level, text: str) -> None:
        """Tell a line, if the client wants lines of this level."""
        if self._is_modern:
            wanted = level in allowed_log_levels(self._context.protocol_version, self._context.meta)
        else:
            wanted = _SEVERITY.index(level) >= _SEVERITY.index(self._quiet_below)
        if wanted:
            params = types.LoggingMessageNotificationParams(level=level, data=text, logger="nexusd")
            notification = types.LoggingMessageNotification(params=params)
            await self._say(self._context.session.send_notification(notification, self._context.request_id))

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        """Ask; see Conversation."""
        requests = {name: _request(question) for name, question in questions.items()}
        lacking = {name: need for name, need in map(self._lacking, requests.items()) if need is not None}
        if not self._is_modern:
            asked = [name for name in requests if name not in lacking]
            answers = await asyncio.gather(*(self._push(requests[name]) for name in asked))
            return {**dict.fromkeys(requests), **dict(zip(asked, answers, strict=True))}
        open_ones = {name: each for name, each in requests.items() if name not in lacking and not self._has(name, each)}
        if lacking and len(lacking) == len(requests):
            self.unanswerable = {key: value for need in lacking.values() for key, value in need.items()}
            raise InputRequired("the client lacks a capability that this workflow needs")
        if open_ones:
            self.pending = open_ones
            raise QuestionsPending
        return {name: None if name in lacking else self._answers[name] for name in requests}

    def interim_result(self) -> types.InputRequiredResult:
        """The questions, and a note of what was answered so far."""
        note = msgspec.json.encode(self._answers).decode()
        return types.InputRequiredResult(input_requests=self.pending, request_state=note)

    def _lacking(self, named: tuple[str, Request]) -> tuple[str, dict[str, object] | None]:
        """The capability that the client does not have and that a request needs."""
        name, request = named
        capability = request.method.partition("/")[0]
        have = self.client_capabilities.get(capability)
        # One that says how it asks its user, but not by forms, opens pages alone.
        asks_by_page_alone = (
            capability == "elicitation" and isinstance(have, dict) and "url" in have and "form" not in have
        )
        return name, {capability: {}} if have is None or asks_by_page_alone else None

    def _has(self, name: str, request: Request) -> bool:
        """Whether there is an answer of the right kind; the models of the SDK raise ValueError."""
        try:
            _RESULTS[request.method].model_validate(self._answers[name])
        except (KeyError, ValueError):
            return False
        return not isinstance(request, types.ElicitRequest) or _fits(request, self._answers[name])

    async def _push(self, request: Request) -> Answer:
        """Send a question as a request, and wait for the answer; None if there is none."""
        metadata = ServerMessageMetadata(related_request_id=self._context.request_id)
        try:
            result = await self._context.session.send_request(request, _RESULTS[request.method], metadata=metadata)
        except (MCPError, ValueError):
            return None
        return result.model_dump(by_alias=True, mode="json", exclude_none=True)

    async def _tell_progress(self, done: float, total: float | None, text: str) -> None:
        # It must increase with each notification ("Progress", behavior requirements).
        if done > self._told:
            self._told = done
            await self._say(self._context.session.report_progress(done, total, text or None))

    async def _say(self, sending: Coroutine[object, object, None]) -> None:
        """Send, unless the client has stopped to listen: a run may hold a transaction while it tells something."""
        if self._is_deaf:
            sending.close()
            return
        try:
            async with asyncio.timeout(SEND_S):
                await sending
        except TimeoutError:
            self._is_deaf = True


def _earlier_answers(params: types.CallToolRequestParams) -> dict[str, Any]:
    """What was answered in earlier rounds and in this one."""
    answers: dict[str, Any] = {}
    if params.request_state is not None:
        with contextlib.suppress(msgspec.DecodeError):
            answers = msgspec.json.decode(params.request_state)
    for name, answer in (params.input_responses or {}).items():
        answers[name] = answer.model_dump(by_alias=True, mode="json", exclude_none=True)
    return answers


def _request(question: Question) -> Request:
    if isinstance(question, Elicit):
        return types.ElicitRequest(
            params=types.ElicitRequestFormParams(message=question.text, requested_schema=dict(question.schema))
        )
    if isinstance(question, Roots):
        return types.ListRootsRequest()
    return _sampling(question)


def _sampling(question: Sample) -> types.CreateMessageRequest:
    params = {"messages": list(question.messages), "maxTokens": question.max_tokens, **question.options}
    return types.CreateMessageRequest(params=types.CreateMessageRequestParams.model_validate(params))


def _fits(request: types.ElicitRequest, answer: Mapping[str, Any]) -> bool:
    """Whether a form that was accepted has every field that must be filled in."""
    if answer.get("action") != "accept" or not isinstance(request.params, types.ElicitRequestFormParams):
        return True
    content = answer.get("content") or {}
    return all(name in content for name in request.params.requested_schema.get("required", ()))
