"""What a caller of a tool may ask for besides its arguments: options in the request's `_meta`.

They stand there and not among the arguments, so that no workflow's input can collide with them and no model fills them
in by mistake. Each tool declares in its own `_meta` which of them it honours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.definitions.idempotency import KEY_PATTERN, MAX_LENGTH, is_key
from nexusd.definitions.shape import escape
from nexusd.errors import Fault, InvalidInput

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.planning.plan import Plan

OPTIONS: Final = "nexusd/options"
"""Where a tool declares its options: names to their JSON Schemas."""

DRY_RUN: Final = "nexusd/dryRun"
IDEMPOTENCY_KEY: Final = "nexusd/idempotencyKey"
EXECUTION_ID: Final = "nexusd/executionId"
"""Where a result says which execution it came from."""

REPLAYED: Final = "nexusd/idempotencyReplayed"
"""Where a result says that it was given before, under the same key."""

_DRY_RUN_SCHEMA: Final = {"type": "boolean", "description": "Run everything, keep nothing in the database."}
_KEY_SCHEMA: Final = {
    "type": "string",
    "pattern": KEY_PATTERN,
    "description": "Calls under one key have one effect and one result, for 24 hours.",
}


@dataclass(frozen=True, slots=True)
class CallOptions:
    """What one call asks for."""

    dry_run: bool = False
    idempotency_key: str | None = None


PLAIN: Final = CallOptions()


def read_options(meta: Mapping[str, object] | None) -> CallOptions:
    """The options in a request's `_meta`.

    Raises:
        InvalidInput: one of them is not what its schema says.
    """
    if not meta or (DRY_RUN not in meta and IDEMPOTENCY_KEY not in meta):
        return PLAIN
    faults: list[Fault] = []
    dry_run = meta.get(DRY_RUN, False)
    if not isinstance(dry_run, bool):
        faults.append(_fault(DRY_RUN, "must be true or false"))
    key = meta.get(IDEMPOTENCY_KEY)
    if key is not None and not (isinstance(key, str) and is_key(key)):
        faults.append(_fault(IDEMPOTENCY_KEY, f"must be text of 1 to {MAX_LENGTH} visible ASCII characters"))
    if faults:
        raise InvalidInput("; ".join(f"{fault.pointer} {fault.detail}" for fault in faults), faults=faults)
    return CallOptions(dry_run is True, key if isinstance(key, str) else None)


def declared_options(plan: Plan) -> dict[str, object]:
    """The options that a workflow honours, for its tool's `_meta`."""
    if plan.read_only:
        return {}
    options: dict[str, object] = {IDEMPOTENCY_KEY: _KEY_SCHEMA}
    if all(node.effects.rehearsable for node in plan.nodes):
        options[DRY_RUN] = _DRY_RUN_SCHEMA
    return options


def _fault(name: str, detail: str) -> Fault:
    return Fault(f"/_meta/{escape(name)}", "type", detail)
