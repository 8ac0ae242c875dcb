from __future__ import annotations

import pytest

from nexusd.channels.cli.line import LineError, read_line, spell_out
from nexusd.channels.cli.options import Option

FIXED = {
    option.flag: option
    for option in (
        Option(flag="--server", text=""),
        Option(flag="--set", text="", kind=list),
        Option(flag="--output", text=""),
        Option(flag="--dry-run", text="", kind=bool),
    )
}
EARLY = ("--server", "--set")


def given(*words: str) -> tuple[str | None, list[str], dict[str, list[str]]]:
    line = read_line(words, FIXED, EARLY)
    return line.workflow, line.words, line.given


def test_first_plain_word_is_the_workflow() -> None:
    assert given("create", "--email", "a@b.c") == ("create", ["--email", "a@b.c"], {})


def test_shared_options_may_stand_before_the_workflow() -> None:
    words = ["--server", "http://x", "create", "--dry-run", "--email", "a"]
    expected = ["--server", "http://x", "--dry-run", "--email", "a"]
    assert given(*words) == ("create", expected, {"--server": ["http://x"]})


@pytest.mark.parametrize("words", [["--server", "u"], ["--server=u"]])
def test_shared_options_are_found_behind_options_of_the_workflow(words: list[str]) -> None:
    assert given("create", "--email", "a", *words, "--name", "b")[2] == {"--server": ["u"]}


def test_repeated_options_are_all_kept() -> None:
    assert given("--set", "a.b=1", "create", "--set=c.d=2")[2] == {"--set": ["a.b=1", "c.d=2"]}


def test_value_that_looks_like_a_shared_option_is_not_taken_for_one() -> None:
    with pytest.raises(LineError, match="--note=VALUE"):
        given("create", "--note", "--server=http://elsewhere")


def test_attached_value_that_looks_like_a_shared_option_is_a_value() -> None:
    assert given("create", "--note=--server=http://elsewhere")[2] == {}


def test_shared_option_behind_a_switch_needs_the_switch_spelled_out() -> None:
    with pytest.raises(LineError, match="put --server before --active"):
        given("create", "--active", "--server", "u")
    assert given("create", "--active=true", "--server", "u")[2] == {"--server": ["u"]}


def test_harmless_option_may_follow_a_switch() -> None:
    words = ["--active", "--output", "json"]
    assert given("create", *words) == ("create", words, {"--output": ["json"]})


def test_negative_number_is_a_value() -> None:
    assert given("create", "--score", "-5", "--server", "u")[2] == {"--server": ["u"]}


def test_unknown_option_before_the_workflow_is_refused() -> None:
    with pytest.raises(LineError, match="follow its name"):
        given("--email", "a", "create")


def test_nothing_behind_two_dashes_is_an_option() -> None:
    assert given("create", "--", "--server", "u") == ("create", ["--", "--server", "u"], {})


def test_help_without_a_workflow_is_noted() -> None:
    assert read_line(["--help"], FIXED, EARLY).asks_help


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--active"], ["--active=true"]),
        (["--no-active"], ["--active=false"]),
        (["--active", "false"], ["--active=false"]),
        (["--active=maybe"], ["--active=maybe"]),
        (["--active", "--name", "x"], ["--active=true", "--name", "x"]),
        (["--name", "--active"], ["--name", "--active"]),
        (["--company_id", "a_b"], ["--company-id", "a_b"]),
        (["--company_id=a_b"], ["--company-id=a_b"]),
        (["--un_known", "x"], ["--un_known", "x"]),
        (["--name"], ["--name"]),
        (["--", "--active"], ["--", "--active"]),
    ],
)
def test_options_are_spelled_as_declared(words: list[str], expected: list[str]) -> None:
    assert spell_out(words, {"--active"}, {"--name", "--company-id"}) == expected


def test_input_that_begins_with_no_is_not_a_negation() -> None:
    assert spell_out(["--no-show"], {"--show", "--no-show"}, set()) == ["--no-show=true"]
