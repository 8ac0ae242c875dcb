from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nexusd.channels.cli.program import main
from tests.support.daemon import run_cli
from tests.support.migrations import rows

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = Path(__file__).parents[3] / "docs" / "migrations.md"
FENCE = re.compile(
    r"^## (?P<heading>[^\n]+)$|^```(?P<info>\S+)(?: (?P<file>\S+))?\n(?P<body>.*?)^```$", re.MULTILINE | re.DOTALL
)
EXIT = re.compile(r"\s+# exit (\d+)$")


def fences() -> Iterator[tuple[str, str, str, str]]:
    """Every fenced block: the heading above it, its language, its file and its text."""
    heading = ""
    for match in FENCE.finditer(PAGE.read_text()):
        if match["heading"]:
            heading = match["heading"]
        else:
            yield heading, match["info"], match["file"] or "", match["body"]


def run_console(body: str, capfd: pytest.CaptureFixture[str]) -> int:
    """Run the commands of a block in this process; how many there were."""
    blocks = re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]
    for block in blocks:
        line, *shown = block.rstrip("\n").split("\n")
        code = EXIT.search(line)
        words = EXIT.sub("", line).split()
        assert words[0] == "nexusd"
        ended = main(words[1:])
        output = "".join(capfd.readouterr())
        assert ended == (int(code[1]) if code else 0), (line, output)
        for expected in shown:
            assert expected in output.split("\n"), (line, output)
    return len(blocks)


def test_every_command_of_the_page_does_what_it_says(
    postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", postgres_url)
    commands = 0
    for heading, info, file, body in fences():
        if file == "old.sql":
            rows(postgres_url, "DROP SCHEMA public CASCADE")
            rows(postgres_url, "CREATE SCHEMA public")
            for statement in body.split(";\n"):
                rows(postgres_url, statement)
            for left in (tmp_path / "migrations").iterdir():
                left.unlink()
        elif info == "console":
            commands += run_console(body, capfd)
        else:
            assert file, heading
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(body)
    assert commands >= 20
    assert rows(postgres_url, "SELECT count(*) FROM contacts") == [(1,)]


@pytest.mark.parametrize("verb", ["plan", "apply", "status", "check", "baseline", "repair", "lint"])
def test_every_verb_works_on_a_file_of_sqlite(verb: str, sqlite_url: str, tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(
        "version: 1\nmodels:\n  A: {fields: {id: {type: str, primary_key: true}}}\n"
    )

    result = run_cli("migrate", verb, cwd=tmp_path, env={"DATABASE_URL": sqlite_url})

    assert result.returncode == (3 if verb in {"plan", "check"} else 0), result.stderr
    assert "Traceback" not in result.stderr
