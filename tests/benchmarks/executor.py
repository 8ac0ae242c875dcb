"""CPU time that the engine itself takes for a run: `python -m tests.benchmarks.executor [ROUNDS]`.

The nodes do nothing. `bare` awaits the same functions by hand; `engine` runs the compiled plan on the inline engine;
`frame` leaves out what the engine does once for a run (its deadline, its scope). Rounds alternate between all of them;
the median is printed, in microseconds a run, and what a node costs.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import time
from typing import TYPE_CHECKING, Final, cast

from nexusd import catalog
from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.definitions.shape import ANYTHING, Shape
from nexusd.definitions.workflow import Node, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.frame import Frame, run_frame
from nexusd.engines.inline import InlineEngine
from nexusd.events import ignore
from nexusd.nodes.node import Binding, Choice, Effects, FirstOf, NodeContext, Slot
from nexusd.planning.plan import Scope
from nexusd.planning.registry import compile_registry

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from nexusd.databases.database import Database, Session
    from nexusd.nodes.node import Runner
    from nexusd.planning.plan import Plan

RUNS: Final = 2000
WIDTH: Final = 8


class NothingNode:
    """Does nothing."""

    name = "NothingNode"
    keys: frozenset[str] = frozenset()

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """None that a rollback could undo."""
        return Effects(outside=True)

    def bind(self, _node: Node, params: Mapping[str, object], _connected: frozenset[str]) -> Binding:
        """Anything."""
        return Binding(slots={(name,): Slot(ANYTHING) for name in params})

    def result(self, _node: Node) -> Shape:
        """Anything."""
        return ANYTHING

    def build(self, _node: Node) -> Runner:
        """Nothing."""
        return nothing


async def nothing(params: Mapping[str, object], _context: NodeContext) -> object:
    """Give the params back."""
    return params


class _NoDatabase:
    def session(self, _deadline: float) -> Session:
        return cast("Session", None)


def plan_of(needs: Mapping[str, tuple[str, ...]]) -> Plan:
    """A plan whose nodes read the results of others."""
    nodes = tuple(
        Node(id=name, type="NothingNode", params={f"p{i}": f"{{{{ {other}.p0 }}}}" for i, other in enumerate(others)})
        if others
        else Node(id=name, type="NothingNode", params={"p0": "{{ x }}"})
        for name, others in needs.items()
    )
    workflow = Workflow(name="w", nodes=nodes)
    return compile_registry(Registry(workflows={"w": workflow}), {"NothingNode": NothingNode()})["w"]


def run_of(plan: Plan) -> Run:
    """A run of the plan."""
    return Run(
        id="run",
        plan=plan,
        inputs={"x": 1},
        invocation=Invocation(workflow="w", inputs=b"{}", channel="test", request_id="r"),
        now="2026-01-31T00:00:00.000000Z",
        deadline=asyncio.get_running_loop().time() + 60,
        database=cast("Database", _NoDatabase()),
        observe=ignore,
    )


MIDDLE: Final = [f"m{i}" for i in range(WIDTH)]
SHAPES: Final[Mapping[str, Mapping[str, tuple[str, ...]]]] = {
    "1 node": {"a": ()},
    "chain of 3": {"a": (), "b": ("a",), "c": ("b",)},
    "10, fan-out and join": {"a": (), **dict.fromkeys(MIDDLE, ("a",)), "z": tuple(MIDDLE)},
}


async def bare(needs: Mapping[str, tuple[str, ...]]) -> None:
    """The same by hand, one after the other."""
    results: dict[str, object] = {}
    for name, others in needs.items():
        results[name] = await nothing(
            {f"p{i}": results[other] for i, other in enumerate(others)}, cast("NodeContext", 0)
        )


async def measure(work: Callable[[], Awaitable[object]]) -> float:
    """CPU microseconds of one call."""
    started = time.process_time()
    for _ in range(RUNS):
        await work()
    return (time.process_time() - started) / RUNS * 1e6


async def main(rounds: int) -> None:
    """Measure all shapes and print the medians."""
    engine = InlineEngine()
    works: dict[tuple[str, str], Callable[[], Awaitable[object]]] = {}
    for shape, needs in SHAPES.items():
        run = run_of(plan_of(needs))
        works[shape, "bare"] = lambda needs=needs: bare(needs)  # type: ignore[misc]
        works[shape, "frame"] = lambda run=run: run_frame(  # type: ignore[misc]
            Frame(run, run.plan, Scope(run.inputs, {}, run.now, str), cast("Session", None), False, run.deadline)  # noqa: FBT003
        )
        works[shape, "engine"] = lambda run=run: engine.run(run)  # type: ignore[misc]
    samples: dict[tuple[str, str], list[float]] = {key: [] for key in works}
    for _ in range(rounds):
        for key, work in works.items():
            samples[key].append(await measure(work))
    print(f"Python {sys.version.split()[0]}; CPU µs a run, median of {rounds} rounds of {RUNS} (least)")
    for shape in SHAPES:
        found = {kind: samples[shape, kind] for kind in ("bare", "frame", "engine")}
        told = "  ".join(f"{kind} {statistics.median(s):6.1f} ({min(s):.1f})" for kind, s in found.items())
        print(f"{shape:22}  {told}")


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
        runner.run(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
