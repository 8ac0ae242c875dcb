from __future__ import annotations

import pytest

from nexusd.definitions.trace import Trace, TraceParent, begin_trace, parse_traceparent

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("text", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-03", True),
        (f"cc-{TRACE}-{SPAN}-01-what-comes-later", True),
    ],
)
def test_valid_header_is_taken(text: str, *, sampled: bool) -> None:
    assert parse_traceparent(text, "a=1") == TraceParent(TRACE, SPAN, sampled, "a=1")


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01",
        f"00-{TRACE}-{SPAN}",
        f"00-{TRACE}-{SPAN}-01\n",
        f" 00-{TRACE}-{SPAN}-01",
    ],
)
def test_other_header_is_no_trace(text: str) -> None:
    assert begin_trace(None, "GET", text) is None


def test_state_that_is_too_long_or_no_text_is_left_out() -> None:
    for state in ("a=" + "1" * 600, "a=1\r\nb: 2"):
        parent = parse_traceparent(f"00-{TRACE}-{SPAN}-01", state)
        assert parent is not None
        assert parent.state == ""


def test_trace_that_is_not_recorded_here_is_passed_on_as_it_came() -> None:
    trace = begin_trace(None, "GET", f"00-{TRACE}-{SPAN}-00", "a=1")

    assert isinstance(trace, Trace)
    assert trace.headers(None) == {"traceparent": f"00-{TRACE}-{SPAN}-00", "tracestate": "a=1"}
    assert (trace.trace_id, trace.span_id) == (TRACE, None)
