"""What an Idempotency-Key promises, on each database, to requests that come to one process or to several."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

import msgspec
import pytest
from msgspec.structs import replace

from nexusd.databases.database import Dialect
from nexusd.definitions.principal import ANONYMOUS
from nexusd.engines.keyed_requests import purge_keys
from nexusd.engines.liveness import identity
from nexusd.errors import (
    BadRequest,
    DeadlineExceeded,
    IdempotencyInFlight,
    IdempotencyMismatch,
    InvalidInput,
    NexusError,
    UnknownOutcome,
)
from nexusd.events import ExecutionFinished, IdempotencyRefused, IdempotencyReplayed
from tests.support.connections import run
from tests.support.keyed import soon, told

if TYPE_CHECKING:
    from tests.support.keyed import Process, Processes

WORKFLOWS = ["single", "several", "loose"]


@pytest.mark.parametrize("workflow", WORKFLOWS)
async def test_second_request_gets_the_answer_of_the_first(processes: Processes, workflow: str) -> None:
    other = await processes.start()

    first = await processes.first.execute(workflow, "k", name="a", data={"x": [1, None, "ü"]})
    again = [
        await each.execute(workflow, "k", data={"x": [1, None, "ü"]}, name="a") for each in (processes.first, other)
    ]

    assert [told(execution) for execution in again] == [told(first)] * 2
    texts = {msgspec.json.encode(execution.outputs) for execution in (first, *again)}
    assert len(texts) == 1, "the same to the byte"
    assert [first.replayed, *(execution.replayed for execution in again)] == [False, True, True]
    assert len(await processes.names()) == (2 if workflow == "several" else 1)
    assert await processes.kept() == 1
    events = [event for event in processes.first.events if isinstance(event, ExecutionFinished | IdempotencyReplayed)]
    assert [event.execution_id for event in events] == [first.id, first.id]
    assert [record.id for record in other.runtime.history.newest_first(ANONYMOUS)] == []


async def test_how_the_inputs_are_written_does_not_matter(processes: Processes) -> None:
    process = processes.first
    bodies = [
        b'{"name": "a", "data": {"x": 1, "y": [0.5, 100, 0]}}',
        b'{ "data":{"y":[5e-1,1.0e2,-0.0],"x":1.000}, "name":"a"}',
        b'{"name": "b", "name": "\\u0061", "data": {"x": 10e-1, "y": [0.50, 1E+2, 0]}}',
    ]
    invocations = [replace(process.invocation("single", "k"), inputs=body) for body in bodies]
    executions = [await process.runtime.execute(invocation) for invocation in invocations]
    assert {execution.id for execution in executions} == {executions[0].id}
    for data in ({"x": 1, "y": [0.5, 100]}, {"x": "1", "y": [0.5, 100, 0]}, {"x": True, "y": [0.5, 100, 0]}, None):
        with pytest.raises(IdempotencyMismatch):
            await process.execute("single", "k", name="a", data=data)
    assert await processes.names() == ["a"]


@pytest.mark.parametrize("workflow", WORKFLOWS)
async def test_other_inputs_under_the_key_are_refused(processes: Processes, workflow: str) -> None:
    await processes.first.execute(workflow, "k", name="a")
    before = len(await processes.names())
    with pytest.raises(IdempotencyMismatch) as refusal:
        await processes.first.execute(workflow, "k", name="b")
    assert refusal.value.execution_id is None
    assert len(await processes.names()) == before
    refusals = [event for event in processes.first.events if isinstance(event, IdempotencyRefused)]
    assert [event.result for event in refusals] == ["mismatch"]


async def test_callers_and_workflows_have_keys_of_their_own(processes: Processes) -> None:
    process = processes.first
    executions = [
        await process.execute("single", "k", name="a"),
        await process.execute("single", "k", who="key:ci", name="a"),
        await process.execute("several", "k", name="a"),
        await process.execute("single", "K", name="a"),
    ]
    assert len({execution.id for execution in executions}) == 4
    assert not any(execution.replayed for execution in executions)


@pytest.mark.parametrize("workflow", ["held", "loose_held"])
async def test_key_whose_run_is_going_on_is_in_flight(processes: Processes, workflow: str) -> None:
    process, other = processes.first, await processes.start()
    first = asyncio.create_task(process.execute(workflow, "k", name="a"))
    await process.meeting.entered.acquire()

    with pytest.raises(IdempotencyInFlight):
        await process.execute(workflow, "k", name="a")
    # Nothing is kept yet that other inputs could differ from.
    with pytest.raises(IdempotencyInFlight):
        await process.execute(workflow, "k", name="b")
    waiting = asyncio.create_task(other.execute(workflow, "k", name="a"))
    if workflow == "loose_held" or process.database.dialect is Dialect.POSTGRESQL:
        with pytest.raises(IdempotencyInFlight):
            await waiting
    process.meeting.open.set()
    other.meeting.open.set()
    answer = told(await soon(first))

    # SQLite has one writer at a time: whoever comes meanwhile waits for it, and then finds the answer.
    if not waiting.done():
        assert told(await soon(waiting)) == answer
    assert told(await other.execute(workflow, "k", name="a")) == answer
    assert await processes.names() == ["a"]


@pytest.mark.parametrize("workflow", WORKFLOWS)
async def test_failure_is_not_kept(processes: Processes, workflow: str) -> None:
    process = processes.first
    with pytest.raises(InvalidInput):
        await process.execute(workflow, "k", name="a", unknown=1)
    assert await processes.kept() == 0
    done = await process.execute(workflow, "k", name="a")
    assert not done.replayed


async def test_failed_run_can_be_repeated(processes: Processes) -> None:
    process = processes.first
    await run(process.database, "ALTER TABLE entries RENAME TO away", writes=True)
    for workflow in WORKFLOWS:
        with pytest.raises(NexusError):
            await process.execute(workflow, "k", name="a")
    await run(process.database, "ALTER TABLE away RENAME TO entries", writes=True)
    assert await processes.kept() == 0
    for workflow in WORKFLOWS:
        assert not (await process.execute(workflow, "k", name="a")).replayed


async def test_dry_run_neither_uses_nor_keeps_the_key(processes: Processes) -> None:
    process = processes.first
    for _ in range(2):
        assert not (await process.execute("single", "k", name="a", dry_run=True)).replayed
    assert (await processes.names(), await processes.kept()) == ([], 0)
    first = await process.execute("single", "k", name="a")
    assert (await process.execute("single", "k", name="b", dry_run=True)).id != first.id


async def test_answer_of_a_read_is_kept_too(processes: Processes) -> None:
    process = processes.first
    before = await process.execute("listing", "k")
    await process.execute("single", None, name="a")
    assert told(await process.execute("listing", "k")) == told(before)


async def test_call_outside_is_made_once(processes: Processes) -> None:
    process = processes.first
    first = await process.execute("outside", "k")
    assert told(await process.execute("outside", "k")) == told(first)
    assert process.calls == [first.id]


async def test_asynchronous_requests_under_one_key_are_one_execution(processes: Processes) -> None:
    process = processes.first
    first, began = await process.runtime.start(process.invocation("held", "k", name="a"))
    await process.meeting.entered.acquire()
    again, replayed = await process.runtime.start(process.invocation("held", "k", name="a"))
    process.meeting.open.set()
    assert first.task is not None
    await soon(first.task)
    late, found = await process.runtime.start(process.invocation("held", "k", name="a"))
    assert (first, first, began, replayed, found) == (again, late, False, True, True)
    answer = await process.execute("held", "k", name="a")
    assert (answer.id, json.loads(first.outputs or b"")) == (first.id, told(answer)[1])

    # Another process, or this one after a restart, does not remember the run but has its answer.
    other = await processes.start()
    record, found = await other.runtime.start(other.invocation("held", "k", name="a"))
    assert (record.id, record.status, record.outputs, found) == (first.id, "completed", first.outputs, True)
    assert record.started_at[:22] == first.started_at[:22]
    assert await processes.names() == ["a"]


async def test_asynchronous_request_under_a_key_in_use_is_refused(processes: Processes) -> None:
    process = processes.first
    await process.execute("single", "k", name="a")
    with pytest.raises(IdempotencyMismatch):
        await process.runtime.start(process.invocation("single", "k", name="b"))
    first = asyncio.create_task(process.execute("held", "k", name="a"))
    await process.meeting.entered.acquire()
    with pytest.raises(IdempotencyInFlight):
        await process.runtime.start(process.invocation("held", "k", name="a"))
    process.meeting.open.set()
    await soon(first)


async def test_key_that_is_over_is_used_anew_and_removed(processes: Processes) -> None:
    process = processes.first
    past = (
        "now() - interval '1 second'" if process.database.dialect is Dialect.POSTGRESQL else "strftime('%s', 'now') - 1"
    )
    executions = []
    for workflow in WORKFLOWS:
        executions.append(await process.execute(workflow, "k", name="a"))
        await processes.rows(f"UPDATE _nexusd_idempotency SET expires_at = {past} RETURNING key")
        executions.append(await process.execute(workflow, "k", name="b"))
    assert len({execution.id for execution in executions}) == 6
    assert await processes.kept() == 3
    await purge_keys(process.database)
    assert await processes.kept() == 1
    await processes.rows(f"UPDATE _nexusd_idempotency SET expires_at = {past} RETURNING key")
    await purge_keys(process.database)
    assert await processes.kept() == 0


async def test_claim_of_a_run_that_was_cut_off_says_so(processes: Processes) -> None:
    process = processes.first
    begun = asyncio.create_task(process.execute("loose_held", "k", name="a"))
    await process.meeting.entered.acquire()
    begun.cancel()
    await asyncio.wait([begun])
    now = "now()" if process.database.dialect is Dialect.POSTGRESQL else "strftime('%s', 'now')"
    # Its time is not over yet, so another process would still be at it.
    with pytest.raises(IdempotencyInFlight):
        await process.execute("loose_held", "k", name="a")
    await processes.rows(f"UPDATE _nexusd_idempotency SET until = {now} RETURNING key")
    with pytest.raises(UnknownOutcome) as told_:
        await process.execute("loose_held", "k", name="a")
    assert told_.value.execution_id is not None
    with pytest.raises(IdempotencyMismatch):
        await process.execute("loose_held", "k", name="b")
    with pytest.raises(UnknownOutcome):
        await process.runtime.start(process.invocation("loose_held", "k", name="a"))
    assert await processes.names() == ["a"]


async def test_claim_of_a_process_that_is_gone_says_so_at_once(processes: Processes) -> None:
    process = processes.first
    begun = asyncio.create_task(process.execute("loose_held", "k", name="a"))
    await process.meeting.entered.acquire()
    gone = await asyncio.create_subprocess_exec(sys.executable, "-c", "")
    await gone.wait()
    name = f"{gone.pid} 1 {identity().rpartition(' ')[2]}"
    if process.database.dialect is Dialect.POSTGRESQL:
        name = "1 2026-01-01 00:00:00+00"
    await processes.rows("UPDATE _nexusd_idempotency SET holder = ? RETURNING key", name)
    other = await processes.start()
    with pytest.raises(UnknownOutcome):
        await other.execute("loose_held", "k", name="a")
    process.meeting.open.set()
    first = told(await soon(begun))
    # It was there all the same, and has kept its answer.
    assert told(await other.execute("loose_held", "k", name="a")) == first


@pytest.mark.parametrize("text", ["", " ", "a b", "\n", "é", "k" * 256])
async def test_what_is_no_key_is_refused(processes: Processes, text: str) -> None:
    with pytest.raises(BadRequest):
        await processes.first.execute("single", text, name="a")
    assert await processes.names() == []


async def test_deadline_ends_a_keyed_run_and_keeps_nothing(processes: Processes) -> None:
    process = processes.first
    invocation = process.invocation("held", "k", name="a")
    with pytest.raises(DeadlineExceeded):
        await process.runtime.execute(replace(invocation, deadline=asyncio.get_running_loop().time() + 0.1))
    assert (await processes.names(), await processes.kept()) == ([], 0)
    process.meeting.open.set()
    assert not (await soon(asyncio.create_task(process.execute("held", "k", name="a")))).replayed


async def test_many_at_once_have_one_effect(processes: Processes) -> None:
    members = [processes.first, await processes.start(), await processes.start()]

    async def ask(process: Process) -> tuple[str, object, float]:
        while True:
            try:
                return told(await process.execute("single", "k", name="a"))
            except IdempotencyInFlight:
                await asyncio.sleep(0.005)  # without a pause, the threads that write would hardly get to run

    answers = await asyncio.gather(*(ask(process) for process in members * 10))
    assert [answer for answer in answers if answer != answers[0]] == []
    assert await processes.names() == ["a"]
