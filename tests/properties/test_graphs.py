"""Random graphs against a model of what a run is: order, concurrency, cancellation, results, and how often each ran."""

from __future__ import annotations

import asyncio
import contextlib
import zlib
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from hypothesis import given
from hypothesis import strategies as st

from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.definitions.shape import ANYTHING, Shape
from nexusd.definitions.wire import write_json
from nexusd.definitions.workflow import Connection, Node, Retry, TransactionMode, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.errors import NexusError, RecordNotFound
from nexusd.events import ignore
from nexusd.nodes.control import control_node_types
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, NodeContext, Slot
from nexusd.planning.registry import compile_registry

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.databases.database import Database, Session
    from nexusd.nodes.node import NodeType, Runner
    from nexusd.planning.plan import Plan

WAIT_S = 5.0


@dataclass(frozen=True)
class Drawn:
    """One node of a graph.

    Attributes:
        deps: what its params read; `linked` is what a connection delivers to its input.
        gathers: it is a MergeNode of these.
        items: length of its foreach; None: it has none.
        fails: how often each item fails before it succeeds.
        pauses: how often it lets others go first.
    """

    id: str
    deps: tuple[str, ...] = ()
    linked: str | None = None
    gathers: tuple[str, ...] = ()
    when: bool | None = None
    items: int | None = None
    concurrency: int = 1
    attempts: int = 1
    fails: tuple[int, ...] = (0,)
    pauses: int = 0
    on_error: str = "fail"

    @property
    def needs(self) -> frozenset[str]:
        return frozenset((*self.deps, *self.gathers, *((self.linked,) if self.linked else ())))

    @property
    def places(self) -> list[str]:
        """What each run of it is called."""
        return [self.id] if self.items is None else [f"{self.id}[{i}]" for i in range(self.items)]

    def failures(self, place: str) -> int:
        index = 0 if self.items is None else int(place.rpartition("[")[2][:-1])
        return self.fails[index % len(self.fails)]

    @property
    def breaks(self) -> bool:
        """Whether it fails for good when it runs."""
        return any(self.failures(place) >= self.attempts for place in self.places)

    def declared(self) -> Node:
        if self.gathers:
            return Node(id=self.id, type="MergeNode", options={"from": list(self.gathers)}, on_error=self.on_error)
        params = {f"p{i}": f"{{{{ {dep} | json }}}}" for i, dep in enumerate(self.deps)}
        if self.linked is not None:
            params["linked"] = "{{ input | json }}"
        return Node(
            id=self.id,
            type="CallNode",
            params=params,
            when=None if self.when is None else f"inputs.{'yes' if self.when else 'no'}",
            foreach=None if self.items is None else list(range(self.items)),
            concurrency=None if self.items is None else self.concurrency,
            retry=None if self.attempts == 1 else Retry(attempts=self.attempts, backoff_s=0.0),
            on_error=self.on_error,
        )


def descendants(nodes: list[Drawn], name: str) -> set[str]:
    """The node, and all that wait for it, however indirectly; also as what takes over for another."""
    found = {name}
    for node in nodes:
        if (node.needs | {each.id for each in nodes if each.on_error == node.id}) & found:
            found.add(node.id)
    return found


@st.composite
def graphs(draw: st.DrawFn) -> list[Drawn]:
    nodes: list[Drawn] = []
    for i in range(draw(st.integers(1, 7))):
        earlier = [node.id for node in nodes]
        some = st.lists(st.sampled_from(earlier), max_size=3, unique=True) if earlier else st.just([])
        if earlier and draw(st.integers(0, 3)) == 0:
            gathers = draw(st.lists(st.sampled_from(earlier), min_size=1, max_size=3, unique=True))
            nodes.append(Drawn(f"n{i}", gathers=tuple(gathers)))
            continue
        nodes.append(
            Drawn(
                f"n{i}",
                deps=tuple(draw(some)),
                linked=draw(st.sampled_from([None, None, *earlier])),
                when=draw(st.sampled_from([None, None, True, False])),
                items=draw(st.sampled_from([None, None, None, 0, 1, 3])),
                concurrency=draw(st.integers(1, 3)),
                attempts=draw(st.sampled_from([1, 1, 2, 3])),
                fails=tuple(draw(st.lists(st.sampled_from([0, 0, 0, 1, 2, 9]), min_size=1, max_size=3))),
                pauses=draw(st.integers(0, 3)),
                on_error=draw(st.sampled_from(["fail", "fail", "continue", "another"])),
            )
        )
    # What takes over stands later, so that going backwards everything behind a node is settled.
    for i in reversed(range(len(nodes))):
        nodes[i] = with_handler(draw, nodes, nodes[i])
    return nodes


def with_handler(draw: st.DrawFn, nodes: list[Drawn], node: Drawn) -> Drawn:
    """The node with a later one that takes over and does not wait for it, where `another` is to."""
    if node.on_error != "another":
        return node
    after = [each.id for each in nodes[nodes.index(node) + 1 :] if not each.gathers]
    possible = [name for name in after if name not in descendants(nodes, node.id)]
    handler = draw(st.sampled_from(possible)) if possible else "continue"
    return Drawn(**{**node.__dict__, "on_error": handler})


@dataclass
class Expected:
    """What must come of a graph.

    Attributes:
        results: of all nodes, None for those without one.
        ran: the nodes that run.
        breaking: the nodes that end the run.
        out: the nodes that cannot run because of those.
    """

    results: dict[str, object] = field(default_factory=dict)
    ran: set[str] = field(default_factory=set)
    breaking: list[str] = field(default_factory=list)
    out: set[str] = field(default_factory=set)


def expect(nodes: list[Drawn], order: list[str]) -> Expected:
    """Run the graph on paper, one node after the other."""
    expected = Expected()
    by_id = {node.id: node for node in nodes}
    absent: set[str] = set()
    failed: set[str] = set()
    for node in (by_id[name] for name in order):
        handled = {each.id for each in nodes if each.on_error == node.id}
        if (node.needs | handled) & (expected.out | set(expected.breaking)):
            expected.out.add(node.id)
            continue
        skipped = (
            (not node.gathers and bool((node.needs - handled) & absent))
            or (bool(handled) and not handled & failed)
            or (bool(node.gathers) and set(node.gathers) <= absent)
            or node.when is False
        )
        if not skipped and node.gathers:
            expected.results[node.id] = next(expected.results[name] for name in node.gathers if name not in absent)
            continue
        if not skipped:
            expected.ran.add(node.id)
            if not node.breaks:
                expected.results[node.id] = result_of(node, expected.results)
                continue
            if node.on_error == "fail":
                expected.breaking.append(node.id)
                continue
            failed.add(node.id)
        absent.add(node.id)
        expected.results[node.id] = None
    return expected


def json_of(value: object) -> str:
    return write_json(value).decode()


def value_of(params: Mapping[str, object]) -> dict[str, object]:
    return {"v": zlib.crc32(json_of(params).encode())}


def result_of(node: Drawn, results: Mapping[str, object]) -> object:
    params: dict[str, object] = {f"p{i}": json_of(results[dep]) for i, dep in enumerate(node.deps)}
    if node.linked is not None:
        params["linked"] = json_of(results[node.linked])
    one = value_of(params)
    return one if node.items is None else [one] * node.items


class World:
    """The node type whose nodes do as they were drawn, and a note of all that they did."""

    name = "CallNode"
    keys: frozenset[str] = frozenset()

    def __init__(self, nodes: list[Drawn], *, shared: bool) -> None:
        self._nodes = {node.id: node for node in nodes}
        self._shared = shared
        self.log: list[tuple[str, str]] = []
        self.running: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.most_in_all = 0
        self.starts: Counter[str] = Counter()
        self.left_running = -1

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        return {}

    def effects(self, _node: Node) -> Effects:
        return Effects(database=True) if self._shared else Effects(outside=True)

    def bind(self, _node: Node, params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        return Binding(slots={(name,): Slot(ANYTHING) for name in params})

    def result(self, _node: Node) -> Shape:
        return ANYTHING

    def build(self, node: Node) -> Runner:
        drawn = self._nodes[node.id]

        async def call(params: Mapping[str, object], context: NodeContext) -> object:
            with self._noted(drawn.id, context.place):
                for _ in range(drawn.pauses):
                    await asyncio.sleep(0)
                if self.starts[context.place] <= drawn.failures(context.place):
                    raise RecordNotFound
                return value_of(params)

        return call

    @contextlib.contextmanager
    def _noted(self, name: str, place: str) -> Iterator[None]:
        self.log.append(("start", name))
        self.starts[place] += 1
        self.running[name] += 1
        self.most[name] = max(self.most[name], self.running[name])
        self.most_in_all = max(self.most_in_all, self.running.total())
        try:
            yield
        finally:
            self.running[name] -= 1
            self.log.append(("end", name))


class NoSession:
    """A transaction in which nothing is said."""

    def atomic(self) -> contextlib.AbstractAsyncContextManager[NoSession]:
        return contextlib.nullcontext(self)


class NoDatabase:
    """Gives such transactions."""

    def session(self, _deadline: float) -> Session:
        return cast("Session", NoSession())

    def transaction(self, _deadline: float, **_options: object) -> contextlib.AbstractAsyncContextManager[NoSession]:
        return contextlib.nullcontext(NoSession())


def plan_of(nodes: list[Drawn], world: World) -> Plan:
    links = tuple(Connection(node.linked, "result", node.id, "input") for node in nodes if node.linked is not None)
    flags = {"yes": "{{ inputs.yes }}", "no": "{{ inputs.no }}"}
    workflow = Workflow(
        name="w",
        nodes=tuple(node.declared() for node in nodes),
        connections=links,
        outputs={**flags, **{node.id: f"{{{{ {node.id} }}}}" for node in nodes}},
        transaction=TransactionMode.AUTO,
    )
    types: dict[str, NodeType] = {each.name: each for each in control_node_types()}
    return compile_registry(Registry(workflows={"w": workflow}), types | {world.name: world})["w"]


async def run_once(plan: Plan, world: World) -> dict[str, object]:
    body = b'{"yes": true, "no": false}'
    run = Run(
        id="run",
        plan=plan,
        inputs=plan.decode(body),
        invocation=Invocation(workflow="w", inputs=body, channel="test", request_id="r"),
        now="2026-01-31T00:00:00.000000Z",
        deadline=asyncio.get_running_loop().time() + 2 * WAIT_S,
        database=cast("Database", NoDatabase()),
        observe=ignore,
    )
    try:
        async with asyncio.timeout(WAIT_S):
            return await InlineEngine().run(run)
    finally:
        world.left_running = world.running.total()


def check_common(nodes: list[Drawn], plan: Plan, world: World, expected: Expected) -> None:
    """What holds however a run ends."""
    assert world.left_running == 0
    by_id = {node.id: node for node in nodes}
    for name in world.starts:
        drawn = by_id[name.partition("[")[0]]
        assert drawn.id in expected.ran
        assert world.starts[name] <= drawn.attempts
        assert world.most[drawn.id] <= drawn.concurrency
    for node in plan.nodes:
        started = [i for i, event in enumerate(world.log) if event == ("start", node.id)]
        for needed in (by_id[plan.nodes[index].id] for index in node.needs if started):
            ended = [i for i, event in enumerate(world.log) if event[1] == needed.id]
            assert max(ended, default=-1) < min(started)
            assert bool(ended) == (needed.id in expected.ran and bool(needed.places))


@given(graphs(), st.booleans())
def test_a_run_is_what_the_model_says(nodes: list[Drawn], shared: bool) -> None:  # noqa: FBT001 - drawn
    world = World(nodes, shared=shared)
    plan = plan_of(nodes, world)
    expected = expect(nodes, [node.id for node in plan.nodes])
    outputs: dict[str, object] = {}
    failure: NexusError | None = None
    try:
        outputs = asyncio.run(run_once(plan, world))
    except NexusError as error:
        failure = error
    check_common(nodes, plan, world, expected)
    if failure is not None:
        breaking = expected.breaking[:1] if plan.transaction else expected.breaking
        assert (failure.node, type(failure)) in [(name, RecordNotFound) for name in breaking]
        return
    assert expected.breaking == []
    assert outputs == {"yes": True, "no": False, **expected.results}
    if plan.transaction:
        assert world.most_in_all <= 1
    for node in nodes:
        if node.id in expected.ran and not node.breaks:
            needed = {place: node.failures(place) + 1 for place in node.places}
            assert {place: world.starts[place] for place in node.places} == needed
