"""Runs cases: each in a transaction of its own that is rolled back, on tables that are empty before."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from nexusd import app, catalog
from nexusd.channels.cli.differences import differences_of, row_differences
from nexusd.definitions.execution import Invocation, new_request_id
from nexusd.definitions.model import Operation
from nexusd.definitions.wire import read_json, write_json
from nexusd.definitions.workflow import Node, Workflow
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import NexusError
from nexusd.events import ignore
from nexusd.planning.mocks import with_mocks
from nexusd.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
    from contextlib import AbstractAsyncContextManager

    from nexusd.channels.cli.cases import Case
    from nexusd.databases.database import Database
    from nexusd.definitions.model import Model

_MAX_ROWS: Final = 1000


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
        self._loaded = app.load(loaded.settings, PythonDefinitions(), extended)
        self._order = catalog.table_order(registry)

    def run(self, cases: Sequence[Case]) -> Iterator[Result]:
        """Run one after the other.

        Raises:
            NexusError: the database cannot be used.
        """
        with asyncio.Runner() as runner:
            results = self._results(cases)
            try:
                while (result := runner.run(_next(results))) is not None:
                    yield result
            finally:
                runner.run(_close(results))

    async def _results(self, cases: Sequence[Case]) -> AsyncGenerator[Result, None]:
        async with app.open_rehearsals(self._loaded) as rehearse:
            for case in cases:
                started = time.perf_counter()
                differences = tuple(await self._differences(case, rehearse))
                yield Result(case, differences, time.perf_counter() - started)

    async def _differences(
        self, case: Case, rehearse: Callable[[], AbstractAsyncContextManager[Database]]
    ) -> list[str]:
        differences: list[str] = []
        async with rehearse() as database:
            runtime = self._runtime(case, database)
            try:
                for model in sorted(case.given, key=self._order.index):
                    await _call(runtime, _writer(model), {"records": case.given[model]}, case)
            except NexusError as error:
                return [f"given: {_told(error)}"]
            differences += await _run(runtime, case)
            try:
                for model, expected in (case.rows or {}).items():
                    found = await _call(runtime, _reader(model), {}, case)
                    differences += row_differences(model, expected, _records(found))
            except NexusError as error:
                differences.append(f"rows: cannot be read: {_told(error)}")
        return differences

    def _runtime(self, case: Case, database: Database) -> Runtime:
        plans = self._loaded.plans
        mocked = {**plans, case.workflow: with_mocks(plans[case.workflow], case.mocks)}
        engine = catalog.engine(self._loaded.settings.executions.engine)
        return Runtime(mocked, engine, database, ignore, self._loaded.registry)


async def _next(results: AsyncGenerator[Result, None]) -> Result | None:
    return await anext(results, None)


async def _close(results: AsyncGenerator[Result, None]) -> None:
    await results.aclose()


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


async def _call(runtime: Runtime, workflow: str, inputs: object, case: Case) -> object:
    """The outputs as plain JSON values."""
    invocation = Invocation(
        workflow=workflow, inputs=write_json(inputs), channel="cli", request_id=new_request_id(), now=case.now
    )
    execution = await runtime.execute(invocation)
    return read_json(write_json(execution.outputs))


async def _run(runtime: Runtime, case: Case) -> list[str]:
    try:
        outputs = await _call(runtime, case.workflow, case.inputs, case)
    except NexusError as error:
        return _error_differences(case, error)
    if case.error is not None:
        return [f"error: expected {case.error}, but the workflow completed"]
    return list(differences_of(case.outputs, outputs, "outputs")) if case.outputs is not None else []


def _error_differences(case: Case, error: NexusError) -> list[str]:
    if case.error != error.code.value:
        expected = f"expected {case.error}, got" if case.error is not None else "the workflow ended with"
        return [f"error: {expected} {_told(error)}"]
    differences: list[str] = []
    found = sorted(fault.pointer for fault in error.faults)
    if case.pointers is not None and sorted(case.pointers) != found:
        differences.append(
            f"pointers: expected {', '.join(sorted(case.pointers)) or 'none'}, got {', '.join(found) or 'none'}"
        )
    if case.node is not None and case.node != error.node:
        differences.append(f"node: expected {case.node}, got {error.node or 'none'}")
    return differences


def _told(error: NexusError) -> str:
    return f"{error.code.value}: {error.detail}{f' (node {error.node})' if error.node else ''}"


def _records(outputs: object) -> list[object]:
    rows = outputs.get("rows") if isinstance(outputs, dict) else None
    records = rows.get("records") if isinstance(rows, dict) else None
    return records if isinstance(records, list) else []
