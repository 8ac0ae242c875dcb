"""Kills under load; a file for each database, so that they run side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.crashes import CRASHES, crash, cut_off

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.timeout(60 + 6 * CRASHES)
async def test_kills_lose_and_double_nothing(tmp_path: Path, postgres_url: str, free_port: Callable[[], int]) -> None:
    await crash(tmp_path, postgres_url, free_port())


async def test_claim_of_a_killed_run_has_an_unknown_outcome(
    tmp_path: Path, postgres_url: str, free_port: Callable[[], int]
) -> None:
    await cut_off(tmp_path, postgres_url, free_port())
