"""The program as a process: what it imports, and how it ends."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from typing import TYPE_CHECKING, TypeAlias

import pytest

from nexusd import __version__
from tests.support.commands import Done
from tests.support.daemon import ROOT, clean_environment, run_cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Nexusd: TypeAlias = "Callable[..., Done]"
WAIT_S = 5.0
NOT_FOR_HELP = ("mcp", "psycopg", "asyncpg", "rich", "sqlite3")
NOT_FOR_QUICK_VERBS = (*NOT_FOR_HELP, "typer", "starlette", "uvicorn", "asyncio", "msgspec")


def imported(folder: Path, *arguments: str) -> set[str]:
    """The packages that a run of the command has imported when it ends."""
    script = (
        "import atexit, sys\n"
        "def tell(): print('|'.join({name.partition('.')[0] for name in sys.modules}), file=sys.stderr)\n"
        "atexit.register(tell)\n"
        "from nexusd.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        cwd=folder,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return set(done.stderr.splitlines()[-1].split("|"))


@pytest.mark.parametrize("arguments", [["--help"], ["run", "--help"], ["check", "--help"]], ids=str)
def test_help_imports_no_driver_and_no_mcp(tmp_path: Path, arguments: list[str]) -> None:
    assert imported(tmp_path, *arguments) & set(NOT_FOR_HELP) == set()


@pytest.mark.parametrize("arguments", [["version"], ["--version"], ["healthcheck", "--port", "1"]], ids=str)
def test_quick_verbs_import_next_to_nothing(tmp_path: Path, arguments: list[str]) -> None:
    assert imported(tmp_path, *arguments) & set(NOT_FOR_QUICK_VERBS) == set()


@pytest.mark.parametrize("arguments", [["version"], ["--version"]], ids=str)
def test_version_is_printed(tmp_path: Path, arguments: list[str]) -> None:
    assert run_cli(*arguments, cwd=tmp_path).stdout == f"nexusd {__version__}\n"


def test_version_behind_a_setting_is_printed_too(nexusd: Nexusd) -> None:
    assert nexusd("--config", "x.yaml", "--version") == Done(0, f"nexusd {__version__}\n", "")
    assert nexusd("--config", "x.yaml", "version") == Done(0, f"nexusd {__version__}\n", "")


def test_help_and_documentation_name_every_verb(nexusd: Nexusd) -> None:
    done = nexusd("--help")
    assert (done.exit_code, done.err) == (0, "")
    helped = re.findall(r"^  ([a-z]+) ", done.out.partition("Commands:")[2], re.MULTILINE)
    table = (ROOT / "docs" / "command-line.md").read_text(encoding="utf-8").partition("## Settings")[0]
    assert sorted(helped) == sorted(set(re.findall(r"^\| `nexusd ([a-z]+)", table, re.MULTILINE)))


@pytest.mark.parametrize("arguments", [[], ["serv"], ["--nope", "check"], ["check", "--output", "xml"]], ids=str)
def test_wrong_use_ends_with_two_and_an_empty_standard_output(nexusd: Nexusd, arguments: list[str]) -> None:
    done = nexusd(*arguments)
    assert (done.exit_code, done.out) == (2, "")


def test_no_answer_to_a_healthcheck_ends_with_one(nexusd: Nexusd) -> None:
    done = nexusd("--config", "missing.yaml", "healthcheck")
    assert (done.exit_code, done.err.startswith("missing.yaml:1:1: ")) == (78, True)
    assert nexusd("healthcheck", "--port", "1").exit_code == 1


def test_open_address_without_authentication_is_refused(nexusd: Nexusd) -> None:
    done = nexusd("serve", "--host", "0.0.0.0")
    assert (done.exit_code, done.out) == (78, "")
    assert "--host: binds an address that other machines reach" in done.err


def test_reader_that_leaves_is_no_error(tmp_path: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    done = subprocess.run(
        [sys.executable, "-m", "nexusd", "schema"],
        cwd=tmp_path,
        env=clean_environment(),
        stdout=write,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    os.close(write)
    assert (done.returncode, done.stderr) == (128 + signal.SIGPIPE, "")


@pytest.fixture
def _odd_registry(folder: Path) -> None:
    """A registry that names an object which cannot even be asked for its class."""
    odd = "class Odd:\n    __class__ = property(lambda self: {}['secret'])\nthing = Odd()\n"
    (folder / "config" / "odd.py").write_text(odd, encoding="utf-8")
    registry = 'version: 1\nworkflows:\n  odd: {from: "odd:thing"}\n'
    (folder / "config" / "registry.yaml").write_text(registry, encoding="utf-8")
    sys.modules.pop("odd", None)


@pytest.mark.usefixtures("_odd_registry")
def test_bug_is_told_in_a_line(nexusd: Nexusd) -> None:
    done = nexusd("check")
    assert (done.exit_code, done.out) == (70, "")
    assert done.err == "error: unexpected: KeyError\n  hint: --set server.log_level=debug shows where\n"


@pytest.mark.usefixtures("_odd_registry")
def test_bug_is_told_with_its_place_when_debugging(nexusd: Nexusd) -> None:
    done = nexusd("check", "--set", "server.log_level=debug")
    assert done.exit_code == 70
    assert "odd.py" in done.err
    assert done.err.endswith("error: unexpected: KeyError\n")


def test_completion_offers_verbs_and_options(tmp_path: Path) -> None:
    def complete(line: str) -> list[str]:
        words = {"_NEXUSD_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
        return run_cli(cwd=tmp_path, env=words).stdout.split()

    assert complete("nexusd wor") == ["workflows"]
    assert complete("nexusd check --out") == ["--output"]
    assert complete("nexusd check --output g") == ["github"]


def test_interrupt_ends_a_wait_for_the_database(folder: Path) -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        url = f"postgresql://postgres@127.0.0.1:{bound.getsockname()[1]}/nowhere"
        process = subprocess.Popen(
            [sys.executable, "-m", "nexusd", "run", "contact_list", "--database-url", url],
            cwd=folder,
            env=clean_environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stderr is not None
        assert process.stderr.readline().startswith("waiting: ")
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=WAIT_S)
    assert (process.returncode, out, err) == (130, "", "")
