"""A daemon that is killed under load, at random moments and at the worst ones, and what its clients then find.

`CRASHES` in the environment says how many kills there are for each database, `CRASH_SEED` which.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import random
import signal
import sys
from typing import TYPE_CHECKING, Final

from tests.support.connections import pause
from tests.support.daemon import Daemon
from tests.support.history import Outcome, faults
from tests.support.workload import Connection, Load, journal_of, write_registry

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

CRASHES: Final = int(os.environ.get("CRASHES", "20"))
SEED: Final = int(os.environ.get("CRASH_SEED", "1"))
CLIENTS: Final = 12
ROUND_S: Final = 20.0
REPLAYS: Final = 40

# What was begun, was to be kept, is about to be, is; and is told to some.
MOMENTS: Final = {
    "postgresql": ("transaction.begun", "idempotency.recorded", "transaction.committing", "transaction.committed"),
    "sqlite": ("transaction.begun", "idempotency.recorded", "transaction.committing", "group.synced"),
}


async def crash(folder: Path, url: str, port: int) -> None:
    """Kill a daemon under load as often as is asked for, and reconcile what the clients saw with the database."""
    choose = random.Random(SEED)  # noqa: S311 - the same choices with the same seed
    env = environment(folder, url, port)
    load = Load(port, keyed=CLIENTS, seed=SEED)
    moments = itertools.cycle((*MOMENTS["sqlite" if url.startswith("sqlite") else "postgresql"], None, None))
    clients: list[asyncio.Task[None]] = []
    for moment in itertools.islice(moments, CRASHES):
        fault = {} if moment is None else {"NEXUSD_FAILPOINT": f"{moment}:kill@{choose.randrange(20, 200)}"}
        async with running(Daemon(folder, env | fault)) as daemon:
            if not clients:
                await answering(port)
                await load.begin()
                clients = load.start()
            if moment is None:
                async with asyncio.timeout(ROUND_S):
                    await load.acknowledged(choose.randrange(20, 200))
                daemon.process.send_signal(signal.SIGKILL)
            assert await asyncio.to_thread(daemon.process.wait, ROUND_S) == -signal.SIGKILL
    async with running(Daemon(folder, env)):
        load.stopping.set()
        async with asyncio.timeout(ROUND_S):
            await asyncio.gather(*clients)
        await replay(load, choose)

    journal, versions = journal_of(url)
    history = load.history
    done, cut_off = history.count(Outcome.OK), history.count(Outcome.UNKNOWN)
    sys.stdout.write(f"{CRASHES} kills, {done} acknowledged, {cut_off} cut off\n")
    assert faults(history.attempts, journal, versions) == []
    assert {attempt.code for attempt in history.attempts} <= {"", "idempotency_in_flight", "database_unavailable"}


async def cut_off(folder: Path, url: str, port: int) -> None:
    """Kill a daemon half-way through a run that no transaction holds: its key says that nobody knows, and runs nothing."""
    env = environment(folder, url, port)
    connection = Connection(port)
    inputs = {"row": "r", "mark": "m"}
    # The third node that ends: of the look whether it answers, of the row, of the line.
    async with running(Daemon(folder, env | {"NEXUSD_FAILPOINT": "node.finished:kill@3"})) as daemon:
        await answering(port)
        assert (await connection.ask("begin", {"row": "r"}, None)).status == 200
        assert (await connection.ask("loose", inputs, "k")).status == 0
        assert await asyncio.to_thread(daemon.process.wait, ROUND_S) == -signal.SIGKILL
    codes: list[str] = []
    async with running(Daemon(folder, env)):
        await answering(port)
        # PostgreSQL may need a moment to see that its client has gone.
        async with asyncio.timeout(ROUND_S):
            while not codes or codes[-1] == "idempotency_in_flight":
                codes.append((await connection.ask("loose", inputs, "k")).document["code"])
        codes.append((await connection.ask("loose", inputs | {"mark": "n"}, "k")).document["code"])
    await connection.close()
    assert codes[-2:] == ["unknown_outcome", "idempotency_mismatch"]
    assert [line.mark for line in journal_of(url)[0]] == ["m"]


@contextlib.asynccontextmanager
async def running(daemon: Daemon) -> AsyncIterator[Daemon]:
    """A daemon that is started, and ended in any case; the event loop goes on meanwhile."""
    await asyncio.to_thread(daemon.start)
    try:
        yield daemon
    finally:
        await asyncio.to_thread(daemon.stop)


def environment(folder: Path, url: str, port: int) -> dict[str, str]:
    """What a daemon of these tests is told."""
    return {
        "DATABASE_URL": url,
        "NEXUSD_HTTP__PORT": str(port),
        "NEXUSD_MCP__ENABLED": "false",
        "NEXUSD_REGISTRY__PATH": str(write_registry(folder)),
        "NEXUSD_SERVER__LOG_LEVEL": "warning",
    }


async def answering(port: int) -> None:
    """Wait until the daemon answers."""
    connection = Connection(port)
    async with asyncio.timeout(ROUND_S):
        while not (await connection.ask("read", {"row": "none"}, None)).status:
            await pause(0.01)
    await connection.close()


async def replay(load: Load, choose: random.Random) -> None:
    """Ask once more for some of what was done: the same answer, as a replay."""
    connection = Connection(load.port)
    done = [each for each in load.history.attempts if each.key is not None and each.outcome is Outcome.OK]
    for attempt in choose.sample(done, min(REPLAYS, len(done))):
        reply = await connection.ask(attempt.op, {"row": attempt.row, "mark": attempt.mark}, attempt.key)
        assert (reply.status, reply.replayed) == (200, True)
        assert reply.document == json.loads(attempt.answer)
    await connection.close()
