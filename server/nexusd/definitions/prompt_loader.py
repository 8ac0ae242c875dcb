"""Prompts as the registry declares them (docs/reference.md, section 7)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nexusd.definitions.prompt import Part, Prompt, PromptArgument, PromptMessage, Role
from nexusd.definitions.resource_loader import guess_mime_type, read_file, read_mime_type
from nexusd.definitions.text_template import check_names, expressions, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.template import Template

PROMPT_KEYS: Final = ("title", "description", "arguments", "messages")
ARGUMENT_KEYS: Final = ("name", "description", "required", "values")
MESSAGE_KEYS: Final = ("role", "text", "content", "image", "audio", "resource", "mime_type")
RESOURCE_PART_KEYS: Final = ("uri", "mime_type", "text", "file")

_NAME: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)
_ARGUMENT: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)


def read_prompt(name: str, entry: Entry, folder: Path) -> Prompt:
    """A prompt; problems are noted in the entry.

    Args:
        name: the prompt's.
        entry: its declaration.
        folder: where the paths of files begin.
    """
    if not _NAME.fullmatch(name):
        entry.wrong("a prompt's name is letters, digits, _, . and -, at most 64")
    options = entry.options(PROMPT_KEYS, "a prompt")
    messages = options["messages"].elements("messages") if "messages" in options else []
    if not messages and ("messages" not in options or isinstance(options["messages"].value, list)):
        entry.wrong(f"the prompt {name} has no messages")
    reader = _Reader(folder)
    read = tuple(message for item in messages if (message := reader.message(item)) is not None)
    declared = _read_arguments(options["arguments"]) if "arguments" in options else None
    return Prompt(
        name=name,
        title=options["title"].text() if "title" in options else "",
        description=options["description"].text() if "description" in options else "",
        arguments=_settle(declared, reader.texts),
        messages=read,
    )


class _Declared:
    """An argument as it is declared."""

    def __init__(self, name: str, entry: Entry) -> None:
        options = {}
        if entry.value is not None and not isinstance(entry.value, str):
            options = entry.options(ARGUMENT_KEYS, "an argument")
        self.name = name
        self.entry = entry
        self.description = options["description"].text() if "description" in options else ""
        self.required = options["required"].flag() if "required" in options else None
        self.values = options["values"].texts("values") if "values" in options else ()


def _read_arguments(entry: Entry) -> list[_Declared]:
    """A mapping from names, or a list of names or of mappings with a name."""
    found: dict[str, _Declared] = {}
    for name, item in _named(entry):
        if not _ARGUMENT.fullmatch(name):
            item.wrong(f"{name!r} cannot be an argument's name", "letters, digits and _, beginning with a letter")
        elif name in found:
            item.wrong(f"the argument {name!r} is declared already")
        else:
            found[name] = _Declared(name, item)
    return list(found.values())


def _named(entry: Entry) -> list[tuple[str, Entry]]:
    if not isinstance(entry.value, list):
        items = list(entry.items("arguments"))
        for _, item in items:
            if isinstance(item.value, str) and item.value != "str":
                item.wrong("every argument is text: write `str`, or a mapping such as {description: …}")
        return items
    named: list[tuple[str, Entry]] = []
    for item in entry.elements("arguments"):
        if isinstance(item.value, dict) and "name" in item.value:
            named.append((item.child("name").text(), item))
        elif isinstance(item.value, str):
            named.append((item.value, item))
        else:
            item.wrong("an argument has a name")
    return named


def _settle(
    declared: list[_Declared] | None, texts: Sequence[tuple[Entry, Template | str]]
) -> tuple[PromptArgument, ...]:
    """The arguments: those that are declared, else those that the messages use.

    One of which nothing says whether it is required is, unless every use of it has a default.
    """
    uses = [expression for _, text in texts for expression in expressions(text)]
    needed = {str(expression.path[0]) for expression in uses if not expression.has_default}
    used = dict.fromkeys(str(expression.path[0]) for expression in uses)
    if declared is None:
        for entry, text in texts:
            check_names(entry, text, used, "argument")
        return tuple(PromptArgument(name=name, required=name in needed) for name in used)
    names = [argument.name for argument in declared]
    for entry, text in texts:
        check_names(entry, text, names, "argument")
    for argument in declared:
        if argument.name not in used:
            argument.entry.wrong(f"no message uses the argument {argument.name!r}")
    return tuple(
        PromptArgument(
            name=argument.name,
            description=argument.description,
            required=argument.name in needed if argument.required is None else argument.required,
            values=argument.values,
        )
        for argument in declared
    )


class _Reader:
    """Reads messages, and keeps every text in them with its place."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.texts: list[tuple[Entry, Template | str]] = []

    def message(self, entry: Entry) -> PromptMessage | None:
        """One message: a text that the user says, or a mapping."""
        if isinstance(entry.value, str):
            return PromptMessage(role=Role.USER, part=Part.TEXT, text=self._text(entry))
        options = entry.options(MESSAGE_KEYS, "a message")
        role = options["role"].word([each.value for each in Role], "a role") if "role" in options else None
        who = Role(role) if role else Role.USER
        kinds = [part for part in Part if part.value in options]
        if "content" in options and not kinds:
            return PromptMessage(role=who, part=Part.TEXT, text=self._text(_content(options["content"])))
        if len(kinds) != 1 or "content" in options:
            entry.wrong("a message has one of text, image, audio and resource")
            return None
        part, content = kinds[0], options[kinds[0].value]
        if part is Part.TEXT:
            return PromptMessage(role=who, part=part, text=self._text(content))
        if part is Part.RESOURCE:
            return self._resource(who, content)
        return PromptMessage(
            role=who,
            part=part,
            file=read_file(content, self._folder),
            mime_type=read_mime_type(options, guess_mime_type(content.text())),
        )

    def _resource(self, role: Role, entry: Entry) -> PromptMessage | None:
        options = entry.options(RESOURCE_PART_KEYS, "a resource in a message")
        if "uri" not in options or ("text" in options) == ("file" in options):
            entry.wrong("a resource in a message has a uri, and either text or file")
            return None
        file = options.get("file")
        return PromptMessage(
            role=role,
            part=Part.RESOURCE,
            uri=self._text(options["uri"]),
            text=self._text(options["text"]) if "text" in options else None,
            file=read_file(file, self._folder) if file is not None else None,
            mime_type=read_mime_type(options, "text/plain"),
        )

    def _text(self, entry: Entry) -> Template | str:
        text = read_text(entry)
        self.texts.append((entry, text))
        return text


def _content(entry: Entry) -> Entry:
    """The text of a message that is written as on the wire: `{type: text, text: …}`, or the text itself."""
    if not isinstance(entry.value, dict):
        return entry
    options = entry.options(("type", "text"), "a message's content")
    if options["type"].value != "text" if "type" in options else False:
        options["type"].wrong("only text is written like this", "an image is `image: file.png` beside the role")
    return options.get("text", entry)


def prompt_schema(text: Mapping[str, object], flag: Mapping[str, object]) -> dict[str, object]:
    """The JSON Schema of one prompt, for editors."""
    texts = {"type": "array", "items": text}
    argument = {
        "type": ["object", "null", "string"],
        "properties": {"name": text, "description": text, "required": flag, "values": texts},
        "additionalProperties": False,
    }
    embedded = {
        "type": "object",
        "properties": dict.fromkeys(RESOURCE_PART_KEYS, text),
        "required": ["uri"],
        "additionalProperties": False,
    }
    message = {
        "type": ["object", "string"],
        "properties": {
            **dict.fromkeys(MESSAGE_KEYS, text),
            "role": {"enum": [each.value for each in Role]},
            "content": {"type": ["string", "object"]},
            "resource": embedded,
        },
        "additionalProperties": False,
    }
    arguments = {
        "anyOf": [{"type": "object", "additionalProperties": argument}, {"type": "array", "items": argument}],
    }
    return {
        "type": "object",
        "properties": {
            "title": text,
            "description": text,
            "arguments": arguments,
            "messages": {"type": "array", "items": message, "minItems": 1},
        },
        "required": ["messages"],
        "additionalProperties": False,
    }
