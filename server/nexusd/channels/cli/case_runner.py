"""Runs cases: each on an empty SQLite database in memory, migrated as a start would."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nexusd import app
from nexusd.definitions.execution import Invocation, new_request_id
from nexusd.definitions.model import Operation
from nexusd.definitions.wire import read_json, write_json
from nexusd.definitions.workflow import Node, Workflow
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import NexusError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nexusd.channels.cli.cases import Case
    from nexusd.definitions.model import Model
    from nexusd.runtime import Runtime
    from nexusd.settings import Settings

_IN_MEMORY: Final = "sqlite:///:memory:"
_MAX_ROWS: Final = 1000
_SHOWN: Final = 200
"""Characters of a value that a difference repeats."""


@dataclass(frozen=True, slots=True)
class Result:
    """How a case ended; no differences: as expected."""

    case: Case
    differences: tuple[str, ...]
    duration_s: float


class CaseRunner:
    """Runs cases against the registry of some settings."""

    def __init__(self, loaded: app.Loaded) -> None:
        """Plan the registry's workflows, and one more for each model to write its rows and one to read them."""
        registry = loaded.registry
        reserved = {each.name: each for model in registry.models.values() for each in _row_workflows(model)}
        extended = replace(registry, workflows={**registry.workflows, **reserved})
        self._loaded = app.load(_in_memory(loaded.settings), PythonDefinitions(), extended)

    def run(self, cases: Sequence[Case]) -> Iterator[Result]:
        """Run one after the other."""
        with asyncio.Runner() as runner:
            for case in cases:
                started = time.perf_counter()
                differences = tuple(runner.run(self._differences(case)))
                yield Result(case, differences, time.perf_counter() - started)

    async def _differences(self, case: Case) -> list[str]:
        async with app.open_runtime(self._loaded) as runtime:
            try:
                for model, rows in case.given.items():
                    await _call(runtime, _writer(model), {"records": rows})
            except NexusError as error:
                return [f"given: {_told(error)}"]
            differences = await _run(runtime, case)
            for model, expected in (case.rows or {}).items():
                outputs = await _call(runtime, _reader(model), {})
                differences += _row_differences(model, expected, _records(outputs))
        return differences


def _in_memory(settings: Settings) -> Settings:
    return replace(settings, database=replace(settings.database, url=_IN_MEMORY, ddl_url="", auto_migrate="true"))


def _row_workflows(model: Model) -> tuple[Workflow, Workflow]:
    # A dot cannot stand in the name of a declared workflow, so these never take one's place.
    write = Node(id="rows", type=model.node_type(Operation.BULK_CREATE), params={"records": "{{records}}"})
    read = Node(id="rows", type=model.node_type(Operation.LIST), params={"limit": _MAX_ROWS})
    return (
        Workflow(name=_writer(model.name), nodes=(write,)),
        Workflow(name=_reader(model.name), nodes=(read,)),
    )


def _writer(model: str) -> str:
    return f"{model}.write"


def _reader(model: str) -> str:
    return f"{model}.read"


async def _call(runtime: Runtime, workflow: str, inputs: object) -> object:
    """The outputs as plain JSON values."""
    invocation = Invocation(workflow=workflow, inputs=write_json(inputs), channel="cli", request_id=new_request_id())
    execution = await runtime.execute(invocation)
    return read_json(write_json(execution.outputs))


async def _run(runtime: Runtime, case: Case) -> list[str]:
    try:
        outputs = await _call(runtime, case.workflow, case.inputs)
    except NexusError as error:
        return _error_differences(case, error)
    if case.error is not None:
        return [f"error: expected {case.error}, but the workflow completed"]
    return list(differences_of(case.outputs, outputs, "outputs")) if case.outputs is not None else []


def _error_differences(case: Case, error: NexusError) -> list[str]:
    if case.error != error.code.value:
        expected = f"expected {case.error}, got" if case.error is not None else "the workflow ended with"
        return [f"error: {expected} {_told(error)}"]
    found = sorted(fault.pointer for fault in error.faults)
    if case.pointers is not None and sorted(case.pointers) != found:
        return [f"pointers: expected {', '.join(sorted(case.pointers))}, got {', '.join(found) or 'none'}"]
    return []


def _told(error: NexusError) -> str:
    return f"{error.code.value}: {error.detail}"


def _records(outputs: object) -> list[object]:
    rows = outputs.get("rows") if isinstance(outputs, dict) else None
    records = rows.get("records") if isinstance(rows, dict) else None
    return records if isinstance(records, list) else []


def _row_differences(model: str, expected: Sequence[object], found: list[object]) -> Iterator[str]:
    """Each expected row must be another one of those there, and none may be left."""
    rest = list(found)
    for row in expected:
        match = next((each for each in rest if not any(differences_of(row, each, ""))), None)
        if match is None:
            yield f"rows.{model}: no row is {_shown(row)}"
        else:
            rest.remove(match)
    for row in rest:
        yield f"rows.{model}: {_shown(row)} was not expected"


def differences_of(expected: object, found: object, path: str) -> Iterator[str]:
    """Where `found` is not as expected: of an object the keys that are named, of a list every item."""
    if isinstance(expected, dict) and isinstance(found, dict):
        for key, value in expected.items():
            if key in found:
                yield from differences_of(value, found[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}: expected {_shown(value)}, but there is none"
    elif isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        for i, (value, item) in enumerate(zip(expected, found, strict=True)):
            yield from differences_of(value, item, f"{path}[{i}]")
    elif type(expected) is bool or type(found) is bool:
        if expected is not found:
            yield f"{path}: expected {_shown(expected)}, got {_shown(found)}"
    elif expected != found:
        yield f"{path}: expected {_shown(expected)}, got {_shown(found)}"


def _shown(value: object) -> str:
    text = write_json(value).decode()
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
