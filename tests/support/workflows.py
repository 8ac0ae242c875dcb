"""Whole workflows run by the engine against an open database."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING

import msgspec
import pytest

from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.embedding.builder import WorkflowBuilder
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.events import ignore
from nexusd.nodes.control import control_node_types
from nexusd.nodes.sql import SqlNode
from nexusd.planning.registry import compile_registry
from tests.support.connections import WAIT_S, in_time
from tests.support.nodes import NOW, node_types

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.workflow import Workflow
    from nexusd.nodes.node import NodeType
    from tests.support.nodes import Nodes


class Flows:
    """Workflows over the nodes of the CRM, and over further node types of the test's own."""

    def __init__(self, nodes: Nodes, *more: NodeType) -> None:
        self.nodes = nodes
        self._more = more

    async def run(self, workflow: Workflow, *others: Workflow, dry_run: bool = False, **inputs: object) -> object:
        """The outputs as a reader of JSON sees them."""
        own = (*control_node_types(), SqlNode(self.nodes.models), *self._more)
        types: Mapping[str, NodeType] = node_types(self.nodes.models) | {each.name: each for each in own}
        made = {each.name: each for each in (workflow, *others)}
        plan = compile_registry(Registry(models=self.nodes.models, workflows=made), types)[workflow.name]
        body = json.dumps(inputs).encode()
        invocation = Invocation(workflow=plan.name, inputs=body, channel="test", request_id="r", dry_run=dry_run)
        run = Run(
            id="run",
            plan=plan,
            inputs=plan.decode(body),
            invocation=invocation,
            now=NOW,
            deadline=in_time(),
            database=self.nodes.database,
            observe=ignore,
        )
        async with asyncio.timeout(WAIT_S):
            return json.loads(msgspec.json.encode(await InlineEngine().run(run)))

    async def names(self, model: str = "Company") -> list[str]:
        """The names of all records."""
        listed = await self.nodes.run(f"{model}List", sort=["name"])
        assert isinstance(listed, dict)
        return [record["name"] for record in listed["records"]]


@pytest.fixture
def flows(crm: Nodes) -> Flows:
    """Workflows over companies and contacts; the test runs on SQLite, then on PostgreSQL."""
    return Flows(crm)


def flow(**keys: object) -> WorkflowBuilder:
    """An empty workflow with these keys."""
    return WorkflowBuilder(**keys)
