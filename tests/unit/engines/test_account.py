"""What is told of a run, to its caller and to those who observe it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from nexusd.definitions.workflow import TransactionMode
from nexusd.errors import DeadlineExceeded, QuestionsPending, RecordNotFound
from nexusd.events import NodeFinished
from tests.support.runs import Bench, call, fails, gives, hangs, inside, workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.conversation import Answer, Level, Question

MODES = (TransactionMode.ALL, TransactionMode.NONE)


class Listener:
    """A caller who hears how far a run has come."""

    client_capabilities: Mapping[str, object] = {}

    def __init__(self) -> None:
        self.steps: list[tuple[int, int, str]] = []

    async def step(self, done: int, total: int, node: str) -> None:
        self.steps.append((done, total, node))

    async def progress(self, done: float, total: float | None, text: str) -> None:
        """Not said by the engine."""

    async def log(self, level: Level, text: str) -> None:
        """Not said by the engine."""

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        return dict.fromkeys(questions)


def finished(bench: Bench) -> list[tuple[str, str, str | None]]:
    """Workflow, node and code of the nodes that have ended."""
    return [(event.workflow, event.node, event.code) for event in bench.events if isinstance(event, NodeFinished)]


@pytest.mark.parametrize("mode", MODES)
def test_the_caller_is_told_of_each_node_that_has_ended_or_been_left_out(mode: TransactionMode) -> None:
    listener = Listener()
    inner = workflow("inner", call("x"), call("y"), transaction=mode)
    bodies = {name: gives(name) for name in "acxy"} | {"b": fails(RecordNotFound())}
    nodes = (
        call("a"),
        call("b", params={"x": "{{ a }}"}, on_error="continue"),
        call("c", params={"x": "{{ b }}"}),
        inside("d", "inner", when="true"),
    )

    Bench(bodies, conversation=listener).run(*nodes, others=(inner,), transaction=mode)

    assert [(done, total) for done, total, _ in listener.steps] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    names = [node for _, _, node in listener.steps]
    assert sorted(names) == ["a", "b", "c", "d"]
    assert names.index("a") < names.index("b") < names.index("c")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (RecordNotFound(), "record_not_found"),
        (DeadlineExceeded(), "timeout"),
        (LookupError(), "internal"),
        (TimeoutError(), "timeout"),
        (asyncio.CancelledError(), "cancelled"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
@pytest.mark.parametrize("mode", MODES)
def test_a_failed_node_is_observed_with_its_code(mode: TransactionMode, error: BaseException, code: str) -> None:
    bench = Bench({"a": gives(1), "b": fails(error)})

    with pytest.raises(type(error)):
        bench.run(call("a"), call("b", params={"x": "{{ a }}"}), transaction=mode)
    assert finished(bench) == [("w", "a", None), ("w", "b", code)]


def test_a_node_that_asks_and_comes_again_has_not_ended() -> None:
    bench = Bench({"a": fails(QuestionsPending())})

    with pytest.raises(QuestionsPending):
        bench.run(call("a"))
    assert finished(bench) == []


def test_each_item_and_each_node_of_a_workflow_inside_is_observed() -> None:
    inner = workflow("inner", call("x"))
    bench = Bench({"a": gives(1), "x": fails(RecordNotFound())})

    bench.run(call("a", foreach=[1, 2]), inside("b", "inner", on_error="continue"), others=(inner,))

    assert sorted(map(str, finished(bench))) == [
        "('inner', 'x', 'record_not_found')",
        "('w', 'a', None)",
        "('w', 'a', None)",
        "('w', 'b', 'node_failed')",
    ]


def test_what_a_failure_and_the_end_of_the_time_cut_off_is_observed_too() -> None:
    bench = Bench({"a": fails(RecordNotFound(), after_s=1), "b": hangs})

    with pytest.raises(RecordNotFound):
        bench.run(call("a"), call("b"))
    assert finished(bench) == [("w", "a", "record_not_found"), ("w", "b", "cancelled")]

    late = Bench({"b": hangs})
    with pytest.raises(DeadlineExceeded):
        late.run(call("b"))
    assert finished(late) == [("w", "b", "cancelled")]
