"""`nexusd test`: runs workflow cases and says which did not end as expected."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final
from xml.etree import ElementTree as ET

from nexusd import app
from nexusd.channels.cli.case_runner import CaseRunner, Result
from nexusd.channels.cli.cases import read_cases
from nexusd.channels.cli.exits import CANNOT_CREATE, NO_INPUT
from nexusd.channels.cli.options import GLOBAL, Argument, Option
from nexusd.channels.cli.output import print_json, printable, write
from nexusd.channels.cli.problems import say, say_error
from nexusd.embedding.references import PythonDefinitions

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.channels.cli.options import Arguments

FAILED: Final = 1
PATH: Final = Argument(metavar="[PATH]", text="A file of cases, or a folder of *.yaml files [default: tests]")
TEST: Final = (
    Option(flag="--output", text="text or json [default: text]", choices=("text", "json")),
    Option(flag="--junit", text="Also write a JUnit report to this file", metavar="FILE"),
    *GLOBAL,
)


def test(arguments: Arguments) -> int:
    """Run workflow cases from files; exit 1 if any fails."""
    path = Path(arguments.word or "tests")
    files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
    if not files or not files[0].exists():
        say_error(f"{path}: no file of cases is there")
        return NO_INPUT
    loaded = app.load(arguments.settings(), PythonDefinitions())
    cases = read_cases(files, loaded.registry, loaded.plans)
    as_text = arguments.text("--output") != "json"
    results: list[Result] = []
    for result in CaseRunner(loaded).run(cases):
        results.append(result)
        if as_text:
            _write_result(result)
    failed = [result for result in results if result.differences]
    if not as_text:
        print_json({"cases": [_as_mapping(result) for result in results], "failed": len(failed)})
    report = arguments.text("--junit")
    if report is not None:
        try:
            Path(report).write_bytes(junit(results))
        except OSError as error:
            say_error(f"{report}: cannot be written: {error.strerror}")
            return CANNOT_CREATE
    say(f"{len(results)} case{'' if len(results) == 1 else 's'}, {len(failed)} failed")
    return FAILED if failed else 0


def _write_result(result: Result) -> None:
    write(f"{'FAILED' if result.differences else 'ok    '} {result.case.place} {printable(result.case.name)}")
    for difference in result.differences:
        write(f"       {printable(difference)}")


def _as_mapping(result: Result) -> dict[str, object]:
    return {
        "name": result.case.name,
        "place": result.case.place,
        "passed": not result.differences,
        "differences": list(result.differences),
        "duration_s": round(result.duration_s, 3),
    }


def junit(results: Sequence[Result]) -> bytes:
    """The results in the XML that CI servers read."""
    failures = sum(bool(result.differences) for result in results)
    suite = ET.Element("testsuite", name="nexusd", tests=str(len(results)), failures=str(failures))
    for result in results:
        file = result.case.place.rpartition(":")[0]
        case = ET.SubElement(
            suite, "testcase", classname=file, name=printable(result.case.name), time=f"{result.duration_s:.3f}"
        )
        if result.differences:
            failure = ET.SubElement(case, "failure", message=printable(result.differences[0]))
            failure.text = "\n".join(printable(difference) for difference in result.differences)
    return bytes(ET.tostring(suite, encoding="utf-8", xml_declaration=True))
