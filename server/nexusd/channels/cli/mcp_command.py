"""`nexusd mcp`: the MCP server over standard input and output, and how clients are told of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from nexusd import __version__, app, catalog
from nexusd.channels.cli.options import GLOBAL, Arguments, Option, command
from nexusd.channels.cli.output import write
from nexusd.channels.cli.problems import say
from nexusd.configuration import DEFAULT_PATH
from nexusd.documents import did_you_mean
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.settings import Settings

TOOLSET: Final = Option(flag="--toolset", text="Serve the workflows of this toolset alone", metavar="NAME")
SERVE: Final = (TOOLSET, *GLOBAL)


def mcp() -> typer.Typer:
    """The group `mcp`; without a verb it serves."""
    group = typer.Typer(rich_markup_mode=None)
    group.callback(invoke_without_command=True)(command(serve, SERVE))
    group.command("config")(command(config, CONFIG))
    return group


def serve(arguments: Arguments) -> int:
    """Serve MCP over standard input and output, as clients start it that run their servers themselves."""
    if arguments.verb_follows:
        arguments.session.given |= arguments.given()
        return 0
    # What modules of the registry print while they are imported must not reach the client.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = app.load(arguments.settings(), PythonDefinitions())
        toolset = arguments.text("--toolset")
        if toolset is not None and toolset not in loaded.registry.toolsets:
            hint = did_you_mean(toolset, loaded.registry.toolsets)
            raise ConfigurationError([Problem(f"--toolset: the registry has no toolset {toolset!r}", hint)])
    with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
        runner.run(_serve(loaded, toolset))
    return 0


async def _serve(loaded: app.Loaded, toolset: str | None) -> None:
    observe = catalog.log_sink(loaded.settings.server)
    async with app.open_runtime(loaded, observe) as runtime:
        await catalog.mcp_stdio(runtime, loaded.settings, toolset, __version__, observe)


def _by_url(key: str, **more: str) -> Callable[[str], Mapping[str, object]]:
    return lambda url: {key: {"nexusd": {**more, "url": url}}}


def _gemini(url: str) -> Mapping[str, object]:
    return {"mcpServers": {"nexusd": {"httpUrl": url}}}


def _windsurf(url: str) -> Mapping[str, object]:
    return {"mcpServers": {"nexusd": {"serverUrl": url}}}


_FILES: Final[Mapping[str, tuple[str, Callable[[str], Mapping[str, object]] | None]]] = {
    "claude-code": (".mcp.json in the project", _by_url("mcpServers", type="http")),
    "claude-desktop": ("claude_desktop_config.json (Settings, Developer)", None),
    "cline": ("cline_mcp_settings.json", _by_url("mcpServers", type="streamableHttp")),
    "codex": ("~/.codex/config.toml", None),
    "cursor": (".cursor/mcp.json in the project, or ~/.cursor/mcp.json", _by_url("mcpServers")),
    "gemini-cli": ("~/.gemini/settings.json", _gemini),
    "vscode": (".vscode/mcp.json in the project", _by_url("servers", type="http")),
    "windsurf": ("~/.codeium/windsurf/mcp_config.json", _windsurf),
    "zed": ("settings.json", _by_url("context_servers")),
}
"""Where each client looks, and what it reads there for a server at a URL; None: it is told in another way."""

CONFIG: Final = (
    Option(flag="--client", text="Which client", metavar="NAME", choices=tuple(_FILES)),
    Option(flag="--stdio", text="Let the client start the server itself", kind=bool),
    TOOLSET,
    *GLOBAL,
)


def config(arguments: Arguments) -> int:
    """Print what a client's configuration needs to find this server."""
    client = arguments.text("--client")
    if client is None:
        arguments.fail(f"--client is missing: one of {', '.join(_FILES)}")
    place, by_url = _FILES[client]
    settings = arguments.settings()
    toolset = arguments.text("--toolset")
    host = "127.0.0.1" if settings.mcp.host in {"", "0.0.0.0", "::"} else settings.mcp.host  # noqa: S104 - compared, not bound
    url = settings.mcp.public_url or f"http://{host}:{settings.mcp.port}{settings.mcp.path}"
    if toolset is not None:
        url = f"{url.rstrip('/')}/{toolset}"
    say(f"# {place}")
    if client == "codex" and not arguments.on("--stdio"):
        write(f'[mcp_servers.nexusd]\nurl = "{url}"')
    elif by_url is not None and not arguments.on("--stdio"):
        write(json.dumps(by_url(url), indent=2))
    else:
        program = _program(arguments, settings, toolset)
        key = {"vscode": "servers", "zed": "context_servers"}.get(client, "mcpServers")
        write(_codex(program) if client == "codex" else json.dumps({key: {"nexusd": program}}, indent=2))
    return 0


def _program(arguments: Arguments, settings: Settings, toolset: str | None) -> dict[str, object]:
    """How a client starts the server: by absolute paths, since it starts it anywhere."""
    words = ["mcp", "--registry", str(Path(settings.registry.path).resolve())]
    path = arguments.text("--config") or (DEFAULT_PATH if Path(DEFAULT_PATH).exists() else None)
    if path is not None:
        words += ["--config", str(Path(path).resolve())]
    if Path(settings.database.migrations_dir).is_dir():
        words += ["--set", f"database.migrations_dir={Path(settings.database.migrations_dir).resolve()}"]
    url = settings.database.url
    if url.startswith("sqlite:///") and not settings.database.is_memory:
        words += ["--database-url", f"sqlite:///{Path(url.removeprefix('sqlite:///')).resolve()}"]
    elif not settings.database.is_memory:
        say("# set DATABASE_URL in the environment of the client: it may hold a password, so it is not printed")
    if toolset is not None:
        words += ["--toolset", toolset]
    found = shutil.which("nexusd")
    start = [str(Path(found).absolute())] if found is not None else [sys.executable, "-m", "nexusd"]
    return {"command": start[0], "args": [*start[1:], *words]}


def _codex(program: Mapping[str, object]) -> str:
    lines = [f"{name} = {json.dumps(value)}" for name, value in program.items()]
    return "\n".join(["[mcp_servers.nexusd]", *lines])
