"""The eleven node types of a model."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import Operation as Name
from nexusd.nodes.binding import Binder, Purpose
from nexusd.nodes.bulk_create import BulkCreate
from nexusd.nodes.bulk_delete import BulkDelete
from nexusd.nodes.bulk_update import BulkUpdate
from nexusd.nodes.bulk_upsert import BulkUpsert
from nexusd.nodes.listing import Count, List
from nexusd.nodes.node import Effects, Slot
from nexusd.nodes.resource import Resource
from nexusd.nodes.single import Create, Delete, Read, Update
from nexusd.nodes.upsert import Upsert

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.databases.cursors import CursorSigner
    from nexusd.definitions.model import Model
    from nexusd.definitions.shape import Record, Shape
    from nexusd.definitions.workflow import Node
    from nexusd.nodes.node import Binding, Choice, FirstOf, Runner
    from nexusd.nodes.operation import Operation

_READS: Final = Effects(database=True, idempotent=True)
_ADDS: Final = Effects(database=True, writes=True)
_CHANGES: Final = Effects(database=True, writes=True, destructive=True)
_REMOVES: Final = Effects(database=True, writes=True, destructive=True, idempotent=True)

_OPERATIONS: Final[Mapping[Name, tuple[Callable[[Resource], Operation], Effects]]] = {
    Name.CREATE: (Create, replace(_ADDS, keeps_answer=True)),
    Name.READ: (Read, _READS),
    Name.UPDATE: (Update, _CHANGES),
    Name.DELETE: (Delete, _REMOVES),
    Name.LIST: (List, _READS),
    Name.UPSERT: (Upsert, _CHANGES),
    Name.COUNT: (Count, _READS),
    Name.BULK_CREATE: (BulkCreate, _ADDS),
    Name.BULK_UPDATE: (BulkUpdate, _CHANGES),
    Name.BULK_DELETE: (BulkDelete, _REMOVES),
    Name.BULK_UPSERT: (BulkUpsert, _CHANGES),
}


_MEANT: Final = ("id", "where", "filter", "ids", "records")
"""The params that say which records are meant."""


class ModelNode:
    """A node type over one operation of one model."""

    keys: frozenset[str] = frozenset()

    def __init__(self, name: str, operation: Operation, effects: Effects) -> None:
        self._name = name
        self._operation = operation
        self._effects = effects

    @property
    def name(self) -> str:
        """Such as `ContactCreateNode`."""
        return self._name

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, _node: Node) -> Effects:
        """What the operation may do; the same for every node of this type."""
        return self._effects

    def bind(self, _node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """Check the params; see NodeType."""
        operation = self._operation
        binder = Binder()
        given = frozenset(params) | (connected - {"input"})
        for name, value in params.items():
            self._bind(binder, name, value)
        for name in sorted(connected - {"input"} - params.keys()):
            shape = self._shape(name)
            if shape is None:
                binder.unknown("param", (name,), self._names())
            else:
                binder.binding.slots[name,] = Slot(shape)
        for name, param in operation.params.items():
            if param.required and name not in given:
                binder.problem((), f"param {name!r} is missing")
        self._bind_flat(binder, given)
        operation.rules(binder, params, given)
        self._pin(binder.binding, params, given)
        return binder.binding

    def result(self, node: Node) -> Shape:
        """The shape of the result."""
        return self._operation.result(node.params)

    def build(self, node: Node) -> Runner:
        """The function that runs the node."""
        return self._operation.build(node.params)

    def _bind(self, binder: Binder, name: str, value: object) -> None:
        param = self._operation.params.get(name)
        if param is not None:
            binder.bind(param.shape, value, (name,), param.purpose, param.inside)
            return
        shape = self._shape(name)
        if shape is None:
            binder.unknown("param", (name,), self._names())
        else:
            purpose = self._flat_purpose()
            binder.bind(shape, value, (name,), purpose, purpose)

    def _bind_flat(self, binder: Binder, given: frozenset[str]) -> None:
        flat, inside = self._operation.flat, self._operation.flat_in
        if flat is None:
            return
        beside = given - self._operation.params.keys()
        if inside in given:
            for name in sorted(beside & flat.properties.keys()):
                binder.problem((name,), f"stands beside {inside!r}", f"put it into {inside!r}")
            return
        for name in flat.properties:
            if name in flat.required and name not in beside:
                binder.problem((), f"field {name!r} is required")

    def _pin(self, binding: Binding, params: Mapping[str, object], given: frozenset[str]) -> None:
        """Let the param that says which records are meant never go, unless another one may say it instead."""
        chosen = [
            name
            for name in _MEANT
            if name in given & self._operation.params.keys() and self._operation.params[name].purpose is Purpose.CHOICE
        ]
        if len(chosen) > 1 and params.get("all") is not True:
            return
        for name in chosen:
            slot = binding.slots.get((name,))
            if slot is not None:
                binding.slots[name,] = Slot(slot.shape)

    def _shape(self, name: str) -> Shape | None:
        param = self._operation.params.get(name)
        if param is not None:
            return param.shape
        return self._flat_properties().get(name)

    def _flat_properties(self) -> Mapping[str, Shape]:
        flat: Record | None = self._operation.flat
        return {} if flat is None else flat.properties

    def _flat_purpose(self) -> Purpose:
        return self._operation.params[self._operation.flat_in].inside

    def _names(self) -> list[str]:
        return [*self._operation.params, *self._flat_properties()]


def model_node_types(
    model: Model, models: Mapping[str, Model], *, cursors: CursorSigner, audited: bool = False
) -> tuple[ModelNode, ...]:
    """The node types of a model; `models` are all of the registry, for its relations."""
    resource = Resource(model, models, cursors, audited=audited)
    return tuple(
        ModelNode(model.node_type(name), operation(resource), effects)
        for name, (operation, effects) in _OPERATIONS.items()
    )
