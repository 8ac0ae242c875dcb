"""`nexusd migrate`: what a start would change, and everything around migration files."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import typer

from nexusd import app
from nexusd.channels.cli.options import GLOBAL, Argument, Option, command
from nexusd.channels.cli.output import print_json, print_table, write
from nexusd.channels.cli.problems import say, say_error
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import StartupError
from nexusd.events import DatabaseWaiting, MigrationKept, MigrationStepDone, MigrationStepFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from nexusd.channels.cli.options import Arguments
    from nexusd.ddl.administration import Administration
    from nexusd.events import Event

_DDL: Final = (
    Option(flag="--ddl-url", text="Where migrations connect [default: the database]", setting=("database", "ddl_url")),
    Option(
        flag="--dir",
        text="Folder of migration files [default: migrations]",
        metavar="DIR",
        setting=("database", "migrations_dir"),
    ),
    *GLOBAL,
)
_JSON: Final = Option(flag="--json", text="Print JSON", kind=bool)
_PLAN: Final = (_JSON, Option(flag="--sql", text="Print the statements", kind=bool), *_DDL)
_APPLY: Final = (
    Option(flag="--contract", text="Apply contract files too", kind=bool),
    Option(flag="--dry-run", text="Do everything in one transaction and roll it back", kind=bool),
    Option(flag="--yes", text="Make this registry the newest, although a newer one was applied", kind=bool),
    *_DDL,
)
_NEW: Final = (Option(flag="--from-plan", text="Write down what a start would not do by itself", kind=bool), *_DDL)
_REPAIR: Final = (
    Option(flag="--mark-applied", text="Take a file that stopped half-way as done", kind=bool),
    Option(flag="--accept", text="Take applied files that were changed as they are", kind=bool),
    *_DDL,
)
_NAME: Final = Argument(metavar="NAME", text="Of the file, such as add_phone", required=True)


def migrate() -> typer.Typer:
    """The commands of `nexusd migrate`."""
    group = typer.Typer(help="Bring the database to the registry, or see what that would change.", no_args_is_help=True)
    group.command("plan")(command(_guarded(_plan), _PLAN))
    group.command("apply")(command(_guarded(_apply), _APPLY))
    group.command("status")(command(_guarded(_status), (_JSON, *_DDL)))
    group.command("new")(command(_guarded(_new), _NEW, _NAME))
    group.command("baseline")(command(_guarded(_baseline), _DDL))
    group.command("check")(command(_guarded(_check), _DDL))
    group.command("lint")(command(_lint, _DDL))
    group.command("repair")(command(_guarded(_repair), _REPAIR))
    return group


def _guarded(verb: Callable[[Arguments], int]) -> Callable[[Arguments], int]:
    """A verb whose errors of the migration become a message and the exit code of docs/reference.md, section 9."""

    def run(arguments: Arguments) -> int:
        try:
            return verb(arguments)
        except StartupError as error:
            say_error(error.detail)
            return error.exit_code

    run.__doc__ = verb.__doc__
    return run


@contextlib.contextmanager
def _administration(arguments: Arguments) -> Iterator[Administration]:
    with app.open_migrations(app.load(arguments.settings(), PythonDefinitions())) as administration:
        yield administration


def _plan(arguments: Arguments) -> int:
    """Show what a start would change; exit 3 if anything is pending, 4 if it would be blocked, 5 after drift."""
    with _administration(arguments) as administration:
        standing = administration.standing()
    if arguments.on("--json"):
        print_json(standing.plan.document())
    elif arguments.on("--sql"):
        write(standing.plan.sql())
    else:
        write(standing.plan.text())
    return 0 if standing.reason is None else standing.reason.exit_code


def _check(arguments: Arguments) -> int:
    """Exit 0 if the database is as the registry wants it and no file is pending or changed; prints nothing then."""
    with _administration(arguments) as administration:
        standing = administration.standing()
    if standing.reason is None:
        return 0
    say_error(standing.reason.detail)
    return standing.reason.exit_code


def _apply(arguments: Arguments) -> int:
    """Do what a start would do, deferred steps included, and print what was done."""
    outcome = app.apply_migrations(
        app.load(arguments.settings(), PythonDefinitions()),
        _tell,
        contract=arguments.on("--contract"),
        confirmed=arguments.on("--yes"),
        rehearse=arguments.on("--dry-run"),
    )
    if outcome.backup:
        say(f"the database as it was before: {outcome.backup}")
    done = f"{outcome.steps} statement{'' if outcome.steps == 1 else 's'}"
    write(f"rolled back: {done}" if arguments.on("--dry-run") else f"{outcome.verdict}: {done}")
    return 0


def _tell(event: Event) -> None:
    """Say what an operator should know while it happens."""
    if isinstance(event, DatabaseWaiting):
        say(f"waiting: {event.reason}")
    elif isinstance(event, MigrationKept):
        say(f"kept: {event.table}{'.' if event.part else ''}{event.part} ({event.reason})")
    elif isinstance(event, MigrationStepDone):
        say(f"done: {event.table}.{event.part}")
    elif isinstance(event, MigrationStepFailed):
        say_error(f"{event.table}.{event.part}: {event.reason}")


def _status(arguments: Arguments) -> int:
    """Show the state of the database, the files and the last runs."""
    with _administration(arguments) as administration:
        document = administration.status()
    if arguments.on("--json"):
        print_json(document)
        return 0
    files, runs = document.pop("files"), document.pop("runs")
    shown = {key: ", ".join(value) if isinstance(value, list) else value for key, value in document.items()}
    print_table([{"field": key, "value": value} for key, value in shown.items()], ("field", "value"))
    if isinstance(files, list) and files:
        write("")
        print_table(files, ("version", "name", "phase", "status"))
    if isinstance(runs, list) and runs:
        write("")
        print_table(runs, ("id", "kind", "status", "app_version", "host", "started_at"))
    return 0


def _new(arguments: Arguments) -> int:
    """Write the next migration file, empty or from the plan, and print its path."""
    with _administration(arguments) as administration:
        path = administration.new_file(arguments.word or "", from_plan=arguments.on("--from-plan"))
    write(str(path))
    return 0


def _baseline(arguments: Arguments) -> int:
    """Take the database as it is: note registry and files as applied, change nothing."""
    with _administration(arguments) as administration:
        missing = administration.baseline()
    write("adopted")
    for title in missing:
        say(f"still to be made, by the next start: {title}")
    return 0


def _repair(arguments: Arguments) -> int:
    """Go on with a file that stopped half-way; see also --mark-applied and --accept."""
    mark_applied, accept = arguments.on("--mark-applied"), arguments.on("--accept")
    with _administration(arguments) as administration:
        done = list(administration.repair(mark_applied=mark_applied, accept=accept))
    for line in done or ["nothing to repair"]:
        write(line)
    return 0


def _lint(arguments: Arguments) -> int:
    """Check the migration files without a database, and with squawk where that is installed; exit 4, 10 or 1."""
    settings = arguments.settings()
    try:
        files = app.migration_files(settings)
    except StartupError as error:
        say_error(error.detail)
        return error.exit_code
    squawk = shutil.which("squawk")
    if squawk is None:
        say("squawk is not installed, so only names and headers were checked (it comes as squawk-cli)")
    elif files and not settings.database.url.startswith("sqlite"):
        return _squawk(squawk, [str(path) for path in files])
    write(f"{len(files)} file{'' if len(files) == 1 else 's'}, no problems")
    return 0


def _squawk(program: str, paths: Sequence[str]) -> int:
    sys.stdout.flush()
    return 1 if subprocess.run([program, *paths], check=False).returncode else 0  # noqa: S603 - found on PATH; the operator's own files
