"""The project speaks of itself alone: not of the machine it was made on, where packages come from, or who made it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.tree import project_files, relative

if TYPE_CHECKING:
    from pathlib import Path

# Each is written so that it does not match itself.
UNWANTED: Final = {
    "a package host": re.compile(r"\b(?:pypi|pythonhosted|npmjs|debian|crates|docker|ghcr|quay)\.(?:org|com|io)\b"),
    "an option that names one": re.compile(r"\b(?:extra[-])?index[-]url\b|\bfind[-]links\b|\btrusted[-]host\b"),
    "a path of one machine": re.compile(r"(?<![\w.~-])/(?:root|work|home/\w+)/"),
    "unfinished work": re.compile(r"\b(?:TO[D]O|FIX[M]E)\b"),
    "how the work is organised": re.compile(r"\b(?:CE[O]|sub-?[a]gents?|brief\.[m]d|the seed[']s)\b"),
}

DOCUMENT: Final = re.compile(r"(?<![\w./<{*-])[\w./-]+\.md\b")


def texts() -> list[tuple[Path, str]]:
    found = []
    for path in project_files():
        content = path.read_bytes()
        if b"\0" not in content:
            found.append((path, content.decode("utf-8")))
    return found


@pytest.mark.parametrize("what", UNWANTED)
def test_no_file_names(what: str) -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()}"
        for path, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if UNWANTED[what].search(line)
    ]
    assert found == []


def test_documents_that_are_mentioned_exist() -> None:
    files = project_files()
    names = {relative(path) for path in files} | {path.name for path in files}
    missing = [
        f"{relative(path)}: {mention}"
        for path, text in texts()
        for mention in sorted(set(DOCUMENT.findall(text)))
        if mention.removeprefix("./") not in names and not (path.parent / mention).is_file()
    ]
    assert missing == []
