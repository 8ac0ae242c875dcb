"""`nexusd keys`: the API keys in the database of the settings."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import msgspec
import typer

from nexusd import app
from nexusd.auth.keys import read_expiry
from nexusd.channels.cli.exits import NO_INPUT
from nexusd.channels.cli.options import GLOBAL, OUTPUT, Argument, Option, command
from nexusd.channels.cli.output import chosen_form, print_json, print_table, write
from nexusd.channels.cli.problems import say, say_error, tell
from nexusd.definitions.access import scope_fault
from nexusd.errors import StartupError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexusd.channels.cli.options import Arguments
    from nexusd.ddl.keys import KeyEntry

_SHARED: Final = tuple(option for option in GLOBAL if option.flag != "--registry")
_CREATE: Final = (
    Option(flag="--scope", text="What it may do, such as workflow:*:execute; may be repeated", kind=list),
    Option(flag="--name", text="Whose it is or what for, for the list", metavar="NAME"),
    Option(flag="--expires", text="How long it lasts: 90d, 12h, a date or a time [default: for ever]", metavar="WHEN"),
    Option(flag="--claim", text="What row policies may know of its holder; may be repeated", kind=list),
    Option(flag="--output", text="json or table [default: the key alone]", choices=("json", "table")),
    *_SHARED,
)
_ID: Final = Argument(metavar="ID", text="Of the key, the part between nxd_ and the secret", required=True)
_COLUMNS: Final = ("id", "name", "scopes", "status", "created_at", "expires_at", "last_used_at")


def keys() -> typer.Typer:
    """The commands of `nexusd keys`."""
    group = typer.Typer(help="Make, list and revoke API keys in the configured database.", no_args_is_help=True)
    group.command("create")(command(_telling(_create), _CREATE))
    group.command("list")(command(_telling(_list), (OUTPUT, *_SHARED)))
    group.command("revoke")(command(_telling(_revoke), _SHARED, _ID))
    return group


def _telling(verb: Callable[[Arguments], int]) -> Callable[[Arguments], int]:
    """A verb whose errors are told in the form that was asked for."""

    def run(arguments: Arguments) -> int:
        try:
            return verb(arguments)
        except StartupError as error:
            return tell(error, arguments.text("--output"))

    run.__doc__ = verb.__doc__
    return run


def _create(arguments: Arguments) -> int:
    """Make a key and print it: it is shown this once, only its hash is kept."""
    scopes = _scopes(arguments)
    claims = dict(_claim(text) for text in arguments.texts("--claim"))
    lasts = arguments.text("--expires")
    try:
        expires_at = None if lasts is None else read_expiry(lasts, datetime.now(UTC))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--expires") from error
    with app.open_keys(arguments.settings()) as administration:
        key, entry = administration.create(arguments.text("--name") or "", scopes, claims, expires_at)
    shown = {"id": entry.id, "key": key.text, **_shown(entry)}
    form = arguments.text("--output")
    if form == "json":
        print_json(shown)
    elif form == "table":
        print_table([{"field": name, "value": value} for name, value in shown.items()], ("field", "value"))
    else:
        write(key.text)
    say("Keep the key: it is not shown again.")
    return 0


def _scopes(arguments: Arguments) -> list[str]:
    """The scopes, each once; several may stand in one option, with blanks or commas between."""
    given = " ".join(arguments.texts("--scope")).replace(",", " ").split()
    if not given:
        raise typer.BadParameter("say what the key may do, such as workflow:*:execute", param_hint="--scope")
    for scope in given:
        fault = scope_fault(scope)
        if fault is not None:
            raise typer.BadParameter(f"{scope}: {fault}", param_hint="--scope")
    return list(dict.fromkeys(given))


def _claim(text: str) -> tuple[str, object]:
    """`tenant=acme`, or `level=3`: the value is JSON where it is JSON, else text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise typer.BadParameter(f"{text!r} is not NAME=VALUE", param_hint="--claim")
    try:
        return name, msgspec.json.decode(value)
    except msgspec.DecodeError:
        return name, value


def _list(arguments: Arguments) -> int:
    """List the keys, without their secrets."""
    with app.open_keys(arguments.settings()) as administration:
        entries = [{"id": entry.id, **_shown(entry)} for entry in administration.list()]
    if chosen_form(arguments.text("--output")) == "json":
        print_json({"keys": entries})
    else:
        print_table([{**entry, "scopes": _words(entry["scopes"])} for entry in entries], _COLUMNS)
    return 0


def _words(value: object) -> str:
    return " ".join(value) if isinstance(value, list) else ""


def _shown(entry: KeyEntry) -> dict[str, object]:
    return {
        "name": entry.name,
        "scopes": list(entry.scopes),
        "claims": entry.claims,
        "status": entry.status,
        "created_at": entry.created_at,
        "expires_at": entry.expires_at,
        "last_used_at": entry.last_used_at,
        "revoked_at": entry.revoked_at,
    }


def _revoke(arguments: Arguments) -> int:
    """Let a key in no longer; servers that have just seen it need up to five seconds."""
    key_id = arguments.word or ""
    with app.open_keys(arguments.settings()) as administration:
        if administration.revoke(key_id):
            return 0
    say_error(f"there is no key {key_id[:64]!r}; `nexusd keys list` shows them")
    return NO_INPUT
