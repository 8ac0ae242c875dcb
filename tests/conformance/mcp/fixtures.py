"""The functions behind the tools that the official conformance suite calls."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nexusd import Audio, Context, Elicit, Embedded, Image, Roots, Sample, Text, ToolError

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="
)
WAV = base64.b64decode("UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAAAAA==")
PAUSE_S = 0.05
NO_EXTRA = "version: 1\n"
EXTRA = """version: 1
workflows: {extra: {nodes: {run: {type: FunctionNode, call: "fixtures:simple_text"}}}}
prompts: {extra: {messages: [extra]}}
"""
NAME = Elicit(
    "What is your name?",
    {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]},
)


def simple_text() -> Text:
    """A text."""
    return Text("This is a simple text response for testing.")


def image() -> Image:
    """A picture."""
    return Image(PNG, "image/png")


def audio() -> Audio:
    """A sound."""
    return Audio(WAV, "audio/wav")


def embedded() -> Embedded:
    """A resource with its content."""
    return Embedded("test://embedded-resource", "This is an embedded resource content.", "text/plain")


def mixed() -> list[Text | Image | Embedded]:
    """Several kinds of content."""
    document = json.dumps({"test": "data", "value": 123})
    return [
        Text("Multiple content types test:"),
        Image(PNG, "image/png"),
        Embedded("test://mixed-content-resource", document, "application/json"),
    ]


def failing() -> Text:
    """Refuses."""
    raise ToolError("This tool intentionally returns an error for testing")


async def logging(ctx: Context) -> Text:
    """Three lines, with pauses."""
    await ctx.log("Tool execution started")
    await asyncio.sleep(PAUSE_S)
    await ctx.log("Tool processing data")
    await asyncio.sleep(PAUSE_S)
    await ctx.log("Tool execution completed")
    return Text("logged")


async def progress(ctx: Context) -> Text:
    """Nothing, half and all of it."""
    for done in (0, 50, 100):
        await ctx.progress(done, 100)
        await asyncio.sleep(PAUSE_S)
    return Text("done")


async def sampling(prompt: str, ctx: Context) -> Text:
    """What the client's model makes of a text."""
    message = {"role": "user", "content": {"type": "text", "text": prompt}}
    answer = await ctx.sample("sampling", [message], 100)
    if answer is None:
        raise ToolError("the client has no language model")
    return Text(f"LLM response: {_text(answer)}")


async def elicitation(message: str, ctx: Context) -> Text:
    """What the user says."""
    properties = {
        "username": {"type": "string", "description": "User's response"},
        "email": {"type": "string", "description": "User's email address"},
    }
    schema = {"type": "object", "properties": properties, "required": ["username", "email"]}
    return await _elicit(ctx, message, schema, "User response")


async def elicitation_defaults(ctx: Context) -> Text:
    """A form with defaults of each type."""
    properties = {
        "name": {"type": "string", "default": "John Doe"},
        "age": {"type": "integer", "default": 30},
        "score": {"type": "number", "default": 95.5},
        "status": {"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        "verified": {"type": "boolean", "default": True},
    }
    return await _elicit(ctx, "Your record", {"type": "object", "properties": properties}, "Elicitation completed")


async def elicitation_enums(ctx: Context) -> Text:
    """A form with each kind of closed set."""
    options = ["option1", "option2", "option3"]
    titled = [
        {"const": f"value{i}", "title": f"{word} Option"} for i, word in enumerate(("First", "Second", "Third"), 1)
    ]
    properties = {
        "untitledSingle": {"type": "string", "enum": options},
        "titledSingle": {"type": "string", "oneOf": titled},
        "legacyEnum": {
            "type": "string",
            "enum": ["opt1", "opt2", "opt3"],
            "enumNames": ["Option One", "Option Two", "Option Three"],
        },
        "untitledMulti": {"type": "array", "items": {"type": "string", "enum": options}},
        "titledMulti": {"type": "array", "items": {"anyOf": titled}},
    }
    return await _elicit(ctx, "Choose", {"type": "object", "properties": properties}, "Elicitation completed")


async def needs_sampling(ctx: Context) -> Text:
    """Cannot do without a model."""
    message = {"role": "user", "content": {"type": "text", "text": "Say something"}}
    return Text(_text(await ctx.sample("something", [message]) or {}))


async def ask_name(ctx: Context) -> Text:
    """One question to the user."""
    answer = await ctx.elicit("user_name", NAME.text, NAME.schema)
    return Text(f"Hello, {answer.content.get('name', 'stranger')}!")


async def ask_model(ctx: Context) -> Text:
    """One question to the model."""
    message = {"role": "user", "content": {"type": "text", "text": "What is the capital of France?"}}
    return Text(_text(await ctx.sample("capital_question", [message], 100) or {}))


async def ask_roots(ctx: Context) -> Text:
    """One question for folders."""
    return Text(", ".join(str(root["uri"]) for root in await ctx.roots("client_roots")))


async def ask_confirmation(ctx: Context) -> Text:
    """A question whose note must come back as it was."""
    schema = {"type": "object", "properties": {"ok": {"type": "boolean"}}, "required": ["ok"]}
    answer = await ctx.elicit("confirm", "Please confirm", schema)
    return Text(f"state-ok: {answer.action}")


async def ask_everything(ctx: Context) -> Text:
    """Three questions at once."""
    message = {"role": "user", "content": {"type": "text", "text": "Generate a greeting"}}
    answers = await ctx.ask({"user_name": NAME, "greeting": Sample((message,), 50), "client_roots": Roots()})
    return Text(json.dumps(answers))


async def ask_twice(ctx: Context) -> Text:
    """Two questions, one after the other."""
    first = await ctx.elicit("step1", "Step 1: What is your name?", NAME.schema)
    schema = {"type": "object", "properties": {"color": {"type": "string"}}, "required": ["color"]}
    second = await ctx.elicit("step2", "Step 2: What is your favorite color?", schema)
    return Text(f"{first.content.get('name')} likes {second.content.get('color')}")


async def streaming(ctx: Context) -> Text:
    """Progress before a question."""
    await ctx.progress(1, 2)
    return await ask_name(ctx)


def change_offers() -> Text:
    """Add a tool and a prompt, or take them away again, and have the registry loaded anew."""
    extra = Path(__file__).with_name("extra.yaml")
    extra.write_text(EXTRA if extra.read_text() == NO_EXTRA else NO_EXTRA)
    os.kill(os.getpid(), signal.SIGHUP)
    return Text("changed")


async def _elicit(ctx: Context, message: str, schema: dict[str, Any], told: str) -> Text:
    if "elicitation" not in ctx.client_capabilities:
        raise ToolError("the client cannot ask its user")
    answer = await ctx.elicit("form", message, schema)
    return Text(f"{told}: action={answer.action}, content={json.dumps(dict(answer.content))}")


def _text(answer: Mapping[str, Any]) -> str:
    content = answer.get("content")
    return str(content.get("text", "")) if isinstance(content, Mapping) else ""
