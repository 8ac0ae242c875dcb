"""A plan: one workflow, compiled once, immutable, quick to run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from nexusd.definitions.access import Access
    from nexusd.definitions.shape import Record
    from nexusd.definitions.workflow import Retry, Workflow
    from nexusd.nodes.node import Effects, Runner


class Strategy(StrEnum):
    """How the nodes of a plan are run."""

    LINEAR = "linear"
    PARALLEL = "parallel"


class Scope(msgspec.Struct, eq=False):
    """What templates of a run can see.

    Attributes:
        inputs: validated inputs.
        nodes: results by node id, as they come in.
        now: start of the run (RFC 3339, UTC, six digits).
        uuid: gives the uuid of one place in one node, the same on replay.
        input: what connections delivered to the node being rendered.
        item: the current item of a foreach.
        absent: nodes without a result: skipped, or failed where the run goes on.
        failed: of the absent ones those that failed, with what a node that takes over is told.
    """

    inputs: Mapping[str, object]
    nodes: dict[str, object]
    now: str
    uuid: Callable[[str], str]
    input: object = None
    item: object = None
    absent: set[str] = set()
    failed: dict[str, object] = {}


Render: TypeAlias = Callable[[Scope], dict[str, object]]
"""Renders a node's params; raises InvalidInput naming the field when a path is undefined."""


class InputDecoder(Protocol):
    """Turns the JSON text of an inputs object into validated, normalised inputs."""

    def __call__(self, body: bytes) -> dict[str, object]:
        """Decode and validate.

        Raises:
            MalformedBody: not JSON, or not an object.
            InvalidInput: with every fault, pointers under `/inputs`.
        """


class PlannedNode(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One node, ready to run.

    Attributes:
        index: its place in the canonical topological order.
        connections: param, or `input`, to what a connection delivers there.
        needs: indexes of the nodes it waits for; `followers` of those that wait for it.
        pointers: place in the params, such as `/fields/email`, to the pointer of the input that is the whole of it;
            in one into the list of a foreach, * stands for the item. `*` leads to the item itself.
        when: whether it runs at all.
        waits_for: ids of the nodes without whose results it is skipped.
        rescues: ids of the nodes of which one must have failed.
        gathers: ids of the nodes of which one must have a result.
        foreach: gives the list, once for each of whose items it runs.
        is_plain: none of the control keys is there.
    """

    index: int
    id: str
    type: str
    effects: Effects
    render: Render
    connections: Mapping[str, Callable[[Scope], object]]
    run: Runner
    needs: tuple[int, ...]
    followers: tuple[int, ...]
    timeout_s: float | None
    pointers: Mapping[str, str]
    when: Callable[[Scope], bool] | None
    waits_for: frozenset[str]
    rescues: frozenset[str]
    gathers: frozenset[str]
    foreach: Callable[[Scope], object] | None
    concurrency: int
    retry: Retry | None
    on_error: str
    is_plain: bool


class Plan(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One workflow, ready to run.

    Attributes:
        inputs, outputs: shapes; `inputs_schema` and `outputs_schema` their JSON Schemas (2020-12).
        transaction: whether all nodes share one transaction.
        keeps_parts: whether what it has written may stay when it is cut off: not in one transaction, nor one statement.
        render_outputs: the declared outputs mapping, or None: every node's result under its id.
        access: who may run it.
        callees: the plans of the workflows that its WorkflowNodes run.
        hash: SHA-256 of the canonical JSON of the definition.
    """

    name: str
    workflow: Workflow
    nodes: tuple[PlannedNode, ...]
    inputs: Record
    outputs: Record
    inputs_schema: Mapping[str, object]
    outputs_schema: Mapping[str, object]
    decode: InputDecoder
    strategy: Strategy
    transaction: bool
    keeps_parts: bool
    read_only: bool
    destructive: bool
    idempotent: bool
    render_outputs: Render | None
    access: Access
    callees: Mapping[str, Plan]
    hash: str
