"""Statements of SqlNodes that would pass the policies of models, as they are written and as the database runs them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nexusd.databases.database import Bound, Dialect, Statement
from nexusd.definitions.registry import Registry
from nexusd.errors import ConfigurationError
from nexusd.planning.statements import check_statements
from tests.support.connections import in_time
from tests.support.models import COMPANY
from tests.support.policies import DOC, TEAM
from tests.support.workflows import Flows, flow

if TYPE_CHECKING:
    from tests.support.nodes import OpenNodes

MODELS = (TEAM, DOC, COMPANY)
ANYWHERE = {
    "view": "SELECT salary FROM seen",
    "join": "SELECT c.name FROM companies c LEFT JOIN seen s ON s.id = c.id WHERE s.salary > :least",
    "where nothing may be known": "SELECT salary FROM seen WHERE :a = 1",
    "below": "SELECT name FROM companies WHERE EXISTS (SELECT 1 FROM (SELECT id FROM seen) s WHERE s.id = companies.id)",
}
SQLITE = {
    "name in single quotes": "SELECT salary FROM 'docs'",
    "count": "SELECT count(*) FROM 'main'.'docs'",
    "index alone": "SELECT title FROM 'docs' ORDER BY title",
    "delete": "DELETE FROM 'docs'",
    "own table": "SELECT * FROM '_nexusd_kept'",
}
POSTGRESQL = {
    "name in escapes": 'SELECT salary FROM U&"d\\006fcs"',
    "query as a text": "SELECT query_to_xml('SELECT * FROM do' || 'cs', true, true, '') AS x",
    "table as a text": "SELECT x FROM table_to_xml('do' || 'cs', true, true, '') AS x",
    "statistics": "SELECT CAST(most_common_vals AS text) AS x FROM pg_stats",
    "partition": "SELECT salary FROM docs_old",
    "materialized view": "SELECT salary FROM kept",
    "materialized view of a view": "SELECT salary FROM kept_seen",
}
HARMLESS = {
    "column with the name of a table": "SELECT id, docs, name FROM (SELECT id, name, 1 AS docs FROM companies) c",
    "word in a text": "SELECT 'docs' AS docs, 'query_to_xml(' AS x FROM companies",
    "nothing": "SELECT 1 AS one",
}


@pytest.fixture
async def flows(open_nodes: OpenNodes) -> Flows:
    """On each database: the models, and a view of what belongs to somebody."""
    nodes = await open_nodes(*MODELS)
    more = ["CREATE VIEW seen AS SELECT id, salary FROM docs"]
    if nodes.database.dialect is Dialect.SQLITE:
        more.append("CREATE TABLE _nexusd_kept (a)")
    else:
        more.append("CREATE TABLE docs_old () INHERITS (docs)")
        more.append("CREATE MATERIALIZED VIEW kept AS SELECT id, salary FROM docs")
        more.append("CREATE MATERIALIZED VIEW kept_seen AS SELECT id, salary FROM seen")
    for text in more:
        await nodes.database.session(in_time()).run(Bound(Statement(text, None, writes=True)))
    return Flows(nodes)


def registry(flows: Flows, statements: dict[str, str], **keys: object) -> Registry:
    """A registry with a workflow for each of the statements."""
    workflows = {}
    for i, text in enumerate(statements.values()):
        params = {name: f"{{{{{name}}}}}" for name in ("least", "a") if f":{name}" in text}
        writes = {"write": True} if text.startswith("DELETE") else {}
        built = flow().add_node("SqlNode", "q", params, sql=text, **writes, **keys).build()
        workflows[f"w{i}"] = replace(built, name=f"w{i}")
    return Registry(models=flows.nodes.models, workflows=workflows)


async def test_start_refuses_what_reads_a_restricted_table_however_it_is_written(flows: Flows) -> None:
    database = flows.nodes.database
    statements = ANYWHERE | (SQLITE if database.dialect is Dialect.SQLITE else POSTGRESQL)

    with pytest.raises(ConfigurationError) as caught:
        await check_statements(registry(flows, statements), database)

    told = {problem.message.partition(".nodes")[0]: problem for problem in caught.value.problems}
    assert sorted(told) == sorted(f"workflows.w{i}" for i in range(len(statements)))
    for problem in told.values():
        assert "the statement would pass the policies of " in problem.message
        assert problem.hint == "say `unrestricted: true` beside it if that is meant"
    assert any(problem.message.endswith(" of Doc") for problem in told.values())

    await check_statements(registry(flows, statements, unrestricted=True), database)


async def test_start_takes_what_reads_no_restricted_table(flows: Flows) -> None:
    await check_statements(registry(flows, HARMLESS), flows.nodes.database)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT salary FROM docs",
        "SELECT c.id FROM companies c, Docs d",
        'SELECT 1 AS a FROM companies JOIN "docs" ON true',
        "WITH d AS (SELECT * FROM main.docs) SELECT * FROM d",
        "TABLE docs",
    ],
)
async def test_named_table_is_found_before_there_is_a_database(flows: Flows, text: str) -> None:
    refused = flow().add_node("SqlNode", "q", {}, sql=text).build()
    with pytest.raises(ConfigurationError, match="the statement would pass the policies of Doc"):
        await flows.run(replace(refused, name="w"))


async def test_statement_that_is_meant_to_pass_policies_does(flows: Flows) -> None:
    await flows.nodes.run("CompanyCreate", id="a", name="A")
    text = "SELECT (SELECT count(*) FROM docs) AS docs, name FROM companies"
    meant = replace(flow().add_node("SqlNode", "q", {}, sql=text, unrestricted=True).build(), name="w")
    found: Any = await flows.run(meant)
    assert found["q"]["records"] == [{"docs": 0, "name": "A"}]
