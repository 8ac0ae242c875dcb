from __future__ import annotations

import ast
import re
from typing import Final

from tests.support.tree import PACKAGE, ROOT, python_files, relative

EMPTY_WORDS: Final = re.compile(r"base|common|helpers?|managers?|misc|shared|utils?", re.IGNORECASE)


def test_server_is_a_folder_and_no_package() -> None:
    assert not (PACKAGE.parent / "__init__.py").exists()


def test_every_folder_of_the_package_is_a_package() -> None:
    folders = {path.parent for path in python_files(PACKAGE)}
    assert [relative(folder) for folder in sorted(folders) if not (folder / "__init__.py").exists()] == []


def test_inner_packages_hold_a_docstring_and_nothing_else() -> None:
    filled = []
    for path in PACKAGE.rglob("*/__init__.py"):
        module = ast.parse(path.read_text("utf-8"))
        if ast.get_docstring(module) is None or len(module.body) != 1:
            filled.append(relative(path))
    assert filled == []


def test_files_and_classes_are_named_for_what_they_are() -> None:
    empty = []
    for path in python_files(PACKAGE):
        classes = [n.name for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.ClassDef)]
        words = path.stem.split("_") + [word for name in classes for word in re.findall(r"[A-Z][a-z]+", name)]
        empty += [f"{relative(path)}: {word}" for word in words if EMPTY_WORDS.fullmatch(word)]
    assert empty == []


def test_unit_tests_mirror_the_package() -> None:
    unit = ROOT / "tests" / "unit"
    folders = {path.parent.relative_to(unit) for path in unit.rglob("test_*.py")}
    assert [str(folder) for folder in sorted(folders) if not (PACKAGE / folder).is_dir()] == []
