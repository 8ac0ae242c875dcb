"""Nodes of models run against an open database, as a workflow of one node would run them."""

from __future__ import annotations

import asyncio
import contextlib
import json
from copy import copy
from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import pytest

from nexusd.databases.cursors import CursorSigner
from nexusd.databases.database import Bound, Dialect, PoolOptions, Statement
from nexusd.databases.postgresql import PostgresqlDatabase
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.ddl.tables import creation, wanted_tables
from nexusd.definitions.execution import Invocation
from nexusd.definitions.principal import ANONYMOUS
from nexusd.definitions.workflow import Node
from nexusd.nodes.model_nodes import model_node_types
from nexusd.nodes.node import NodeContext
from tests.support.connections import WAIT_S, in_time
from tests.support.models import COMPANY, CONTACT

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping

    from nexusd.databases.database import Database, Result, Session
    from nexusd.definitions.model import Model
    from nexusd.definitions.principal import Principal
    from nexusd.events import Event
    from nexusd.nodes.node import NodeType
    from tests.support.connections import OpenDatabase

NOW: Final = "2026-03-01T12:00:00.000000Z"
LATER: Final = "2026-03-02T12:00:00.000000Z"


class Nodes:
    """The node types of some models over one database.

    Attributes:
        now: the start of the runs to come.
        statements: SQL that was run, in order.
        pointers: the inputs that are the whole of a param.
        session: where statements run; None: each commits by itself.
        declared: the params before rendering, where they matter.
        principal: who runs them.
        answer: the last result as JSON.
    """

    def __init__(self, database: Database, models: Iterable[Model]) -> None:
        self.database = database
        self.now = NOW
        self.statements: list[str] = []
        self.pointers: Mapping[str, str] = {}
        self.models: Mapping[str, Model] = {model.name: model for model in models}
        self.types = node_types(self.models)
        self.answer = b""
        self.session: Session | None = None
        self.declared: Mapping[str, object] | None = None
        self.principal = ANONYMOUS

    def within(self, session: Session) -> Nodes:
        """The same nodes, run in a session of their own."""
        nodes = copy(self)
        nodes.session = session
        return nodes

    def by(self, principal: Principal) -> Nodes:
        """The same nodes, run by somebody."""
        nodes = copy(self)
        nodes.principal = principal
        return nodes

    def declaring(self, **declared: object) -> Nodes:
        """The same nodes, their params declared otherwise than rendered."""
        nodes = copy(self)
        nodes.declared = declared
        return nodes

    async def run(self, type_name: str, /, **params: object) -> object:
        """Run a node such as `ContactCreate` with rendered params and give its result as a reader of JSON sees it."""
        declared = params if self.declared is None else self.declared
        node = Node(id="node", type=f"{type_name}Node", params=declared)
        runner = self.types[node.type].build(node)
        session = self.session or self.database.session(in_time())
        async with asyncio.timeout(WAIT_S):
            result = await runner(params, self._context(_Recorded(session, self.statements)))
        self.answer = msgspec.json.encode(result)
        return json.loads(self.answer)

    def _context(self, session: Session) -> NodeContext:
        return NodeContext(
            session=session,
            database=self.database,
            invocation=Invocation(workflow="w", inputs=b"{}", channel="http", request_id="r", principal=self.principal),
            execution_id="e",
            node="node",
            now=self.now,
            deadline=in_time(),
            observe=_ignore,
            pointers=self.pointers,
        )


class _Recorded:
    """A session that notes what it runs."""

    def __init__(self, session: Session, statements: list[str]) -> None:
        self._session = session
        self._statements = statements

    @property
    def dialect(self) -> Dialect:
        """That of the session."""
        return self._session.dialect

    async def run(self, bound: Bound) -> Result:
        """Note the statement and run it."""
        self._statements.append(bound.statement.sql)
        return await self._session.run(bound)

    @contextlib.asynccontextmanager
    async def atomic(self) -> AsyncIterator[Session]:
        """A block whose statements are noted too."""
        async with self._session.atomic() as inner:
            yield _Recorded(inner, self._statements)


class OpenNodes(Protocol):
    """Makes the tables of models and gives their nodes."""

    async def __call__(self, *models: Model) -> Nodes:
        """The nodes of these models, over an empty database."""


@pytest.fixture
def open_nodes(open_database: OpenDatabase, database_url: str) -> OpenNodes:
    """Opens nodes; the test runs on SQLite, then on PostgreSQL."""

    async def open_all(*models: Model) -> Nodes:
        database = await open_database(database_url)
        await create_tables(database, models)
        return Nodes(database, models)

    return open_all


@pytest.fixture
async def crm(open_nodes: OpenNodes) -> Nodes:
    """The nodes of companies and contacts."""
    return await open_nodes(COMPANY, CONTACT)


def node_types(models: Mapping[str, Model]) -> dict[str, NodeType]:
    """All node types of the models, by name."""
    cursors = CursorSigner(b"a key of the tests")
    made = (each for model in models.values() for each in model_node_types(model, models, cursors=cursors))
    return {node_type.name: node_type for node_type in made}


async def create_tables(database: Database, models: Iterable[Model]) -> None:
    """Make the tables of the models, as the schema executor would."""
    by_name = {model.name: model for model in models}
    for _, sql in creation(wanted_tables(by_name, database.dialect).values()):
        await database.session(in_time()).run(Bound(Statement(sql, None, writes=True)))


class Bench:
    """Nodes over a database for tests that are not coroutines, as Hypothesis wants them."""

    def __init__(self, url: str, *models: Model) -> None:
        self._runner = asyncio.Runner()
        options = PoolOptions(pool_max=2)
        if url.startswith("sqlite:///"):
            database: Database = SqliteDatabase(url.removeprefix("sqlite:///"), options=options, observe=_ignore)
        else:
            database = PostgresqlDatabase(url, options=options, observe=_ignore)
        self._runner.run(database.open())
        self._runner.run(create_tables(database, models))
        self._database = database
        self.nodes = Nodes(database, models)

    def run(self, type_name: str, /, **params: object) -> object:
        """Run a node and give its result as a reader of JSON sees it."""
        return self._runner.run(self.nodes.run(type_name, **params))

    def close(self) -> None:
        """Close the database."""
        self._runner.run(self._database.close(WAIT_S))
        self._runner.close()


@pytest.fixture
def open_bench(database_url: str) -> Iterator[Callable[..., Bench]]:
    """Opens benches; the test runs on SQLite, then on PostgreSQL."""
    benches: list[Bench] = []

    def open_one(*models: Model) -> Bench:
        benches.append(Bench(database_url, *models))
        return benches[-1]

    yield open_one
    for bench in benches:
        bench.close()


def _ignore(_event: Event) -> None:
    """Nobody observes."""
