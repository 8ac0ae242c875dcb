"""The command `nexusd`: its verbs, and how each way to end becomes an exit code."""

from __future__ import annotations

import os
import traceback
from typing import TYPE_CHECKING, Final

import typer

from nexusd import __version__, app, daemon
from nexusd.channels.cli.cases_command import PATH, TEST, test
from nexusd.channels.cli.executions_command import executions
from nexusd.channels.cli.exits import INTERNAL
from nexusd.channels.cli.healthcheck import healthcheck
from nexusd.channels.cli.init_command import FOLDER, init
from nexusd.channels.cli.keys_command import keys
from nexusd.channels.cli.mcp_command import mcp
from nexusd.channels.cli.migrate_commands import migrate
from nexusd.channels.cli.options import GLOBAL, Arguments, Option, Session, command, invoke
from nexusd.channels.cli.output import write
from nexusd.channels.cli.problems import say, say_error, tell
from nexusd.channels.cli.registry_commands import CHECK, WORKFLOW, WORKFLOWS, check, openapi, schema, workflows
from nexusd.channels.cli.reload_command import RELOAD, reload
from nexusd.channels.cli.run_command import completable, run
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Sequence

SERVE: Final = (
    Option(flag="--host", text="Address of HTTP [default: 127.0.0.1]", setting=("http", "host")),
    Option(flag="--port", text="Port of HTTP [default: 8000]", kind=int, setting=("http", "port")),
    Option(flag="--mcp-host", text="Address of MCP [default: 127.0.0.1]", setting=("mcp", "host")),
    Option(flag="--mcp-port", text="Port of MCP [default: 3001]", kind=int, setting=("mcp", "port")),
    Option(flag="--no-mcp", text="Serve HTTP alone", kind=bool, setting=("mcp", "enabled"), sets=False),
    Option(flag="--workers", text="Processes that serve [default: 1]", kind=int, setting=("server", "workers")),
    Option(
        flag="--insecure",
        text="Let other machines in although authentication is off",
        kind=bool,
        setting=("server", "insecure"),
    ),
    Option(flag="--log-level", text="debug, info, warning or error [default: info]", setting=("server", "log_level")),
    Option(flag="--log-format", text="auto, console or json [default: auto]", setting=("server", "log_format")),
    *GLOBAL,
)

COMPLETING: Final = "_NEXUSD_COMPLETE"
"""The variable by which a shell asks for completions."""

_HELP: Final = "Serve a registry of models and workflows over HTTP, MCP and the command line."


def main(arguments: Sequence[str]) -> int:
    """Run the command line; the exit code."""
    session = Session()
    try:
        return invoke(build_program(), arguments, "nexusd", session)
    except Exception as error:  # noqa: BLE001 - the edge of the process: whatever is no NexusError is a bug, told in a line
        return failed(error, debug=session.debug)


def failed(error: Exception, *, debug: bool) -> int:
    """Tell what ended a verb; the exit code.

    Args:
        error: what it raised.
        debug: whether the traceback of a bug is shown.
    """
    return tell(error, None) if isinstance(error, NexusError) else _tell_bug(error, debug=debug)


def build_program() -> typer.Typer:
    """The program with all its verbs."""
    program = typer.Typer(help=_HELP, rich_markup_mode=None, pretty_exceptions_enable=False, no_args_is_help=True)
    version_option = Option(flag="--version", text="Print the version and exit", kind=bool)
    program.callback(invoke_without_command=True, no_args_is_help=True)(command(_remember, (*GLOBAL, version_option)))
    program.command("serve")(command(serve, SERVE))
    _add_run(program)
    program.command("check")(command(check, CHECK))
    program.command("workflows")(command(workflows, WORKFLOWS, WORKFLOW))
    program.add_typer(migrate(), name="migrate")
    program.add_typer(executions(), name="executions")
    program.add_typer(mcp(), name="mcp")
    program.add_typer(keys(), name="keys")
    program.command("test")(command(test, TEST, PATH))
    program.command("reload")(command(reload, RELOAD))
    program.command("init")(command(init, (), FOLDER))
    program.command("openapi")(command(openapi, GLOBAL))
    program.command("schema")(command(schema, ()))
    program.command("version")(command(version, ()))
    program.command(
        "healthcheck",
        add_help_option=False,
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(command(check_health, ()))
    return program


def _add_run(program: typer.Typer) -> None:
    """Add `run`, which reads its words itself; for the shell's completion, a group of all workflows instead."""
    if COMPLETING in os.environ:
        program.add_typer(completable(), name="run")
        return
    program.command(
        "run",
        add_help_option=False,
        options_metavar="WORKFLOW [OPTIONS]",
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True, "allow_interspersed_args": False},
    )(command(run, ()))


def _remember(arguments: Arguments) -> int:
    """Keep the options that stand before the verb."""
    if arguments.on("--version"):
        version(arguments)
        raise typer.Exit
    arguments.session.given = arguments.given()
    return 0


def serve(arguments: Arguments) -> int:
    """Serve HTTP and MCP until SIGTERM or SIGINT."""
    settings = arguments.settings()
    return daemon.serve(lambda: app.load(settings, PythonDefinitions()))


def version(_arguments: Arguments) -> int:
    """Print the version."""
    write(f"nexusd {__version__}")
    return 0


def check_health(arguments: Arguments) -> int:
    """Ask the running server whether it is ready."""
    before = [word for flag in ("--config",) if (value := arguments.text(flag)) for word in (flag, value)]
    return healthcheck([*before, *arguments.rest], os.environ)


def _tell_bug(error: Exception, *, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    say_error(f"unexpected: {type(error).__name__}")
    if not debug:
        say("  hint: --set server.log_level=debug shows where")
    return INTERNAL
