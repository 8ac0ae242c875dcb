"""SqlNodes on both databases: what they take and give, what they cannot do, what a start says of them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import pytest

from nexusd.databases.database import Dialect
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import TransactionMode
from nexusd.errors import ConfigurationError, DeadlineExceeded, InvalidInput, NodeFailed, UniqueViolation
from nexusd.nodes import sql as sql_nodes
from nexusd.planning.statements import check_statements
from tests.support.models import COMPANY, EVERY
from tests.support.nodes import Nodes, create_tables
from tests.support.workflows import Flows, flow

if TYPE_CHECKING:
    from nexusd.definitions.workflow import Workflow
    from tests.support.connections import OpenDatabase
    from tests.support.nodes import OpenNodes


def sql(text: str, *names: str, **keys: object) -> Workflow:
    """A workflow of one statement, each parameter of which is the input of its name."""
    return flow().add_node("SqlNode", "q", {name: f"{{{{{name}}}}}" for name in names}, sql=text, **keys).build()


@pytest.fixture
async def postgres_flows(open_database: OpenDatabase, postgres_url: str) -> Flows:
    """On PostgreSQL alone."""
    database = await open_database(postgres_url)
    await create_tables(database, [COMPANY])
    return Flows(Nodes(database, [COMPANY]))


async def given(flows: Flows) -> None:
    for name in ("Acme", "Bolt", "Core"):
        await flows.nodes.run("CompanyCreate", id=name.lower(), name=name)


async def records(flows: Flows, text: str, *names: str, **inputs: Any) -> Any:  # noqa: ANN401 - JSON
    outputs: Any = await flows.run(sql(text, *names), **inputs)
    assert outputs["q"]["count"] == len(outputs["q"]["records"])
    return outputs["q"]["records"]


async def test_rows_are_given_with_their_count(flows: Flows) -> None:
    await given(flows)
    found = await records(
        flows,
        "SELECT id, name FROM companies WHERE name > :after ORDER BY name LIMIT :most",
        "after",
        "most",
        after="Acme",
        most=1,
    )
    assert found == [{"id": "bolt", "name": "Bolt"}]
    assert await records(flows, "SELECT count(*) AS n, max(name) AS last FROM companies") == [{"n": 3, "last": "Core"}]


async def test_value_is_never_sql(flows: Flows) -> None:
    await given(flows)
    for hostile in ("'; DROP TABLE companies; --", "' OR '1'='1", "$1", ":name", "\\'"):
        assert await records(flows, "SELECT id FROM companies WHERE name = :name", "name", name=hostile) == []
    assert len(await records(flows, "SELECT id FROM companies")) == 3


VALUES: Final = {
    "id": "0190b0a2-0000-7000-8000-000000000000",
    "str_value": "a",
    "int_value": 7,
    "bigint_value": "9007199254740993",
    "float_value": 1.5,
    "decimal_value": "12345678901234567890.10",
    "bool_value": True,
    "datetime_value": "2026-01-31T11:00:00.500000Z",
    "date_value": "2026-01-31",
    "time_value": "11:00:00.000000",
    "uuid_value": "0190b0a2-0000-7000-8000-000000000001",
    "json_value": {"a": [1, None, "x"]},
    "bytes_value": "AAE=",
    "enum_value": "b",
    "money": "1.1000",
    "long_money": "1.1000000000",
    "int_list": [1, 2],
    "decimal_list": ["1.10"],
    "uuid_list": ["0190b0a2-0000-7000-8000-000000000001"],
    "datetime_list": ["2026-01-31T11:00:00.000000Z"],
}


async def test_columns_have_the_wire_types_of_the_models_fields(open_nodes: OpenNodes) -> None:
    nodes = await open_nodes(EVERY)
    created: Any = await nodes.run("EveryCreate", **VALUES)
    found = await records(Flows(nodes), "SELECT * FROM every")
    assert {name: value for name, value in found[0].items() if value != created[name]} == {}


async def test_statement_that_writes_says_so_and_counts_its_rows(flows: Flows) -> None:
    await given(flows)
    changed: Any = await flows.run(
        sql("UPDATE companies SET name = upper(name) WHERE name <> :spared", "spared", write=True), spared="Core"
    )
    assert changed["q"] == {"records": [], "count": 2}
    gone: Any = await flows.run(sql("DELETE FROM companies WHERE id = :id RETURNING name", "id", write=True), id="acme")
    assert gone["q"] == {"records": [{"name": "ACME"}], "count": 1}
    assert await flows.names() == ["BOLT", "Core"]


# No word of it tells that it writes, but the database knows.
HIDDEN_WRITE = "WITH one AS (SELECT 1) UPDATE companies SET name = 'x'"


async def test_statement_that_is_not_said_to_write_cannot(flows: Flows) -> None:
    await given(flows)
    with pytest.raises(NodeFailed, match="not said to write"):
        await flows.run(sql(HIDDEN_WRITE))
    beside = (
        flow()
        .add_node("CompanyCreateNode", "a", {"id": "dash", "name": "Dash"})
        .add_node("SqlNode", "q", sql=HIDDEN_WRITE, on_error="continue")
        .add_node("SqlNode", "r", sql="SELECT count(*) AS n FROM companies")
        .add_node("CompanyCreateNode", "z", {"id": "edge", "name": "Edge"})
    )
    outputs: Any = await flows.run(beside.build())
    assert (outputs["q"], outputs["r"]["records"]) == (None, [{"n": 4}])
    assert await flows.names() == ["Acme", "Bolt", "Core", "Dash", "Edge"]


async def test_statement_stands_in_the_transaction_of_the_run(flows: Flows) -> None:
    await given(flows)
    built = (
        flow()
        .add_node("SqlNode", "a", sql="INSERT INTO companies (id, name, created_at, updated_at, version) "
                  "SELECT 'new', 'New', created_at, updated_at, 1 FROM companies WHERE id = 'acme'", write=True)
        .add_node("SqlNode", "b", sql="SELECT name FROM companies WHERE id = 'new'")
        .add_node("CompanyCreateNode", "c", {"name": "{{ b.records[0].name }}"})
        .build()
    )  # fmt: skip
    with pytest.raises(UniqueViolation):
        await flows.run(built)
    assert await flows.names() == ["Acme", "Bolt", "Core"]


async def test_dry_run_keeps_nothing(flows: Flows) -> None:
    await given(flows)
    gone: Any = await flows.run(sql("DELETE FROM companies", write=True), dry_run=True)
    assert gone["q"]["count"] == 3
    assert await flows.names() == ["Acme", "Bolt", "Core"]


async def test_constraint_answers_by_its_code(flows: Flows) -> None:
    await given(flows)
    with pytest.raises(UniqueViolation):
        await flows.run(sql("UPDATE companies SET name = 'Acme'", write=True))


async def test_too_many_rows_fail_the_node_and_nothing_is_kept(flows: Flows, monkeypatch: pytest.MonkeyPatch) -> None:
    await given(flows)
    monkeypatch.setattr(sql_nodes, "MAX_ROWS", 2)
    assert len(await records(flows, "SELECT id FROM companies LIMIT 2")) == 2
    for built in (sql("SELECT id FROM companies"), sql("DELETE FROM companies RETURNING id", write=True)):
        with pytest.raises(NodeFailed, match="more than 2 rows"):
            await flows.run(built)
    assert len(await flows.names()) == 3


async def test_list_is_one_argument(flows: Flows) -> None:
    await given(flows)
    among = {
        Dialect.POSTGRESQL: "id = ANY(:ids)",
        Dialect.SQLITE: "id IN (SELECT value FROM json_each(:ids))",
    }[flows.nodes.database.dialect]
    text = f"SELECT id FROM companies WHERE {among}"
    assert await records(flows, text, "ids", ids=["core", "x"]) == [{"id": "core"}]


async def test_postgresql_tells_the_types_of_arguments(postgres_flows: Flows) -> None:
    built = sql("SELECT id FROM companies WHERE version = :v AND created_at > :at", "v", "at")
    with pytest.raises(InvalidInput) as caught:
        await postgres_flows.run(built, v="x", at="yesterday")
    assert [(fault.pointer, fault.code) for fault in caught.value.faults] == [
        ("/inputs/v", "type"),
        ("/inputs/at", "format"),
    ]
    found = await records(
        postgres_flows, "SELECT :a::int8 AS a, :b::numeric AS b, :c::jsonb AS c, :d::uuid[] AS d, :e::interval AS e", *"abcde",
        a="9007199254740993", b="1.10", c={"x": [1.50]}, d=["0190b0a2-0000-7000-8000-000000000000"], e="1 day",
    )  # fmt: skip
    assert found == [
        {
            "a": "9007199254740993",
            "b": "1.10",
            "c": {"x": [1.5]},
            "d": ["0190b0a2-0000-7000-8000-000000000000"],
            "e": "1 day",
        }
    ]


UNFIT = {
    "int4": ("x", 1.5, [1], {"a": 1}, True, "12x"),
    "date": ("x", 5, "2020-13-45"),
    "numeric": ("x", True, [1]),
    "bool": ("true", 1),
    "uuid": (5, "x"),
    "text": (5, ["x"], {"a": 5}),
}


@pytest.mark.parametrize(("kind", "values"), UNFIT.items(), ids=str)
@pytest.mark.parametrize("mode", ["none", "all"])
async def test_value_that_does_not_fit_is_the_callers_whenever_it_comes(
    postgres_flows: Flows, kind: str, values: tuple[object, ...], mode: str
) -> None:
    """Also once the statement is prepared, and inside a transaction."""
    built = sql(f"SELECT id FROM companies WHERE CAST(:v AS {kind}) IS NOT NULL", "v")
    built = replace(built, transaction=TransactionMode(mode))
    for value in (*values, *values):
        with pytest.raises(InvalidInput) as caught:
            await postgres_flows.run(built, v=value)
        assert [fault.pointer for fault in caught.value.faults] == ["/inputs/v"]
        await postgres_flows.run(built, v=None)


async def test_statement_that_would_allow_itself_to_write_is_refused(postgres_flows: Flows) -> None:
    with pytest.raises(NodeFailed, match="not said to write"):
        await postgres_flows.run(sql("SELECT set_config('transaction_read_only', 'off', true) AS x"))


async def test_statement_is_cut_off_at_the_deadline(flows: Flows) -> None:
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) AS c FROM n"
    with pytest.raises(DeadlineExceeded):
        await flows.run(sql(endless, timeout_s=0.05))


UNUSABLE = {
    "SELECT nme FROM companies": "there is no such column: nme",
    "SELECT name FROM company": "there is no such table: company",
    "SELECT FROM WHERE": "this is not SQL",
    "SELECT frobnicate(name) FROM companies": "there is no such function",
}


async def test_start_shows_every_statement_to_the_database(flows: Flows) -> None:
    usable = replace(sql("SELECT name FROM companies WHERE id = :id LIMIT :most", "id", "most"), name="usable")
    workflows = {f"w{i}": replace(sql(text), name=f"w{i}") for i, text in enumerate(UNUSABLE)}
    registry = Registry(models=flows.nodes.models, workflows={**workflows, "usable": usable})

    with pytest.raises(ConfigurationError) as caught:
        await check_statements(registry, flows.nodes.database)

    told = [problem.message for problem in caught.value.problems]
    assert len(told) == len(UNUSABLE)
    for i, why in enumerate(UNUSABLE.values()):
        assert told[i].startswith(f"workflows.w{i}.nodes.q.sql: {why}")
    await check_statements(replace(registry, workflows={"usable": usable}), flows.nodes.database)


async def test_start_refuses_a_column_without_a_type_of_its_own(postgres_flows: Flows) -> None:
    built = replace(sql("SELECT most_common_vals FROM pg_stats"), name="w")
    with pytest.raises(ConfigurationError, match="such as anyarray; cast it"):
        await check_statements(
            Registry(models=postgres_flows.nodes.models, workflows={"w": built}), postgres_flows.nodes.database
        )
