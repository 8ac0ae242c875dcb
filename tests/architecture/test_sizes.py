"""How large a file, a class and a function may be.

How complex a function may be, and how many arguments it may take, ruff says (C901, PLR09); that nobody switches those
rules off for a line is checked here.
"""

from __future__ import annotations

import ast
import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.tree import PACKAGE, ROOT, python_files, relative

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILE_LINES: Final = 400
CLASS_LINES: Final = 250
CLASS_METHODS: Final = 15
FUNCTION_LINES: Final = 60
FUNCTION_LINES_P90: Final = 35

EXCEPTIONS: Final[dict[str, str]] = {
    "server/nexusd/errors.py": "one tree, seen whole",
    "server/nexusd/events.py": "one list of everything that can be observed",
}
"""What may be larger, as `path`, `path::Class` or `path::function`, and why."""

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


def definitions(path: Path) -> list[Definition]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, Definition)]


def lines(node: Definition) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def too_large(path: Path) -> Iterator[tuple[str, str]]:
    """What is above a limit in a file: its key in EXCEPTIONS, and what is wrong with it."""
    text = path.read_text(encoding="utf-8")
    length = text.count("\n")
    if length > FILE_LINES:
        yield relative(path), f"{length} lines"
    if re.search(r"# noq[a]:.*\b(?:C901|PLR09\d\d)\b", text):
        yield relative(path), "a rule about size is switched off for a line"
    for node in definitions(path):
        key = f"{relative(path)}::{node.name}"
        if isinstance(node, ast.ClassDef):
            methods = sum(isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) for child in node.body)
            if lines(node) > CLASS_LINES:
                yield key, f"{lines(node)} lines"
            if methods > CLASS_METHODS:
                yield key, f"{methods} methods"
        elif lines(node) > FUNCTION_LINES:
            yield key, f"{lines(node)} lines"


def test_nothing_is_larger_than_its_limit() -> None:
    found = [item for folder in (PACKAGE, ROOT / "tests") for path in python_files(folder) for item in too_large(path)]
    assert [(key, what) for key, what in found if key not in EXCEPTIONS] == []
    assert set(EXCEPTIONS) - {key for key, _ in found} == set(), "no longer an exception"


@pytest.mark.parametrize("folder", [PACKAGE, ROOT / "tests"], ids=relative)
def test_nine_functions_of_ten_are_short(folder: Path) -> None:
    lengths = sorted(
        lines(node) for path in python_files(folder) for node in definitions(path) if not isinstance(node, ast.ClassDef)
    )
    assert lengths[len(lengths) * 9 // 10] <= FUNCTION_LINES_P90
