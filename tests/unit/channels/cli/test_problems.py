from __future__ import annotations

import json

import pytest

from nexusd.channels.cli.problems import RemoteProblem, print_problems, tell
from nexusd.errors import (
    ConfigurationError,
    Fault,
    InternalError,
    InvalidInput,
    PortUnavailable,
    Problem,
    UniqueViolation,
)


def told(capfd: pytest.CaptureFixture[str]) -> str:
    captured = capfd.readouterr()
    assert captured.out == ""
    return captured.err


def test_faults_are_told_with_their_pointers(capfd: pytest.CaptureFixture[str]) -> None:
    error = InvalidInput("/inputs/a is required", faults=[Fault("/inputs/a", "required", "is required")])
    assert tell(error, None) == 65
    assert told(capfd) == "error: the inputs are not valid (invalid_input)\n  /inputs/a: is required\n"


def test_error_says_at_which_node_it_happened(capfd: pytest.CaptureFixture[str]) -> None:
    error = UniqueViolation("it exists already")
    error.node = "create"
    assert tell(error, "table") == 65
    assert told(capfd) == "error: it exists already (unique_violation)\n  at node create\n"


def test_json_form_is_the_problem_document(capfd: pytest.CaptureFixture[str]) -> None:
    assert tell(UniqueViolation("it exists already"), "json", "r1") == 65
    assert json.loads(told(capfd)) == {
        "type": "urn:nexusd:unique_violation",
        "title": "Unique violation",
        "status": 409,
        "detail": "it exists already",
        "code": "unique_violation",
        "errors": [],
        "request_id": "r1",
    }


def test_text_of_an_internal_error_is_hidden(capfd: pytest.CaptureFixture[str]) -> None:
    assert tell(InternalError("secret"), None, "r1") == 70
    text = told(capfd)
    assert "secret" not in text
    assert "request id: r1" in text


def test_startup_error_ends_with_its_own_exit_code(capfd: pytest.CaptureFixture[str]) -> None:
    assert tell(PortUnavailable("port 8000 is taken"), None) == 69
    assert told(capfd) == "error: port 8000 is taken\n"


PROBLEMS = ConfigurationError(
    [Problem("is wrong", "make it right", "a,b.yaml", 2, 3, "x: y", 1), Problem("HTTP_PORT: 100%\nmore")]
)


def test_configuration_problems_are_told_with_line_and_caret(capfd: pytest.CaptureFixture[str]) -> None:
    assert tell(PROBLEMS, None) == 78
    assert told(capfd) == (
        "HTTP_PORT: 100%\nmore\na,b.yaml:2:3: is wrong\n  x: y\n    ^\n  hint: make it right\nerror: 2 problems\n"
    )


def test_configuration_problems_in_json_are_listed(capfd: pytest.CaptureFixture[str]) -> None:
    assert tell(PROBLEMS, "json") == 78
    document = json.loads(told(capfd))
    assert (document["code"], document["detail"]) == ("configuration_error", "2 problems")
    assert [problem["line"] for problem in document["problems"]] == [0, 2]


def test_annotations_escape_what_would_end_them(capfd: pytest.CaptureFixture[str]) -> None:
    print_problems(PROBLEMS.problems, "github")
    assert capfd.readouterr().out == (
        "::error::HTTP_PORT: 100%25%0Amore\n::error file=a%2Cb.yaml,line=2,col=3::is wrong (make it right)\n"
    )


@pytest.mark.parametrize(
    ("document", "status", "exit_code"),
    [
        ({"code": "record_not_found", "detail": "none"}, 404, 66),
        ({"code": "invented_tomorrow", "detail": "none"}, 400, 65),
        ({"code": "invented_tomorrow", "detail": "none"}, 503, 70),
    ],
)
def test_a_servers_problem_ends_as_it_would_here(
    capfd: pytest.CaptureFixture[str], document: dict[str, object], status: int, exit_code: int
) -> None:
    assert tell(RemoteProblem(document, status), "json") == exit_code
    assert json.loads(told(capfd)) == document


def test_a_servers_text_cannot_steer_the_terminal(capfd: pytest.CaptureFixture[str]) -> None:
    tell(RemoteProblem({"code": "not_supported", "detail": "\x1b[2J", "errors": [{"pointer": "\x07"}]}, 422), None)
    assert told(capfd) == "error: \\x1b[2J (not_supported)\n  \\x07: \n"
