"""Runtimes over one database, as several processes would have them, for requests under an Idempotency-Key."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from importlib import resources
from typing import TYPE_CHECKING, Final, TypeVar

import msgspec
import pytest

from nexusd.databases.database import Bound, Dialect, PoolOptions, Statement
from nexusd.definitions.execution import Execution, Invocation
from nexusd.definitions.model import Field, FieldType, Model
from nexusd.definitions.principal import Principal
from nexusd.definitions.registry import Registry
from nexusd.definitions.shape import ANYTHING
from nexusd.definitions.workflow import Connection, DeclaredInput, Node, TransactionMode, Workflow
from nexusd.engines.inline import InlineEngine
from nexusd.events import Observers, ignore
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, Slot
from nexusd.planning.registry import compile_registry
from nexusd.runtime import Runtime
from tests.support.connections import WAIT_S, in_time
from tests.support.nodes import create_tables, node_types

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nexusd.databases.database import Database
    from nexusd.definitions.shape import Shape
    from nexusd.events import Event, Observer
    from nexusd.nodes.node import NodeContext, Runner
    from tests.support.connections import OpenDatabase

T = TypeVar("T")

ENTRY: Final = Model(
    name="Entry",
    table="entries",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="name", type=FieldType.STR),
        Field(name="data", type=FieldType.JSON, nullable=True),
    ),
)
"""Nothing unique but the generated key: whatever is done twice can be counted."""


@dataclass
class Meeting:
    """What the node of `HoldNode` waits for.

    Attributes:
        entered: released by each run that has come there.
        open: lets them on.
    """

    entered: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    open: asyncio.Event = field(default_factory=asyncio.Event)

    async def wait(self, _params: Mapping[str, object], _context: NodeContext) -> object:
        """Wait there."""
        self.entered.release()
        await self.open.wait()
        return {}


class _FunctionNode:
    """A node that awaits a function of the test; `outside` says whether a rollback could undo it."""

    def __init__(self, name: str, runner: Callable[..., Awaitable[object]], *, outside: bool) -> None:
        self.name = name
        self.keys: frozenset[str] = frozenset()
        self._runner = runner
        self._outside = outside

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """As told."""
        return Effects(outside=self._outside, writes=self._outside)

    def bind(self, _node: Node, params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        """Anything."""
        return Binding(slots={(name,): Slot(ANYTHING, optional=True) for name in params})

    def result(self, _node: Node) -> Shape:
        """Anything."""
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        """The function."""
        return self._runner


def _workflows() -> list[Workflow]:
    create = Node(id="create", type="EntryCreateNode", params={"name": "{{name}}", "data": "{{data}}"})
    twin = Node(id="twin", type="EntryCreateNode", params={"name": "{{name}}"})
    hold = Node(id="hold", type="HoldNode")
    call = Node(id="call", type="CallNode")
    order = Connection("create", "result", "hold", "input")
    inputs = {"data": DeclaredInput(Field(name="data", type=FieldType.JSON, nullable=True), required=False)}
    none = TransactionMode.NONE

    def made(name: str, *nodes: Node, connections: tuple[Connection, ...] = (), **options: object) -> Workflow:
        taken = inputs if create in nodes else {}
        return Workflow(name=name, nodes=nodes, inputs=taken, connections=connections, **options)  # type: ignore[arg-type]

    return [
        made("single", create),
        made("several", create, twin),
        made("held", create, hold, connections=(order,)),
        made("loose", create, transaction=none),
        made("loose_held", create, hold, connections=(order,), transaction=none),
        made("outside", call),
        made("listing", Node(id="list", type="EntryListNode", params={"sort": ["id"]})),
    ]


@dataclass
class Process:
    """One runtime with a pool of its own.

    Attributes:
        calls: how often the node of the workflow `outside` ran.
    """

    runtime: Runtime
    database: Database
    meeting: Meeting
    events: list[Event]
    calls: list[str]

    def invocation(self, workflow: str, key: str | None, *, who: str = "anonymous", **inputs: object) -> Invocation:
        """A call of a workflow; `dry_run` among the inputs is the invocation's."""
        dry_run = bool(inputs.pop("dry_run", False))
        return Invocation(
            workflow=workflow,
            inputs=json.dumps(inputs).encode(),
            channel="http",
            request_id="r",
            principal=Principal(who, frozenset({"*"})),
            idempotency_key=key,
            deadline=in_time(),
            dry_run=dry_run,
        )

    async def execute(self, workflow: str, key: str | None, *, who: str = "anonymous", **inputs: object) -> Execution:
        """Run a workflow; the inputs as keywords."""
        return await self.runtime.execute(self.invocation(workflow, key, who=who, **inputs))


class Processes:
    """Several runtimes over one database."""

    def __init__(self, url: str, open_database: OpenDatabase) -> None:
        self._url = url
        self._open_database = open_database
        self.first: Process

    async def start(
        self, url: str | None = None, *, options: PoolOptions | None = None, also: Observer = ignore
    ) -> Process:
        """One more; `also` is told what it observes, beside `events`."""
        database = await self._open_database(url or self._url, options or PoolOptions(pool_max=8))
        meeting = Meeting()
        calls: list[str] = []
        events: list[Event] = []

        async def call(_params: Mapping[str, object], context: NodeContext) -> object:
            calls.append(context.execution_id)
            return {"execution": context.execution_id}

        types = node_types({"Entry": ENTRY})
        types["HoldNode"] = _FunctionNode("HoldNode", meeting.wait, outside=False)
        types["CallNode"] = _FunctionNode("CallNode", call, outside=True)
        registry = Registry(models={"Entry": ENTRY}, workflows={each.name: each for each in _workflows()})
        observe = Observers(events.append, also)
        runtime = Runtime(compile_registry(registry, types), InlineEngine(), database, observe)
        return Process(runtime, database, meeting, events, calls)

    async def rows(self, sql: str, *args: object) -> list[list[object]]:
        """What a query gives."""
        return await rows_of(self.first.database, sql, *args)

    async def names(self) -> list[object]:
        """The names of all entries."""
        rows = await self.rows("SELECT name FROM entries ORDER BY id")
        return [row[0] for row in rows]

    async def kept(self) -> int:
        """How many keys are kept."""
        return len(await self.rows("SELECT key FROM _nexusd_idempotency"))


async def rows_of(database: Database, sql: str, *args: object) -> list[list[object]]:
    """What a query gives; `?` stands for an argument."""
    if database.dialect is Dialect.POSTGRESQL:
        first, *rest = sql.split("?")
        sql = first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))
    statement = Statement(sql, lambda row: {"values": list(row)}, writes=not sql.startswith("SELECT"))
    found = (await database.session(in_time()).run(Bound(statement, args))).rows
    return [row["values"] for row in found if isinstance(row["values"], list)]


async def make_key_table(database: Database) -> None:
    """Make `_nexusd_idempotency` as a migration does."""
    folder = resources.files("nexusd.ddl").joinpath("ledger")
    text = folder.joinpath(f"0003.{database.dialect}.sql").read_text("utf-8")
    for sql in filter(str.strip, text.split(";")):
        await database.session(in_time()).run(Bound(Statement(sql, None, writes=True)))


@pytest.fixture
async def processes(open_database: OpenDatabase, database_url: str) -> Processes:
    """Runtimes over an empty table of entries; the test runs on SQLite, then on PostgreSQL."""
    made = Processes(database_url, open_database)
    made.first = await made.start()
    await create_tables(made.first.database, [ENTRY])
    await make_key_table(made.first.database)
    return made


async def soon(task: Awaitable[T]) -> T:
    """Its result, within the time that a test may wait."""
    async with asyncio.timeout(WAIT_S):
        return await task


def told(execution: Execution) -> tuple[str, object, float]:
    """What its caller sees of it."""
    return execution.id, json.loads(msgspec.json.encode(execution.outputs)), execution.duration_ms
