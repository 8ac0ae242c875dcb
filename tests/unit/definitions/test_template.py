from __future__ import annotations

from decimal import Decimal

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nexusd.definitions.template import Template, TemplateSyntaxError, parse_template
from nexusd.errors import InvalidInput
from nexusd.planning.names import Names
from nexusd.planning.plan import Scope
from nexusd.planning.render import compile_params

NODES = frozenset({"create", "search"})


def render(value: object, inputs: dict[str, object] | None = None, nodes: dict[str, object] | None = None) -> object:
    def parse(each: object) -> object:
        if isinstance(each, dict):
            return {name: parse(item) for name, item in each.items()}
        if isinstance(each, list):
            return [parse(item) for item in each]
        return parse_template(each) if isinstance(each, str) else each

    names = Names(NODES, frozenset(inputs or {}))
    scope = Scope(inputs or {}, nodes or {}, "2026-01-31T00:00:00.000000Z", lambda place: f"uuid of {place}")
    return compile_params({"p": parse(value)}, names, "node n")(scope).get("p", "left out")


@pytest.mark.parametrize("value", ["1e5", 7, Decimal("0.10"), None, True, ["{{x}}"], {"a": "{{{{"}])
def test_a_whole_template_is_the_value_itself(value: object) -> None:
    assert render("  {{ email }} ", {"email": value}) is value


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{name}}!", "Hello Zoë!"),
        ("{{ n }}-{{flag}}-{{ d }}", "7-true-0.10"),
        ("{{{{name}} is literal", "{{name}} is literal"),
        ("{{name|upper}} {{ name | lower }}", "ZOË zoë"),
        ("{{missing|default('none')}}.", "none."),
        ('{{missing | default("a)b")}}.', "a)b."),
        ("{{nothing | default('x')}}.", "x."),
        ("{{items|json}}.", "[1,2]."),
        ("{{items|length}} items", "2 items"),
    ],
)
def test_a_template_inside_a_text_is_text(template: str, text: str) -> None:
    inputs = {"name": "Zoë", "n": 7, "flag": True, "d": Decimal("0.10"), "items": [1, 2], "nothing": None}

    assert render(template, inputs) == text


@pytest.mark.parametrize(
    ("template", "value"),
    [
        ("{{n|str}}", "7"),
        ("{{text|int}}", 12),
        ("{{text|trim}}", "12"),
        ("{{missing|default(3)}}", 3),
        ("{{missing|default([1, 2])}}", [1, 2]),
        ("{{missing|default(null)}}", None),
    ],
)
def test_filters_change_a_whole_value(template: str, value: object) -> None:
    assert render(template, {"n": 7, "text": " 12 "}) == value


def test_paths_lead_into_results() -> None:
    nodes: dict[str, object] = {"search": {"records": [{"id": "a"}], "raw": msgspec.Raw(b'{"deep":[0.10]}')}}

    assert render("{{search.records[0].id}}", nodes=nodes) == "a"
    assert render("{{nodes.search.records}}", nodes=nodes) == [{"id": "a"}]
    assert render("{{search.raw.deep[0]}}", nodes=nodes) == Decimal("0.10")


def test_a_path_that_leads_nowhere_is_an_error_that_names_node_and_param() -> None:
    with pytest.raises(InvalidInput, match=r"search\.records\[0\]\.id .* of node n, param p is undefined"):
        render("{{search.records[0].id}}", nodes={"search": {"records": []}})


def test_null_and_lists_are_no_text() -> None:
    for value in (None, [1], {"a": 1}):
        with pytest.raises(InvalidInput, match="json or default"):
            render("x{{value}}", {"value": value})


def test_an_input_left_out_takes_its_param_along_but_not_an_empty_object_that_was_declared() -> None:
    assert render("{{email}}") == "left out"
    assert render({"company": "{{company}}", "name": "x"}) == {"name": "x"}
    assert render({"company": {"$gte": "{{company}}"}}) == "left out"
    assert render({"a": {}}) == {"a": {}}


def test_now_and_uuid_belong_to_the_run() -> None:
    assert render("{{now}}") == "2026-01-31T00:00:00.000000Z"
    assert render("{{uuid}}") == "uuid of node n, param p"
    assert render("{{inputs.now}}", {"now": 5}) == 5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{}}", "begins with a name"),
        ("{{ a", "closing }} is missing"),
        ("{{ a b }}", "expected }} before 'b }}'"),
        ("{{ a.0 }}", "a name must follow the point"),
        ("{{ a | shout }}", "there is no filter 'shout'"),
        ("{{ a | default }}", "default needs a value"),
        ("{{ a | default(x) }}", "one JSON literal"),
        ("{{ a() }}", "expected }} before"),
        ("{{ a['b'] }}", "expected }} before"),
    ],
)
def test_what_is_no_template_says_why(text: str, message: str) -> None:
    with pytest.raises(TemplateSyntaxError) as caught:
        parse_template(text)
    assert message in str(caught.value)


@given(st.text())
def test_text_without_braces_is_itself(text: str) -> None:
    if "{{" not in text:
        assert parse_template(text) == text


@given(st.text(st.characters(exclude_characters="{}")), st.text(st.characters(exclude_characters="{}")))
def test_values_are_never_evaluated_again(before: str, value: str) -> None:
    parsed = parse_template(f"{before}.{{{{ name }}}}")

    assert isinstance(parsed, Template)
    assert render(f"{before}.{{{{ name }}}}", {"name": "{{ email }}" + value}) == f"{before}.{{{{ email }}}}{value}"
