from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from nexusd.definitions import execution

if TYPE_CHECKING:
    import pytest


def test_now_has_six_digits_and_is_now() -> None:
    told = execution.utc_now()
    assert (len(told), told[-1]) == (len("2026-01-31T00:00:00.000000Z"), "Z")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(told)) < timedelta(minutes=1)


def test_now_follows_the_clock_over_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    moments = iter([1_769_817_599_999_999_000, 1_769_817_600_000_007_000, 1_769_817_599_000_000_000])
    monkeypatch.setattr("time.time_ns", lambda: next(moments))

    assert [execution.utc_now() for _ in range(3)] == [
        "2026-01-30T23:59:59.999999Z",
        "2026-01-31T00:00:00.000007Z",
        "2026-01-30T23:59:59.000000Z",
    ]
