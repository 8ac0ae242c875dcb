"""Commands about the registry: check, workflows, schema."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Final

from nexusd import app
from nexusd.channels.channel import graph_view, workflow_view
from nexusd.channels.cli.inputs import kinds_of
from nexusd.channels.cli.options import GLOBAL, OUTPUT, Argument, Arguments, Option
from nexusd.channels.cli.output import chosen_form, print_json, print_table, printable, write
from nexusd.channels.cli.problems import print_problems, say_advice, say_problems, tell
from nexusd.channels.http.openapi import openapi_document
from nexusd.databases.database import Dialect
from nexusd.definitions.execution import new_request_id
from nexusd.definitions.registry_schema import registry_schema
from nexusd.documents import as_mapping, did_you_mean
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import ConfigurationError, WorkflowNotFound
from nexusd.planning.advice import advice
from nexusd.planning.figure import figure_of
from nexusd.planning.figure_svg import draw_svg
from nexusd.planning.figure_text import draw_text
from nexusd.planning.statements import statements

if TYPE_CHECKING:
    from nexusd.planning.plan import Plan

CHECK: Final = (
    Option(flag="--output", text="text, json or github [default: text]", choices=("text", "json", "github")),
    *GLOBAL,
)
WORKFLOWS: Final = (
    OUTPUT,
    Option(flag="--graph", text="Draw the workflow's graph, as wide as the terminal", kind=bool),
    Option(flag="--svg", text="Print the drawing as an SVG image", kind=bool),
    *GLOBAL,
)
PIPED_WIDTH: Final = 100
"""How wide a graph may be where there is no terminal."""
WORKFLOW: Final = Argument(metavar="[NAME]", text="Show this one with its graph")


def check(arguments: Arguments) -> int:
    """Check settings and registry; exit 78 with every problem. Advice on what could be better is no problem."""
    form = arguments.text("--output") or "text"
    try:
        loaded = app.load(arguments.settings(), PythonDefinitions())
    except ConfigurationError as error:
        if form == "text":
            say_problems(error)
        else:
            print_problems(error.problems, form)
        return error.exit_code
    advised = advice(loaded.registry, loaded.plans)
    if form != "text":
        print_problems((), form, advised)
    else:
        say_advice(advised)
        models, workflows = len(loaded.registry.models), len(loaded.plans)
        write(
            f"{loaded.settings.registry.path}: {_count(models, 'model')}, {_count(workflows, 'workflow')}, no problems"
        )
        later = sum(1 for _ in statements(loaded.registry, Dialect.SQLITE))
        if later:
            write(f"not checked: {_count(later, 'SQL statement')}, which a start shows to the database")
    return 0


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def workflows(arguments: Arguments) -> int:
    """List the workflows, or show one."""
    plans = app.load(arguments.settings(), PythonDefinitions()).plans
    form = chosen_form(arguments.text("--output"))
    name = arguments.word
    drawn = arguments.on("--graph") or arguments.on("--svg")
    if drawn and (name is None or arguments.text("--output") is not None):
        arguments.fail("--graph and --svg draw one workflow, and take its NAME and no --output")
    if name is None:
        views = [workflow_view(plan) for _, plan in sorted(plans.items())]
        if form == "json":
            print_json({"workflows": views})
        else:
            print_table(views, ("name", "read_only", "description"))
        return 0
    if name not in plans:
        hint = did_you_mean(name, plans)
        detail = f"there is no workflow named {name[:64]!r}{'; ' + hint if hint else ''}"
        return tell(WorkflowNotFound(detail), arguments.text("--output"), new_request_id())
    if drawn:
        _draw(plans[name], as_image=arguments.on("--svg"))
    elif form == "json":
        print_json(graph_view(plans[name]))
    else:
        _describe(plans[name])
    return 0


def _draw(plan: Plan, *, as_image: bool) -> None:
    figure = figure_of(plan)
    if as_image:
        write(draw_svg(figure))
        return
    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else PIPED_WIDTH
    write("\n".join(printable(line) for line in draw_text(figure, width).split("\n")))


def _describe(plan: Plan) -> None:
    """One workflow for people."""
    write(plan.name + (f": {printable(plan.workflow.description)}" if plan.workflow.description else ""))
    properties = as_mapping(plan.inputs_schema.get("properties"))
    rows = [
        {
            "input": name,
            "type": " or ".join(sorted(kinds_of(as_mapping(schema)))) or "any",
            "required": name in plan.inputs.required,
            "description": as_mapping(schema).get("description"),
        }
        for name, schema in properties.items()
    ]
    if rows:
        write("")
        print_table(rows, ("input", "type", "required", "description"))
    write("")
    print_table([{"node": node.id, "type": node.type} for node in plan.workflow.nodes], ("node", "type"))


def openapi(arguments: Arguments) -> int:
    """Print the OpenAPI description of the HTTP channel."""
    settings = arguments.settings()
    plans = app.load(settings, PythonDefinitions()).plans
    shown = [plan for _, plan in sorted(plans.items())]
    print_json(openapi_document(shown, secured=settings.auth.enabled))
    return 0


def schema(_arguments: Arguments) -> int:
    """Print the registry's JSON Schema, for editors."""
    print_json(registry_schema())
    return 0
