"""How the command line tells an error: on standard error, in words or as a problem document; and its exit code."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Final

import typer

from nexusd.channels.channel import problem_document
from nexusd.channels.cli.exits import EXIT
from nexusd.channels.cli.output import print_json, printable, write
from nexusd.channels.http.problems import STATUS
from nexusd.definitions.wire import write_json
from nexusd.errors import Code, ConfigurationError, NexusError, StartupError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.errors import Problem

_HINTS: Final[Mapping[str, str]] = {
    Code.UNAUTHENTICATED: "pass --api-key or set NEXUSD_API_KEY",
    Code.WORKFLOW_NOT_FOUND: "`nexusd workflows` lists them",
    Code.ROUTE_NOT_FOUND: "is this the URL of the HTTP channel?",
    Code.UNKNOWN_OUTCOME: "with --idempotency-key a repetition is safe",
}


class RemoteProblem(NexusError):
    """A server answered with a problem document.

    Attributes:
        document: as it came.
        exit_code: of the document's code; for one that is not known here, of the answer's HTTP status.
    """

    def __init__(self, document: Mapping[str, object], status: int) -> None:
        super().__init__(str(document.get("detail") or document.get("title") or "the server refused"))
        self.document = document
        code = document.get("code")
        fallback = EXIT[Code.BAD_REQUEST] if status < 500 else EXIT[Code.INTERNAL]  # noqa: PLR2004 - the server's own
        self.exit_code = EXIT[Code(str(code))] if code in set(Code) else fallback


def tell(error: NexusError, form: str | None, request_id: str = "") -> int:
    """Tell an error; the exit code.

    Args:
        error: what happened.
        form: `json`: the problem document; else words.
        request_id: of the run, for the document.
    """
    if isinstance(error, StartupError):
        return _tell_startup(error, form)
    if isinstance(error, RemoteProblem):
        document, exit_code = error.document, error.exit_code
    else:
        document = problem_document(error, status=STATUS[error.code], request_id=request_id)
        exit_code = EXIT[error.code]
    if form == "json":
        say(write_json(document).decode())
    else:
        _tell_in_words(document)
    return exit_code


def say(text: str) -> None:
    """A line on standard error."""
    print(text, file=sys.stderr)


def say_error(text: str) -> None:
    """A line on standard error that begins with `error:`, red where that can be seen."""
    coloured = sys.stderr.isatty() and "NO_COLOR" not in os.environ
    say(f"{typer.style('error:', fg='red', bold=True) if coloured else 'error:'} {text}")


def _tell_in_words(document: Mapping[str, object]) -> None:
    code = str(document.get("code", ""))
    faults = document.get("errors")
    lines = [
        f"  {printable(str(fault.get('pointer', '')))}: {printable(str(fault.get('detail', '')))}"
        for fault in (faults if isinstance(faults, list) else ())
        if isinstance(fault, dict)
    ]
    # The detail of invalid_input is the list of its faults, which follows anyway.
    detail = "the inputs are not valid" if lines and code == Code.INVALID_INPUT else str(document.get("detail", ""))
    say_error(f"{printable(detail)}{f' ({code})' if code else ''}")
    for line in lines:
        say(line)
    if document.get("node"):
        say(f"  at node {printable(str(document['node']))}")
    if code == Code.INTERNAL:
        say(f"  request id: {document.get('request_id', '')}")
    if code in _HINTS:
        say(f"  hint: {_HINTS[code]}")


def _tell_startup(error: StartupError, form: str | None) -> int:
    if form == "json":
        name = "configuration_error" if isinstance(error, ConfigurationError) else "startup_error"
        document: dict[str, object] = {
            "type": f"urn:nexusd:{name}",
            "title": name.replace("_", " ").capitalize(),
            "detail": error.detail,
            "code": name,
        }
        if isinstance(error, ConfigurationError):
            document["detail"] = _counted(error)
            document["problems"] = [_as_mapping(problem) for problem in error.problems]
        say(write_json(document).decode())
    elif isinstance(error, ConfigurationError):
        say_problems(error)
    else:
        say_error(error.detail)
    return error.exit_code


def say_problems(error: ConfigurationError) -> None:
    """Every problem with its line, a caret and a hint, and how many there are."""
    for problem in error.problems:
        say(problem.render())
    say_error(_counted(error))


def _counted(error: ConfigurationError) -> str:
    count = len(error.problems)
    return f"{count} problem{'' if count == 1 else 's'}"


def say_advice(advised: Iterable[Problem]) -> None:
    """What could be better, each with its line, a caret and what to do."""
    for problem in advised:
        say(f"advice: {problem.render()}")


def print_problems(problems: Iterable[Problem], form: str, advised: Iterable[Problem] = ()) -> None:
    """The problems as what was asked for: `json`, or `github` annotations, on standard output; advice likewise."""
    if form == "json":
        told = {"problems": problems, "advice": advised}
        print_json({key: [_as_mapping(problem) for problem in found] for key, found in told.items()})
        return
    for level, found in (("error", problems), ("notice", advised)):
        for problem in found:
            place = f" file={_property(problem.file)},line={problem.line},col={problem.column}" if problem.file else ""
            text = f"{problem.message} ({problem.hint})" if problem.hint else problem.message
            write(f"::{level}{place}::{_message(text)}")


def _as_mapping(problem: Problem) -> dict[str, object]:
    return {
        "file": problem.file,
        "line": problem.line,
        "column": problem.column,
        "length": problem.length,
        "message": problem.message,
        "hint": problem.hint,
    }


def _message(text: str) -> str:
    """Text of a workflow command; the escapes are those of GitHub's own toolkit."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _message(text).replace(":", "%3A").replace(",", "%2C")
