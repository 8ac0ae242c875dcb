from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusd.auth.limits import Gcra, Limits
from nexusd.definitions.limits import Standing
from nexusd.definitions.principal import Principal
from nexusd.definitions.workflow import RateLimit, Workflow
from nexusd.errors import RateLimited

ALICE, BOB = Principal("key:alice"), Principal("key:bob")
FREE = Workflow(name="free", nodes=())
LIMITED = Workflow(name="limited", nodes=(), rate_limit=RateLimit(2, 10))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@given(
    st.integers(1, 20),
    st.floats(0.1, 100, allow_nan=False),
    st.lists(st.floats(0, 30, allow_nan=False), max_size=60),
)
def test_no_window_sees_more_than_twice_the_allowance_and_a_whole_one_is_never_refused(
    requests: int, per_s: float, pauses: list[float]
) -> None:
    limit, now = Gcra(requests, per_s), 0.0
    let_in: list[float] = []
    for pause in pauses:
        now += pause
        earlier = [time for time in let_in if now - time < per_s]
        if limit.wait_s("caller", now) == 0:
            limit.take("caller", now)
            let_in.append(now)
            # A full allowance at once, and what is refilled while it is spent.
            assert len(earlier) + 1 <= 2 * requests
        else:
            assert earlier, "somebody who has not asked for a whole period is refused"
    assert limit.standing("default", "caller", now + per_s + 1).remaining == requests


def test_waiting_as_long_as_told_is_enough() -> None:
    limit = Gcra(3, 1.0)
    for _ in range(3):
        limit.take("caller", 5.0)

    wait_s = limit.wait_s("caller", 5.0)

    assert wait_s == pytest.approx(1 / 3)
    assert limit.wait_s("caller", 5.0 + wait_s) == 0


def test_the_table_of_callers_is_bounded() -> None:
    limit = Gcra(1, 60, max_callers=2)
    for caller in ("a", "b", "c"):
        limit.take(caller, 1.0)

    assert [limit.wait_s(caller, 1.0) > 0 for caller in ("a", "b", "c")] == [False, True, True]


def test_each_caller_has_an_allowance_for_each_workflow() -> None:
    limits = Limits(None, Clock())
    for _ in range(2):
        limits.take(ALICE, LIMITED, None)

    with pytest.raises(RateLimited) as caught:
        limits.take(ALICE, LIMITED, None)
    assert (caught.value.policy, caught.value.retry_after_s) == ("workflow", 5.0)
    limits.take(BOB, LIMITED, None)
    limits.take(ALICE, FREE, None)


def test_the_limit_of_a_principal_holds_over_all_workflows_and_what_is_refused_is_not_counted() -> None:
    clock = Clock()
    limits = Limits(RateLimit(3, 30), clock)
    told: list[Standing] = []
    limits.take(ALICE, LIMITED, told)
    assert told == [Standing("workflow", 2, 10, 1, 5.0), Standing("default", 3, 30, 2, 10.0)]
    limits.take(ALICE, LIMITED, None)
    for _ in range(5):
        with pytest.raises(RateLimited):
            limits.take(ALICE, LIMITED, None)
    limits.take(ALICE, FREE, None)

    with pytest.raises(RateLimited) as caught:
        limits.take(ALICE, FREE, None)
    assert caught.value.policy == "default"


def test_a_limit_that_was_changed_holds_from_the_next_run() -> None:
    limits = Limits(None, Clock())
    for _ in range(2):
        limits.take(ALICE, LIMITED, None)

    limits.take(ALICE, Workflow(name="limited", nodes=(), rate_limit=RateLimit(5, 10)), None)


@given(st.floats(0, 1e9))
def test_how_long_until_the_allowance_is_whole_is_told_without_what_rounding_adds(now: float) -> None:
    limit = Gcra(2, 3600)
    limit.take("caller", now)

    assert limit.standing("workflow", "caller", now).reset_s == 1800
