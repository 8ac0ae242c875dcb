"""Workflows whose nodes are functions of the test, run by the engine in virtual time over rows that can be undone."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.definitions.shape import ANYTHING, Shape
from nexusd.definitions.workflow import Node, TransactionMode, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.nodes.control import control_node_types
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, NodeContext, Slot
from nexusd.planning.registry import compile_registry
from tests.support.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from nexusd.databases.database import Database
    from nexusd.definitions.conversation import Conversation
    from nexusd.events import Event
    from nexusd.nodes.node import NodeType
    from nexusd.planning.plan import Plan

Body: TypeAlias = Callable[[Mapping[str, object], NodeContext], Awaitable[object]]


EVERYTHING: Final = Effects(database=True, writes=True, outside=True)
"""So that each workflow says what its transaction is, and none is run again."""


class CallNode:
    """A node type that runs a function of the test; as far as is known, it writes rows and does what nothing can undo."""

    name = "CallNode"
    keys: frozenset[str] = frozenset()

    def __init__(self, bodies: Mapping[str, Body], effects: Effects = EVERYTHING) -> None:
        self._bodies = bodies
        self._effects = effects

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """Those that it was made with."""
        return self._effects

    def bind(self, _node: Node, params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        """Anything may stand in any param."""
        return Binding(slots={(name,): Slot(ANYTHING) for name in params})

    def result(self, _node: Node) -> Shape:
        """Anything."""
        return ANYTHING

    def build(self, node: Node) -> Body:
        """The function."""
        return self._bodies[node.id]


class Rows:
    """Rows without a database: those of a block come to those around it when it ends well.

    Attributes:
        all: the rows, in the order in which they were kept.
    """

    def __init__(self) -> None:
        self.all: list[object] = []

    def session(self, _deadline: float) -> Rows:
        """Each row by itself."""
        return self

    @contextlib.asynccontextmanager
    async def transaction(self, _deadline: float, *, read_only: bool, keep: bool = True) -> AsyncIterator[Rows]:
        """All rows or none."""
        assert not read_only
        inner = Rows()
        yield inner
        if keep:
            self.all += inner.all

    @contextlib.asynccontextmanager
    async def atomic(self) -> AsyncIterator[Rows]:
        """All rows or none."""
        async with self.transaction(0, read_only=False) as inner:
            yield inner


def write(row: object, context: NodeContext) -> None:
    """Write a row where a node is to write."""
    cast("Rows", context.session).all.append(row)


def call(name: str, /, **keys: object) -> Node:
    """A node that runs the function of its name."""
    return Node(id=name, type="CallNode", **keys)  # type: ignore[arg-type]


def inside(name: str, workflow: str, /, **keys: object) -> Node:
    """A node that runs another workflow."""
    return Node(id=name, type="WorkflowNode", options={"workflow": workflow}, **keys)  # type: ignore[arg-type]


def workflow(
    name: str, /, *nodes: Node, transaction: TransactionMode = TransactionMode.NONE, timeout_s: float = 30.0
) -> Workflow:
    """A workflow of these nodes, whose outputs are their results."""
    # One write alone needs no transaction, even where one is asked for.
    second = (
        (Node(id="second", type="TransformNode"),) if len(nodes) == 1 and transaction is TransactionMode.ALL else ()
    )
    return Workflow(
        name=name,
        nodes=(*nodes, *second),
        outputs={node.id: f"{{{{ {node.id} }}}}" for node in nodes},
        transaction=transaction,
        timeout_s=timeout_s,
    )


def gives(value: object) -> Body:
    """A function that gives this at once."""

    async def body(_params: Mapping[str, object], _context: NodeContext) -> object:
        return value

    return body


def fails(error: BaseException, *, after_s: float = 0.0) -> Body:
    """A function that fails so, at once or later."""

    async def body(_params: Mapping[str, object], _context: NodeContext) -> object:
        if after_s:
            await asyncio.sleep(after_s)
        raise error

    return body


async def hangs(_params: Mapping[str, object], _context: NodeContext) -> object:
    """A function that never ends."""
    return await asyncio.Event().wait()


@dataclass
class Bench:
    """Runs workflows of these functions, in 5 s each.

    Attributes:
        conversation: with whoever waits for the runs.
        rows: what was kept.
        events: what was observed.
        ended_s: how long after its beginning the last run ended.
    """

    bodies: Mapping[str, Body]
    conversation: Conversation | None = None
    rows: Rows = field(default_factory=Rows)
    events: list[Event] = field(default_factory=list)
    ended_s: float = -1.0

    def plan(
        self, *nodes: Node, transaction: TransactionMode = TransactionMode.NONE, others: tuple[Workflow, ...] = ()
    ) -> Plan:
        """The plan of a workflow of these nodes."""
        types: dict[str, NodeType] = {each.name: each for each in control_node_types()}
        workflows = {each.name: each for each in (workflow("w", *nodes, transaction=transaction), *others)}
        return compile_registry(Registry(workflows=workflows), types | {"CallNode": CallNode(self.bodies)})["w"]

    def run(
        self,
        *nodes: Node,
        transaction: TransactionMode = TransactionMode.NONE,
        others: tuple[Workflow, ...] = (),
        dry_run: bool = False,
    ) -> dict[str, object]:
        """The outputs of a workflow of these nodes."""
        return run_in_virtual_time(self._run(self.plan(*nodes, transaction=transaction, others=others), dry_run))

    async def _run(self, plan: Plan, dry_run: bool) -> dict[str, object]:  # noqa: FBT001 - as it was asked
        loop = asyncio.get_running_loop()
        begun = loop.time()
        run = Run(
            id="run",
            plan=plan,
            inputs=plan.decode(b"{}"),
            invocation=Invocation(
                workflow="w",
                inputs=b"{}",
                channel="test",
                request_id="r",
                dry_run=dry_run,
                conversation=self.conversation,
            ),
            now="2026-01-31T00:00:00.000000Z",
            deadline=begun + 5,
            database=cast("Database", self.rows),
            observe=self.events.append,
        )
        try:
            return await InlineEngine().run(run)
        finally:
            self.ended_s = loop.time() - begun
