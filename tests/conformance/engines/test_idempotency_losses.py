"""Runs under an Idempotency-Key whose PostgreSQL connection is lost at the worst moment, or whose pooler changes it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import psycopg
import pytest

from nexusd.databases.database import Pooler, PoolOptions
from nexusd.errors import Overloaded, UnknownOutcome
from nexusd.events import IdempotencyRecorded, IdempotencyReplayed, PoolExhausted, TransactionReplayed
from tests.support.keyed import ENTRY, Processes, make_key_table, soon, told
from tests.support.nodes import create_tables
from tests.support.proxy import Proxy

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from nexusd.events import Event
    from tests.support.connections import OpenDatabase
    from tests.support.keyed import Process

SWALLOWED_S = 0.05


@pytest.fixture
async def processes(open_database: OpenDatabase, postgres_url: str) -> Processes:
    made = Processes(postgres_url, open_database)
    made.first = await made.start()
    await create_tables(made.first.database, [ENTRY])
    await make_key_table(made.first.database)
    return made


@pytest.fixture
async def proxy(postgres_url: str) -> AsyncIterator[Proxy]:
    async with Proxy(urlsplit(postgres_url).port or 0) as proxy:
        yield proxy


def through(proxy: Proxy, url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{parts.username}@127.0.0.1:{proxy.port}").geturl()


def once(act: Callable[[], None]) -> Callable[[Event], None]:
    """An observer that acts when the first answer is about to be committed."""
    acted: list[bool] = []

    def observe(event: Event) -> None:
        if isinstance(event, IdempotencyRecorded) and not acted:
            acted.append(True)
            act()

    return observe


def swallow(proxy: Proxy) -> None:
    """Let nothing of what the server answers come back, then reset all connections."""

    def restore() -> None:
        proxy.cut()
        proxy.answering = True

    proxy.answering = False
    asyncio.get_running_loop().call_later(SWALLOWED_S, restore)


def kill_all(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as session:
        session.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


def replays(process: Process) -> list[str]:
    return [event.reason for event in process.events if isinstance(event, TransactionReplayed)]


async def test_commit_whose_answer_was_lost_is_found(processes: Processes, proxy: Proxy, postgres_url: str) -> None:
    process = await processes.start(through(proxy, postgres_url), also=once(lambda: swallow(proxy)))
    execution = await soon(asyncio.create_task(process.execute("several", "k", name="a")))
    # It is this request's own first attempt that was kept: no replay.
    assert not execution.replayed
    assert not any(isinstance(event, IdempotencyReplayed) for event in process.events)
    assert replays(process) == ["lost"]
    assert (await processes.first.execute("several", "k", name="a")).id == execution.id
    assert len(await processes.names()) == 2


async def test_statement_whose_answer_was_lost_is_found(processes: Processes, proxy: Proxy, postgres_url: str) -> None:
    process = await processes.start(through(proxy, postgres_url))
    await process.execute("single", "warm", name="warm")
    swallow(proxy)
    execution = await soon(asyncio.create_task(process.execute("single", "k", name="a")))
    assert (execution.replayed, replays(process)) == (False, ["lost"])
    assert told(await processes.first.execute("single", "k", name="a")) == told(execution)
    assert await processes.names() == ["warm", "a"]


async def test_transaction_that_ended_before_its_commit_is_run_again(processes: Processes, postgres_url: str) -> None:
    process = await processes.start(also=once(lambda: kill_all(postgres_url)))
    execution = await soon(asyncio.create_task(process.execute("several", "k", name="a")))
    assert replays(process) == ["lost"]
    assert not execution.replayed
    assert len(await processes.names()) == 2


async def test_what_is_lost_again_and_again_has_an_unknown_outcome(processes: Processes, postgres_url: str) -> None:
    def observe(event: Event) -> None:
        if isinstance(event, IdempotencyRecorded):
            kill_all(postgres_url)

    process = await processes.start(also=observe)
    with pytest.raises(UnknownOutcome):
        await soon(asyncio.create_task(process.execute("several", "k", name="a")))
    assert replays(process) == ["lost", "lost"]
    # Whatever it was, the key says it now.
    await processes.first.execute("several", "k", name="a")
    assert len(await processes.names()) == 2


async def test_claim_whose_answer_was_lost_is_the_runs_own(
    processes: Processes, proxy: Proxy, postgres_url: str
) -> None:
    process = await processes.start(through(proxy, postgres_url))
    await process.execute("single", None, name="a")
    swallow(proxy)
    first = await soon(asyncio.create_task(process.execute("outside", "k")))
    assert process.calls == [first.id]
    assert (await processes.first.execute("outside", "k")).id == first.id


async def test_transaction_pooler_keeps_no_state(processes: Processes, postgres_url: str) -> None:
    process = await processes.start(options=PoolOptions(pooler=Pooler.TRANSACTION))
    for workflow in ("single", "several", "loose"):
        first = await process.execute(workflow, "k", name="a")
        again = await processes.first.execute(workflow, "k", name="a")
        assert (again.id, again.replayed) == (first.id, True)
    with psycopg.connect(postgres_url) as session:
        locks = session.execute("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'").fetchone()
    assert locks == (0,)


@pytest.mark.parametrize("workflow", ["single", "several", "loose"])
async def test_no_free_connection_is_waited_for_once(processes: Processes, events: list[Event], workflow: str) -> None:
    process = await processes.start(options=PoolOptions(pool_max=1, acquire_timeout_s=0.05))
    holding = asyncio.create_task(process.execute("held", "k", name="a"))
    await process.meeting.entered.acquire()
    with pytest.raises(Overloaded):
        await process.execute(workflow, "k", name="a")
    assert sum(isinstance(event, PoolExhausted) for event in events) == 1
    process.meeting.open.set()
    await soon(holding)
    assert not (await process.execute(workflow, "k", name="a")).replayed
