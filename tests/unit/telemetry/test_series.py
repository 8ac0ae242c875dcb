from __future__ import annotations

from nexusd.telemetry.families import CHANNEL_UP, EXECUTIONS, LOOP_LAG, POOL_WAIT
from nexusd.telemetry.series import BUCKETS, Counter, Gauge, Histogram, Total, merged

FAMILIES = {family.name: family for family in (CHANNEL_UP, EXECUTIONS, LOOP_LAG, POOL_WAIT)}


def test_value_on_a_bound_belongs_to_that_bucket() -> None:
    histogram = Histogram(POOL_WAIT)
    for value in (0.0, 0.005, 0.0051, 10.0, 11.0):
        histogram.add((), value)

    ((_, numbers),) = histogram.series()
    assert [2, 1, *[0] * (len(BUCKETS) - 3), 1, 1] == numbers[:-1]
    assert round(numbers[-1], 4) == 21.0101


def test_processes_are_added_up() -> None:
    first, second = Counter(EXECUTIONS), Counter(EXECUTIONS)
    first.add(("a", "http", "completed"), 2)
    second.add(("a", "http", "completed"))
    second.add(("b", "mcp", "failed"))
    waits = [Histogram(POOL_WAIT), Histogram(POOL_WAIT)]
    for histogram in waits:
        histogram.add((), 0.001)

    together = merged(
        FAMILIES,
        [
            {EXECUTIONS.name: first.series(), POOL_WAIT.name: waits[0].series()},
            {EXECUTIONS.name: second.series(), POOL_WAIT.name: waits[1].series()},
        ],
    )

    assert together[EXECUTIONS.name] == [(["a", "http", "completed"], [3]), (["b", "mcp", "failed"], [1])]
    assert together[POOL_WAIT.name] == [([], [2.0, *[0.0] * len(BUCKETS), 0.002])]


def test_gauges_are_joined_by_their_rule() -> None:
    lags = [Gauge(LOOP_LAG), Gauge(LOOP_LAG)]
    ups = [Gauge(CHANNEL_UP), Gauge(CHANNEL_UP)]
    for i, (lag, up) in enumerate(zip(lags, ups, strict=True)):
        lag.set((), 0.1 + i)
        up.set(("http",), i)

    together = merged(
        FAMILIES, [{LOOP_LAG.name: a.series(), CHANNEL_UP.name: b.series()} for a, b in zip(lags, ups, strict=True)]
    )

    assert (together[LOOP_LAG.name], together[CHANNEL_UP.name]) == ([([], [1.1])], [(["http"], [0])])


def test_family_of_another_version_is_left_out() -> None:
    assert "nexusd_new" not in merged(FAMILIES, [{"nexusd_new": [([], [1.0])]}])


def test_snapshot_does_not_change_with_what_is_counted_later() -> None:
    histogram = Histogram(POOL_WAIT)
    histogram.add((), 1.0)
    before = histogram.series()
    histogram.add((), 1.0)

    assert before[0][1][-1] == 1.0


def test_total_is_how_many_durations_were_counted() -> None:
    histogram = Histogram(POOL_WAIT)
    for value in (0.001, 0.3, 99.0):
        histogram.add(("a",), value)
    histogram.add(("b",), 1.0)

    assert Total(EXECUTIONS, histogram).series() == [(["a"], [3.0]), (["b"], [1.0])]
