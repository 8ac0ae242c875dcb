"""From file, environment and flags to `Settings`: every mistake at once, each with its place."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from nexusd.documents import Document, Place, did_you_mean, read_document
from nexusd.errors import ConfigurationError, Problem
from nexusd.setting_values import CONVERTERS, NESTED, STRUCTURES, structure
from nexusd.settings import CHOICES, MEMORY_URLS, SECRETS, Setting, Settings, all_settings, is_loopback

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_PATH: Final = "config/nexusd.yaml"

SHORT_NAMES: Final[Mapping[str, Setting]] = {
    "DATABASE_URL": ("database", "url"),
    "API_PORT": ("http", "port"),
    "MCP_PORT": ("mcp", "port"),
    "NEXUSD_ADMIN_KEY": ("auth", "admin_key"),
    "OTEL_EXPORTER_OTLP_ENDPOINT": ("monitoring", "otlp_endpoint"),
}

OTHER_VARIABLES: Final = frozenset({"NEXUSD_CONFIG", "NEXUSD_API_KEY", "NEXUSD_TEST_DATABASE_URL", "NEXUSD_FAILPOINT"})
"""Variables that begin like settings and are none."""

UNBUILT: Final[Mapping[Setting, tuple[object, str]]] = {
    ("executions", "engine"): ("dbos", "the durable engine is not part of this version"),
}
"""Values that are valid but that this version cannot honour: refused, never ignored."""

FIXED: Final[frozenset[Setting]] = frozenset(
    {
        ("executions", "retention_days"),
    }
)
"""Settings that this version knows with their default alone."""


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a value came from; makes problems at that place, without its line where that may hold a secret."""

    name: str
    place: Place | None = None
    secret: bool = False

    def problem(self, message: str, hint: str = "") -> Problem:
        if self.place is not None:
            problem = self.place.problem(f"{self.name}: {message}", hint)
            return replace(problem, source_line="") if self.secret else problem
        return Problem(f"{self.name}: {message}", hint)


def load_settings(
    path: str | None,
    environ: Mapping[str, str],
    overrides: Mapping[Setting, object] | None = None,
    *,
    names: Mapping[Setting, str] | None = None,
    defaults: Mapping[Setting, object] | None = None,
) -> Settings:
    """Settings from `path` (default `config/nexusd.yaml`, which may be absent), `environ` and `overrides`.

    Args:
        path: an explicit file must exist; None: NEXUSD_CONFIG or the default.
        environ: the environment's variables.
        overrides: flags or arguments; they win over everything. Text is read like an environment variable.
        names: what the caller called an override, for problems; `--section.key` where there is none.
        defaults: other values for settings that nothing sets.

    Raises:
        ConfigurationError: with every problem found.
    """
    loader = _Loader(environ, {**all_settings(), **(defaults or {})})
    loader.from_file(path)
    loader.from_environment()
    for setting, value in (overrides or {}).items():
        name = (names or {}).get(setting, f"--{setting[0]}.{setting[1]}")
        loader.take(setting, value, _Source(name), text=isinstance(value, str))
    return loader.finish()


class _Loader:
    def __init__(self, environ: Mapping[str, str], known: Mapping[Setting, object]) -> None:
        self._environ = environ
        self._known = known
        self._values: dict[Setting, object] = {}
        self._sources: dict[Setting, _Source] = {}
        self._nested: dict[Setting, tuple[object, _Source, bool]] = {}
        self._problems: list[Problem] = []

    def from_file(self, path: str | None) -> None:
        """Take what the file says."""
        explicit = path or self._environ.get("NEXUSD_CONFIG")
        shown = explicit or DEFAULT_PATH
        if not explicit and not Path(shown).exists():
            return
        document = read_document(Path(shown), shown)
        self._problems += document.problems
        if document.value is None:
            return
        if not isinstance(document.value, dict):
            self._problems.append(document.places[()].problem("the file must hold sections such as `http:`"))
            return
        for section, entries in document.value.items():
            self._section(document, section, entries)

    def _section(self, document: Document, section: str, entries: object) -> None:
        sections = {name for name, _ in self._known}
        if section not in sections:
            place = document.keys[(section,)]
            self._problems.append(place.problem(f"unknown section {section!r}", did_you_mean(section, sections)))
        elif entries is None:
            return
        elif not isinstance(entries, dict):
            self._problems.append(document.places[(section,)].problem(f"{section} must hold keys and values"))
        else:
            keys = {key for name, key in self._known if name == section}
            for key, value in entries.items():
                if key not in keys:
                    place = document.keys[(section, key)]
                    problem = place.problem(f"unknown setting {section}.{key}", did_you_mean(key, keys))
                    # A secret whose name is misspelt is a secret all the same.
                    hides = any(name == section for name, _ in SECRETS)
                    self._problems.append(replace(problem, source_line="") if hides else problem)
                else:
                    secret = (section, key) in SECRETS
                    source = _Source(f"{section}.{key}", document.places[(section, key)], secret=secret)
                    self.take((section, key), value, source, text=False)

    def from_environment(self) -> None:
        """Take what variables say; the long name wins over the short one."""
        names = {f"NEXUSD_{s.upper()}__{k.upper()}": (s, k) for s, k in self._known}
        variables = {**SHORT_NAMES, **names}
        files = {f"{name}_FILE": name for name, setting in variables.items() if setting in SECRETS}
        for name in (*SHORT_NAMES, *sorted(names)):
            if name in self._environ:
                self.take(variables[name], self._environ[name], _Source(name), text=True)
        for file_name, name in files.items():
            if file_name in self._environ:
                self._from_secret_file(variables[name], file_name, name)
        nested = self._from_nested()
        for name in self._environ:
            known = name in variables or name in files or name in nested or name in OTHER_VARIABLES
            if name.startswith("NEXUSD_") and not known:
                hint = did_you_mean(name, [*variables, *nested, *OTHER_VARIABLES])
                self._problems.append(Problem(f"{name}: no such setting", hint))

    def _from_nested(self) -> frozenset[str]:
        """Take what variables say of parts of a setting, on top of what is known of it; the names of all of them."""
        names: set[str] = set()
        for setting, keys in NESTED.items():
            given: dict[str, object] = {}
            used: list[str] = []
            for key in keys:
                name = f"NEXUSD_{setting[0].upper()}__{setting[1].upper()}__{key.upper()}"
                names |= {name, f"{name}_FILE"}
                if f"{name}_FILE" in self._environ:
                    given[key] = self._read_secret(f"{name}_FILE", name) or None
                    used.append(f"{name}_FILE")
                elif name in self._environ:
                    given[key] = self._environ[name]
                    used.append(name)
            if given:
                value, source, text = self._nested.get(setting, ({}, _Source(".".join(setting)), False))
                try:
                    before = structure(value, text, "an object")
                except ValueError as error:
                    self._problems.append(source.problem(str(error)))
                    continue
                merged = {**(before if isinstance(before, dict) else {}), **given}
                self._nested[setting] = (merged, _Source(" and ".join(used), secret=True), False)
        return frozenset(names)

    def _from_secret_file(self, setting: Setting, file_name: str, name: str) -> None:
        value = self._read_secret(file_name, name)
        if value is not None:
            self.take(setting, value, _Source(file_name), text=True)

    def _read_secret(self, file_name: str, name: str) -> str | None:
        """What is in the file that a variable names; None, with the problem noted, if that cannot be had."""
        if name in self._environ:
            self._problems.append(Problem(f"{file_name}: {name} is set too; set one of them"))
            return None
        try:
            return Path(self._environ[file_name]).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            self._problems.append(Problem(f"{file_name}: the file cannot be read ({type(error).__name__})"))
            return None

    def take(self, setting: Setting, value: object, source: _Source, *, text: bool) -> None:
        """Convert one value to its setting's type; `text` values come from variables and flags."""
        if setting not in self._known:
            hint = did_you_mean(".".join(setting), [".".join(known) for known in self._known])
            self._problems.append(source.problem("no such setting", hint))
            return
        if setting in NESTED:
            # Its parts may come from several places, so it is read when all is known.
            self._nested[setting] = (value, source, text)
        else:
            self._convert(setting, value, source, text=text)

    def _convert(self, setting: Setting, value: object, source: _Source, *, text: bool) -> None:
        convert = STRUCTURES.get(setting) or CONVERTERS[type(self._known[setting])]
        try:
            converted = convert(value, text)
        except ValueError as error:
            self._problems.append(source.problem(str(error)))
            return
        choices = CHOICES.get(setting)
        if choices is not None and converted not in choices:
            hint = did_you_mean(str(converted), choices)
            self._problems.append(source.problem(f"must be one of {', '.join(sorted(choices))}", hint))
            return
        self._values[setting] = converted
        self._sources[setting] = source

    def finish(self) -> Settings:
        """The settings, or every problem."""
        for setting, (value, source, text) in self._nested.items():
            self._convert(setting, value, source, text=text)
        values = {**self._known, **self._values}
        for setting, message in _faults(values):
            source = self._sources.get(setting, _Source(".".join(setting)))
            self._problems.append(source.problem(message))
        if self._problems:
            raise ConfigurationError(self._problems)
        sections = {}
        for section in fields(Settings):
            kind = type(getattr(Settings(), section.name))
            sections[section.name] = kind(**{key: v for (name, key), v in values.items() if name == section.name})
        return Settings(**sections)


def _faults(values: Mapping[Setting, object]) -> list[tuple[Setting, str]]:
    """What is wrong with values of the right types."""
    faults = [(s, message) for s, value in values.items() if (message := _out_of_range(s, value)) is not None]
    faults += [(s, text) for s, (value, text) in UNBUILT.items() if values[s] == value]
    defaults = all_settings()
    faults += [(s, f"this version knows only {defaults[s]!r}") for s in FIXED if values[s] != defaults[s]]
    if _number(values["database", "pool_min"]) > _number(values["database", "pool_max"]):
        faults.append((("database", "pool_min"), "must not be larger than database.pool_max"))
    faults += _url_faults(values)
    public_url = str(values["mcp", "public_url"])
    if public_url and not (public_url.startswith(("https://", "http://")) and urlsplit(public_url).hostname):
        faults.append((("mcp", "public_url"), "must be a URL such as https://crm.example.com/mcp"))
    endpoint = str(values["monitoring", "otlp_endpoint"])
    if endpoint and not endpoint.startswith(("http://", "https://")):
        faults.append((("monitoring", "otlp_endpoint"), "must begin with http:// or https://"))
    if _number(values["server", "workers"]) > 1 and str(values["database", "url"]) in MEMORY_URLS:
        faults.append((("server", "workers"), "more than one needs a database that processes can share, not :memory:"))
    if not str(values["mcp", "path"]).startswith("/"):
        faults.append((("mcp", "path"), "must begin with /"))
    faults += _open_binds(values)
    ports = values["http", "port"], values["mcp", "port"]
    hosts = values["http", "host"], values["mcp", "host"]
    if values["mcp", "enabled"] and ports[0] == ports[1] != 0 and hosts[0] == hosts[1]:
        faults.append((("mcp", "port"), "must differ from http.port"))
    return faults


def _url_faults(values: Mapping[Setting, object]) -> list[tuple[Setting, str]]:
    faults: list[tuple[Setting, str]] = []
    for setting in (("database", "url"), ("database", "ddl_url")):
        url = str(values[setting])
        if url and not url.startswith(("sqlite://", "postgresql://", "postgres://")):
            faults.append((setting, "must begin with sqlite:/// or postgresql://"))
        elif url.startswith("sqlite://") and not url.startswith("sqlite:///"):
            faults.append((setting, "needs three slashes before the file: sqlite:///nexusd.db"))
    return faults


def _open_binds(values: Mapping[Setting, object]) -> list[tuple[Setting, str]]:
    """Doors that strangers could use: refused without authentication unless the operator insists."""
    if values["auth", "enabled"] or values["server", "insecure"]:
        return []
    message = (
        "binds an address that other machines reach while authentication is off; "
        "bind 127.0.0.1, or accept the risk with --insecure (NEXUSD_SERVER__INSECURE=true)"
    )
    channels = ["http", "mcp"] if values["mcp", "enabled"] else ["http"]
    return [((channel, "host"), message) for channel in channels if not is_loopback(str(values[channel, "host"]))]


def _out_of_range(setting: Setting, value: object) -> str | None:
    key = setting[1]
    if key == "port" and not 0 <= _number(value) <= 65535:  # noqa: PLR2004 - 16 bits
        return "must lie between 0 and 65535"
    if key.endswith(("_s", "_bytes", "_days")) or key in {"pool_max", "workers", "max_in_flight"}:
        minimum = 1 if isinstance(value, int) else 0.001
        if key in {"wait_s", "grace_s"} or setting == ("auth", "max_in_flight"):
            minimum = 0
        if not minimum <= _number(value) < math.inf:
            return f"must be at least {minimum}"
    if key == "trace_ratio" and not 0 <= _number(value) <= 1:
        return "must lie between 0 and 1"
    if key == "pool_min" and _number(value) < 0:
        return "must not be negative"
    return None


def _number(value: object) -> float:
    return value if isinstance(value, int | float) else math.nan
