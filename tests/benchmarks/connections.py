"""CPU time of the data layer's connections, against asyncpg by itself and its pool; writes a second on SQLite.

Run with `python -m tests.benchmarks.connections [URL]`; without a URL of a PostgreSQL database only SQLite is measured.
Contenders alternate, on new connections each round: where the kernel places a connection's server process moves the
figures of one round by half. Compare medians, of one run.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import asyncpg
import uvloop

from nexusd.databases.database import Bound, Dialect, PoolOptions
from nexusd.databases.postgresql import PostgresqlDatabase
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.events import ignore
from tests.support.connections import create_tables, insert, statement

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from nexusd.databases.database import Database

ROUNDS: Final = 12
CALLS: Final = 400
READ: Final = "SELECT id, email, score, company_id FROM contact WHERE id = ?"
WRITE: Final = "INSERT INTO bench (email) VALUES (?) RETURNING id, email"


async def postgresql(url: str) -> None:
    """Key reads, inserts and transactions of both, CPU µs of this process a call."""
    setup = await asyncpg.connect(url)
    await setup.execute("DROP TABLE IF EXISTS bench, contact, company")
    database = PostgresqlDatabase(url, options=PoolOptions(), observe=ignore)
    await database.open()
    await create_tables(database)
    await setup.execute("CREATE TABLE bench (id bigserial PRIMARY KEY, email text)")
    await setup.execute("INSERT INTO contact (id, email) SELECT 'k' || n, 'k' || n FROM generate_series(1, 1000) AS n")
    await database.close(1)
    figures: dict[str, list[float]] = {}
    for _ in range(ROUNDS):
        for name, cpu_us in await _round(url):
            figures.setdefault(name, []).append(cpu_us)
    for name, values in figures.items():
        print(f"{name:32} {statistics.median(values):7.1f} µs   ({min(values):.1f} to {max(values):.1f})")
    await setup.execute("DROP TABLE bench, contact, company")
    await setup.close()


async def _round(url: str) -> list[tuple[str, float]]:
    bare = await asyncpg.connect(url)
    pool = await asyncpg.create_pool(url, min_size=1, max_size=10)
    database = PostgresqlDatabase(url, options=PoolOptions(), observe=ignore)
    await database.open()
    read = statement(Dialect.POSTGRESQL, READ)
    write = statement(Dialect.POSTGRESQL, WRITE, writes=True)
    deadline = asyncio.get_running_loop().time() + 600

    async def transact() -> None:
        async with database.transaction(deadline, read_only=False) as session:
            await session.run(Bound(read, ("k7",)))
            await session.run(Bound(write, ("a",)))

    async def transact_bare() -> None:
        async with bare.transaction():
            await bare.fetch(read.sql, "k7")
            await bare.fetch(write.sql, "a")

    async def transact_pool() -> None:
        async with pool.acquire() as connection, connection.transaction():
            await connection.fetch(read.sql, "k7")
            await connection.fetch(write.sql, "a")

    contenders: list[tuple[str, Callable[[], Awaitable[object]]]] = [
        ("read by key, asyncpg", lambda: bare.fetch(read.sql, "k7")),
        ("read by key, nexusd", lambda: database.session(deadline).run(Bound(read, ("k7",)))),
        ("read by key, asyncpg.Pool", lambda: pool.fetch(read.sql, "k7")),
        ("insert, asyncpg", lambda: bare.fetch(write.sql, "a")),
        ("insert, nexusd", lambda: database.session(deadline).run(Bound(write, ("a",)))),
        ("insert, asyncpg.Pool", lambda: pool.fetch(write.sql, "a")),
        ("transaction of two, asyncpg", transact_bare),
        ("transaction of two, nexusd", transact),
        ("transaction of two, asyncpg.Pool", transact_pool),
    ]
    figures = [(name, await _cpu_us(call)) for name, call in contenders]
    await bare.close()
    await pool.close()
    await database.close(1)
    return figures


async def _cpu_us(call: Callable[[], Awaitable[object]]) -> float:
    for _ in range(50):
        await call()
    started = time.process_time()
    for _ in range(CALLS):
        await call()
    return (time.process_time() - started) / CALLS * 1e6


async def sqlite(callers: Sequence[int]) -> None:
    """Acknowledged inserts a second by callers, and the CPU µs of a read by key."""
    with tempfile.TemporaryDirectory() as folder:
        database = SqliteDatabase(Path(folder) / "bench.db", options=PoolOptions(), observe=ignore)
        await database.open()
        await create_tables(database)
        for count in callers:
            rate, cpu_us = await _writes(database, count)
            print(f"SQLite, {count:3} callers {rate:12.0f} inserts/s {cpu_us:7.1f} µs CPU")
        read = Bound(statement(Dialect.SQLITE, READ, inline=True), ("0",))
        deadline = asyncio.get_running_loop().time() + 600
        print(f"SQLite, read by key {await _cpu_us(lambda: database.session(deadline).run(read)):18.1f} µs CPU")
        await database.close(1)


async def _writes(database: Database, callers: int, seconds: float = 2.0) -> tuple[float, float]:
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    done = 0

    async def caller(number: int) -> None:
        nonlocal done
        while loop.time() < end:
            done += 1
            key = f"{callers}.{number}.{done}"
            await database.session(end + 60).run(insert(Dialect.SQLITE, key, key))

    started = time.process_time()
    await asyncio.gather(*(caller(number) for number in range(callers)))
    return done / seconds, (time.process_time() - started) / done * 1e6


async def main() -> None:
    """Everything that can be measured."""
    if len(sys.argv) > 1:
        await postgresql(sys.argv[1])
    await sqlite((1, 32, 128))


if __name__ == "__main__":
    uvloop.run(main())
