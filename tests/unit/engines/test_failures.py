"""What a failure does to the run around it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.workflow import TransactionMode
from nexusd.errors import (
    Cancelled,
    DatabaseUnavailable,
    DeadlineExceeded,
    InputRequired,
    InvalidInput,
    NodeFailed,
    Overloaded,
    RecordNotFound,
    SerializationConflict,
    UnknownOutcome,
)
from tests.support.runs import Bench, call, fails, gives, inside, workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.errors import NexusError
    from nexusd.nodes.node import NodeContext

MODES = (TransactionMode.ALL, TransactionMode.NONE)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("on_error", ["continue", "b"])
@pytest.mark.parametrize("error", [Cancelled, InputRequired, SerializationConflict, UnknownOutcome])
def test_on_error_does_not_keep_a_run_from_its_own_failure(
    error: type[NexusError], on_error: str, mode: TransactionMode
) -> None:
    with pytest.raises(error) as caught:
        Bench({"a": fails(error()), "b": gives("b")}).run(call("a", on_error=on_error), call("b"), transaction=mode)

    assert caught.value.node == "a"


def test_a_run_outlives_a_lost_database_only_outside_of_a_transaction() -> None:
    bench = Bench({"a": fails(DatabaseUnavailable())})

    assert bench.run(call("a", on_error="continue")) == {"a": None}
    with pytest.raises(DatabaseUnavailable):
        bench.run(call("a", on_error="continue"), transaction=TransactionMode.ALL)


@pytest.mark.parametrize("mode", MODES)
def test_a_run_does_not_go_on_when_its_time_is_over(mode: TransactionMode) -> None:
    bodies = {"a": fails(DeadlineExceeded(), after_s=5), "b": gives("b")}
    bench = Bench(bodies)

    with pytest.raises(DeadlineExceeded) as caught:
        bench.run(call("a", on_error="b"), call("b"), transaction=mode)
    assert caught.value.node == "a"

    bodies["a"] = fails(DeadlineExceeded(), after_s=4.9)
    assert bench.run(call("a", on_error="b"), call("b"), transaction=mode) == {"a": None, "b": "b"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize(("a_s", "b_s"), [(0, 0), (0, 1), (1, 0)])
def test_of_several_failures_that_of_the_first_node_is_told_to_what_takes_over(
    a_s: float, b_s: float, mode: TransactionMode
) -> None:
    async def told(_params: Mapping[str, object], context: NodeContext) -> object:
        return context.input

    failing = {"a": fails(RecordNotFound("of a"), after_s=a_s), "b": fails(InvalidInput("of b"), after_s=b_s)}
    bench = Bench({**failing, "c": told})

    outputs = bench.run(call("a", on_error="c"), call("b", on_error="c"), call("c"), transaction=mode)

    assert outputs["c"] == {"node": "a", "code": "record_not_found", "detail": "of a"}


PASSED_ON = (
    DeadlineExceeded,
    Cancelled,
    InputRequired,
    Overloaded,
    SerializationConflict,
    DatabaseUnavailable,
    UnknownOutcome,
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("error", PASSED_ON)
def test_what_became_of_the_whole_run_is_told_as_such_by_a_workflow_inside(
    error: type[NexusError], mode: TransactionMode
) -> None:
    inner = workflow("inner", call("x"), transaction=mode)

    with pytest.raises(error, match="as the database says") as caught:
        Bench({"x": fails(error("as the database says"))}).run(inside("a", "inner"), others=(inner,), transaction=mode)
    assert caught.value.node == "a.x"


@pytest.mark.parametrize("mode", MODES)
def test_any_other_failure_of_a_workflow_inside_is_that_of_the_node(mode: TransactionMode) -> None:
    inner = workflow("inner", call("x"), transaction=mode)
    bench = Bench({"x": fails(InvalidInput("no"))})

    with pytest.raises(NodeFailed, match="the workflow inner failed: no") as caught:
        bench.run(inside("a", "inner"), others=(inner,), transaction=mode)
    assert caught.value.node == "a.x"

    assert bench.run(inside("a", "inner", on_error="continue"), others=(inner,), transaction=mode) == {"a": None}


@pytest.mark.parametrize("items", ["text", "", {"x": 1}, {}, 3, None])
def test_foreach_over_what_is_no_list_is_refused(items: object) -> None:
    bench = Bench({"a": gives(items), "b": gives("b")})

    with pytest.raises(InvalidInput, match="foreach takes a list") as caught:
        bench.run(call("a"), call("b", foreach="{{ a }}"))
    assert caught.value.node == "b"


def test_foreach_over_too_many_results_is_refused_before_the_first() -> None:
    begun = 0

    async def counts(_params: Mapping[str, object], _context: NodeContext) -> object:
        nonlocal begun
        begun += 1
        return begun

    longest = 10_000
    bodies = {"a": gives([0] * longest), "b": counts}
    bench = Bench(bodies)
    nodes = call("a"), call("b", foreach="{{ a }}")

    assert bench.run(*nodes)["b"] == list(range(1, longest + 1))

    bodies["a"] = gives([0] * (longest + 1))
    with pytest.raises(InvalidInput, match="at most 10000 items") as caught:
        bench.run(*nodes)
    assert caught.value.node == "b"
    assert begun == longest


def test_a_node_that_is_cancelled_by_itself_is_the_end_of_the_run() -> None:
    bench = Bench({"a": fails(asyncio.CancelledError()), "b": fails(RecordNotFound(), after_s=1), "c": gives("c")})

    with pytest.raises(asyncio.CancelledError):
        bench.run(call("a", on_error="continue"), call("b"), call("c", params={"x": "{{ a }}"}))
    assert bench.ended_s == 0
