from __future__ import annotations

from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

import pytest

from nexusd.channels.cli.case_runner import Result
from nexusd.channels.cli.cases import Case
from nexusd.channels.cli.cases_command import junit
from nexusd.channels.cli.differences import differences_of

if TYPE_CHECKING:
    from collections.abc import Sequence

FOUND: Final = {"id": "x", "n": 1, "on": True, "tags": ["a", "b"], "deep": {"a": 1, "b": None}}


@pytest.mark.parametrize(
    ("expected", "differences"),
    [
        ({}, []),
        ({"n": 1, "deep": {"b": None}}, []),
        ({"n": 1.0}, []),
        ({"tags": ["a", "b"]}, []),
        ({"tags": ["a"]}, ['outputs.tags[1]: "b" was not expected']),
        ({"tags": ["a", "c"]}, ['outputs.tags[1]: expected "c", got "b"']),
        ({"n": "1"}, ['outputs.n: expected "1", got 1']),
        ({"n": True}, ["outputs.n: expected true, got 1"]),
        ({"on": 1}, ["outputs.on: expected 1, got true"]),
        ({"deep": {"c": None}}, ["outputs.deep.c: expected null, but there is none"]),
        (
            {"id": "y", "n": 2},
            ['outputs.id: expected "y", got "x"', "outputs.n: expected 2, got 1"],
        ),
        ([], [f"outputs: expected [], got {'{'}"]),
    ],
    ids=str,
)
def test_named_keys_and_whole_lists_are_compared(expected: object, differences: Sequence[str]) -> None:
    found = list(differences_of(expected, FOUND, "outputs"))
    assert [text[: len(start)] for text, start in zip(found, differences, strict=True)] == list(differences)


def test_report_names_what_failed() -> None:
    good = Case(place="a.yaml:3", name="good", workflow="w", inputs={})
    bad = Case(place="a.yaml:9", name="bad \x1b", workflow="w", inputs={})
    suite = ET.fromstring(junit([Result(good, (), 0.1), Result(bad, ("outputs.n: expected 1, got 2",), 0.2)]))  # noqa: S314
    assert (suite.get("tests"), suite.get("failures")) == ("2", "1")
    assert [(case.get("classname"), case.get("name"), len(case)) for case in suite] == [
        ("a.yaml", "good", 0),
        ("a.yaml", "bad \\x1b", 1),
    ]
    assert [each.get("message") for each in suite.iter("failure")] == ["outputs.n: expected 1, got 2"]
