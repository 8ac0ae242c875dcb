"""What nodes of one transaction share, and what a failure takes back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.workflow import TransactionMode
from nexusd.errors import NodeFailed, RecordNotFound
from tests.support.runs import Bench, call, inside, workflow, write

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.nodes.node import NodeContext

ALL, NONE = TransactionMode.ALL, TransactionMode.NONE


class Writers:
    """Nodes that write their place, each a row; those whose id begins with an x then fail.

    Attributes:
        most: how many ran at the same time.
    """

    def __init__(self, *names: str) -> None:
        self.bench = Bench(dict.fromkeys(names, self._write))
        self.most = 0
        self._running = 0

    async def _write(self, _params: Mapping[str, object], context: NodeContext) -> object:
        self._running += 1
        self.most = max(self.most, self._running)
        write(context.place, context)
        await asyncio.sleep(0.1)
        self._running -= 1
        if context.node.rpartition(".")[2].startswith("x"):
            raise RecordNotFound
        return context.place


@pytest.mark.parametrize(("mode", "dry_run", "most"), [(NONE, False, 3), (NONE, True, 1), (ALL, False, 1)])
def test_nodes_of_one_transaction_take_turns(mode: TransactionMode, dry_run: bool, most: int) -> None:  # noqa: FBT001 - a case
    writers = Writers("a", "b", "c")

    writers.bench.run(call("a"), call("b"), call("c"), transaction=mode, dry_run=dry_run)

    assert writers.most == most
    assert sorted(map(str, writers.bench.rows.all)) == ([] if dry_run else ["a", "b", "c"])


@pytest.mark.parametrize(("mode", "dry_run", "most"), [(NONE, False, 3), (NONE, True, 1), (ALL, False, 1)])
def test_items_of_one_transaction_take_turns(mode: TransactionMode, dry_run: bool, most: int) -> None:  # noqa: FBT001 - a case
    writers = Writers("a")

    writers.bench.run(call("a", foreach=[1, 2, 3, 4], concurrency=3), transaction=mode, dry_run=dry_run)

    assert writers.most == most


@pytest.mark.parametrize(("outer", "inner", "most"), [(NONE, NONE, 5), (NONE, ALL, 1), (ALL, NONE, 1), (ALL, ALL, 1)])
def test_nodes_of_a_workflow_inside_take_turns_where_it_is_in_a_transaction(
    outer: TransactionMode, inner: TransactionMode, most: int
) -> None:
    writers = Writers("a", "b", "c")
    within = workflow("inner", call("a", foreach=[1, 2, 3], concurrency=3), call("b"), call("c"), transaction=inner)

    writers.bench.run(inside("w", "inner"), others=(within,), transaction=outer)

    assert writers.most == most


@pytest.mark.parametrize(
    ("outer", "inner", "kept"),
    [(NONE, NONE, ["a", "w.b", "w.x"]), (NONE, ALL, ["a"]), (ALL, NONE, []), (ALL, ALL, [])],
)
def test_a_failure_inside_takes_back_what_its_transaction_wrote(
    outer: TransactionMode, inner: TransactionMode, kept: list[str]
) -> None:
    writers = Writers("a", "b", "x")
    within = workflow("inner", call("b"), call("x", params={"after": "{{ b }}"}), transaction=inner)
    nodes = call("a"), inside("w", "inner", params={})

    with pytest.raises(NodeFailed):
        writers.bench.run(*nodes, others=(within,), transaction=outer)
    assert writers.bench.rows.all == kept


@pytest.mark.parametrize(("outer", "kept"), [(NONE, ["w.b", "w.x"]), (ALL, [])])
def test_a_workflow_inside_is_whole_also_where_it_is_alone(outer: TransactionMode, kept: list[str]) -> None:
    writers = Writers("b", "x")
    within = workflow("inner", call("b"), call("x", params={"after": "{{ b }}"}), transaction=NONE)

    with pytest.raises(NodeFailed):
        writers.bench.run(inside("w", "inner"), others=(within,), transaction=outer)
    assert writers.bench.rows.all == kept


@pytest.mark.parametrize(("outer", "inner"), [(NONE, ALL), (ALL, NONE), (ALL, ALL)])
def test_a_run_goes_on_without_what_a_failed_workflow_in_a_transaction_wrote(
    outer: TransactionMode, inner: TransactionMode
) -> None:
    writers = Writers("a", "b", "x")
    within = workflow("inner", call("b"), call("x", params={"after": "{{ b }}"}), transaction=inner)
    nodes = inside("w", "inner", on_error="continue"), call("a", foreach=[0, 1])

    assert writers.bench.run(*nodes, others=(within,), transaction=outer) == {"w": None, "a": ["a[0]", "a[1]"]}
    assert set(writers.bench.rows.all) == {"a[0]", "a[1]"}
