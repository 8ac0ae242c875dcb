"""Cases for `nexusd test`, read from YAML; every mistake at once, each with its place.

A case names a workflow, the rows that are there before (`given`), its inputs, and what is expected: outputs, or an
error and the pointers of its faults, and the rows that are there afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.definitions.entry import Entry
from nexusd.documents import did_you_mean, read_document
from nexusd.errors import Code, ConfigurationError, Problem

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nexusd.definitions.registry import Registry

_CASE_KEYS: Final = ("name", "workflow", "given", "inputs", "expect")
_EXPECT_KEYS: Final = ("outputs", "error", "pointers", "rows")

Rows = dict[str, list[dict[str, object]]]
"""Rows by model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run and what must come of it.

    Attributes:
        place: file and line, such as `tests/contacts.yaml:12`.
        error: the code that must come; None: the workflow must complete.
        pointers: of the error's faults, in any order; None: not looked at.
        rows: what the tables must hold afterwards, by model; None: not looked at.
    """

    place: str
    name: str
    workflow: str
    inputs: Mapping[str, object]
    given: Rows = field(default_factory=dict)
    outputs: object = None
    error: str | None = None
    pointers: tuple[str, ...] | None = None
    rows: Rows | None = None


def read_cases(paths: Iterable[Path], registry: Registry) -> list[Case]:
    """The cases of these files, in their order.

    Raises:
        ConfigurationError: with every mistake in any of them.
    """
    problems: list[Problem] = []
    cases = [case for path in paths for case in _read_file(path, registry, problems)]
    if problems:
        raise ConfigurationError(problems)
    return cases


def _read_file(path: Path, registry: Registry, problems: list[Problem]) -> list[Case]:
    document = read_document(path)
    problems += document.problems
    if () not in document.places:
        if not document.problems:
            problems.append(Problem("the file is empty", "begin it with `cases:`", str(path), 1, 1))
        return []
    options = Entry(document, document.value, (), problems).options(("cases",), "a file of cases")
    if "cases" not in options:
        return []
    return [case for entry in options["cases"].elements("cases") if (case := _read_case(entry, registry)) is not None]


def _read_case(entry: Entry, registry: Registry) -> Case | None:
    options = entry.options(_CASE_KEYS, "a case")
    for key in ("name", "workflow", "expect"):
        if key not in options and isinstance(entry.value, dict):
            entry.wrong(f"the case has no {key}")
    if not {"name", "workflow", "expect"} <= options.keys():
        return None
    workflow = options["workflow"].text()
    if workflow not in registry.workflows:
        options["workflow"].wrong(f"there is no workflow {workflow!r}", did_you_mean(workflow, registry.workflows))
    expect = options["expect"].options(_EXPECT_KEYS, "expect")
    if not expect:
        options["expect"].wrong("expects nothing", f"say one of {', '.join(_EXPECT_KEYS)}")
    if "error" in expect and "outputs" in expect:
        expect["outputs"].wrong("a run that ends with an error has no outputs")
    if "pointers" in expect and "error" not in expect:
        expect["pointers"].wrong("pointers are those of an error; say which")
    place = entry.document.places[entry.path]
    return Case(
        place=f"{place.file}:{place.line}",
        name=options["name"].text(),
        workflow=workflow,
        inputs=_values(options["inputs"]) if "inputs" in options else {},
        given=_rows(options["given"], registry) if "given" in options else {},
        outputs=expect["outputs"].value if "outputs" in expect else None,
        error=expect["error"].word([code.value for code in Code], "an error") if "error" in expect else None,
        pointers=expect["pointers"].texts("pointers") if "pointers" in expect else None,
        rows=_rows(expect["rows"], registry) if "rows" in expect else None,
    )


def _values(entry: Entry) -> dict[str, object]:
    return {name: item.value for name, item in entry.items("this")}


def _rows(entry: Entry, registry: Registry) -> Rows:
    rows: Rows = {}
    for name, item in entry.items("rows"):
        model = registry.models.get(name)
        if model is None:
            entry.wrong_key(name, f"there is no model {name!r}", did_you_mean(name, registry.models))
            continue
        found = [row.options(model.by_name, f"a row of {name}") for row in item.elements("rows")]
        rows[name] = [{column: each.value for column, each in row.items()} for row in found]
    return rows
