"""Who may run a workflow: the scopes that let a caller in (docs/reference.md, section 11)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import Operation

if TYPE_CHECKING:
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.workflow import Workflow

EVERYTHING: Final = "*"
ADMIN: Final = "admin"
ANY_WORKFLOW: Final = "workflow:*:execute"

READING: Final = frozenset({Operation.READ, Operation.LIST, Operation.COUNT})
"""The operations that `model:<Name>:read` allows where they are published."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a caller must hold to run a workflow.

    Attributes:
        needed: what to ask for: the workflow's own scope, then those that the workflow demands besides.
        any_of: scopes of which one lets in.
        all_of: scopes that are demanded besides.
    """

    needed: tuple[str, ...]
    any_of: frozenset[str]
    all_of: frozenset[str]

    def allows(self, principal: Principal) -> bool:
        """Whether the caller's scopes suffice."""
        scopes = principal.scopes
        return EVERYTHING in scopes or (not self.any_of.isdisjoint(scopes) and self.all_of <= scopes)


def access_to(workflow: Workflow) -> Access:
    """What a caller must hold to run this workflow."""
    own = f"workflow:{workflow.name}:execute"
    any_of = {own, ANY_WORKFLOW, ADMIN}
    if workflow.published is not None:
        model, operation = workflow.published
        any_of.add(f"model:{model}:write")
        if operation in READING:
            any_of.add(f"model:{model}:read")
    return Access((own, *workflow.scopes), frozenset(any_of), frozenset(workflow.scopes))


def sees_all(principal: Principal) -> bool:
    """Whether a caller sees and cancels what others run."""
    return not principal.scopes.isdisjoint({EVERYTHING, ADMIN})


_WORD: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]{1,200}")
"""A scope as OAuth writes it (RFC 6749, section 3.3)."""

_KNOWN: Final = re.compile(r"workflow:(?:\*|[A-Za-z0-9_-]{1,64}):execute|model:[A-Za-z_][A-Za-z0-9_]*:(?:read|write)")


def is_scope(text: str) -> bool:
    """Whether a text can be a scope."""
    return _WORD.fullmatch(text) is not None


def scope_fault(scope: str) -> str | None:
    """What is wrong with a scope that is to be given out; None: nothing.

    Any word may be one, since workflows demand what they like; but one that begins like those that nexusd knows and is
    none would let nobody in.
    """
    if not is_scope(scope):
        return "a scope is printable ASCII without blanks, quotes and backslashes"
    if scope.startswith(("workflow:", "model:")) and not _KNOWN.fullmatch(scope):
        return "must be workflow:<name>:execute, workflow:*:execute, model:<Name>:read or model:<Name>:write"
    return None
