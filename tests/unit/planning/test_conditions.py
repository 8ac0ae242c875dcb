"""Conditions: one corpus, read by the built-in subset and by the whole of CEL; and what only the latter can."""

from __future__ import annotations

import subprocess
import sys
from decimal import Decimal
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexusd.definitions.cel import read_cel
from nexusd.definitions.condition import MAX_LENGTH, ConditionSyntaxError, parse_condition
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.shape import ANYTHING, Scalar
from nexusd.errors import InvalidInput
from nexusd.planning.cel import MAX_CHARACTERS, MAX_ITEMS, NotCel, compile_cel
from nexusd.planning.conditions import ConditionCompiler
from nexusd.planning.names import Names
from nexusd.planning.plan import Scope

if TYPE_CHECKING:
    from nexusd.definitions.shape import Shape
    from nexusd.planning.names import Resolved

INPUTS = {
    "name": "Ann",
    "age": 41,
    "score": "12.50",
    "big": "9007199254740993",
    "ratio": 0.5,
    "active": True,
    "nothing": None,
    "tags": ["vip", "new"],
    "address": {"city": "Bern", "zip": [3000, 3001]},
    "data": msgspec.Raw(b'{"deep": {"a b": [1, 2.5, "x"]}}'),
    "empty": [],
}
NODES = {"search": {"records": [{"id": "a", "score": "1.5"}], "count": 1}, "skipped": None}
TYPES = {"score": FieldType.DECIMAL, "big": FieldType.BIGINT}

CORPUS = [
    ("age > 40", True), ("age >= 41 && age <= 41", True), ("age == 41.0", True), ("age < 40 || name == 'Ann'", True),
    ("!active", False), ("!!active", True), ("!(active && age < 3)", True), ("active", True), ('name != "Bob"', True),
    ("name < 'Bob'", True), ("score > 12.4", True), ("score == 12.5", True), ("score < 12", False),
    ("big > 9007199254740992", True), ("ratio == 0.5", True), ("ratio < 1", True), ("-1 < age", True),
    ("nothing == null", True), ("name != null", True), ("'vip' in tags", True), ("'old' in tags", False),
    ("age in [1, 41]", True), ("'city' in address", True), ("name in []", False), ("size(tags) == 2", True),
    ("size(name) == 3", True), ("size(address) == 2", True), ("size(empty) == 0", True),
    ("address.city == 'Bern'", True), ("address.zip[1] == 3001", True), ("data.deep['a b'][1] == 2.5", True),
    ("has(inputs.name)", True), ("has(inputs.other)", False), ("has(address.street)", False),
    ("has(inputs.other) && other > 1", False), ("has(inputs.other) || age > 1", True),
    ("search.count > 0 && search.records[0].id == 'a'", True), ("nodes.search.count == 1", True),
    ("nodes.skipped == null", True), ("inputs.age == 41", True), ("item.n == 3", True), ("input.x == 'y'", True),
    ("now > '2026-01-01'", True), ("tags == ['vip', 'new']", True), ("'a\\'b' == \"a'b\"", True),
]  # fmt: skip

BEYOND = [
    ("tags.exists(t, t == 'vip')", True), ("tags.all(t, size(t) == 3)", True), ("tags.filter(t, t == name).size() == 0", True),
    ("name.startsWith('A') && name.matches('^[A-Z][a-z]+$')", True), ("age % 2 == 1", True), ("age + 1 > 41", True),
    ("score * 2.0 == 25.0", True), ("big + 1 == 9007199254740994", True), ("active ? age > 1 : false", True),
    ("double(search.records[0].score) > 1.0", True), ("search.records.exists(r, r.id == 'a')", True),
    ("search.records.map(r, r.id)[0] == 'a'", True), ("timestamp(now).getFullYear() == 2026", True),
    ("address.city.contains('er') && !has(address.street)", True), ("has(inputs.other) && other.startsWith('x')", False),
    ("data.deep['a b'].exists(x, x == 'x')", True), ("{'a': age}.a == 41", True), ("type(age) == int", True),
    ("tags.exists(name, name == 'vip')", True), ("r'\\d' == '\\\\d' // a remark", True), ("'''a''' + name == 'aAnn'", True),
    ("nothing == null ? true : nothing.startsWith('x')", True),
]  # fmt: skip


NEVER = [
    "name.startsWith('A') ? 1 : 2", "active ? 'a' : active ? 'b' : age + 1", "age + 1", "'a' + name", "-age * 2", "'a'",
]  # fmt: skip
PERHAPS = [
    "active ? 1 : active", "active ? name == '?' : false", "(active ? 1 : 2) > 1", "age + 1 > 2", "{'a': 1}.a == 1",
    "active ? {'a': true}.a : tags[0 + 1] == 'x'", "tags.exists(t, t + 'x' == 'y')", "data.deep",
]  # fmt: skip


@pytest.mark.parametrize("text", NEVER)
def test_cel_that_gives_neither_true_nor_false_is_refused(text: str) -> None:
    with pytest.raises(ConditionSyntaxError, match="neither true nor false"):
        read_cel(text)


@pytest.mark.parametrize("text", PERHAPS)
def test_cel_that_may_give_true_or_false_is_not_refused(text: str) -> None:
    compile_cel(read_cel(text))


def scope() -> Scope:
    return Scope(
        INPUTS, dict(NODES), "2026-01-31T11:00:00.000000Z", str, input={"x": "y"}, item={"n": 3}, absent={"skipped"}
    )


def shape_of(resolved: Resolved) -> Shape:
    kind = TYPES.get(resolved.name)
    return ANYTHING if kind is None else Scalar(Field(name=resolved.name, type=kind))


def compiler() -> ConditionCompiler:
    return ConditionCompiler(Names(frozenset(NODES), frozenset(), has_item=True), shape_of, "node a")


@pytest.mark.parametrize(("text", "holds"), CORPUS)
def test_subset_and_cel_agree(text: str, *, holds: bool) -> None:
    both = (parse_condition(text), read_cel(text))
    assert [compiler().compile(condition)(scope()) for condition in both] == [holds, holds]


@pytest.mark.parametrize(("text", "holds"), BEYOND)
def test_cel_goes_beyond_the_subset(text: str, *, holds: bool) -> None:
    with pytest.raises(ConditionSyntaxError):
        parse_condition(text)
    assert compiler().compile(read_cel(text))(scope()) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age + 'x' == 'x'", "types of its values"),
        ("age / 0 == 1", "divided by zero"),
        ("9223372036854775807 + age == 1", "too large"),
        ("other.startsWith('x')", "leads nowhere"),
        ("name.matches('(') ? true : false", "does not take what it is given"),
        ("(age + 1)", "neither true nor false"),
    ],
)
def test_condition_that_cannot_be_answered_is_an_invalid_input(text: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=f"the condition of node a: .*{message}"):
        compiler().compile(read_cel(text))(scope())


def test_condition_looks_at_so_much_and_no_more() -> None:
    condition = compiler().compile(read_cel("inputs.x.all(t, size(t) >= 0) || true"))

    def at(value: object) -> Scope:
        return Scope({"x": value}, {}, "now", str)

    assert condition(at(["a"] * MAX_ITEMS)) is True
    for value in (
        ["a"] * (MAX_ITEMS + 1),
        [["a"] * MAX_ITEMS],
        ["a" * MAX_CHARACTERS, "a"],
        {"a": "a" * MAX_CHARACTERS + "a"},
    ):
        with pytest.raises(InvalidInput, match="1000 items and 65536 characters at most"):
            condition(at(value))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a.all(x, b.all(y, x == y))", "one list at a time"),
        ("a.exists(x, x.filter(y, true).size() > 0)", "one list at a time"),
        ("frobnicate(a)", "there is no function 'frobnicate'"),
        ("a" * (MAX_LENGTH + 1), "at most"),
    ],
)
def test_cel_that_is_not_allowed_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConditionSyntaxError, match=message):
        compile_cel(read_cel(text))


@pytest.mark.parametrize(
    "text", ["a =", "a = 1", "a b", "{{ a }}", "(" * 2000 + "a", "a" + ")" * 2000, "'", "[" * 4000, "!" * 4000]
)
def test_text_that_is_no_cel_is_none(text: str) -> None:
    with pytest.raises(NotCel):
        compile_cel(read_cel(text))


def test_each_path_is_read_once_and_bound_names_are_none() -> None:
    found = read_cel("a.b.exists(x, x.c == a.b[0].d && x == size(a.b)) && has(a.e) && !has(a.e)")
    assert [(name, reference.text) for name, reference in found.values] == [("_value0", "a.b"), ("_value1", "a.b[0].d")]
    assert [(name, reference.text) for name, reference in found.asked] == [("_asked0", "a.e")]


def test_decimals_reach_cel_as_doubles() -> None:
    condition = compiler().compile(read_cel("inputs.x + 0.5 == 1.5"))
    assert condition(Scope({"x": Decimal("1.0")}, {}, "now", str)) is True


WITHOUT = """
import sys
sys.modules["cel"] = None
from nexusd.definitions.workflow import Node
from nexusd.planning.control import read_control
told = []
for text in ("age > 1", "tags.exists(t, t == 1)"):
    read_control(Node(id="a", type="X", when=text), {}, lambda path, message, hint: told.append((message, hint)))
print(told)
"""


def test_without_the_extra_the_subset_works_and_the_rest_names_the_extra() -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT], check=True, capture_output=True, text=True)
    assert done.stdout == (
        "[(\"not a condition: expected the end, or && or ||, before '('\", "
        "\"for all of CEL install the extra: pip install 'nexusd[cel]'\")]\n"
    )


def test_cel_is_not_loaded_for_the_subset() -> None:
    code = (
        "import sys; from nexusd.definitions.workflow import Node; from nexusd.planning.control import read_control;"
        "read_control(Node(id='a', type='X', when='age > 1'), {}, print); print('cel' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
