"""PostgreSQL goes away under load, and comes back; or stays and does not answer."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.connections import pause
from tests.support.crashes import answering, environment, running
from tests.support.daemon import Daemon
from tests.support.history import Outcome, faults
from tests.support.proxy import Proxy
from tests.support.workload import CONTRACT, Connection, Load, journal_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.databases import StartPostgres
    from tests.support.postgres import PostgresServer, ShutdownMode

UNREADY_S: Final = 2.0
SERVED_S: Final = 1.0
"""How long after its return the database is used again by everybody."""

DEADLINE_S: Final = 0.5
LATE_S: Final = 0.1
SLACK_S: Final = 0.4
"""What a busy machine may add to a time that is measured from outside."""


@pytest.mark.timeout(120)
async def test_restarts_of_the_database_are_survived(
    tmp_path: Path, start_postgres: StartPostgres, free_port: Callable[[], int]
) -> None:
    server = await asyncio.to_thread(start_postgres, fsync=True)
    port = free_port()
    load = Load(port, keyed=8, unkeyed=6)
    async with running(Daemon(tmp_path, environment(tmp_path, server.url(), port))) as daemon:
        await answering(port)
        await load.begin()
        clients = load.start()
        back = [await restarted(load, server, mode) for mode in ("immediate", "fast")]
        load.stopping.set()
        await asyncio.gather(*clients)
        assert daemon.process.poll() is None

    attempts = load.history.attempts
    assert faults(attempts, *journal_of(server.url())) == []
    assert {attempt.code for attempt in attempts if attempt.outcome is not Outcome.OK} <= CONTRACT
    ends = [*back[1:], (float("inf"), 0.0)]
    late = [
        (attempt.op, attempt.code, round(attempt.t0 - started, 3))
        for (_, started), (stopped, _) in zip(back, ends, strict=True)
        for attempt in attempts
        if started + SERVED_S < attempt.t0 and attempt.t1 < stopped and attempt.outcome is not Outcome.OK
    ]
    assert late == []


async def restarted(load: Load, server: PostgresServer, mode: ShutdownMode) -> tuple[float, float]:
    """Stop the server under load and start it again; when each was."""
    await load.acknowledged(100)
    stopped = time.monotonic()
    await asyncio.to_thread(server.stop, mode)
    async with asyncio.timeout(UNREADY_S + SLACK_S):
        await state(load.port, 503)
    await asyncio.to_thread(server.start)
    started = time.monotonic()
    await state(load.port, 200)
    while time.monotonic() < started + SERVED_S:
        await load.acknowledged(1)
    await load.acknowledged(100)
    return stopped, started


async def state(port: int, wanted: int) -> None:
    """Wait until readiness is as wanted."""
    connection = Connection(port)
    while (await connection.get("/health/ready")).status != wanted:
        await pause(0.02)
    await connection.close()


async def test_every_request_ends_in_time_while_the_database_does_not_answer(
    tmp_path: Path, postgres_server: PostgresServer, free_port: Callable[[], int]
) -> None:
    port = free_port()
    load = Load(port, keyed=4, unkeyed=4)
    async with Proxy(postgres_server.port) as proxy:
        url = postgres_server.url().replace(f":{postgres_server.port}/", f":{proxy.port}/")
        env = environment(tmp_path, url, port) | {"NEXUSD_HTTP__REQUEST_TIMEOUT_S": str(DEADLINE_S)}
        async with running(Daemon(tmp_path, env)):
            await answering(port)
            await load.begin()
            clients = load.start()
            for _ in range(3):
                await load.acknowledged(50)
                proxy.forwarding.clear()
                await pause(2 * DEADLINE_S)
                proxy.forwarding.set()
            await load.acknowledged(50)
            load.stopping.set()
            await asyncio.gather(*clients)

    attempts = load.history.attempts
    assert faults(attempts, *journal_of(postgres_server.url())) == []
    assert {attempt.code for attempt in attempts if attempt.outcome is not Outcome.OK} <= CONTRACT
    assert max(attempt.t1 - attempt.t0 for attempt in attempts) <= DEADLINE_S + LATE_S + SLACK_S
    assert load.history.count(Outcome.OK) < len(attempts)
