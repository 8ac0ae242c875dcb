from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import pytest

from nexusd import BlockingContext, Context, Elicit
from nexusd.errors import Cancelled, DeadlineExceeded, InputRequired, NotSupported, Overloaded
from nexusd.events import ThreadAbandoned
from nexusd.nodes.threads import Threads
from tests.support.connections import WAIT_S
from tests.support.functions import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.conversation import Answer, Level, Question


class Recorder:
    """A caller who hears, and answers every question by the same."""

    client_capabilities: Mapping[str, object] = {"elicitation": {}}

    def __init__(self, answer: Answer | Exception) -> None:
        self.heard: list[object] = []
        self._answer = answer

    async def progress(self, done: float, total: float | None, text: str) -> None:
        self.heard.append((done, total, text))

    async def step(self, done: int, total: int, node: str) -> None:
        """Not what these tests are about."""

    async def log(self, level: Level, text: str) -> None:
        self.heard.append((level, text))

    async def ask(self, questions: Mapping[str, Question]) -> Mapping[str, Answer]:
        self.heard.append(dict(questions))
        if isinstance(self._answer, Exception):
            raise self._answer
        return dict.fromkeys(questions, self._answer)


SCHEMA = {"type": "object", "properties": {"sure": {"type": "boolean"}}}


async def talkative(name: str, ctx: Context) -> object:
    await ctx.progress(1, 2, "half")
    await ctx.log("a line", "warning")
    answer = await ctx.elicit("confirm", f"Delete {name}?", SCHEMA)
    return [answer.accepted, dict(answer.content), list(ctx.client_capabilities), ctx.dry_run, ctx.principal.id]


def talkative_in_a_thread(name: str, context: BlockingContext) -> object:
    context.progress(1, 2, "half")
    context.log("a line", "warning")
    answer = context.elicit("confirm", f"Delete {name}?", SCHEMA)
    return [
        answer.accepted,
        dict(answer.content),
        list(context.client_capabilities),
        context.dry_run,
        context.principal.id,
    ]


@pytest.mark.parametrize("function", [talkative, talkative_in_a_thread])
async def test_function_talks_with_its_caller(function: Callable[..., object]) -> None:
    recorder = Recorder({"action": "accept", "content": {"sure": True}})
    caller = Caller(conversation=recorder)
    assert await caller.run(function, name="x") == [True, {"sure": True}, ["elicitation"], False, "anonymous"]
    assert recorder.heard == [
        (1, 2, "half"),
        ("warning", "a line"),
        {"confirm": Elicit("Delete x?", SCHEMA)},
    ]


@pytest.mark.parametrize("function", [talkative, talkative_in_a_thread])
async def test_without_a_conversation_nobody_hears_and_nobody_answers(function: Callable[..., object]) -> None:
    assert await Caller().run(function, name="x") == [False, {}, [], False, "anonymous"]


@pytest.mark.parametrize("function", [talkative, talkative_in_a_thread])
async def test_question_that_ends_the_run_passes_through_a_function(function: Callable[..., object]) -> None:
    caller = Caller(conversation=Recorder(InputRequired()))
    with pytest.raises(InputRequired):
        await caller.run(function, name="x")
    assert caller.events == []


async def test_question_that_ends_the_run_passes_through_a_function_that_catches_everything() -> None:
    async def stubborn(ctx: Context) -> str:
        try:
            await ctx.roots()
        except Exception:  # noqa: BLE001
            return "no matter"
        return "asked"

    with pytest.raises(InputRequired):
        await Caller(conversation=Recorder(InputRequired())).run(stubborn)


def test_input_required_is_told_as_not_supported_where_nobody_can_answer() -> None:
    assert InputRequired.code is NotSupported.code


async def test_thread_that_outlives_its_run_is_counted_until_new_calls_are_refused() -> None:
    released = threading.Event()

    def stuck() -> None:
        released.wait(WAIT_S)

    def quick() -> int:
        return 1

    caller = Caller(threads=Threads(limit=1))
    with pytest.raises(DeadlineExceeded):
        await caller.run(stuck, deadline=0.01)
    assert caller.events == [ThreadAbandoned("w", "f", 1, 1)]
    with pytest.raises(Overloaded):
        await caller.run(quick)
    released.set()
    async with asyncio.timeout(WAIT_S):
        while caller.threads.abandoned:  # noqa: ASYNC110 - the thread's end has no event of its own
            await asyncio.sleep(0)
    assert await caller.run(quick) == 1


async def test_function_in_a_thread_learns_that_nobody_waits() -> None:
    learned = asyncio.Event()
    loop = asyncio.get_running_loop()

    def function(ctx: BlockingContext) -> None:
        try:
            while True:
                ctx.log("still here")
        except Cancelled:
            if ctx.cancelled:
                loop.call_soon_threadsafe(learned.set)

    with pytest.raises(DeadlineExceeded):
        await Caller().run(function, deadline=0.01)
    await asyncio.wait_for(learned.wait(), WAIT_S)


async def test_calls_wait_for_a_thread_while_there_is_hope() -> None:
    both = threading.Barrier(2)

    def function(value: int) -> int:
        both.wait(WAIT_S)
        return value

    caller = Caller(threads=Threads(limit=2))
    found = await asyncio.gather(*(caller.run(function, value=value) for value in range(6)))
    assert found == list(range(6))
