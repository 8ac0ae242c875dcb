"""What a node type is: static knowledge for the planner, and a function to run.

The planner parses templates out of a node's params and asks the type to `bind` the tree: for each template the type
says which slot it fills; everything that is wrong with names and literals comes back as problems with their place.
Then `build` gives the function that runs the node with rendered params.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

if TYPE_CHECKING:
    from nexusd.databases.database import Database, Session
    from nexusd.databases.idempotency import Once
    from nexusd.definitions.execution import Invocation
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.trace import Span
    from nexusd.definitions.workflow import Node
    from nexusd.events import Observer


@dataclass(frozen=True, slots=True)
class Effects:
    """What running a node may do.

    Attributes:
        database: it runs statements and nothing else outside; can share a transaction.
        writes: it may change rows or the outside world.
        destructive: it may overwrite or remove (Update, Upsert, Delete and Bulk of these).
        idempotent: a second identical run changes nothing further (reads, deletes).
        outside: it calls something a rollback cannot undo.
        rehearsable: a dry run may run it: nothing that it changes outside stays changed, or it is told.
        keeps_answer: where it is a run's only node, its one statement can keep the run's answer under a key.
    """

    database: bool = False
    writes: bool = False
    destructive: bool = False
    idempotent: bool = False
    outside: bool = False
    rehearsable: bool = True
    keeps_answer: bool = False


@dataclass(frozen=True, slots=True)
class Choice:
    """A param that is not declared: the name of the first case whose condition holds, else the default.

    Attributes:
        cases: conditions by name; their place is the node's key of the same name.
    """

    cases: Mapping[str, str]
    default: str | None


@dataclass(frozen=True, slots=True)
class FirstOf:
    """A param that is not declared: the result of the first of these nodes that has one.

    Attributes:
        nodes: ids; their place is the node's key `from`.
    """

    nodes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Slot:
    """What the value at one place of a node's params must be.

    Attributes:
        shape: what values fit.
        optional: the param may be left out (a nullable or defaulted field that is filled).
        droppable: it may be left out only for an input declared `required: false` (the filter of List and Count).
    """

    shape: Shape
    optional: bool = False
    droppable: bool = False


ParamPath: TypeAlias = tuple[str | int, ...]
"""A place in a node's params, such as `("filter", "company")`."""


@dataclass(frozen=True, slots=True)
class ParamProblem:
    """Something wrong in a node's declaration; `path` starts at the node, such as `("params", "filter", "nme")`."""

    path: ParamPath
    message: str
    hint: str = ""


class Placeholder(Protocol):
    """A template standing in a params tree; the planner's own type, opaque to node types."""

    @property
    def is_whole(self) -> bool:
        """Whether the template is the whole value (type kept) rather than part of a text."""

    @property
    def pieces(self) -> tuple[str, ...]:
        """The literal texts in front of the first path, between the paths, and behind the last."""


@dataclass(slots=True)
class Binding:
    """The outcome of binding a params tree."""

    slots: dict[ParamPath, Slot] = field(default_factory=dict)
    problems: list[ParamProblem] = field(default_factory=list)


class NodeContext(msgspec.Struct, eq=False):
    """What a running node may use.

    Attributes:
        session: where its statements run.
        node: the id, behind those of the nodes that run this one's workflow, such as `billing.invoice`.
        place: names this run of this node and no other: the node's id, and which item of a foreach it is.
        now: start of the run, RFC 3339 UTC with six digits; the same for every node and replay of the run.
        deadline: `loop.time()` by which the node must have ended.
        input: what connections to `input` delivered, else None.
        pointers: place in the params, such as `/records`, to the pointer of the input that is the whole of it.
        span: the node's own, where the run is recorded.
        once: the Idempotency-Key whose answer the node is to keep with what it writes, or refuse to.
        run_workflow: runs another workflow that the plan knows, as a part of this run; inputs in, outputs out.
    """

    session: Session
    database: Database
    invocation: Invocation
    execution_id: str
    node: str
    now: str
    deadline: float
    observe: Observer
    input: object = None
    pointers: Mapping[str, str] = {}
    place: str = ""
    run_workflow: RunWorkflow | None = None
    span: Span | None = None
    once: Once | None = None

    def trace_headers(self) -> dict[str, str]:
        """`traceparent` and `tracestate` for what the node asks of another service; none where there is no trace."""
        trace = self.invocation.trace
        return {} if trace is None else trace.headers(self.span)

    @property
    def claims(self) -> Mapping[str, object]:
        """What the caller's credentials say, for the policies of models."""
        return self.invocation.principal.claims


RunWorkflow: TypeAlias = Callable[[str, Mapping[str, object]], Awaitable[Mapping[str, object]]]

Runner: TypeAlias = Callable[[Mapping[str, object], NodeContext], Awaitable[object]]
"""Runs a node: rendered params and context in, the result in wire values out."""


class NodeType(Protocol):
    """One kind of node, such as `ContactCreateNode`."""

    @property
    def name(self) -> str:
        """The name in `type:`."""

    @property
    def keys(self) -> frozenset[str]:
        """The keys that stand beside `params` in nodes of this type alone, such as `call`."""

    def derived(self, node: Node) -> Mapping[str, Choice | FirstOf]:
        """Params that the planner makes out of the node's keys."""

    def effects(self, node: Node) -> Effects:
        """What running this node may do."""

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """Check a params tree whose templates are Placeholders; `connected` are the params that connections fill.

        Covers unknown params and fields, missing required ones, literals of wrong type, options that do not fit.
        """

    def result(self, node: Node) -> Shape:
        """The shape of the result; in `node.params` Placeholders stand for templates and for what connections fill."""

    def build(self, node: Node) -> Runner:
        """The function that runs the node; everything that can be prepared is prepared here, once."""
