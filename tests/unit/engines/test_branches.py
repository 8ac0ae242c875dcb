from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.engines.branches import run_branches, run_items
from tests.support.runs import Bench, call, gives
from tests.support.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Mapping

    from nexusd.planning.plan import PlannedNode

    Act = Callable[[], Awaitable[object]]


class NodeError(Exception):
    """A node failed; the text is its name."""


def nodes(**needs: str) -> tuple[PlannedNode, ...]:
    """Nodes, each with the names of those that it needs."""
    declared = [call(name, params={each: f"{{{{ {each} }}}}" for each in needs[name].split()}) for name in needs]
    return Bench(dict.fromkeys(needs, gives(None))).plan(*declared).nodes


def takes(duration_s: float) -> Act:
    """Ends after so long; after none without waiting for anything."""

    async def act() -> None:
        if duration_s:
            await asyncio.sleep(duration_s)

    return act


def fails(error: BaseException, after_s: float = 0.0) -> Act:
    async def act() -> None:
        await takes(after_s)()
        raise error

    return act


async def hangs() -> None:
    await asyncio.Event().wait()


async def goes_on() -> None:
    """Ends well when it is cancelled."""
    try:
        await hangs()
    except asyncio.CancelledError:
        return


async def breaks() -> None:
    """Fails when it is cancelled."""
    try:
        await hangs()
    finally:
        raise NodeError("a")


class Stage:
    """Where nodes act.

    Attributes:
        begun: which began, in order; `begun_s` when, in seconds.
        ended_s: when all of it ended.
    """

    def __init__(self, acts: Mapping[str, Act]) -> None:
        self._acts = acts
        self._zero = 0.0
        self.begun: list[str] = []
        self.begun_s: list[float] = []
        self.ended_s = -1.0

    def attend(self, node: PlannedNode) -> Coroutine[object, object, None]:
        self.begun.append(node.id)
        self.begun_s.append(asyncio.get_running_loop().time() - self._zero)
        return self._act(node.id)

    async def _act(self, name: str) -> None:
        await self._acts[name]()

    async def _run(self, planned: tuple[PlannedNode, ...], cancel_at_s: float) -> None:
        loop = asyncio.get_running_loop()
        self._zero = loop.time()
        run = asyncio.create_task(run_branches(planned, self.attend))
        loop.call_later(cancel_at_s, run.cancel)
        try:
            await run
        finally:
            self.ended_s = loop.time() - self._zero

    def run(self, planned: tuple[PlannedNode, ...], *, cancel_at_s: float = 60.0) -> None:
        """Run the nodes; whatever hangs is cancelled in the end."""
        run_in_virtual_time(self._run(planned, cancel_at_s))


@pytest.mark.parametrize(("a_s", "b_s"), [(0, 0), (0, 5), (5, 0), (1, 5), (5, 1), (3, 3)])
def test_a_node_begins_as_the_last_that_it_needs_ends(a_s: float, b_s: float) -> None:
    stage = Stage({"a": takes(a_s), "b": takes(b_s), "c": takes(0), "d": takes(2), "e": takes(0)})

    stage.run(nodes(a="", b="", c="a b", d="a", e="b d"))

    assert sorted(stage.begun) == ["a", "b", "c", "d", "e"]
    begun_s = dict(zip(stage.begun, stage.begun_s, strict=True))
    assert begun_s == {"a": 0, "b": 0, "c": max(a_s, b_s), "d": a_s, "e": max(a_s + 2, b_s)}


def test_a_failure_is_raised_and_not_the_end_of_the_earlier_node_that_it_cancels() -> None:
    with pytest.raises(NodeError, match="b"):
        Stage({"a": hangs, "b": fails(NodeError("b"), 1)}).run(nodes(a="", b=""))


def test_of_failures_that_of_the_first_node_is_raised_though_it_comes_as_that_is_cancelled() -> None:
    with pytest.raises(NodeError, match="a"):
        Stage({"a": breaks, "b": fails(NodeError("b"), 1)}).run(nodes(a="", b=""))


def test_of_failures_that_of_the_first_node_is_raised_though_it_comes_a_moment_later() -> None:
    async def lets_others_go_first() -> None:
        await asyncio.sleep(0)
        raise NodeError("a")

    with pytest.raises(NodeError, match="a"):
        Stage({"a": lets_others_go_first, "b": fails(NodeError("b"))}).run(nodes(a="", b=""))


@pytest.mark.parametrize(("bad", "good", "after_s"), [("a", "b", 0), ("b", "a", 0), ("a", "b", 1)])
def test_nothing_begins_behind_a_node_that_ends_with_one_that_fails(bad: str, good: str, after_s: float) -> None:
    async def ends() -> None:
        await asyncio.sleep(after_s)

    stage = Stage({bad: fails(NodeError("bad"), after_s), good: ends, "c": takes(0), "d": hangs})

    with pytest.raises(NodeError, match="bad"):
        stage.run(nodes(a="", b="", c=good, d=""))
    assert "c" not in stage.begun
    assert stage.ended_s == after_s


def test_nothing_begins_behind_a_node_that_ends_well_as_a_failure_cancels_it() -> None:
    stage = Stage({"a": fails(NodeError("a"), 1), "b": goes_on, "c": takes(0)})

    with pytest.raises(NodeError, match="a"):
        stage.run(nodes(a="", b="", c="b"))
    assert stage.begun == ["a", "b"]


def test_nothing_begins_in_a_run_that_is_cancelled() -> None:
    stage = Stage({"a": goes_on, "b": goes_on, "c": takes(0), "d": takes(0), "e": hangs})

    with pytest.raises(asyncio.CancelledError):
        stage.run(nodes(a="", b="", c="a", d="b", e=""), cancel_at_s=1)
    assert stage.begun == ["a", "b", "e"]


@pytest.mark.parametrize("after_s", [0, 1])
@pytest.mark.parametrize("other_s", [0, 2, 1000])
def test_a_node_that_ends_itself_as_cancelled_ends_the_run_so(after_s: float, other_s: float) -> None:
    stage = Stage({"a": fails(asyncio.CancelledError(), after_s), "b": takes(other_s), "c": takes(0)})

    with pytest.raises(asyncio.CancelledError):
        stage.run(nodes(a="", b="", c="a"))
    assert "c" not in stage.begun
    assert stage.ended_s == after_s


def test_of_items_that_fail_that_of_the_lowest_number_is_raised() -> None:
    async def work(i: int) -> object:
        await asyncio.sleep(1)
        raise NodeError(str(i))

    with pytest.raises(NodeError, match="0"):
        run_in_virtual_time(run_items(work, 3, 3))


def test_the_failure_of_an_item_is_raised_and_not_the_end_of_those_that_it_cancels() -> None:
    ended: list[int] = []

    async def work(i: int) -> object:
        try:
            await asyncio.sleep(2 - i)
            raise NodeError(str(i))
        finally:
            ended.append(i)

    with pytest.raises(NodeError, match="1"):
        run_in_virtual_time(run_items(work, 5, 2))
    assert ended == [1, 0]
