"""The page at `/docs`: every workflow with its inputs, an example to send, and what comes back.

One file that loads nothing: its style and script stand in it, and the policy it is sent with allows nothing else.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from html import escape
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd import __version__
from nexusd.channels.http.examples import example_of
from nexusd.definitions.wire import write_json

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexusd.planning.plan import Plan

_PAGE: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>nexusd</title>
<link rel="icon" href="data:,">
<style>{style}</style>
<header>
<h1>nexusd {version}</h1>
<p>Each workflow is executed by a POST. The same as data: <a href="/openapi.json">OpenAPI</a>.</p>
<nav>{links}</nav>
</header>
{sections}
<script>{script}</script>
</html>
"""

_SECTION: Final = """<section id="{name}">
<h2>POST /workflows/{name}/execute</h2>
<p>{description}{marks}</p>
{inputs}
<form action="/workflows/{name}/execute">
<p><textarea name="body" spellcheck="false" aria-label="Request body">{example}</textarea></p>
<p><button>Execute</button> <label><input type="checkbox" name="dry" checked> keep nothing (dry run)</label></p>
<output></output>
</form>
<details><summary>Outputs</summary><pre>{outputs}</pre></details>
</section>
"""


def docs_page(plans: Sequence[Plan]) -> tuple[bytes, str]:
    """The page, and the Content-Security-Policy to send with it."""
    style, script = _asset("docs.css"), _asset("docs.js")
    page = _PAGE.format(
        version=escape(__version__),
        style=style,
        script=script,
        links="".join(f'<a href="#{escape(plan.name)}">{escape(plan.name)}</a> ' for plan in plans),
        sections="".join(_section(plan) for plan in plans),
    )
    policy = (
        f"default-src 'none'; style-src {_digest(style)}; script-src {_digest(script)}; connect-src 'self'; "
        "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return page.encode(), policy


def _asset(name: str) -> str:
    return files("nexusd.channels.http").joinpath(name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    """A source expression that allows this text alone (CSP level 3, section 2.3.1)."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _section(plan: Plan) -> str:
    body = {"inputs": example_of(plan.inputs_schema)}
    return _SECTION.format(
        name=escape(plan.name),
        description=escape(plan.workflow.description),
        marks=' <span class="mark">read only</span>' if plan.read_only else "",
        inputs=_inputs(plan.inputs_schema),
        example=escape(_pretty(body)),
        outputs=escape(_pretty(plan.outputs_schema)),
    )


def _pretty(value: object) -> str:
    return msgspec.json.format(write_json(value)).decode()


def _inputs(schema: Mapping[str, object]) -> str:
    """The inputs as a table, the required ones first."""
    properties = schema.get("properties")
    if not isinstance(properties, Mapping) or not properties:
        return "<p>No inputs.</p>"
    listed = schema.get("required")
    required = listed if isinstance(listed, list) else []
    rows = "".join(
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(', '.join(_traits(value)))}</td>"
        f"<td>{'required' if name in required else 'optional'}</td><td>{escape(_description(value))}</td></tr>"
        for name, value in sorted(properties.items(), key=lambda item: item[0] not in required)
    )
    return f"<table><tr><th>Input<th>Type<th><th>Description</tr>{rows}</table>"


def _description(schema: object) -> str:
    return str(schema.get("description", "")) if isinstance(schema, Mapping) else ""


def _traits(schema: object) -> Iterator[str]:
    """What a value may be, in words."""
    if not isinstance(schema, Mapping) or not schema:
        yield "anything"
        return
    alternatives = schema.get("anyOf")
    if isinstance(alternatives, list):
        yield from _traits(alternatives[0])
        yield "or null"
        return
    if "enum" in schema:
        yield f"one of {', '.join(map(str, schema['enum']))}"
        return
    yield str(schema.get("format", schema.get("type", "anything")))
    if "maxLength" in schema:
        yield f"at most {schema['maxLength']} characters"
