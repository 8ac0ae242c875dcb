"""What runs a plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Database, Session
    from nexusd.definitions.execution import Invocation
    from nexusd.definitions.trace import Span
    from nexusd.engines.keys import Keyed
    from nexusd.events import Observer
    from nexusd.planning.plan import Plan


class Run(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """One run of a plan.

    Attributes:
        inputs: validated by the plan's decoder.
        now: start of the run, RFC 3339, UTC, six digits.
        deadline: `loop.time()` at which it is cut off.
        keyed: the Idempotency-Key that it runs under.
        span: what its nodes are parts of, where it is recorded.
    """

    id: str
    plan: Plan
    inputs: Mapping[str, object]
    invocation: Invocation
    now: str
    deadline: float
    database: Database
    observe: Observer
    keyed: Keyed | None = None
    span: Span | None = None


class Engine(Protocol):
    """Runs plans."""

    async def run(self, run: Run) -> dict[str, object]:
        """Run to the end and return the outputs; under a key those of its answer, which `keyed` then has.

        Raises:
            NexusError: with `node` set to the node that failed; nothing of a transaction is kept.
        """


class Work(Protocol):
    """Runs the nodes of a run and gives the outputs."""

    async def __call__(self, run: Run, session: Session, *, shared: bool) -> dict[str, object]:
        """In a session that is one transaction (`shared`) or none."""
