"""`nexusd run WORKFLOW`: a command whose options are the workflow's inputs, made when its name is known."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, TypeAlias

import typer

from nexusd import app, catalog
from nexusd.channels.cli.inputs import InputOption, read_inputs
from nexusd.channels.cli.line import Line, LineError, read_line, spell_out
from nexusd.channels.cli.options import GLOBAL, Arguments, Option, Session, command, invoke
from nexusd.channels.cli.output import print_outputs
from nexusd.channels.cli.problems import tell
from nexusd.channels.cli.progress import Progress, Terminal, crashed, told, waiting_told
from nexusd.channels.cli.remote import fits_header, remote_at
from nexusd.configuration import load_settings
from nexusd.definitions.execution import Invocation, new_request_id
from nexusd.definitions.wire import write_json
from nexusd.documents import as_mapping, did_you_mean
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import MalformedBody, NexusError, WorkflowNotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

RUN: Final = (
    Option(flag="--inputs", text="All inputs as JSON, @FILE, or - for standard input", metavar="JSON"),
    Option(flag="--server", text="Run on this server instead of in this process", metavar="URL"),
    Option(flag="--api-key", text="Key for --server [env: NEXUSD_API_KEY]", metavar="KEY"),
    Option(flag="--idempotency-key", text="Run at most once under this key", metavar="KEY"),
    Option(flag="--dry-run", text="Run everything, keep nothing in the database", kind=bool),
    Option(flag="--output", text="json or table [default: json]", choices=("json", "table")),
    *GLOBAL,
)
_FIXED: Final = {option.flag: option for option in RUN}
_LOCAL: Final = tuple(option.flag for option in GLOBAL)
_EARLY: Final = ("--server", "--api-key", *_LOCAL)
"""Options that say where the workflow is, and so which inputs it has."""

_HELP: Final = """Run one workflow and print its outputs; the inputs of the workflow are options too.

`nexusd run WORKFLOW --help` lists them, `nexusd workflows` the workflows. Exit codes: 0 completed, 2 wrong use,
65 refused, 66 not found, 69 unavailable, 70 failed, 75 try again, 77 not allowed, 78 configuration.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One run as the options say it.

    Attributes:
        is_told: what the run says while it runs goes to standard error; not where a program reads that.
    """

    inputs: bytes
    dry_run: bool
    idempotency_key: str | None
    is_told: bool


Execute: TypeAlias = Callable[[Call], Mapping[str, object]]
"""Runs a call to its end and gives the outputs; in this process or on a server."""


def run(arguments: Arguments) -> int:
    """Run one workflow, in this process or on a server."""
    try:
        line = read_line(arguments.rest, _FIXED, _EARLY)
    except LineError as error:
        arguments.fail(str(error))
    if line.workflow is None:
        return _help(arguments, line)
    request_id = new_request_id()
    try:
        view, execute = _find(line.workflow, arguments.replaced(RUN, _early_values(line)), request_id)
        return _perform(line, view, execute, arguments.session)
    except NexusError as error:
        return tell(error, line.given.get("--output", [None])[-1], request_id)


def _help(arguments: Arguments, line: Line) -> int:
    """Without a workflow: what can be said of every one."""
    if not line.asks_help:
        arguments.fail("name the workflow to run; `nexusd workflows` lists them")
    return _invoke(_HELP, command(lambda _: 0, RUN), ["--help"], "WORKFLOW", arguments.session)


def _early_values(line: Line) -> dict[str, object]:
    """The early options as typer would have given them: of one that is given twice the last counts."""
    return {
        flag: values if _FIXED[flag].kind is list else values[-1]
        for flag, values in line.given.items()
        if flag in _EARLY
    }


def _find(workflow: str, arguments: Arguments, request_id: str) -> tuple[Mapping[str, object], Execute]:
    """The workflow as it is shown, and what runs it."""
    url = arguments.text("--server")
    if url is not None:
        return _find_remotely(workflow, arguments, url)
    if "--api-key" in arguments.given():
        arguments.fail("--api-key is for --server; in this process no key is needed")
    loaded = app.load(arguments.settings(), PythonDefinitions())
    plan = loaded.plans.get(workflow)
    if plan is None:
        hint = did_you_mean(workflow, loaded.plans)
        raise WorkflowNotFound(f"there is no workflow named {workflow[:64]!r}{'; ' + hint if hint else ''}")
    view = {"inputs": plan.inputs_schema, "description": plan.workflow.description}
    return view, lambda call: _execute_here(loaded, workflow, call, request_id)


def _find_remotely(workflow: str, arguments: Arguments, url: str) -> tuple[Mapping[str, object], Execute]:
    useless = [flag for flag in arguments.given() if flag in _LOCAL]
    if useless:
        arguments.fail(f"{useless[0]} has no effect with --server: the server has its own")
    remote = remote_at(url, arguments)

    def execute(call: Call) -> Mapping[str, object]:
        return remote.execute(workflow, call.inputs, dry_run=call.dry_run, idempotency_key=call.idempotency_key)

    return remote.workflow(workflow), execute


def _perform(line: Line, view: Mapping[str, object], execute: Execute, session: Session) -> int:
    """Read the words by what the workflow takes, run it, print its outputs."""
    name = str(line.workflow)
    inputs = input_options(view)

    def act(arguments: Arguments) -> int:
        given = {flag: value for flag, value in arguments.given().items() if flag in _EARLY}
        if given != _early_values(line):
            arguments.fail(f"put {' and '.join(given)} right behind the workflow's name")
        key = arguments.text("--idempotency-key")
        if key is not None and not (key and fits_header(key)):
            raise typer.BadParameter("a key is printable ASCII", param_hint="--idempotency-key")
        call = Call(
            inputs=_inputs(arguments, inputs),
            dry_run=arguments.on("--dry-run"),
            idempotency_key=key,
            is_told=arguments.text("--output") != "json",
        )
        with Progress(f"running {name}"):
            outputs = execute(call)
        print_outputs(outputs, arguments.text("--output") or "json")
        return 0

    options = (*(each.option for each in inputs), *RUN)
    switches = {each.flag for each in inputs if each.is_switch}
    valued = {option.flag for option in options if option.kind is not bool} - switches
    words = spell_out(line.words, switches, valued)
    return _invoke(str(view.get("description") or f"Run {name}."), command(act, options), words, name, session)


def input_options(view: Mapping[str, object]) -> list[InputOption]:
    """The inputs of a workflow as options, in their order."""
    schema = as_mapping(view.get("inputs"))
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    taken = {*_FIXED, "--help"}
    found: list[InputOption] = []
    for name, each in as_mapping(schema.get("properties")).items():
        option = InputOption(name, as_mapping(each), required=name in names, taken=taken)
        taken.add(option.flag)
        found.append(option)
    return found


def _invoke(text: str, function: Callable[..., None], words: Sequence[str], name: str, session: Session) -> int:
    program = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    program.command(help=text)(function)
    return invoke(program, words, f"nexusd run {name}", Session(debug=session.debug))


def completable() -> typer.Typer:
    """Every workflow as a command, for the shell's completion; none where settings or registry have mistakes."""
    group = typer.Typer()
    try:
        plans = app.load(load_settings(None, os.environ), PythonDefinitions()).plans
    except NexusError:
        plans = {}
    for name, plan in plans.items():
        inputs = input_options({"inputs": plan.inputs_schema})
        options = (*(each.option for each in inputs), *RUN)
        group.command(name, help=plan.workflow.description or None)(command(lambda _: 0, options))
    return group


def _inputs(arguments: Arguments, inputs: Sequence[InputOption]) -> bytes:
    """The JSON text of the inputs object from `--inputs` and from options."""
    whole = arguments.text("--inputs")
    values = read_inputs(whole) if whole is not None else {}
    for each in inputs:
        text = arguments.text(each.flag)
        if text is None:
            continue
        if each.name in values:
            arguments.fail(f"the input {each.name!r} is given twice, in --inputs and as an option")
        values[each.name] = each.value(text)
    try:
        return write_json(values)
    except UnicodeEncodeError as error:
        raise MalformedBody("the inputs are not valid UTF-8 text") from error


def _execute_here(loaded: app.Loaded, workflow: str, call: Call, request_id: str) -> Mapping[str, object]:
    observe = waiting_told()
    if loaded.settings.server.log_level == "debug":
        observe = catalog.log_sink(loaded.settings.server)
    elif call.is_told:
        observe = told(observe, crashed)

    async def execute() -> Mapping[str, object]:
        async with app.open_runtime(loaded, observe) as runtime:
            execution = await runtime.execute(
                Invocation(
                    workflow=workflow,
                    inputs=call.inputs,
                    channel="cli",
                    request_id=request_id,
                    dry_run=call.dry_run,
                    idempotency_key=call.idempotency_key,
                    conversation=Terminal() if call.is_told else None,
                )
            )
        return execution.outputs

    return asyncio.run(execute())
