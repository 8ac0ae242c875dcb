"""What an Idempotency-Key costs: creates with and without one, and replays; CPU µs of this process and of the server.

Run with `python -m tests.benchmarks.idempotency [URL]`; without a URL of a PostgreSQL database only SQLite is measured.
Contenders alternate; compare medians of one run.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg
import uvloop

from nexusd.databases.database import PoolOptions
from nexusd.databases.postgresql import PostgresqlDatabase
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.events import ignore
from tests.support.keyed import ENTRY, Process, Processes, make_key_table
from tests.support.nodes import create_tables

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexusd.databases.database import Database

ROUNDS: Final = 10
CALLS: Final = 300
CALLERS: Final = 8

_numbers = itertools.count()


async def measure(url: str) -> None:
    """Print the figures for one database."""

    async def open_database(url: str, options: PoolOptions | None = None) -> Database:
        options = options or PoolOptions()
        database: Database
        if url.startswith("sqlite:///"):
            database = SqliteDatabase(url.removeprefix("sqlite:///"), options=options, observe=ignore)
        else:
            database = PostgresqlDatabase(url, options=options, observe=ignore)
        await database.open()
        return database

    processes = Processes(url, open_database)
    process = processes.first = await processes.start()
    await create_tables(process.database, [ENTRY])
    await make_key_table(process.database)
    figures: dict[str, list[tuple[float, float, float]]] = {}
    for _ in range(ROUNDS):
        for name, key in (("without", _no_key), ("with", _new_key), ("replay", _same_key)):
            figures.setdefault(name, []).append(await _round(process, key, url))
    for name, values in figures.items():
        ours, server, wall = (statistics.median(column) for column in zip(*values, strict=True))
        print(f"{url.partition(':')[0]:12} {name:10} {ours:7.1f} µs here {server:7.1f} µs server {wall:8.1f} µs wall")
    await process.database.close(1)


async def _round(process: Process, key: Callable[[], str | None], url: str) -> tuple[float, float, float]:
    await process.execute("single", "same", name="a")

    async def call() -> None:
        for _ in range(CALLS // CALLERS):
            await process.execute("single", key(), name="a")

    server, ours, wall = _server_cpu(url), time.process_time(), time.perf_counter()
    if key is _same_key:
        # One at a time: the others would be told that it is in flight.
        for _ in range(CALLERS):
            await call()
    else:
        await asyncio.gather(*(call() for _ in range(CALLERS)))
    done = time.process_time(), _server_cpu(url), time.perf_counter()
    count = CALLS // CALLERS * CALLERS / 1e6
    return (done[0] - ours) / count, (done[1] - server) / count, (done[2] - wall) / count


def _server_cpu(url: str) -> float:
    """Seconds of CPU of the sessions of this database so far."""
    if url.startswith("sqlite:///"):
        return 0.0
    with psycopg.connect(url) as session:
        pids = session.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'nexusd'").fetchall()
    fields = (Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split() for (pid,) in pids)
    return sum(int(each[11]) + int(each[12]) for each in fields) / os.sysconf("SC_CLK_TCK")


def _no_key() -> str | None:
    return None


def _new_key() -> str | None:
    return f"key-{next(_numbers)}"


def _same_key() -> str | None:
    return "same"


async def main() -> None:
    """Measure what there is."""
    with tempfile.TemporaryDirectory() as folder:
        await measure(f"sqlite:///{folder}/bench.db")
    for url in sys.argv[1:]:
        await measure(url)


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
