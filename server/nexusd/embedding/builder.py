"""WorkflowBuilder: a workflow built node by node."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Self

from nexusd.definitions.loader import UNBUILT_WORKFLOW
from nexusd.definitions.workflow_loader import read_workflow
from nexusd.embedding.declared import declared, refuse_problems, to_wire
from nexusd.embedding.misuse import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.definitions.workflow import Workflow

UNNAMED: Final = "workflow"
"""The name of a built workflow until it is registered."""


class WorkflowBuilder:
    """Builds a workflow; what can be said of one in the registry file can be said here, in the same words.

    Args:
        keys: keys of a workflow in the registry file, such as `description`, `outputs`, `timeout_s`.
    """

    def __init__(self, **keys: object) -> None:
        self._keys = keys
        self._nodes: dict[str, dict[str, object]] = {}
        self._connections: list[list[str]] = []

    def add_node(
        self,
        type: str,  # noqa: A002 - the registry's word
        id: str,  # noqa: A002 - the registry's word
        params: Mapping[str, object] | None = None,
        **keys: object,
    ) -> Self:
        """Add a node; the builder itself is given back, so that calls can be chained.

        Args:
            type: the node type, such as `ContactCreateNode`.
            id: its name in this workflow.
            params: literals and templates.
            keys: further keys of a node in the registry file, such as `when`; `from_` stands for `from`, and `call`
                takes a function too.

        Raises:
            UsageError: the id is taken, or a value is none that JSON has.
        """
        if id in self._nodes:
            raise UsageError(f"the workflow has a node {id!r} already")
        node: dict[str, object] = {"type": type, "params": to_wire(dict(params or {}), f"node {id}")}
        for key, value in keys.items():
            named = _reference(value, id) if key == "call" and callable(value) else value
            node[key.removesuffix("_")] = to_wire(named, f"node {id}.{key}")
        self._nodes[id] = node
        return self

    def add_connection(self, src: str, output: str, dst: str, input: str) -> Self:  # noqa: A002 - the registry's word
        """Deliver `output` of the node `src` (`result` is the whole of it) to the param `input` of the node `dst`."""
        self._connections.append([src, output, dst, input])
        return self

    def build(self) -> Workflow:
        """The workflow as built so far; it gets its name when it is registered.

        What depends on models and other workflows is judged once all of them are there.

        Raises:
            ConfigurationError: its form is none that a workflow has; with every problem.
        """
        declaration: dict[str, object] = {
            **{key: to_wire(value, f"{UNNAMED}.{key}") for key, value in self._keys.items()},
            "nodes": self._nodes,
            "connections": self._connections,
        }
        entry = declared(UNNAMED, declaration)
        for key in UNBUILT_WORKFLOW:
            if declaration.get(key) not in (None, False, []):
                entry.child(key).wrong(f"{key} is not part of this version")
        workflow = read_workflow(UNNAMED, entry)
        refuse_problems(entry)
        return workflow


def _reference(function: Callable[..., object], node: str) -> str:
    """A function as the registry file names it."""
    module, name = getattr(function, "__module__", None), getattr(function, "__qualname__", "")
    if module is None or not name.isidentifier():
        raise UsageError(
            f"node {node}: call takes a function that stands at the top of a module, not {name or function!r}"
        )
    return f"{module}:{name}"
