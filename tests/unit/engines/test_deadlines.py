from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusd.engines.deadlines import Deadlines
from nexusd.errors import DeadlineExceeded
from tests.support.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Sequence


async def ended(deadlines: Deadlines, limit_s: float, work_s: float) -> tuple[str, float]:
    """How and after how long a block ended."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    try:
        with deadlines.at(begun + limit_s):
            await asyncio.sleep(work_s)
    except DeadlineExceeded:
        return "late", round(loop.time() - begun, 3)
    return "done", round(loop.time() - begun, 3)


TIMES = st.integers(0, 400).map(lambda tenths: tenths / 10)


@given(st.lists(st.tuples(TIMES, TIMES, TIMES), max_size=12))
def test_each_block_ends_when_its_work_does_or_at_its_deadline(blocks: Sequence[tuple[float, float, float]]) -> None:
    """Whatever other blocks begin and end meanwhile; drawn are beginning, limit and work, never equal."""
    drawn = [(begin_s, limit_s, work_s + 0.05) for begin_s, limit_s, work_s in blocks]

    async def all_ended() -> list[tuple[str, float]]:
        deadlines = Deadlines()

        async def later(begin_s: float, limit_s: float, work_s: float) -> tuple[str, float]:
            await asyncio.sleep(begin_s)
            return await ended(deadlines, limit_s, work_s)

        return await asyncio.gather(*(later(*each) for each in drawn))

    expected = [
        ("done", round(work_s, 3)) if work_s < limit_s else ("late", round(limit_s, 3)) for _, limit_s, work_s in drawn
    ]
    assert run_in_virtual_time(all_ended()) == expected


def test_one_timer_serves_blocks_that_end_before_it() -> None:
    async def timers() -> int:
        deadlines = Deadlines()
        loop = asyncio.get_running_loop()
        made: list[float] = []
        call_at = loop.call_at

        def counted(when: float, *args: object, **kwargs: object) -> asyncio.TimerHandle:
            made.append(when)
            return call_at(when, *args, **kwargs)  # type: ignore[arg-type]

        loop.call_at = counted  # type: ignore[method-assign]
        for _ in range(100):
            with deadlines.at(loop.time() + 30):
                pass
        return len(made)

    assert run_in_virtual_time(timers()) == 1


def test_a_timer_gives_way_to_that_of_an_earlier_deadline() -> None:
    async def waiting() -> list[float]:
        deadlines = Deadlines()
        loop = asyncio.get_running_loop()
        begun = loop.time()
        timers: list[asyncio.TimerHandle] = []
        call_at = loop.call_at

        def noted(when: float, *args: object, **kwargs: object) -> asyncio.TimerHandle:
            timers.append(call_at(when, *args, **kwargs))  # type: ignore[arg-type]
            return timers[-1]

        loop.call_at = noted  # type: ignore[method-assign]
        for limit_s in (40, 30, 20, 10):
            with deadlines.at(begun + limit_s):
                pass
        return [timer.when() - begun for timer in timers if not timer.cancelled()]

    assert run_in_virtual_time(waiting()) == [10]


@pytest.mark.parametrize("limit_s", [0.0002, 0.0013, 0.9996, 4.9999])
def test_a_timer_that_is_a_fraction_of_its_tick_too_early_postpones_no_end(limit_s: float) -> None:
    async def late() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        with pytest.raises(DeadlineExceeded), Deadlines().at(begun + limit_s):
            await asyncio.Event().wait()
        return loop.time() - begun

    tick_s = 0.001
    assert run_in_virtual_time(late(), tick_s=tick_s) <= max(tick_s, limit_s) + 1e-9


def test_task_that_has_left_its_block_goes_on_past_the_deadline() -> None:
    async def goes_on() -> tuple[str, float]:
        deadlines = Deadlines()
        with deadlines.at(asyncio.get_running_loop().time() + 5):
            await asyncio.sleep(1)
        return await ended(deadlines, 30, 20)

    assert run_in_virtual_time(goes_on()) == ("done", 20.0)


def test_task_that_outlived_a_cancellation_is_late_at_its_deadline() -> None:
    async def stubborn() -> tuple[str, float]:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(10)
        return await ended(Deadlines(), 2, 5)

    async def outlived() -> tuple[str, float]:
        task = asyncio.create_task(stubborn())
        await asyncio.sleep(1)
        task.cancel()
        return await task

    assert run_in_virtual_time(outlived()) == ("late", 2.0)


def test_what_a_task_does_to_end_after_its_deadline_is_not_disturbed() -> None:
    async def work(deadlines: Deadlines) -> None:
        try:
            await asyncio.sleep(5)
        finally:
            # Meanwhile the timer is set again, and passes.
            assert await asyncio.create_task(ended(deadlines, 0.5, 2)) == ("late", 0.5)
            await asyncio.sleep(3)

    async def cleared() -> float:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        deadlines = Deadlines()
        with pytest.raises(DeadlineExceeded), deadlines.at(begun + 1):
            await work(deadlines)
        return loop.time() - begun

    assert run_in_virtual_time(cleared()) == 4.5


def test_cancelled_task_is_cancelled_and_not_late() -> None:
    async def cancelled() -> bool:
        task = asyncio.create_task(ended(Deadlines(), 5, 10))
        await asyncio.sleep(1)
        task.cancel()
        await asyncio.wait([task])
        return task.cancelled()

    assert run_in_virtual_time(cancelled())


def test_task_that_is_cancelled_as_its_deadline_passes_is_cancelled() -> None:
    async def cancelled() -> bool:
        task = asyncio.create_task(ended(Deadlines(), 5, 10))
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_at(asyncio.get_running_loop().time() + 5, task.cancel)
        await asyncio.wait([task])
        return task.cancelled()

    assert run_in_virtual_time(cancelled())


def test_inner_block_ends_without_the_outer_one() -> None:
    async def both() -> tuple[tuple[str, float], str]:
        deadlines = Deadlines()
        with deadlines.at(asyncio.get_running_loop().time() + 10):
            inner = await ended(deadlines, 2, 5)
            await asyncio.sleep(1)
        return inner, "done"

    assert run_in_virtual_time(both()) == (("late", 2.0), "done")


def test_error_of_the_work_passes_when_the_deadline_comes_with_it() -> None:
    async def failing() -> None:
        with Deadlines().at(asyncio.get_running_loop().time() + 1):
            try:
                await asyncio.sleep(2)
            finally:
                raise LookupError

    with pytest.raises(LookupError):
        run_in_virtual_time(failing())


def test_task_goes_on_after_its_deadline_was_told() -> None:
    async def after() -> int:
        await ended(Deadlines(), 1, 2)
        await asyncio.sleep(1)
        task = asyncio.current_task()
        return -1 if task is None else task.cancelling()

    assert run_in_virtual_time(after()) == 0


def test_deadlines_hold_in_another_loop() -> None:
    deadlines = Deadlines()
    assert run_in_virtual_time(ended(deadlines, 2000, 1)) == ("done", 1.0)
    assert run_in_virtual_time(ended(deadlines, 5000, 6000)) == ("late", 5000.0)
