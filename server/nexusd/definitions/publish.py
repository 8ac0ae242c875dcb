"""`publish:`: a model's operations as workflows of one node each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import Field, FieldType, Model, Operation
from nexusd.definitions.model_loader import snake_case
from nexusd.definitions.workflow import DeclaredInput, Node, Workflow

if TYPE_CHECKING:
    from collections.abc import Mapping

_PARAMS: Final[Mapping[Operation, Mapping[str, bool]]] = {
    Operation.CREATE: {},
    Operation.READ: dict.fromkeys(("id", "where", "required", "include"), False),
    Operation.UPDATE: dict.fromkeys(("id", "where", "if_version", "required"), False),
    Operation.DELETE: dict.fromkeys(("id", "where", "if_version", "required"), False),
    Operation.LIST: dict.fromkeys(("filter", "sort", "limit", "cursor", "offset", "fields", "count", "include"), False),
    Operation.COUNT: {"filter": False},
    Operation.UPSERT: {"record": True, "conflict_on": False, "update": False},
    Operation.BULK_CREATE: {"records": True, "mode": False, "on_conflict": False, "returning": False},
    Operation.BULK_UPDATE: dict.fromkeys(("filter", "fields", "records", "all", "max_affected", "mode"), False),
    Operation.BULK_DELETE: dict.fromkeys(("filter", "ids", "all", "max_affected"), False),
    Operation.BULK_UPSERT: {"records": True, "conflict_on": False, "update": False, "on_duplicate": False},
}
"""The params of each operation that become inputs, and whether a caller must give them."""

_SEEING: Final = frozenset({Operation.READ, Operation.LIST, Operation.COUNT})
"""The operations that can be asked for soft-deleted records too."""


def published_workflows(model: Model) -> list[Workflow]:
    """One workflow for each published operation, named `contact_create`, with a node named after the operation."""
    return [_workflow(model, operation) for operation in model.publish]


def published_name(model: str, operation: Operation) -> str:
    """The name of the workflow that publishes an operation, such as `contact_create`."""
    return f"{snake_case(model)}_{operation.value}"


def _workflow(model: Model, operation: Operation) -> Workflow:
    required = _inputs(model, operation)
    node = Node(
        id=operation.value,
        type=model.node_type(operation),
        params={name: f"{{{{ inputs.{name} }}}}" for name in required},
    )
    return Workflow(
        name=published_name(model.name, operation),
        description=f"{operation.value.replace('_', ' ').capitalize()} {model.name}.",
        nodes=(node,),
        # json refines nothing: type and limits come from the param that the input fills.
        inputs={
            name: DeclaredInput(Field(name=name, type=FieldType.JSON), required=needed)
            for name, needed in required.items()
        },
        published=(model.name, operation),
    )


def _inputs(model: Model, operation: Operation) -> dict[str, bool]:
    inputs = dict(_PARAMS[operation])
    if operation is Operation.CREATE:
        inputs |= {field.name: field.required_on_create for field in model.writable}
    if operation is Operation.UPDATE:
        inputs |= {field.name: False for field in model.writable if not field.primary_key}
    if not model.versioned:
        inputs.pop("if_version", None)
    if not any(field.references for field in model.fields):
        inputs.pop("include", None)
    if model.soft_delete and operation in _SEEING:
        inputs["include_deleted"] = False
    return inputs
