"""A workflow's inputs as options: what each is called, and what its text means."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import typer

from nexusd.channels.cli.options import Option
from nexusd.definitions.wire import read_json, write_json
from nexusd.errors import MalformedBody

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

BOOLEAN: Final = "boolean"
_METAVARS: Final[Mapping[str, str]] = {
    "string": "TEXT",
    "integer": "INTEGER",
    "number": "NUMBER",
    BOOLEAN: "[true|false]",
}
_ANYTHING: Final = frozenset({"object", "array", "string", "number", "boolean", "null"})
_SHOWN_CHOICES: Final = 6


class InputOption:
    """One input of a workflow.

    Args:
        name: the input.
        schema: its JSON Schema.
        taken: flags that something else has; the input `output` is then `--input-output`.
    """

    def __init__(self, name: str, schema: Mapping[str, object], *, required: bool, taken: Collection[str]) -> None:
        flag = f"--{name.replace('_', '-')}"
        while flag in taken:
            flag = f"--input-{flag[2:]}"
        self.name = name
        self.flag = flag
        self._kinds = kinds_of(schema)
        choices = _choices(schema)
        self.option = Option(
            flag=flag,
            text=_help(schema, required=required),
            metavar=f"[{'|'.join(choices)}]" if 0 < len(choices) <= _SHOWN_CHOICES else self._metavar(),
            suggest=tuple(choices) or (("true", "false") if self.is_switch else ()),
        )

    @property
    def is_switch(self) -> bool:
        """Whether the option alone means true."""
        return self._kinds - {"null"} == {BOOLEAN}

    def _metavar(self) -> str:
        kinds = self._kinds - {"null"}
        return _METAVARS.get(next(iter(kinds)), "JSON") if len(kinds) == 1 else "JSON"

    def value(self, text: str) -> object:
        """The JSON value that an option's text stands for.

        JSON of a kind that the input takes is that JSON. Anything else is the text itself, for the workflow to take or
        to refuse: there is one validator, and it is not here. What may be text is only read as JSON of another kind,
        so that the name `null` stays a name; but what may be anything is what it looks like.
        """
        if self._kinds <= {"string", "null"} and "string" in self._kinds:
            return text
        try:
            value = read_json(text)
        except MalformedBody:
            return text
        if (
            "string" not in self._kinds
            or self._kinds >= _ANYTHING
            or (value is not None and _kind(value) in self._kinds)
        ):
            return value
        return text


def kinds_of(schema: Mapping[str, object]) -> frozenset[str]:
    """The JSON types that a schema allows by name; empty when it does not say."""
    kind = schema.get("type")
    if isinstance(kind, str):
        return frozenset({kind})
    if isinstance(kind, list):
        return frozenset(map(str, kind))
    found: set[str] = set()
    for key in ("anyOf", "oneOf", "allOf"):
        members = schema.get(key)
        for member in members if isinstance(members, list) else ():
            if isinstance(member, dict):
                found |= kinds_of(member)
    return frozenset(found)


def _kind(value: object) -> str:
    for kind, name in ((bool, BOOLEAN), (int, "integer"), (str, "string"), (list, "array"), (dict, "object")):
        if isinstance(value, kind):
            return name
    return "null" if value is None else "number"


def _choices(schema: Mapping[str, object]) -> list[str]:
    """The words of an enum, in one alternative of an `anyOf` too."""
    members = schema.get("anyOf")
    for each in (schema, *(members if isinstance(members, list) else ())):
        words = each.get("enum") if isinstance(each, dict) else None
        if isinstance(words, list):
            return [word for word in words if isinstance(word, str)]
    return []


def _help(schema: Mapping[str, object], *, required: bool) -> str:
    notes = ["required"] if required else []
    if schema.get("default") is not None:
        default = schema["default"]
        notes.append(f"default: {default if isinstance(default, str) else write_json(default).decode()}")
    return " ".join(filter(None, (str(schema.get("description") or ""), f"[{'; '.join(notes)}]" if notes else "")))


def read_inputs(text: str) -> dict[str, object]:
    """The inputs object that `--inputs` gives: JSON text, `@FILE`, or `-` for standard input.

    Raises:
        typer.BadParameter: the file cannot be read.
        MalformedBody: this is not JSON, or not an object.
    """
    try:
        if text == "-":
            data = sys.stdin.buffer.read()
        elif text.startswith("@"):
            data = Path(text[1:]).read_bytes()
        else:
            data = text.encode()
    except OSError as error:
        raise typer.BadParameter(f"{text[1:]} cannot be read: {error.strerror}", param_hint="--inputs") from error
    try:
        inputs = read_json(data)
    except MalformedBody as error:
        raise MalformedBody("--inputs is not valid JSON") from error
    if not isinstance(inputs, dict):
        raise MalformedBody("--inputs must be a JSON object")
    return inputs
