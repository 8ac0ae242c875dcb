"""`nexusd executions`: what runs and ran on a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import quote, urlencode

import typer

from nexusd.channels.cli.healthcheck import EVERYWHERE
from nexusd.channels.cli.options import GLOBAL, OUTPUT, Argument, Option, command
from nexusd.channels.cli.output import chosen_form, print_json, print_table, write
from nexusd.channels.cli.problems import RemoteProblem, say, tell
from nexusd.channels.cli.remote import SERVER, remote_at
from nexusd.definitions.wire import write_json
from nexusd.documents import as_mapping
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.channels.cli.options import Arguments
    from nexusd.channels.cli.remote import Remote

_SHARED: Final = (*SERVER, OUTPUT, *(option for option in GLOBAL if option.flag in {"--config", "--set"}))
_LIST: Final = (
    Option(flag="--workflow", text="Only those of this workflow", metavar="NAME"),
    Option(flag="--status", text="Only those of this status: running, completed, failed or cancelled"),
    Option(flag="--limit", text="At most so many [default: 50]", kind=int),
    Option(flag="--cursor", text="Go on behind the last page", metavar="CURSOR"),
    *_SHARED,
)
_QUERY: Final = ("--workflow", "--status", "--limit", "--cursor")
_ID: Final = Argument(metavar="ID", text="Of the execution", required=True)
_COLUMNS: Final = ("execution_id", "workflow", "status", "channel", "started_at", "duration_ms")


def executions() -> typer.Typer:
    """The commands of `nexusd executions`."""
    group = typer.Typer(
        help="See and cancel what runs on a server; without --server, on that of the settings.", no_args_is_help=True
    )
    group.command("list")(command(_list, _LIST))
    group.command("show")(command(_show, _SHARED, _ID))
    group.command("follow")(command(_follow, _SHARED, _ID))
    group.command("cancel")(command(_cancel, _SHARED, _ID))
    return group


def _list(arguments: Arguments) -> int:
    """List executions, the latest first."""
    given = {flag[2:]: value for flag, value in arguments.given().items() if flag in _QUERY}
    return _answer(arguments, "GET", f"/executions?{urlencode(given)}", _print_page)


def _show(arguments: Arguments) -> int:
    """Show one execution with its outputs or its error."""
    return _answer(arguments, "GET", _path(arguments), _print_one)


def _cancel(arguments: Arguments) -> int:
    """Stop one execution; one that has ended stays as it is."""
    return _answer(arguments, "POST", f"{_path(arguments)}/cancel", _print_one)


def _follow(arguments: Arguments) -> int:
    """Print what happens to one execution until it ends, a line of JSON each; then end as its run did."""
    data: Mapping[str, object] = {}
    try:
        for name, data in _remote(arguments).events(f"{_path(arguments)}/events"):
            write(write_json({"event": name, **data}).decode())
        problem = as_mapping(data.get("error"))
        if problem:
            raise RemoteProblem(problem, _status(problem))
    except NexusError as error:
        return tell(error, None)
    return 0


def _answer(arguments: Arguments, method: str, path: str, show: Callable[[Mapping[str, object], str], None]) -> int:
    try:
        document = _remote(arguments).ask(method, path)
    except NexusError as error:
        return tell(error, arguments.text("--output"))
    show(document, chosen_form(arguments.text("--output")))
    return 0


def _remote(arguments: Arguments) -> Remote:
    """The server that was named, or else that of the settings."""
    url = arguments.text("--server")
    if url is None:
        http = arguments.settings().http
        host = EVERYWHERE.get(http.host, http.host)
        url = f"http://{f'[{host}]' if ':' in host else host}:{http.port}"
    return remote_at(url, arguments)


def _path(arguments: Arguments) -> str:
    return f"/executions/{quote(arguments.word or '', safe='')}"


def _print_page(document: Mapping[str, object], form: str) -> None:
    if form == "json":
        print_json(document)
        return
    records = document.get("executions")
    print_table([as_mapping(record) for record in records] if isinstance(records, list) else [], _COLUMNS)
    if document.get("next_cursor"):
        say(f"more: --cursor {document['next_cursor']}")


def _print_one(document: Mapping[str, object], form: str) -> None:
    if form == "json":
        print_json(document)
    else:
        print_table([{"field": key, "value": value} for key, value in document.items()], ("field", "value"))


def _status(problem: Mapping[str, object]) -> int:
    status = problem.get("status")
    return status if isinstance(status, int) else 0
