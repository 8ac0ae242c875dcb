"""Settings: read once, from flags, environment, file and defaults in that order, checked whole, frozen.

The environment is read nowhere else. Units are in the names.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Mapping

MEMORY_URLS: Final = frozenset({"sqlite:///:memory:", "sqlite:///", "sqlite://"})
LOOPBACK_NAMES: Final = frozenset({"localhost", "ip6-localhost"})


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistrySettings:
    """Where the registry is, and the secrets that it names.

    Attributes:
        secrets: by the name that a header of an HttpRequestNode refers to.
    """

    path: str = "config/registry.yaml"
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False, hash=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """The database and its pool.

    Attributes:
        url: `sqlite:///file` (relative to the working directory), `sqlite:////absolute/file`, `sqlite:///:memory:` or
            `postgresql://…`.
        ddl_url: where migrations connect; empty: the same as `url`.
        runtime_role: the role that reads and writes rows, which is granted new tables; empty: the user of `url`.
        auto_migrate: `true`, `verify`, `false` or `all`.
        migrations_dir: the folder of migration files; it need not exist.
        pooler: `none`, or `transaction` behind PgBouncer in transaction mode.
        wait_s: how long a start waits for the database.
    """

    url: str = field(default="sqlite:///nexusd.db", repr=False)
    ddl_url: str = field(default="", repr=False)
    runtime_role: str = ""
    auto_migrate: str = "true"
    migrations_dir: str = "migrations"
    pool_min: int = 1
    pool_max: int = 10
    acquire_timeout_s: float = 2.0
    statement_timeout_s: float = 30.0
    pooler: str = "none"
    wait_s: float = 60.0

    @property
    def is_memory(self) -> bool:
        """Whether the database lives in this process alone."""
        return self.url in MEMORY_URLS


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpSettings:
    """The HTTP channel."""

    host: str = "127.0.0.1"
    port: int = 8000
    max_body_bytes: int = 1048576
    header_timeout_s: float = 5.0
    body_timeout_s: float = 30.0
    max_in_flight: int = 256
    queue_timeout_s: float = 1.0
    request_timeout_s: float = 30.0
    cors_origins: tuple[str, ...] = ()
    allowed_hosts: tuple[str, ...] = ()
    trusted_proxies: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class McpSettings:
    """The MCP channel.

    Attributes:
        max_result_bytes: what a read-only tool may answer at most.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: int = 3001
    path: str = "/mcp"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    public_url: str = ""
    fast_path: bool = True
    max_result_bytes: int = 1048576


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeySettings:
    """A key that the settings name.

    Attributes:
        sha256: of the whole key, as hexadecimal digits.
        claims: what row policies may know of its holder.
    """

    name: str
    sha256: str = field(repr=False)
    scopes: tuple[str, ...]
    claims: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JwtSettings:
    """Whose tokens let in, and how they are checked; one of `jwks_url`, `public_key` and `secret` is set.

    Attributes:
        audience: of which a token must name one.
        public_key: PEM.
        secret: of at least 32 bytes (RFC 7518, section 3.2).
        algorithms: those that are taken, whatever a token says of itself.
        leeway_s: how far clocks may differ.
    """

    issuer: str
    audience: tuple[str, ...]
    jwks_url: str = ""
    public_key: str = field(default="", repr=False)
    secret: str = field(default="", repr=False)
    algorithms: tuple[str, ...] = ()
    leeway_s: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class RateSettings:
    """At most `requests` in `per_s` seconds."""

    requests: int
    per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Authentication.

    Attributes:
        admin_key: a key that may do everything, to begin with; empty: none.
        rate_limit: of each principal.
        max_in_flight: executions of each principal that run at once; 0: as many as `http.max_in_flight` lets.
    """

    enabled: bool = False
    admin_key: str = field(default="", repr=False)
    api_keys: tuple[ApiKeySettings, ...] = ()
    jwt: JwtSettings | None = None
    rate_limit: RateSettings | None = None
    max_in_flight: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringSettings:
    """Metrics and traces.

    Attributes:
        otlp_endpoint: base URL of a collector that takes OTLP over HTTP; empty: no traces.
        audit: whether each change of a record is noted in the table `_nexusd_audit`; does not need `enabled`.
        trace_ratio: of the calls that are in no trace of their caller's, how many begin one.
    """

    enabled: bool = False
    otlp_endpoint: str = ""
    trace_ratio: float = 1.0
    audit: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionsSettings:
    """The engine behind asynchronous runs."""

    engine: str = "inline"
    retention_days: int = 30


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The process.

    Attributes:
        secret_key: signs cursors and MCP state; empty: generated once and kept in the database.
        grace_s: how long a stop waits for running work.
        control_socket: where `nexusd reload` finds the server; empty: in a folder of the user's among temporary files.
        log_format: `auto` (console on a terminal, JSON else), `console` or `json`.
    """

    workers: int = 1
    secret_key: str = field(default="", repr=False)
    grace_s: float = 20.0
    insecure: bool = False
    control_socket: str = ""
    log_format: str = "auto"
    log_level: str = "info"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything an operator can set."""

    registry: RegistrySettings = RegistrySettings()
    database: DatabaseSettings = DatabaseSettings()
    http: HttpSettings = HttpSettings()
    mcp: McpSettings = McpSettings()
    auth: AuthSettings = AuthSettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    executions: ExecutionsSettings = ExecutionsSettings()
    server: ServerSettings = ServerSettings()


Setting = tuple[str, str]
"""A setting's section and key."""


def all_settings() -> Mapping[Setting, object]:
    """Every setting with its default."""
    defaults = Settings()
    return {
        (section.name, key.name): getattr(getattr(defaults, section.name), key.name)
        for section in fields(defaults)
        for key in fields(getattr(defaults, section.name))
    }


CHOICES: Final[Mapping[Setting, frozenset[str]]] = {
    ("database", "auto_migrate"): frozenset({"true", "verify", "false", "all"}),
    ("database", "pooler"): frozenset({"none", "transaction"}),
    ("executions", "engine"): frozenset({"inline", "dbos"}),
    ("server", "log_format"): frozenset({"auto", "console", "json"}),
    ("server", "log_level"): frozenset({"debug", "info", "warning", "error"}),
}

SECRETS: Final[frozenset[Setting]] = frozenset(
    {
        ("auth", "admin_key"),
        ("auth", "api_keys"),
        ("auth", "jwt"),
        ("database", "ddl_url"),
        ("database", "url"),
        ("registry", "secrets"),
        ("server", "secret_key"),
    }
)
"""Settings that can be read from the file a `…_FILE` variable names, and that are never shown."""


def is_loopback(host: str) -> bool:
    """Whether a host to bind is reachable from this machine alone."""
    if host in LOOPBACK_NAMES:
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def redacted_url(url: str) -> str:
    """A database URL without its password and parameters, fit to be shown."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    user = parts.username
    return urlunsplit((parts.scheme, f"{user}@{host}" if user else host, parts.path, "", ""))
