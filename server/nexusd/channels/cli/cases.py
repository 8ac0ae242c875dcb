"""Cases for `nexusd test`, read from YAML; every mistake at once, each with its place.

A case names a workflow, the rows that are there before (`given`), its inputs, what stands for some of its nodes
(`mocks`) and for the clock (`now`), and what is expected: outputs, or an error and the pointers of its faults, and the
rows that are there afterwards.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.definitions.entry import Entry
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.wire import check_value, normalise
from nexusd.documents import did_you_mean, read_document
from nexusd.errors import Code, ConfigurationError, Problem
from nexusd.planning.mocks import ERRORS, Mock, missing_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from nexusd.definitions.registry import Registry
    from nexusd.planning.plan import Plan

_CASE_KEYS: Final = ("name", "workflow", "given", "inputs", "mocks", "now", "expect")
_EXPECT_KEYS: Final = ("outputs", "error", "pointers", "node", "rows")
_MOCK_KEYS: Final = ("result", "error", "detail")
_NOW: Final = Field(name="now", type=FieldType.DATETIME)

Rows = dict[str, list[dict[str, object]]]
"""Rows by model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One run and what must come of it.

    Attributes:
        place: file and line, such as `tests/contacts.yaml:12`.
        mocks: what stands for nodes, by their ids.
        now: the start of the run; None: the clock's.
        error: the code that must come; None: the workflow must complete.
        pointers: of the error's faults, in any order; None: not looked at.
        node: which one must have failed; None: not looked at.
        rows: what the tables must hold afterwards, by model; None: not looked at.
    """

    place: str
    name: str
    workflow: str
    inputs: Mapping[str, object]
    given: Rows = field(default_factory=dict)
    mocks: Mapping[str, Mock] = field(default_factory=dict)
    now: str | None = None
    outputs: object = None
    error: str | None = None
    pointers: tuple[str, ...] | None = None
    node: str | None = None
    rows: Rows | None = None


def read_cases(paths: Iterable[Path], registry: Registry, plans: Mapping[str, Plan]) -> list[Case]:
    """The cases of these files, in their order.

    Raises:
        ConfigurationError: with every mistake in any of them.
    """
    problems: list[Problem] = []
    reader = _Reader(registry, plans)
    cases = [case for path in paths for case in reader.read_file(path, problems)]
    if problems:
        raise ConfigurationError(problems)
    return cases


class _Reader:
    def __init__(self, registry: Registry, plans: Mapping[str, Plan]) -> None:
        self._registry = registry
        self._plans = plans

    def read_file(self, path: Path, problems: list[Problem]) -> list[Case]:
        document = read_document(path)
        problems += document.problems
        if () not in document.places:
            if not document.problems:
                problems.append(Problem("the file is empty", "begin it with `cases:`", str(path), 1, 1))
            return []
        options = Entry(document, document.value, (), problems).options(("cases",), "a file of cases")
        if "cases" not in options:
            return []
        return [case for entry in options["cases"].elements("cases") if (case := self._case(entry)) is not None]

    def _case(self, entry: Entry) -> Case | None:
        options = entry.options(_CASE_KEYS, "a case")
        for key in ("name", "workflow", "expect"):
            if key not in options and isinstance(entry.value, dict):
                entry.wrong(f"the case has no {key}")
        if not {"name", "workflow", "expect"} <= options.keys():
            return None
        workflow = options["workflow"].text()
        plan = self._plans.get(workflow)
        if plan is None:
            options["workflow"].wrong(f"there is no workflow {workflow!r}", did_you_mean(workflow, self._plans))
        expect = _expectations(options["expect"])
        place = entry.document.places[entry.path]
        return Case(
            place=f"{place.file}:{place.line}",
            name=options["name"].text(),
            workflow=workflow,
            inputs=_values(options["inputs"]) if "inputs" in options else {},
            given=self._rows(options["given"]) if "given" in options else {},
            mocks=_mocks(options["mocks"], plan) if "mocks" in options else {},
            now=_now(options["now"]) if "now" in options else None,
            outputs=expect["outputs"].value if "outputs" in expect else None,
            error=expect["error"].word([code.value for code in Code], "an error") if "error" in expect else None,
            pointers=expect["pointers"].texts("pointers") if "pointers" in expect else None,
            node=expect["node"].text() if "node" in expect else None,
            rows=self._rows(expect["rows"]) if "rows" in expect else None,
        )

    def _rows(self, entry: Entry) -> Rows:
        models = self._registry.models
        rows: Rows = {}
        for name, item in entry.items("rows"):
            model = models.get(name)
            if model is None:
                entry.wrong_key(name, f"there is no model {name!r}", did_you_mean(name, models))
                continue
            found = [row.options(model.by_name, f"a row of {name}") for row in item.elements("rows")]
            rows[name] = [{column: each.value for column, each in row.items()} for row in found]
        return rows


def _expectations(entry: Entry) -> dict[str, Entry]:
    expect = entry.options(_EXPECT_KEYS, "expect")
    if not expect:
        entry.wrong("expects nothing", f"say one of {', '.join(_EXPECT_KEYS)}")
    if "error" in expect and "outputs" in expect:
        expect["outputs"].wrong("a run that ends with an error has no outputs")
    for key in ("pointers", "node"):
        if key in expect and "error" not in expect:
            expect[key].wrong(f"{key} belongs to an error; say which")
    return expect


def _values(entry: Entry) -> dict[str, object]:
    return {name: item.value for name, item in entry.items("this")}


def _mocks(entry: Entry, plan: Plan | None) -> dict[str, Mock]:
    mocks: dict[str, Mock] = {}
    for place, item in entry.items("mocks"):
        options = item.options(_MOCK_KEYS, "a mock")
        if ("result" in options) == ("error" in options):
            item.wrong("a mock gives a result or an error", "such as `charge: {result: {status: 200}}`")
            continue
        code = options["error"].word([code.value for code in ERRORS], "an error") if "error" in options else None
        detail = options["detail"].text() if "detail" in options else ""
        result = options["result"].value if "result" in options else None
        mocks[place] = Mock(result, None if code is None else Code(code), detail)
    for place in missing_nodes(plan, mocks) if plan is not None else ():
        known = [node.id for node in plan.workflow.nodes] if plan is not None else []
        entry.wrong_key(place, f"the workflow has no node {place!r}", did_you_mean(place, known))
    return mocks


def _now(entry: Entry) -> str | None:
    faults = check_value(_NOW, entry.value, "")
    if faults:
        entry.wrong(faults[0].detail, "such as 2026-03-01T12:00:00Z")
        return None
    return str(normalise(_NOW, entry.value))
