from __future__ import annotations

from pathlib import Path

import pytest

from nexusd.documents import Document, did_you_mean, parse_document, read_document


def parsed(text: str) -> Document:
    document = Document("r.yaml")
    parse_document(document, text)
    return document


def problems(text: str) -> list[tuple[int, int, str]]:
    return [(p.line, p.column, p.message) for p in parsed(text).problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("on", "on"),
        ("yes", "yes"),
        ("2026-01-31", "2026-01-31"),
        ("12:30:45", "12:30:45"),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("12", 12),
        ("-0", 0),
        ("0o17", 15),
        ("017", 17),
        ("0x1F", 31),
        ("1e3", 1000.0),
        ("1.5", 1.5),
        ("1_000", "1_000"),
        ("'12'", "12"),
        ('"true"', "true"),
        ("Robert'); DROP TABLE x;--", "Robert'); DROP TABLE x;--"),
    ],
)
def test_a_plain_scalar_is_read_by_the_core_schema_of_yaml_1_2(text: str, value: object) -> None:
    document = parsed(f"a: {text}\n")

    assert document.problems == []
    assert document.value == {"a": value}
    assert type(document.value["a"]) is type(value)


def test_every_value_and_key_knows_its_place() -> None:
    document = parsed("a:\n  b: [1, two]\n")

    assert (document.keys["a", "b"].line, document.keys["a", "b"].column) == (2, 3)
    place = document.places["a", "b", 1]
    assert (place.line, place.column, place.length, place.source_line) == (2, 10, 3, "  b: [1, two]")


def test_a_key_that_stands_twice_is_a_problem_at_the_second_one() -> None:
    assert problems("a: 1\nb: 2\na: 3\n") == [(3, 1, "the key 'a' stands here twice")]
    assert parsed("a: 1\na: 3\n").value == {"a": 1}


def test_broken_yaml_is_one_problem_with_its_place() -> None:
    found = problems("a: [1, 2\nb: 3\n")

    assert len(found) == 1
    assert found[0][0] == 2
    assert found[0][2].startswith("not valid YAML: ")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n---\nb: 2\n", "only one document may stand in a file"),
        ("a: !!python/object/apply:os.system [ls]\n", "is not allowed here"),
        ("? [a, b]\n: 1\n", "a key must be a plain word"),
        ("a: .inf\n", "a number must be finite"),
    ],
    ids=["several", "tag", "key", "infinite"],
)
def test_what_is_no_configuration_is_refused(text: str, message: str) -> None:
    found = problems(text)

    assert len(found) == 1
    assert message in found[0][2]


def test_an_alias_bomb_is_refused_before_it_expands() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]

    messages = {message for _, _, message in problems("\n".join(lines))}

    assert messages == {"expands to more than 200000 values"}


def test_a_document_that_contains_itself_is_refused() -> None:
    assert {message for _, _, message in problems("a: &a [*a]\n")} == {"is nested more than 64 levels deep"}


def test_a_file_that_is_not_there_is_a_problem() -> None:
    document = read_document(Path("/nonexistent/r.yaml"), "r.yaml")

    assert [p.render() for p in document.problems] == ["r.yaml:1:1: cannot be read: No such file or directory"]


def test_a_file_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    (tmp_path / "r.yaml").write_bytes(b"a: 1\nb: \xff\n")

    document = read_document(tmp_path / "r.yaml", "r.yaml")

    assert [(p.line, p.message) for p in document.problems] == [(2, "is not UTF-8 text")]


def test_a_problem_shows_line_caret_and_hint() -> None:
    place = parsed("models:\n  Kontakt: {}\n").keys["models", "Kontakt"]

    assert place.problem("unknown", "did you mean 'Contact'?").render() == (
        "r.yaml:2:3: unknown\n    Kontakt: {}\n    ^^^^^^^\n  hint: did you mean 'Contact'?"
    )


def test_a_near_word_is_suggested_and_few_words_are_listed() -> None:
    assert did_you_mean("prot", ["port", "host"]) == "did you mean 'port'?"
    assert did_you_mean("zzz", ["port", "host"]) == "known: host, port"
    assert did_you_mean("zzz", [f"word{i}" for i in range(30)]) == ""
