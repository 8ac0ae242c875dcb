"""What one operation of a model says of itself, and the parts that several operations share."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final, Protocol

from nexusd.definitions.shape import Scalar
from nexusd.nodes.binding import Param, Purpose, has_placeholder, is_placeholder
from nexusd.nodes.relations import with_relations
from nexusd.nodes.resource import identifies, unique_sets
from nexusd.nodes.shapes import NamesShape, flag, integer, one_of, unique_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.shape import Record, Shape
    from nexusd.errors import Fault
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import Runner
    from nexusd.nodes.relations import Relation
    from nexusd.nodes.resource import Resource

REQUIRED: Final = flag("required", "Whether a missing record is an error.")
INCLUDE_DELETED: Final = flag("include_deleted", "Whether soft-deleted records are seen.")
MODE: Final = one_of("mode", "atomic", "partial", description="All records or none, or those that are valid.")
ALL: Final = flag("all", "Confirms that a filter which lets every record through is meant.")
MAX_AFFECTED: Final = integer("max_affected", 0, description="Change nothing if more records than this would change.")
IF_VERSION: Final = integer("if_version", 1, description="Refuse if the record has another version by now.")


class Operation(Protocol):
    """One of the eleven operations, for one model.

    Attributes:
        params: what it takes, by name.
        flat: the fields that may stand beside the params instead of in one of them; None: they may not.
        flat_in: the param they otherwise stand in.
    """

    params: Mapping[str, Param]
    flat: Record | None
    flat_in: str

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """Note what is wrong with the params as a whole; `given` are those declared or connected."""

    def result(self, declared: Mapping[str, object]) -> Shape:
        """The shape of the result."""

    def build(self, declared: Mapping[str, object]) -> Runner:
        """The function that runs it."""


def locating_params(resource: Resource) -> dict[str, Param]:
    """The params that say which record is meant."""
    return {
        "id": Param(Scalar(resource.key), Purpose.CHOICE),
        "where": Param(unique_shape(resource.model), Purpose.CHOICE, Purpose.NEED),
    }


def locating_rules(resource: Resource, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
    """Exactly one of `id` and `where`, and a `where` that identifies."""
    exclusive(binder, declared, "id", "where")
    if not given & {"id", "where"}:
        binder.problem((), "which record is meant is missing", "give id or where")
    where = declared.get("where")
    if isinstance(where, dict) and not is_placeholder(where) and not identifies(resource.model, where):
        binder.problem(("where",), "the fields do not identify one record", f"give {unique_sets(resource.model)}")


def seeing_params(resource: Resource) -> dict[str, Param]:
    """`include_deleted`, where the model has soft deletes."""
    return {"include_deleted": Param(INCLUDE_DELETED)} if resource.model.soft_delete else {}


def include_params(resource: Resource) -> dict[str, Param]:
    """`include`, where the model has relations."""
    return {"include": Param(NamesShape("relation", tuple(resource.relations)))} if resource.relations else {}


def included(resource: Resource, params: Mapping[str, object], faults: list[Fault]) -> list[Relation]:
    """The relations that rendered params ask for."""
    if "include" not in params:
        return []
    found = NamesShape("relation", tuple(resource.relations)).check(params["include"], "/include")
    faults += found
    names = params["include"]
    return [resource.relations[name] for name in names] if isinstance(names, list) and not found else []


def including(resource: Resource, record: Record, declared: Mapping[str, object]) -> Record:
    """The shape of records that may have relations put into them."""
    names = declared.get("include", [])
    if not isinstance(names, list) or has_placeholder(names):
        return replace(with_relations(record, resource.relations.values()), required=record.required)
    return with_relations(record, [resource.relations[name] for name in names if name in resource.relations])


def version_params(resource: Resource) -> dict[str, Param]:
    """`if_version`, where the model has versions."""
    return {"if_version": Param(IF_VERSION, Purpose.CHOICE)} if resource.model.versioned else {}


def fields_of(operation: Operation, params: Mapping[str, object]) -> tuple[object, str]:
    """The fields in rendered params and the pointer to them, given under their param or flat."""
    if operation.flat_in in params:
        return params[operation.flat_in], f"/{operation.flat_in}"
    options = operation.params
    return {name: value for name, value in params.items() if name not in options}, ""


def exclusive(binder: Binder, declared: Mapping[str, object], first: str, second: str) -> None:
    """Note that both params are given for sure; of two templates one may be left out by the caller."""
    if all(name in declared and not is_placeholder(declared[name]) for name in (first, second)):
        binder.problem((second,), f"{first} and {second} are both given", "give one of them")
