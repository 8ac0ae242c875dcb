"""A name in the configuration -> the part behind it. Growing nexusd is a line here.

The only file that imports inside functions: a part is loaded when it is used, so `nexusd --help` loads no driver,
SQLite loads no PostgreSQL, and HTTP answers before MCP is imported.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from nexusd.events import TracingUnavailable

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Mapping

    from nexusd.auth.authenticator import Authenticator
    from nexusd.channels.channel import Telemetry
    from nexusd.databases.cursors import CursorSigner
    from nexusd.databases.database import Database, Dialect
    from nexusd.ddl.administration import Administration
    from nexusd.ddl.executor import DDLOutcome, SyncDDLExecutor
    from nexusd.ddl.keys import KeyAdministration
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.target import Connect, Target
    from nexusd.definitions.registry import Registry
    from nexusd.engines.admission import Places
    from nexusd.engines.engine import Engine
    from nexusd.events import Observer
    from nexusd.nodes.function import FindFunction
    from nexusd.nodes.node import NodeType
    from nexusd.runtime import Limits, Runtime
    from nexusd.settings import AuthSettings, DatabaseSettings, MonitoringSettings, ServerSettings, Settings
    from nexusd.supervisor.health import HealthBoard
    from nexusd.supervisor.services import Service
    from nexusd.telemetry.logging import LogSink
    from nexusd.telemetry.monitoring import Monitoring
    from nexusd.telemetry.systemd import Systemd
    from nexusd.telemetry.tracing import RecordingTracer


def is_sqlite(url: str) -> bool:
    """Whether a database URL names SQLite."""
    return url.startswith("sqlite:")


def log_sink(settings: ServerSettings, worker: int | None = None) -> LogSink:
    """The log, and the end of what libraries write to it; each line of a worker process has its number."""
    from nexusd.telemetry.logging import LogSink, capture_libraries

    is_terminal = sys.stderr.isatty()
    constants = {} if worker is None else {"worker": worker}
    if settings.log_format == "console" or (settings.log_format == "auto" and is_terminal):
        from nexusd.telemetry.console import console_renderer

        sink = LogSink(settings.log_level, render=console_renderer(colors=is_terminal), constants=constants)
    else:
        sink = LogSink(settings.log_level, constants=constants)
    capture_libraries(sink)
    return sink


def monitoring(settings: Settings, version: str, started: float, log: LogSink) -> Monitoring | None:
    """Metrics, where they are on; `started` is `time.perf_counter()` when the process began to start."""
    if not settings.monitoring.enabled:
        return None
    from nexusd.telemetry.metrics import Metrics
    from nexusd.telemetry.monitoring import Monitoring

    return Monitoring(Metrics(version, settings.executions.engine, started), log)


def tracer(settings: MonitoringSettings, version: str, observe: Observer) -> RecordingTracer | None:
    """What records traces, where there is a place for them to go."""
    if not settings.enabled or not settings.otlp_endpoint:
        return None
    try:
        from nexusd.telemetry.otlp import exporting_tracer
    except ImportError:
        observe(TracingUnavailable("pip install nexusd[otel]"))
        return None
    return exporting_tracer(settings.otlp_endpoint, settings.trace_ratio, version)


def failpoint(settings: Settings, environ: Mapping[str, str], observe: Observer) -> Observer | None:
    """What has this process fail at a chosen moment, where a test asks for it."""
    text = environ.get("NEXUSD_FAILPOINT")
    if not text:
        return None
    from nexusd.telemetry.failpoints import arm

    return arm(text, settings, observe)


def systemd(environ: Mapping[str, str]) -> Systemd | None:
    """The service manager, where it has started this process and wants to be told how it is."""
    if "NOTIFY_SOCKET" not in environ:
        return None
    from nexusd.telemetry.systemd import Systemd

    return Systemd.of(environ)


def node_types(
    registry: Registry, signer: CursorSigner, find: FindFunction, secrets: Mapping[str, str], *, audited: bool = False
) -> Mapping[str, NodeType]:
    """Every node type by its name.

    Args:
        registry: whose models and hosts.
        signer: of page cursors.
        find: finds the functions that FunctionNodes call.
        secrets: by the names that HttpRequestNodes refer to.
        audited: whether changes of records are noted.
    """
    from nexusd.definitions.http_hosts import read_allow_list
    from nexusd.nodes.audited import AuditedNode
    from nexusd.nodes.control import control_node_types
    from nexusd.nodes.function import FunctionNode
    from nexusd.nodes.http_client import Client
    from nexusd.nodes.http_request import HttpRequestNode
    from nexusd.nodes.model_nodes import model_node_types
    from nexusd.nodes.sql import SqlNode
    from nexusd.nodes.threads import Threads

    allow = read_allow_list(registry.http_allow)
    own = (FunctionNode(find, Threads()), HttpRequestNode(Client(allow), allow, secrets), SqlNode(registry.models))
    types: dict[str, NodeType] = {each.name: each for each in (*control_node_types(), *own)}
    for model in registry.models.values():
        made = model_node_types(model, registry.models, cursors=signer, audited=audited)
        types |= {each.name: each for each in made}
    return {name: AuditedNode(each) for name, each in types.items()} if audited else types


def engine(_name: str) -> Engine:
    """The engine that runs plans; settings know no other yet."""
    from nexusd.engines.inline import InlineEngine

    return InlineEngine()


def ddl_executor(settings: Settings, registry: Registry, options: DDLOptions, observe: Observer) -> SyncDDLExecutor:
    """The executor for the database of the settings."""
    from nexusd.ddl.executor import SyncDDLExecutor

    folder = Path(settings.database.migrations_dir)
    return SyncDDLExecutor(ddl_connect(settings.database), registry.models, folder, options, observe)


def same_tables(one: Registry, other: Registry) -> bool:
    """Whether a SQLite database made for one registry serves the other."""
    from nexusd.databases.database import Dialect
    from nexusd.ddl.tables import creation, wanted_tables

    made = [sorted(creation(wanted_tables(each.models, Dialect.SQLITE).values())) for each in (one, other)]
    return made[0] == made[1]


def ddl_administration(settings: Settings, registry: Registry, target: Target, options: DDLOptions) -> Administration:
    """What an operator does with an open database of the settings."""
    from nexusd.ddl.administration import Administration
    from nexusd.events import ignore

    return Administration(target, registry.models, Path(settings.database.migrations_dir), options, ignore)


def key_administration(settings: Settings, target: Target, app_version: str) -> KeyAdministration:
    """What an operator does with the API keys of an open database."""
    from nexusd.ddl.keys import KeyAdministration

    return KeyAdministration(target, app_version, ddl_options(settings, app_version).runtime_role)


def migration_files(settings: DatabaseSettings) -> list[Path]:
    """The migration files of the settings' database, names and headers checked."""
    from nexusd.databases.database import Dialect
    from nexusd.ddl.file_runner import refuse_unfinished
    from nexusd.ddl.files import read_files

    dialect = Dialect.SQLITE if is_sqlite(settings.url) else Dialect.POSTGRESQL
    files = read_files(Path(settings.migrations_dir), dialect)
    refuse_unfinished(files)
    return [file.path for file in files]


def ddl_options(settings: Settings, app_version: str) -> DDLOptions:
    """How far a migration may go at a start."""
    from nexusd.ddl.options import DDLOptions

    database = settings.database
    own_role = urlsplit(database.url).username if database.ddl_url else None
    return DDLOptions(
        auto_migrate=database.auto_migrate,
        wait_s=database.wait_s,
        app_version=app_version,
        runtime_role=database.runtime_role or unquote(own_role or ""),
    )


def ddl_connect(settings: DatabaseSettings) -> Connect:
    """Opens the database that migrations change."""
    url = settings.ddl_url or settings.url

    def connect() -> Target:
        if is_sqlite(url):
            from nexusd.ddl.sqlite import SqliteTarget

            return SqliteTarget(url)
        from nexusd.ddl.postgresql import PostgresqlTarget

        return PostgresqlTarget(url)

    return connect


def new_tables(registry: Registry, dialect: Dialect) -> list[str]:
    """The statements that make the tables of a registry where there are none."""
    from nexusd.ddl.tables import creation, wanted_tables

    return [sql for _, sql in creation(wanted_tables(registry.models, dialect).values())]


def table_order(registry: Registry) -> list[str]:
    """The models of a registry, each behind those it refers to."""
    from nexusd.databases.database import Dialect
    from nexusd.ddl.tables import wanted_tables

    return [table.model.name for table in wanted_tables(registry.models, Dialect.SQLITE).values()]


def database(
    settings: DatabaseSettings, outcome: DDLOutcome | None, observe: Observer, turns: int | None = None
) -> Database:
    """The database of the settings; one in memory goes on with the connection that made its tables.

    Args:
        settings: name it.
        outcome: of the migration of this process, if there was one.
        observe: told of waits and losses.
        turns: a file by which processes that write to one SQLite file take turns; None: there is no other.
    """
    from nexusd.databases.database import Pooler, PoolOptions

    options = PoolOptions(
        pool_min=settings.pool_min,
        pool_max=settings.pool_max,
        acquire_timeout_s=settings.acquire_timeout_s,
        statement_timeout_s=settings.statement_timeout_s,
        pooler=Pooler(settings.pooler),
    )
    if is_sqlite(settings.url):
        from nexusd.databases.sqlite import SqliteDatabase
        from nexusd.databases.sqlite_turns import Turns

        path = settings.url.removeprefix("sqlite:///")
        source = (outcome and outcome.connection) or path
        return SqliteDatabase(source, options=options, observe=observe, turns=Turns(turns))
    from nexusd.databases.postgresql import PostgresqlDatabase

    return PostgresqlDatabase(settings.url, options=options, observe=observe)


def authenticator(settings: AuthSettings, database: Database, observe: Observer) -> Authenticator | None:
    """Who lets callers in; None where authentication is off.

    Raises:
        ConfigurationError: keys of the settings cannot be used.
    """
    if not settings.enabled:
        return None
    from nexusd.auth.authenticator import Authenticator, fixed_keys
    from nexusd.auth.key_table import KeyTable

    table, fixed = KeyTable(database), fixed_keys(settings)
    if settings.jwt is None:
        return Authenticator(fixed, table, None, None, observe)
    from nexusd.auth.tokens import Tokens, find_keys

    find, published = find_keys(settings.jwt, observe)
    return Authenticator(fixed, table, Tokens(settings.jwt, find), published, observe)


def check_auth(settings: AuthSettings) -> None:
    """Read the keys of the settings, to find mistakes in them before anything starts.

    Raises:
        ConfigurationError: with every mistake.
    """
    if not settings.enabled:
        return
    from nexusd.auth.authenticator import fixed_keys

    fixed_keys(settings)
    if settings.jwt is not None and settings.jwt.public_key:
        from nexusd.auth.tokens import static_keys

        static_keys(settings.jwt)


def limits(settings: AuthSettings) -> Limits:
    """How often callers may run workflows."""
    from nexusd.auth.limits import Limits
    from nexusd.definitions.workflow import RateLimit

    rate = settings.rate_limit
    return Limits(None if rate is None else RateLimit(rate.requests, rate.per_s))


def places(settings: Settings, observe: Observer) -> Places:
    """How much may run at once."""
    from nexusd.engines.admission import Places

    http, per_caller = settings.http, settings.auth.max_in_flight or None
    return Places(http.max_in_flight, http.queue_timeout_s, observe, per_caller=per_caller)


def http_channel(
    runtime: Runtime,
    settings: Settings,
    sock: socket.socket,
    health: HealthBoard,
    authenticator: Authenticator | None,
    telemetry: Telemetry,
) -> Service:
    """The HTTP channel."""
    from nexusd.channels.http.channel import HttpChannel

    return HttpChannel(runtime, settings, sock, health, authenticator, telemetry)


def mcp_channel(
    runtime: Runtime,
    settings: Settings,
    sock: socket.socket,
    version: str,
    authenticator: Authenticator | None,
    telemetry: Telemetry,
) -> Service:
    """The MCP channel; its import is the most expensive of all (about a second of CPU)."""
    from nexusd.channels.http.problems import STATUS
    from nexusd.channels.listener import url_of
    from nexusd.channels.mcp.calls import Calls
    from nexusd.channels.mcp.channel import McpChannel
    from nexusd.channels.mcp.endpoint import HttpOptions
    from nexusd.channels.mcp.guard import Guard, resource_of
    from nexusd.channels.mcp.server import McpServer, security_settings

    mcp = settings.mcp
    server = McpServer(
        Calls(runtime, STATUS, mcp.max_result_bytes, telemetry),
        version=version,
        path=mcp.path,
        options=HttpOptions(
            security=security_settings(mcp.host, mcp.allowed_hosts, mcp.allowed_origins),
            max_body_bytes=settings.http.max_body_bytes,
            has_sessions=settings.server.workers == 1,
            fast_path=mcp.fast_path,
        ),
    )
    if authenticator is None:
        return McpChannel(server, sock, settings, None, telemetry.observe)
    resource = resource_of(settings, url_of(sock) + mcp.path)
    rest = (authenticator, runtime, resource, STATUS, settings.http.max_body_bytes)
    return McpChannel(server, sock, settings, lambda app: Guard(app, *rest), telemetry.observe)


async def mcp_stdio(runtime: Runtime, settings: Settings, toolset: str | None, version: str, observe: Observer) -> None:
    """Serve MCP over standard input and output to the end."""
    from nexusd.channels.channel import Telemetry
    from nexusd.channels.http.problems import STATUS
    from nexusd.channels.mcp.calls import Calls
    from nexusd.channels.mcp.endpoint import Endpoint
    from nexusd.channels.mcp.stdio import serve_stdio
    from nexusd.channels.mcp.view import View

    calls = Calls(runtime, STATUS, settings.mcp.max_result_bytes, Telemetry(observe))
    await serve_stdio(Endpoint(View(runtime, toolset), calls, version=version))


def preload(settings: Settings) -> None:
    """Import what will serve HTTP and the database; called while the schema executor waits for the database."""
    import nexusd.channels.http.channel

    if is_sqlite(settings.database.url):
        import nexusd.databases.sqlite
    else:
        import nexusd.databases.postgresql  # noqa: F401


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop]:
    """The fastest event loop there is for this platform."""
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop
    return uvloop.new_event_loop
