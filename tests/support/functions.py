"""One FunctionNode in a workflow, run by the engine as a door would run it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import msgspec

from nexusd.definitions.execution import Invocation
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import Node, Workflow
from nexusd.engines.engine import Run
from nexusd.engines.inline import InlineEngine
from nexusd.events import NodeFinished
from nexusd.nodes.function import FunctionNode
from nexusd.nodes.threads import Threads
from nexusd.planning.registry import compile_registry
from tests.support.connections import in_time

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.databases.database import Database
    from nexusd.definitions.conversation import Conversation
    from nexusd.events import Event
    from nexusd.planning.plan import Plan


@dataclass
class Caller:
    """Calls functions.

    Attributes:
        events: what was observed, and is more than the engine's account of every node.
    """

    conversation: Conversation | None = None
    dry_run: bool = False
    threads: Threads = field(default_factory=Threads)
    events: list[Event] = field(default_factory=list)

    def plan(self, function: Callable[..., object], params: Mapping[str, object], **options: object) -> Plan:
        """The plan of a workflow with this one node."""
        node = Node(id="f", type="FunctionNode", params=params, options={"call": "m:f", **options})
        types = {FunctionNode.name: FunctionNode(lambda _reference: function, self.threads)}
        return compile_registry(Registry(workflows={"w": Workflow(name="w", nodes=(node,))}), types)["w"]

    async def run(
        self, function: Callable[..., object], /, *, deadline: float | None = None, **inputs: object
    ) -> object:
        """What the function gives for these inputs, each of which is the param of its name."""
        plan = self.plan(function, {name: f"{{{{inputs.{name}}}}}" for name in inputs})
        body = json.dumps(inputs).encode()
        invocation = Invocation(
            workflow="w",
            inputs=body,
            channel="test",
            request_id="r",
            dry_run=self.dry_run,
            conversation=self.conversation,
        )
        run = Run(
            id="run",
            plan=plan,
            inputs=plan.decode(body),
            invocation=invocation,
            now="2026-01-31T00:00:00.000000Z",
            deadline=in_time() if deadline is None else asyncio.get_running_loop().time() + deadline,
            database=cast("Database", _NoDatabase()),
            observe=self._observe,
        )
        return (await InlineEngine().run(run))["f"]

    def _observe(self, event: Event) -> None:
        if not isinstance(event, NodeFinished):
            self.events.append(event)

    async def json(self, function: Callable[..., object], /, value: object) -> object:
        """What it gives for an input named `value`, as a reader of JSON sees it."""
        return json.loads(msgspec.json.encode(await self.run(function, value=value)))


class _NoDatabase:
    """Stands where no node asks for a database."""

    def session(self, _deadline: float) -> None:
        """No session."""
