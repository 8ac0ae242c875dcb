from __future__ import annotations

import asyncio
import datetime as dt
import enum
import threading
import uuid
from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Literal, NotRequired, TypedDict

import pytest

from nexusd import Context, Image, Text, ToolError
from nexusd.definitions.content import Block, holds_blocks
from nexusd.errors import (
    ConfigurationError,
    InvalidInput,
    NodeFailed,
)
from nexusd.events import NodeCrashed
from tests.support.functions import Caller

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Tier(enum.Enum):
    FREE = "free"
    PRO = "pro"


@dataclass
class Address:
    street: str
    zip: str | None = None


class Line(TypedDict):
    name: str
    price: Decimal
    note: NotRequired[str]


Kinds = tuple[str, object, object, object]
"""An annotation's name, what a caller sends, what the function is given, what it gives back as JSON."""

MOMENT = dt.datetime(2026, 1, 31, 11, 0, tzinfo=dt.UTC)
KEY = uuid.UUID("0190b0a2-0000-7000-8000-000000000000")


def of(annotation: object, seen: list[object]) -> Callable[..., object]:
    """A function of one param and a result of that annotation."""

    def function(value: object) -> object:
        seen.append(value)
        return value

    function.__annotations__ = {"value": annotation, "return": annotation}
    return function


@pytest.mark.parametrize(
    ("annotation", "sent", "given"),
    [
        (str, "a", "a"),
        (int, 7, 7),
        (float, 1.5, 1.5),
        (bool, True, True),
        (Decimal, "1.10", Decimal("1.10")),
        (dt.datetime, "2026-01-31T11:00:00.000000Z", MOMENT),
        (dt.date, "2026-01-31", dt.date(2026, 1, 31)),
        (dt.time, "11:00:00.000000", dt.time(11)),
        (uuid.UUID, str(KEY), KEY),
        (bytes, "AAE=", b"\x00\x01"),
        (Tier, "pro", Tier.PRO),
        (Literal["a", "b"], "b", "b"),
        (int | None, None, None),
        (dict, {"a": [1.5, None]}, {"a": [1.5, None]}),
        (dict[str, Decimal], {"a": "1.5"}, {"a": Decimal("1.5")}),
        (list[uuid.UUID], [str(KEY)], [KEY]),
        (list[Address], [{"street": "a", "zip": None}], [Address("a")]),
        (Line | None, {"name": "a", "price": "2"}, {"name": "a", "price": Decimal(2)}),
        (Any, {"a": 1.25}, {"a": 1.25}),
    ],
)
async def test_annotation_says_what_a_function_is_given_and_gives(
    annotation: object, sent: object, given: object
) -> None:
    seen: list[object] = []
    assert (await Caller().json(of(annotation, seen), value=sent), seen) == (sent, [given])


@pytest.mark.parametrize(
    ("annotation", "sent", "pointer", "code"),
    [
        (int, "7", "/inputs/value", "type"),
        (Decimal, "x", "/inputs/value", "type"),
        (Tier, "gold", "/inputs/value", "not_allowed"),
        (list[int], [1, "x"], "/inputs/value/1", "type"),
        (Address, {"zip": "1", "city": "b"}, "/inputs/value/street", "required"),
        (Line, {"name": 1, "price": "2"}, "/inputs/value/name", "type"),
        (dict[str, int], {"a/b": None}, "/inputs/value/a~1b", "type"),
        (str, None, "/inputs/value", "type"),
    ],
)
async def test_value_that_does_not_fit_the_annotation_is_an_invalid_input(
    annotation: object, sent: object, pointer: str, code: str
) -> None:
    with pytest.raises(InvalidInput) as caught:
        await Caller().run(of(annotation, []), value=sent)
    assert (caught.value.faults[0].pointer, caught.value.faults[0].code) == (pointer, code)


async def test_default_of_a_param_counts_where_nothing_is_given() -> None:
    def function(a: int, b: int = 2, *, c: str | None = None, **more: object) -> list[Any]:
        return [a, b, c, more]

    caller = Caller()
    assert await caller.run(function, a=1) == [1, 2, None, {}]
    assert await caller.run(function, a=1, c="x", d=[1]) == [1, 2, "x", {"d": [1]}]
    inputs = caller.plan(function, {name: f"{{{{{name}}}}}" for name in ("a", "b")}).inputs_schema
    assert inputs["required"] == ["a"]


def problems(function: Callable[..., object], params: Mapping[str, object], **options: object) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        Caller().plan(function, params, **options)
    return [problem.message for problem in caught.value.problems]


def test_params_are_checked_at_load() -> None:
    def function(name: str, tier: Tier = Tier.FREE, *, rows: list[Address] = []) -> str:  # noqa: B006
        raise NotImplementedError

    assert problems(function, {"nmae": "x", "tier": "gold", "rows": [{"street": 1}]}) == [
        "workflows.w.nodes.f.params: the param 'name' of m:f is missing",
        "workflows.w.nodes.f.params.nmae: there is no param named 'nmae'",
        "workflows.w.nodes.f.params.tier: must be one of free, pro",
        "workflows.w.nodes.f.params.rows.0.street: must be a string",
    ]
    assert problems(function, {"name": "x"}, pure="yes", sql="x") == [
        "workflows.w.nodes.f.sql: FunctionNode has no key 'sql'",
        "workflows.w.nodes.f.pure: pure is true or false",
    ]


def test_function_that_cannot_be_a_node_is_refused_at_load() -> None:
    def positional(value: int, /) -> int:
        return value

    def unknown(value: complex) -> int:
        return int(abs(value))

    def result() -> set[int]:
        return set()

    def context(ctx: Context) -> None:
        del ctx

    prefix = "workflows.w.nodes.f.call: m:f cannot be a node: its "
    told = [
        problems(each, {})[0].removeprefix(prefix).partition("; known: ")[0]
        for each in (positional, unknown, result, context)
    ]
    assert told == [
        "param 'value' cannot be given by name",
        "param 'value': complex is not a type that JSON values can have",
        "result: set[int] is not a type that JSON values can have",
        "param 'ctx': a function that runs in a thread gets a BlockingContext",
    ]


def test_pure_function_changes_nothing_and_another_may_change_everything() -> None:
    caller = Caller()
    pure, other = caller.plan(of(int, []), {"value": 1}, pure=True), caller.plan(of(int, []), {"value": 1})
    assert (pure.read_only, pure.destructive, pure.idempotent) == (True, False, True)
    assert (other.read_only, other.destructive, other.idempotent) == (False, True, False)


async def test_coroutine_runs_in_the_loop_and_a_plain_function_in_a_thread() -> None:
    async def here() -> str:
        return threading.current_thread().name

    def there() -> str:
        return threading.current_thread().name

    caller = Caller()
    assert [await caller.run(here), await caller.run(there)] == ["MainThread", "nexusd-function"]


async def test_plain_function_that_gives_a_coroutine_is_awaited() -> None:
    async def later() -> int:
        return 7

    def function() -> object:
        return later()

    assert await Caller().run(function) == 7


async def test_what_a_function_raises_is_hidden_and_its_place_observed() -> None:
    def plain() -> None:
        message = "secret"
        raise ValueError(message)

    async def coroutine() -> None:
        raise SystemExit("secret")

    async def cancelling() -> None:
        raise asyncio.CancelledError

    for function, kind in ((plain, "ValueError"), (coroutine, "SystemExit"), (cancelling, "CancelledError")):
        caller = Caller()
        with pytest.raises(NodeFailed) as caught:
            await caller.run(function)
        assert (caught.value.detail, caught.value.node) == (
            "the function failed; the log says where, under this request id",
            "f",
        )
        (event,) = caller.events
        assert isinstance(event, NodeCrashed)
        assert (event.error_type, event.execution_id, event.request_id) == (kind, "run", "r")
        assert f"test_function.py:{function.__code__.co_firstlineno + 1 + (kind == 'ValueError')} " in event.traceback
        assert "secret" not in event.traceback


async def test_tool_error_tells_its_text() -> None:
    def function() -> None:
        raise ToolError("the quota is used up")

    caller = Caller()
    with pytest.raises(NodeFailed, match="the quota is used up"):
        await caller.run(function)
    assert caller.events == []


@pytest.mark.parametrize(
    ("result", "detail"),
    [
        ({1}, "the result: set is not a value that JSON has"),
        ([{"a": object()}], r"the result\[0\]\.a: object is not a value"),
        ({1: 2}, "the key 1 is not text"),
        (float("nan"), "float is not a value"),
        (iter(()), "tuple_iterator is not a value"),
    ],
)
async def test_result_that_json_lacks_fails_the_node_and_names_its_type(result: object, detail: str) -> None:
    def function() -> object:
        return result

    with pytest.raises(NodeFailed, match=detail):
        await Caller().run(function)


async def test_result_that_contains_itself_fails_the_node() -> None:
    def function() -> object:
        value: list[object] = []
        value.append(value)
        return value

    with pytest.raises(NodeFailed, match="nested too deeply"):
        await Caller().run(function)


async def test_result_that_is_not_what_the_annotation_says_fails_the_node() -> None:
    def function() -> list[Line]:
        return [{"name": "a"}]  # type: ignore[typeddict-item]

    with pytest.raises(NodeFailed, match="the result at /0/price is required"):
        await Caller().run(function)


async def test_unannotated_result_is_told_in_wire_values() -> None:
    def function(value: object) -> object:
        return {
            "value": value,
            "at": MOMENT,
            "key": KEY,
            "tier": Tier.PRO,
            "sum": Decimal("1E+2"),
            "address": Address("a"),
            "raw": b"a",
        }

    assert await Caller().json(function, value=1) == {
        "value": 1,
        "at": "2026-01-31T11:00:00.000000Z",
        "key": str(KEY),
        "tier": "pro",
        "sum": "100",
        "address": {"street": "a", "zip": None},
        "raw": "YQ==",
    }


async def test_blocks_keep_their_class_where_the_annotation_says_so() -> None:
    def declared() -> list[Text | Image]:
        return [Text("hello"), Image(b"\x00", "image/png")]

    def undeclared() -> object:
        return Text("hello")

    caller = Caller()
    blocks, plain = await caller.run(declared), await caller.run(undeclared)
    assert blocks == [{"type": "text", "text": "hello"}, {"type": "image", "data": "AA==", "mimeType": "image/png"}]
    assert isinstance(blocks, list)
    assert all(isinstance(block, Block) for block in blocks)
    assert (plain, isinstance(plain, Block)) == ({"type": "text", "text": "hello"}, False)
    assert (holds_blocks(caller.plan(declared, {}).outputs), holds_blocks(caller.plan(undeclared, {}).outputs)) == (
        True,
        False,
    )
