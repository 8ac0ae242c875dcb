"""What the command line prints: a payload to standard output, as JSON or as a table."""

from __future__ import annotations

import sys
import unicodedata
from typing import TYPE_CHECKING

import msgspec

from nexusd.definitions.wire import read_json, write_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


def write(text: str) -> None:
    """Write a payload and a line ending; UTF-8 whatever the locale says, as JSON must be."""
    sys.stdout.flush()
    sys.stdout.buffer.write(text.encode("utf-8", "replace") + b"\n")
    sys.stdout.buffer.flush()


def chosen_form(given: str | None) -> str:
    """`json` or `table`: what was asked for, else a table for people and JSON for programs."""
    return given or ("table" if sys.stdout.isatty() else "json")


def print_json(value: object) -> None:
    """A value as indented JSON."""
    write(as_json(value))


def as_json(value: object) -> str:
    """A value as indented JSON text."""
    return msgspec.json.format(write_json(value), indent=2).decode()


def print_table(rows: Sequence[Mapping[str, object]], columns: Iterable[str]) -> None:
    """Rows under headings, each column as wide as its widest cell."""
    names = list(columns)
    lines = [[name.upper() for name in names], *([_cell(row.get(name)) for name in names] for row in rows)]
    widths = [max(_width(line[i]) for line in lines) for i in range(len(names))]
    for line in lines:
        padded = [cell + " " * (width - _width(cell)) for cell, width in zip(line, widths, strict=True)]
        write("  ".join(padded).rstrip())


def print_outputs(outputs: Mapping[str, object], form: str) -> None:
    """A run's outputs: the object itself, or for people a table for each output."""
    if form == "json":
        print_json(outputs)
        return
    # Outputs may hold JSON text as it came from the database; reading it back shows what is in it.
    plain = read_json(write_json(outputs))
    for name, value in plain.items() if isinstance(plain, dict) else ():
        write(f"{printable(name)}:")
        records = value.get("records") if isinstance(value, dict) else value
        if isinstance(records, list) and records and all(isinstance(record, dict) for record in records):
            print_table(records, dict.fromkeys(key for record in records for key in record))
        elif isinstance(value, dict):
            print_table([{"field": key, "value": item} for key, item in value.items()], ("field", "value"))
        else:
            write(_cell(value))


def printable(text: str) -> str:
    """Text without control characters: they could rewrite a terminal, or break a row of a table."""
    return "".join(c if unicodedata.category(c)[0] != "C" else repr(c)[1:-1] for c in text)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return printable(value if isinstance(value, str) else write_json(value).decode())


def _width(text: str) -> int:
    """Columns on a terminal: two for East Asian wide characters, none for combining ones."""
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)
