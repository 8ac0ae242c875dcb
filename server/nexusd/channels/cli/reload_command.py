"""`nexusd reload`: the running server reads its registry again, and this says what came of it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from nexusd.channels.cli.exits import EXIT
from nexusd.channels.cli.options import GLOBAL, OUTPUT, Option
from nexusd.channels.cli.output import chosen_form, print_json, write
from nexusd.channels.cli.problems import say, say_error, tell
from nexusd.errors import Code, StartupError
from nexusd.supervisor.control import ControlError, ask_for_reload

if TYPE_CHECKING:
    from nexusd.channels.cli.options import Arguments
    from nexusd.supervisor.reload import Reloaded

RELOAD: Final = (
    Option(flag="--port", text="Port of HTTP, where it is not the configured one", kind=int, setting=("http", "port")),
    OUTPUT,
    *(option for option in GLOBAL if option.flag in {"--config", "--set"}),
)


def reload(arguments: Arguments) -> int:
    """Have the running server read its registry again.

    Exit codes: 0 served, 69 no server, else what a start would end with; then the server goes on as before.
    """
    settings = arguments.settings()
    form = arguments.text("--output")
    try:
        outcome = ask_for_reload(settings, settings.http.port)
    except ControlError as error:
        say_error(str(error))
        say("  hint: run this as the user that serves and with the same settings (--port), or send the server SIGHUP")
        return EXIT[Code.OVERLOADED]
    if isinstance(outcome, StartupError):
        return tell(outcome, form)
    _print(outcome, chosen_form(form))
    return 0


def _print(reloaded: Reloaded, form: str) -> None:
    if form == "json":
        print_json(asdict(reloaded))
    else:
        write(
            f"serving {reloaded.models} models and {reloaded.workflows} workflows "
            f"(migration: {reloaded.migration}, {reloaded.duration_s:g} s)"
        )
