"""Admission under more clients than it has places for."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import pytest

from nexusd.engines.admission import Admission
from nexusd.errors import Overloaded
from tests.support.virtual_time import run_in_virtual_time

if TYPE_CHECKING:
    from collections.abc import Callable

DURATION_S: Final = 4.0
TIMES: Final[dict[str, Callable[[random.Random], float]]] = {
    "constant": lambda _draw: 0.02,
    "uniform": lambda draw: draw.uniform(0.005, 0.035),
    "exponential": lambda draw: draw.expovariate(1 / 0.02),
}


@dataclass
class Outcome:
    refused: int = 0
    latencies: list[float] = field(default_factory=list)

    @property
    def late(self) -> float:
        """The 99th percentile of the latencies of those who were served."""
        return sorted(self.latencies)[int((len(self.latencies) - 1) * 0.99)]


async def closed_loop(limit: int, clients: int, service: Callable[[random.Random], float]) -> Outcome:
    """Clients that ask again as soon as they are answered, each answer a moment on its way."""
    draw = random.Random(clients)  # noqa: S311 - the same in each run
    random.seed(clients)
    loop = asyncio.get_running_loop()
    admission = Admission(limit, 1.0)
    outcome = Outcome()
    end = loop.time() + DURATION_S

    async def client() -> None:
        while (started := loop.time()) < end:
            await asyncio.sleep(draw.expovariate(1 / 0.0005))
            try:
                await admission.enter()
            except Overloaded:
                outcome.refused += 1
                continue
            await asyncio.sleep(service(draw))
            admission.leave()
            if loop.time() < end:
                outcome.latencies.append(loop.time() - started)

    await asyncio.gather(*(client() for _ in range(clients)))
    return outcome


@pytest.mark.parametrize("times", TIMES)
@pytest.mark.parametrize("limit", [8, 32])
@pytest.mark.parametrize("excess", [2, 10, 40])
def test_overload_costs_neither_goodput_nor_time(limit: int, excess: int, times: str) -> None:
    at_capacity = run_in_virtual_time(closed_loop(limit, limit, TIMES[times]))

    over = run_in_virtual_time(closed_loop(limit, excess * limit, TIMES[times]))

    assert at_capacity.refused == 0
    assert over.refused > 0
    assert len(over.latencies) >= 0.95 * len(at_capacity.latencies)
    assert over.late <= 2 * at_capacity.late


def test_every_place_comes_back() -> None:
    async def main() -> list[int]:
        admission = Admission(3, 0.2)
        served = 0

        async def caller(i: int) -> None:
            nonlocal served
            try:
                await admission.enter()
            except Overloaded:
                return
            await asyncio.sleep(0.05 + i / 1000)
            served += 1
            admission.leave()

        tasks = [asyncio.create_task(caller(i)) for i in range(40)]
        await asyncio.sleep(0.06)
        for task in tasks[10:20]:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(1)
        await asyncio.gather(*(asyncio.wait_for(admission.enter(), 0.01) for _ in range(3)))
        return [served]

    assert run_in_virtual_time(main())[0] >= 3
