"""Resources as the registry declares them (docs/reference.md, section 7)."""

from __future__ import annotations

import mimetypes
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from nexusd.definitions.resource import Resource
from nexusd.definitions.text_template import check_names, read_text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.entry import Entry
    from nexusd.definitions.resource import UriTemplate

RESOURCE_KEYS: Final = ("name", "title", "description", "mime_type", "text", "file", "workflow")
CONTENT_KEYS: Final = ("text", "file", "workflow")

_MIME_TYPE: Final = re.compile(r"[\w.+-]+/[\w.+-]+(?:\s*;.*)?", re.ASCII)


def read_resource(template: UriTemplate, entry: Entry, folder: Path) -> Resource | None:
    """A resource; problems are noted in the entry.

    Args:
        template: where it is read.
        entry: its declaration.
        folder: where the paths of files begin.
    """
    options = entry.options(RESOURCE_KEYS, "a resource")
    if sum(key in options for key in CONTENT_KEYS) != 1:
        entry.wrong("a resource has one of text, file and workflow")
        return None
    text = read_text(options["text"]) if "text" in options else None
    if text is not None:
        check_names(options["text"], text, template.variables, "variable of the URI")
    file = options.get("file")
    if file is not None and template.variables:
        file.wrong("a file has one URI, without variables")
    return Resource(
        uri=template,
        name=options["name"].text() if "name" in options else template.text,
        title=options["title"].text() if "title" in options else "",
        description=options["description"].text() if "description" in options else "",
        mime_type=_mime_type(options),
        text=text,
        file=read_file(file, folder) if file is not None else None,
        workflow=options["workflow"].text() if "workflow" in options else None,
    )


def _mime_type(options: Mapping[str, Entry]) -> str:
    return read_mime_type(options, "application/json" if "workflow" in options else "text/plain")


def read_mime_type(options: Mapping[str, Entry], fallback: str) -> str:
    """The media type that is declared, else that of the file's name, else the fallback."""
    if "mime_type" in options:
        declared = options["mime_type"].text()
        if declared and not _MIME_TYPE.fullmatch(declared):
            options["mime_type"].wrong("must be a media type, such as text/markdown")
        return declared
    if "file" in options:
        return guess_mime_type(options["file"].text())
    return fallback


def guess_mime_type(file: str) -> str:
    """The media type that a file's name stands for."""
    return mimetypes.guess_type(file)[0] or "application/octet-stream"


def read_file(entry: Entry, folder: Path) -> Path | None:
    """A file below the folder of the registry's file."""
    name = entry.text()
    if not name or Path(name).is_absolute():
        entry.wrong("a file is a path relative to this one")
    elif not (folder / name).is_file():
        entry.wrong(f"there is no file {name!r} beside this one")
    else:
        return folder / name
    return None


def resource_schema(text: Mapping[str, object]) -> dict[str, object]:
    """The JSON Schema of one resource, for editors."""
    return {
        "type": "object",
        "properties": dict.fromkeys(RESOURCE_KEYS, text),
        "anyOf": [{"required": [key]} for key in CONTENT_KEYS],
        "additionalProperties": False,
    }
