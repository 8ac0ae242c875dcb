from __future__ import annotations

import gc
from typing import TYPE_CHECKING

import pytest

from nexusd import DataFlow, Nexus, WorkflowBuilder
from nexusd.embedding.misuse import UnknownArgument, UsageError
from nexusd.errors import ConfigurationError

if TYPE_CHECKING:
    from nexusd.definitions.workflow import Workflow


class Contact:
    id: str
    name: str


def contacts() -> DataFlow:
    db = DataFlow(database_url="sqlite:///:memory:")
    db.model(Contact)
    return db


def workflow() -> Workflow:
    return WorkflowBuilder().add_node("ContactCreateNode", "create", {"name": "{{name}}"}).build()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("nowhere"))
    for name in ("DATABASE_URL", "API_PORT", "MCP_PORT"):
        monkeypatch.delenv(name, raising=False)


def test_registered_workflow_is_planned_with_the_models_of_the_dataflow() -> None:
    app = Nexus(dataflow=contacts())
    app.register("create_contact", workflow())
    loaded = app.load()
    assert list(loaded.plans) == ["create_contact"]
    assert loaded.plans["create_contact"].workflow.name == "create_contact"
    assert loaded.plans["create_contact"].inputs.required == {"name"}


def test_what_only_all_definitions_together_show_is_told_when_they_are_loaded() -> None:
    app = Nexus(dataflow=contacts())
    app.register("a", WorkflowBuilder().add_node("NopeNode", "n").add_connection("z", "result", "n", "input").build())
    app.register("b", WorkflowBuilder().add_node("TransformNode", "n", {"x": "{{nope.y}}"}).build())
    with pytest.raises(ConfigurationError) as caught:
        app.load()
    messages = [problem.message for problem in caught.value.problems]
    assert [message.partition(", ")[0] for message in sorted(messages)] == [
        "workflows.a.connections.0.0: there is no node 'z'",
        "workflows.a.nodes.n.type: there is no node type 'NopeNode'",
        "workflows.b.nodes.n.params.x: there is no node 'nope'",
    ]


def test_defaults_are_the_documented_ones() -> None:
    app = Nexus(dataflow=DataFlow())
    settings = app.load().settings
    assert (settings.http.port, settings.mcp.port, settings.database.url) == (8000, 3001, "sqlite:///:memory:")
    assert (settings.auth.enabled, settings.monitoring.enabled, settings.database.auto_migrate) == (
        False,
        False,
        "true",
    )


def test_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "9000")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///environment.db")
    given = Nexus(api_port=8001, dataflow=DataFlow(database_url="sqlite:///argument.db")).load().settings
    assert (given.http.port, given.database.url) == (8001, "sqlite:///argument.db")


def test_environment_counts_where_no_argument_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_PORT", "9000")
    monkeypatch.setenv("DATABASE_URL", "sqlite:///environment.db")
    settings = Nexus(dataflow=DataFlow()).load().settings
    assert (settings.http.port, settings.database.url) == (9000, "sqlite:///environment.db")


@pytest.mark.parametrize(("given", "setting"), [(True, "true"), (False, "false"), ("verify", "verify")])
def test_auto_migrate_is_the_setting(given: bool | str, setting: str) -> None:  # noqa: FBT001
    assert Nexus(dataflow=DataFlow(auto_migrate=given)).load().settings.database.auto_migrate == setting


def test_wrong_argument_is_told_by_its_name() -> None:
    with pytest.raises(ConfigurationError, match="api_port: must lie between 0 and 65535"):
        Nexus(api_port=70000, dataflow=DataFlow()).load()


def test_authentication_is_switched_on_by_its_argument() -> None:
    assert Nexus(enable_auth=True, dataflow=DataFlow()).load().settings.auth.enabled


def test_enable_monitoring_is_the_setting_of_that_name() -> None:
    assert Nexus(enable_monitoring=True, dataflow=DataFlow()).load().settings.monitoring.enabled


def test_auto_discovery_is_refused_with_the_reason() -> None:
    with pytest.raises(UsageError, match=r"searches no folders.*register"):
        Nexus(auto_discovery=True)


def test_unknown_argument_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownArgument, match="did you mean 'mcp_port'"):
        Nexus(mpc_port=3001)


def test_mistake_in_a_workflow_is_told_with_its_path() -> None:
    app = Nexus(dataflow=contacts())
    app.register("broken", WorkflowBuilder().add_node("ContactCreatNode", "create").build())
    with pytest.raises(ConfigurationError, match=r"workflows\.broken\.nodes\.create\.type.*\n.*ContactCreateNode"):
        app.load()


def test_workflow_is_registered_once() -> None:
    app = Nexus(dataflow=contacts())
    app.register("create_contact", workflow())
    with pytest.raises(UsageError, match="'create_contact' is registered already"):
        app.register("create_contact", workflow())


def test_builder_that_was_not_built_is_refused() -> None:
    with pytest.raises(UsageError, match=r"takes what WorkflowBuilder\(\)\.build\(\) gives, not WorkflowBuilder"):
        Nexus().register("create_contact", WorkflowBuilder())  # type: ignore[arg-type]


def test_impossible_name_is_refused() -> None:
    with pytest.raises(UsageError, match="'create contact' cannot be a workflow's name"):
        Nexus().register("create contact", workflow())


def test_dataflow_outlives_the_function_that_made_it() -> None:
    def make() -> Nexus:
        app, db = Nexus(), contacts()
        app.register("create_contact", workflow())
        assert db.checked_models()
        return app

    gc.collect()
    assert list(make().load().registry.models) == ["Contact"]


def test_dataflow_must_be_one() -> None:
    with pytest.raises(UsageError, match="takes a DataFlow, not str"):
        Nexus(dataflow="sqlite:///x.db")  # type: ignore[arg-type]
