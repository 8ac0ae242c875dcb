"""The error tree is drawn as it is, and every door knows every code."""

from __future__ import annotations

import inspect
from itertools import takewhile
from typing import TYPE_CHECKING, Final

import pytest

from nexusd import errors
from nexusd.channels.cli.exits import EXIT
from nexusd.channels.http.problems import STATUS
from nexusd.channels.mcp.problems import PLACEMENT
from nexusd.errors import Code, NexusError

if TYPE_CHECKING:
    from collections.abc import Mapping

# What clients and scripts rely on: the HTTP status, where an MCP client finds the error, the command line's exit code.
CONTRACT: Final[Mapping[str, tuple[int, str, int]]] = {
    "bad_request": (400, "invalid_request", 65),
    "malformed_body": (400, "invalid_request", 65),
    "route_not_found": (404, "http_status", 65),
    "method_not_allowed": (405, "http_status", 65),
    "request_timeout": (408, "http_status", 65),
    "misdirected_request": (421, "http_status", 65),
    "not_supported": (422, "tool_result", 65),
    "invalid_input": (422, "tool_result", 65),
    "idempotency_mismatch": (422, "tool_result", 65),
    "unsupported_media_type": (415, "http_status", 65),
    "payload_too_large": (413, "http_status", 65),
    "headers_too_large": (431, "http_status", 65),
    "unauthenticated": (401, "http_status", 77),
    "forbidden": (403, "http_status", 77),
    "workflow_not_found": (404, "invalid_params", 66),
    "execution_not_found": (404, "invalid_params", 66),
    "record_not_found": (404, "tool_result", 66),
    "unique_violation": (409, "tool_result", 65),
    "reference_violation": (409, "tool_result", 65),
    "check_violation": (409, "tool_result", 65),
    "idempotency_in_flight": (409, "tool_result", 65),
    "version_mismatch": (412, "tool_result", 65),
    "max_affected_exceeded": (422, "tool_result", 65),
    "rate_limited": (429, "tool_result", 75),
    "node_failed": (502, "tool_result", 70),
    "overloaded": (503, "tool_result", 69),
    "database_unavailable": (503, "tool_result", 69),
    "unknown_outcome": (503, "tool_result", 69),
    "timeout": (504, "tool_result", 75),
    "cancelled": (499, "tool_result", 75),
    "internal": (500, "tool_result", 70),
}


def error_classes() -> set[type[NexusError]]:
    classes = {member for _, member in inspect.getmembers(errors, inspect.isclass)}
    return {member for member in classes if issubclass(member, NexusError)}


def test_contract_covers_every_code() -> None:
    assert set(CONTRACT) == {code.value for code in Code}


@pytest.mark.parametrize(("table", "column"), [(STATUS, 0), (PLACEMENT, 1), (EXIT, 2)], ids=["http", "mcp", "cli"])
def test_door_answers_every_code_as_promised(table: Mapping[Code, object], column: int) -> None:
    assert {Code(code): promise[column] for code, promise in CONTRACT.items()} == table


def test_every_code_can_be_raised() -> None:
    assert set(Code) == {member.code for member in error_classes()}


def test_tree_draws_every_error_class_and_no_other() -> None:
    drawn: set[str] = set()
    for line in (errors.__doc__ or "").splitlines():
        if line.startswith("    "):
            # The names stand before the remark, which begins with a lower-case word.
            drawn.update(takewhile(lambda word: word[0].isupper(), line.lstrip("│├└ ").split()))
    assert drawn == {member.__name__ for member in error_classes()}


def test_every_error_class_has_a_default_message_of_one_sentence() -> None:
    lines = {member.__name__: (member.__doc__ or "").partition("\n")[0] for member in error_classes()}
    assert [name for name, line in lines.items() if not line.endswith(".")] == []
