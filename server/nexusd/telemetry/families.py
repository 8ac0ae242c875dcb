"""Every metric there is; docs/monitoring.md says the same in a table, and a test compares them."""

from __future__ import annotations

from typing import Final

from nexusd.telemetry.series import Across, Family, Kind

REQUESTS: Final = Family(
    "http_server_request_duration_seconds",
    Kind.HISTOGRAM,
    "Time from the head of a request to the end of its answer.",
    ("http_request_method", "http_route", "http_response_status_code"),
)
ACTIVE: Final = Family(
    "http_server_active_requests", Kind.GAUGE, "Requests that are being answered.", ("http_request_method",)
)
EXECUTIONS: Final = Family(
    "nexusd_workflow_executions", Kind.COUNTER, "Executions that have ended.", ("workflow", "channel", "status")
)
EXECUTION_TIME: Final = Family(
    "nexusd_workflow_duration_seconds",
    Kind.HISTOGRAM,
    "Time of executions that have ended.",
    ("workflow", "channel", "status"),
)
NODE_TIME: Final = Family(
    "nexusd_node_duration_seconds",
    Kind.HISTOGRAM,
    "Time of each run of a node.",
    ("workflow", "node", "type", "status"),
)
TOOL_CALLS: Final = Family(
    "nexusd_mcp_tool_calls", Kind.COUNTER, "MCP tool calls that were answered.", ("tool", "era", "path", "status")
)
SESSIONS: Final = Family("nexusd_mcp_sessions", Kind.GAUGE, "MCP sessions, which protocol versions up to 2025 have.")
SUBSCRIPTIONS: Final = Family(
    "nexusd_mcp_subscriptions", Kind.GAUGE, "Resources that MCP sessions subscribe to, and listening streams."
)
SHED: Final = Family(
    "nexusd_requests_shed", Kind.COUNTER, "Requests refused because a limit was reached.", ("channel", "reason")
)
REJECTED: Final = Family(
    "nexusd_requests_rejected",
    Kind.COUNTER,
    "Requests refused before they had a route: malformed, too large or too slow.",
    ("channel", "reason"),
)
AUTH_FAILURES: Final = Family(
    "nexusd_auth_failures",
    Kind.COUNTER,
    "Requests refused for want of a credential that is good.",
    ("channel", "reason"),
)
RATE_LIMITED: Final = Family(
    "nexusd_rate_limited", Kind.COUNTER, "Requests refused because their caller made too many.", ("channel",)
)
CONNECTIONS: Final = Family("nexusd_connections", Kind.GAUGE, "Open connections of clients.", ("channel",))
CHANNEL_UP: Final = Family(
    "nexusd_channel_up", Kind.GAUGE, "Whether a channel answers.", ("channel",), across=Across.LEAST
)
POOL: Final = Family(
    "nexusd_db_pool_connections",
    Kind.GAUGE,
    "Database connections by what they do, and statements that wait for one.",
    ("state",),
)
POOL_WAIT: Final = Family(
    "nexusd_db_pool_wait_seconds", Kind.HISTOGRAM, "How long statements that had to wait for a connection waited."
)
RETRIES: Final = Family(
    "nexusd_db_retries", Kind.COUNTER, "Statements and transactions that were run again.", ("reason",)
)
IDEMPOTENCY: Final = Family(
    "nexusd_idempotency", Kind.COUNTER, "Requests under an Idempotency-Key, by what became of them.", ("result",)
)
CONNECTIONS_LOST: Final = Family(
    "nexusd_db_connections_lost", Kind.COUNTER, "Database connections that ended by themselves.", ("reason",)
)
MIGRATIONS_PENDING: Final = Family(
    "nexusd_migrations_pending",
    Kind.GAUGE,
    "Migration steps that were left for after the start and are not done.",
    across=Across.MOST,
)
LOOP_LAG: Final = Family(
    "nexusd_event_loop_lag_seconds",
    Kind.GAUGE,
    "The longest time of the last 15 to 30 seconds for which the event loop was busy with one thing.",
    across=Across.MOST,
)
LINES_DROPPED: Final = Family(
    "nexusd_log_lines_dropped", Kind.COUNTER, "Log lines that were not written because too many waited."
)
STARTUP: Final = Family(
    "nexusd_startup_duration_seconds",
    Kind.GAUGE,
    "Time from the beginning of the start to the end of each of its phases.",
    ("phase",),
    across=Across.MOST,
)
BUILD: Final = Family("nexusd_build_info", Kind.GAUGE, "Always 1.", ("version", "python", "engine"), across=Across.MOST)

FAMILIES: Final[dict[str, Family]] = {
    family.name: family
    for family in (
        REQUESTS, ACTIVE, EXECUTIONS, EXECUTION_TIME, NODE_TIME, TOOL_CALLS, SESSIONS, SUBSCRIPTIONS,
        SHED, REJECTED, AUTH_FAILURES, RATE_LIMITED, CONNECTIONS, CHANNEL_UP,
        IDEMPOTENCY, POOL, POOL_WAIT, RETRIES, CONNECTIONS_LOST, MIGRATIONS_PENDING, LOOP_LAG, LINES_DROPPED,
        STARTUP, BUILD,
    )
}  # fmt: skip
"""By name; a counter's is without its `_total`."""
