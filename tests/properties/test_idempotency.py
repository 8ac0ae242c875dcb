"""Whatever comes under whatever keys, in whatever order, to whichever process: one effect and one answer for each key."""

from __future__ import annotations

import asyncio
import json
from collections import defaultdict
from typing import TYPE_CHECKING, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nexusd.databases.database import PoolOptions
from nexusd.databases.postgresql import PostgresqlDatabase
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.errors import IdempotencyInFlight, IdempotencyMismatch
from nexusd.events import ignore
from tests.support.connections import WAIT_S
from tests.support.keyed import ENTRY, Processes, make_key_table
from tests.support.nodes import create_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.databases.database import Database

WORKFLOWS: Final = ("single", "several", "loose")

REQUESTS: Final = st.lists(
    st.tuples(
        st.sampled_from(WORKFLOWS),
        st.integers(0, 1),  # the key
        st.integers(0, 1),  # the inputs
        st.integers(0, 1),  # the process
        st.integers(0, 3),  # how many turns of the loop it comes later
    ),
    min_size=2,
    max_size=12,
)


class World:
    """Two processes over one database, for tests that are not coroutines."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._databases: list[Database] = []
        self._runner = asyncio.Runner()
        self._runner.run(self._start())
        self._examples = 0

    async def _start(self) -> None:
        self._processes = Processes(self._url, self._open)
        self._processes.first = await self._processes.start()
        await create_tables(self._processes.first.database, [ENTRY])
        await make_key_table(self._processes.first.database)
        self._members = [self._processes.first, await self._processes.start()]

    async def _open(self, url: str, options: PoolOptions | None = None) -> Database:
        options = options or PoolOptions()
        database: Database
        if url.startswith("sqlite:///"):
            database = SqliteDatabase(url.removeprefix("sqlite:///"), options=options, observe=ignore)
        else:
            database = PostgresqlDatabase(url, options=options, observe=ignore)
        await database.open()
        self._databases.append(database)
        return database

    def serve(self, requests: list[tuple[str, int, int, int, int]]) -> None:
        """Send the requests, and hold the answers and the database to what is promised."""
        self._examples += 1
        self._runner.run(self._serve(requests))

    async def _serve(self, requests: list[tuple[str, int, int, int, int]]) -> None:
        answers: dict[tuple[str, str], dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))

        async def ask(workflow: str, key: str, name: str, process: int, turns: int) -> None:
            for _ in range(turns):
                await asyncio.sleep(0)
            try:
                execution = await self._members[process].execute(workflow, key, name=name)
            except IdempotencyInFlight:
                answer = "in flight"
            except IdempotencyMismatch:
                answer = "mismatch"
            else:
                outputs = json.loads(msgspec.json.encode(execution.outputs))
                assert outputs["create"]["name"] == name
                answer = json.dumps([execution.id, outputs, execution.duration_ms])
            answers[workflow, key][name].add(answer)

        places = [
            (workflow, f"{self._examples}.{key}", f"{self._examples}.{workflow}.{key}.{body}", process, turns)
            for workflow, key, body, process, turns in requests
        ]
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(ask(*place) for place in places))
            # Afterwards everybody is told what was decided.
            await asyncio.gather(*(ask(*place) for place in {(*place[:3], 1 - place[3], 0) for place in places}))
        for (workflow, _), by_name in answers.items():
            await self._check(workflow, by_name)

    async def _check(self, workflow: str, by_name: dict[str, set[str]]) -> None:
        """One set of inputs won: it has one answer and its rows, the others have neither."""
        decided = {name: told - {"in flight", "mismatch"} for name, told in by_name.items()}
        winners = [name for name, told in decided.items() if told]
        assert [len(decided[name]) for name in winners] == [1]
        assert all("mismatch" not in by_name[name] for name in winners)
        for name in by_name:
            found = await self._processes.rows("SELECT count(*) FROM entries WHERE name = ?", name)
            wanted = (2 if workflow == "several" else 1) if name in winners else 0
            assert found == [[wanted]]

    def close(self) -> None:
        """Close the databases."""
        for database in self._databases:
            self._runner.run(database.close(WAIT_S))
        self._runner.close()


@pytest.fixture
def world(database_url: str) -> Iterator[World]:
    made = World(database_url)
    yield made
    made.close()


def test_any_interleaving_has_one_effect_and_one_answer(world: World) -> None:
    @settings(max_examples=60)
    @given(REQUESTS)
    def check(requests: list[tuple[str, int, int, int, int]]) -> None:
        world.serve(requests)

    check()
