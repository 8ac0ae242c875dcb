"""How long runs, nodes and workflows inside others may take."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.workflow import TransactionMode
from nexusd.errors import DeadlineExceeded, UnknownOutcome
from tests.support.runs import Bench, call, hangs, inside, workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.nodes.node import NodeContext

MODES = (TransactionMode.ALL, TransactionMode.NONE)

# What the node x and the workflow around it may take, in runs of 5 s, and what is then the limit.
LIMITS = pytest.mark.parametrize(
    ("node_s", "workflow_s", "limit_s"), [(None, 30, 5), (1, 30, 1), (None, 1, 1), (9, 9, 5)]
)


def run(bench: Bench, node_s: float | None, workflow_s: float, mode: TransactionMode) -> None:
    """Run the node x in a workflow inside another."""
    inner = workflow("inner", call("x", timeout_s=node_s), timeout_s=workflow_s, transaction=mode)
    bench.run(inside("a", "inner"), others=(inner,), transaction=mode)


@LIMITS
@pytest.mark.parametrize("mode", MODES)
def test_what_hangs_is_cut_off_a_moment_after_the_nearest_limit(
    node_s: float | None, workflow_s: float, limit_s: float, mode: TransactionMode
) -> None:
    bench = Bench({"x": hangs})

    with pytest.raises(DeadlineExceeded):
        run(bench, node_s, workflow_s, mode)
    assert bench.ended_s == pytest.approx(limit_s + 0.1, abs=0.01)


@LIMITS
@pytest.mark.parametrize("mode", MODES)
def test_who_knows_what_became_of_a_statement_at_the_limit_has_time_to_say_so(
    node_s: float | None, workflow_s: float, limit_s: float, mode: TransactionMode
) -> None:
    async def says(_params: Mapping[str, object], context: NodeContext) -> object:
        await asyncio.sleep(context.deadline - asyncio.get_running_loop().time() + 0.05)
        raise UnknownOutcome

    bench = Bench({"x": says})

    with pytest.raises(UnknownOutcome):
        run(bench, node_s, workflow_s, mode)
    assert bench.ended_s == pytest.approx(limit_s + 0.05, abs=0.01)


@pytest.mark.parametrize(("outer_s", "node_s", "seen_s"), [(1, None, 1), (1, 3, 1), (3, 1, 1), (None, None, 5)])
def test_the_limit_of_a_node_holds_for_what_it_runs(outer_s: float | None, node_s: float | None, seen_s: float) -> None:
    async def tells(_params: Mapping[str, object], context: NodeContext) -> object:
        return round(context.deadline - asyncio.get_running_loop().time(), 3)

    bench = Bench({"x": tells})

    outputs = bench.run(
        inside("a", "inner", timeout_s=outer_s), others=(workflow("inner", call("x", timeout_s=node_s)),)
    )
    assert outputs == {"a": {"x": seen_s}}


def test_a_node_says_that_it_was_its_limit_and_not_that_of_the_workflow_inside() -> None:
    with pytest.raises(DeadlineExceeded, match="the node took longer than its 1 s"):
        Bench({"x": hangs}).run(inside("a", "inner", timeout_s=1), others=(workflow("inner", call("x")),))


def test_a_workflow_inside_says_that_it_was_its_own_limit() -> None:
    inner = workflow("inner", call("x"), timeout_s=1)

    with pytest.raises(DeadlineExceeded, match="the workflow inner took longer than its 1 s"):
        Bench({"x": hangs}).run(inside("a", "inner"), others=(inner,))


def test_a_run_can_go_on_without_a_workflow_that_took_too_long() -> None:
    inner = workflow("inner", call("x"), timeout_s=1)
    bench = Bench({"x": hangs})

    assert bench.run(inside("a", "inner", on_error="continue"), others=(inner,)) == {"a": None}
    assert bench.ended_s == pytest.approx(1.1, abs=0.01)
