"""A workflow as declared: nodes, connections and what surrounds them. Nothing here is compiled or checked."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.model import Field, Operation


class TransactionMode(StrEnum):
    """How a run's database nodes share a transaction (docs/reference.md, section 3)."""

    AUTO = "auto"
    ALL = "all"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Retry:
    """How often and how patiently a failed node is tried again."""

    attempts: int = 3
    backoff_s: float = 0.1
    factor: float = 2.0
    jitter: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One node of a workflow.

    Attributes:
        type: the node type, such as `ContactCreateNode` or `SwitchNode`.
        params: literals and templates, nested as declared.
        when: a condition without braces, or None.
        foreach: a template or list, or None.
        options: keys that only some types take (`call`, `pure`, `sql`, `write`, `workflow`, `cases`, `default`,
            `from`, `allow_status`, `topic`, `schema`), as declared.
    """

    id: str
    type: str
    params: Mapping[str, object] = field(default_factory=dict)
    when: str | None = None
    foreach: object = None
    concurrency: int | None = None
    retry: Retry | None = None
    timeout_s: float | None = None
    on_error: str = "fail"
    options: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Connection:
    """An edge: `source`'s `output` (or a path in it) becomes `target`'s param `input`."""

    source: str
    output: str
    target: str
    input: str


@dataclass(frozen=True, slots=True)
class DeclaredInput:
    """An input the workflow declares itself; `required` None means as inferred."""

    field: Field
    required: bool | None = None


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `requests` in `per_s` seconds."""

    requests: int
    per_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Workflow:
    """A graph of nodes under a name.

    Attributes:
        inputs: declared inputs by name; what templates need beyond them is inferred.
        outputs: a mapping of templates, or None: every node's result under its id.
        max_body_bytes: overrides `http.max_body_bytes`.
        published: the model and operation this workflow publishes, when `publish:` made it.
    """

    name: str
    nodes: tuple[Node, ...]
    connections: tuple[Connection, ...] = ()
    description: str = ""
    inputs: Mapping[str, DeclaredInput] = field(default_factory=dict)
    outputs: Mapping[str, object] | None = None
    transaction: TransactionMode = TransactionMode.AUTO
    batch_writes: bool = False
    max_body_bytes: int | None = None
    timeout_s: float = 30.0
    scopes: tuple[str, ...] = ()
    rate_limit: RateLimit | None = None
    max_in_flight: int | None = None
    durable: bool = False
    queue: Mapping[str, object] | None = None
    schedule: Mapping[str, object] | None = None
    retention_days: int | None = None
    published: tuple[str, Operation] | None = None
