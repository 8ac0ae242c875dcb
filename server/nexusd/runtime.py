"""The one door inside: every channel hands its calls to `Runtime.execute`."""

from __future__ import annotations

import asyncio
import os
import time
from typing import TYPE_CHECKING, Final, Protocol

from msgspec.structs import replace

from nexusd.definitions.execution import Execution, Invocation, new_uuid7, utc_now
from nexusd.definitions.principal import shown
from nexusd.definitions.registry import Registry
from nexusd.definitions.sight import Sights
from nexusd.definitions.trace import ids
from nexusd.definitions.wire import write_json
from nexusd.engines.admission import Places, Taken
from nexusd.engines.engine import Engine, Run
from nexusd.engines.history import History, Record, Status
from nexusd.engines.keyed_requests import KeyedRequests
from nexusd.engines.peers import Alone
from nexusd.errors import (
    Cancelled,
    Code,
    DeadlineExceeded,
    Forbidden,
    InternalError,
    NexusError,
    QuestionsPending,
    RateLimited,
    WorkflowNotFound,
)
from nexusd.events import (
    ExecutionCancelled,
    ExecutionFailed,
    ExecutionFinished,
    ExecutionSuspended,
    LimitExceeded,
    Observer,
    unexpected,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nexusd.databases.database import Database
    from nexusd.definitions.limits import Standing
    from nexusd.definitions.principal import Principal
    from nexusd.definitions.workflow import Workflow
    from nexusd.engines.keys import Keyed
    from nexusd.engines.peers import Peers
    from nexusd.planning.plan import Plan


UNBOUNDED: Final = 1_000_000
"""Places where nothing bounds what runs at once."""


class Served:
    """What there is to run; it changes as a whole.

    Attributes:
        plans: by name, sorted by name.
        registry: what they were made from.
    """

    def __init__(self, plans: Mapping[str, Plan], registry: Registry) -> None:
        self.plans: Mapping[str, Plan] = dict(plans)
        self.registry = registry
        self._sights = Sights(registry.models.values())
        self._followers: list[Callable[[], None]] = []

    def use(self, plans: Mapping[str, Plan], registry: Registry) -> None:
        """Serve these from now on; a run that has begun ends on the plan it began with."""
        self.plans = dict(plans)
        self.registry = registry
        self._sights = Sights(registry.models.values())
        for follow in self._followers:
            follow()

    def sight(self, principal: Principal) -> str:
        """What a caller can see of the models, told apart from what others can."""
        return self._sights.of(principal)

    def on_change(self, follow: Callable[[], None]) -> None:
        """Have `follow` called after each change, in the loop's thread; it may not raise."""
        self._followers.append(follow)


class Limits(Protocol):
    """How often callers may run workflows."""

    def take(self, principal: Principal, workflow: Workflow, standings: list[Standing] | None) -> None:
        """Count a run; `standings` is told how the caller stands then.

        Raises:
            RateLimited: it is one too many.
        """


class Runtime:
    """Finds the plan, validates the inputs, runs it on an engine and reports what happened.

    Attributes:
        history: the latest executions, of every channel.
        served: what there is to run, and how it changes.
        limits: how often it may be run; None: as often as anybody likes.
        peers: the processes that serve with this one.
        places: how much may run at once.
        secret: seals what clients carry from one call to the next; the same in every process on one database.
    """

    def __init__(
        self,
        plans: Mapping[str, Plan],
        engine: Engine,
        database: Database,
        observe: Observer,
        registry: Registry | None = None,
        *,
        keeps_keys: bool = True,
    ) -> None:
        self.served = Served(plans, registry or Registry())
        self._engine = engine
        self.database = database
        self.history = History()
        self._keys = KeyedRequests(self.history, observe, kept=keeps_keys)
        self.limits: Limits | None = None
        self.peers: Peers = Alone()
        self.places = Places(UNBOUNDED, 1.0, observe)
        self._observe = observe
        self._background: set[asyncio.Task[None]] = set()
        self.secret = os.urandom(32)

    @property
    def plans(self) -> Mapping[str, Plan]:
        """All plans by name, sorted by name; another mapping after each change."""
        return self.served.plans

    def plan(self, name: str) -> Plan:
        """The plan of that name.

        Raises:
            WorkflowNotFound: there is none.
        """
        plan = self.served.plans.get(name)
        if plan is None:
            raise WorkflowNotFound(f"there is no workflow named {name[:64]!r}")
        return plan

    def allows(self, principal: Principal, plan: Plan) -> bool:
        """Whether a caller may run a workflow, and so may see it."""
        return plan.access.allows(principal)

    def allowed(self, principal: Principal) -> list[Plan]:
        """The plans of all that a caller may run, by name."""
        return [plan for _, plan in sorted(self.plans.items()) if plan.access.allows(principal)]

    def admit(self, principal: Principal, name: str) -> Plan:
        """The plan of that name, if the caller may run it.

        Raises:
            WorkflowNotFound: there is none.
            Forbidden: it is not for this caller.
        """
        plan = self.plan(name)
        if not plan.access.allows(principal):
            needed = plan.access.needed
            raise Forbidden(f"{name!r} needs the scope {' and '.join(needed)}", scopes=needed)
        return plan

    async def execute(self, invocation: Invocation) -> Execution:
        """Run a workflow to its end.

        Raises:
            NexusError: anything of the contract's table, `execution_id` set once the run had begun.
        """
        plan = self._admit(invocation)
        taken = await self.places.enter(plan.workflow, invocation)
        try:
            if invocation.idempotency_key is None or invocation.dry_run:
                return await self._attended(plan, invocation, None)
            with self._keys.serving(plan, invocation) as keyed:
                return await self._attended(plan, invocation, keyed)
        finally:
            taken.leave()

    async def start(self, invocation: Invocation) -> tuple[Record, bool]:
        """Begin to run a workflow that nobody waits for; how it ends stands in the history.

        It keeps its place until it has ended, and its deadline, if it has one, counts.

        Returns:
            The execution, and whether an earlier request under the same Idempotency-Key began it.

        Raises:
            NexusError: it cannot be started.
        """
        plan = self._admit(invocation)
        taken = await self.places.enter(plan.workflow, invocation)
        try:
            return await self._start(plan, invocation, taken)
        except BaseException:
            taken.leave()
            raise

    async def _start(self, plan: Plan, invocation: Invocation, taken: Taken) -> tuple[Record, bool]:
        keyed = None
        if invocation.idempotency_key is not None and not invocation.dry_run:
            keyed = await self._keys.begin(plan, invocation, self.database)
            if keyed.record is not None:
                taken.leave()
                return keyed.record, True
        inputs = plan.decode(invocation.inputs) if keyed is None else keyed.inputs
        record = _begin(self.history, invocation, None)
        task = asyncio.create_task(self._unattended(plan, invocation, record, inputs, keyed))
        record.task = task
        self._background.add(task)
        task.add_done_callback(self._background.discard)
        task.add_done_callback(lambda _task: taken.leave())
        if keyed is not None:
            keyed.record = record
            task.add_done_callback(lambda _task: self._keys.end(keyed))
        return record, False

    async def drain(self, grace_s: float) -> int:
        """Let what was started end; cancel what has not after `grace_s`, and say how many those were."""
        if not self._background:
            return 0
        _, late = await asyncio.wait(self._background, timeout=grace_s)
        for task in late:
            task.cancel()
        await asyncio.gather(*late, return_exceptions=True)
        return len(late)

    def _admit(self, invocation: Invocation) -> Plan:
        plan = self.admit(invocation.principal, invocation.workflow)
        if self.limits is not None:
            try:
                self.limits.take(invocation.principal, plan.workflow, invocation.standings)
            except RateLimited as error:
                self._observe(_exceeded(invocation, error.policy))
                raise
        if invocation.idempotency_key is not None:
            self._keys.check(invocation.idempotency_key)
        return plan

    async def _attended(self, plan: Plan, invocation: Invocation, keyed: Keyed | None) -> Execution:
        record = _begin(self.history, invocation, asyncio.current_task())
        started = time.perf_counter()
        try:
            if keyed is None:
                outputs = await self._run(plan, invocation, record, plan.decode(invocation.inputs), None)
            else:
                keyed.record = record
                outputs = await self._run(plan, invocation, record, keyed.inputs, keyed)
        except (Exception, asyncio.CancelledError) as error:
            if keyed is not None and keyed.refused:
                raise  # nothing was begun
            told = self._failed(plan, invocation, record, error, started)
            if told is error or told is None:
                raise
            raise told from error
        if keyed is not None and keyed.answer is not None:
            answer = keyed.answer
            if not keyed.is_replay:
                _finished(self._observe, invocation, record, started)
            return Execution(
                id=answer.execution_id,
                workflow=plan.name,
                outputs=outputs,
                duration_ms=answer.duration_ms,
                replayed=keyed.is_replay,
            )
        duration_s = _finished(self._observe, invocation, record, started)
        return Execution(
            id=record.id,
            workflow=plan.name,
            outputs=outputs,
            duration_ms=round(duration_s * 1000, 3),
        )

    async def _unattended(
        self, plan: Plan, invocation: Invocation, record: Record, inputs: Mapping[str, object], keyed: Keyed | None
    ) -> None:
        started = time.perf_counter()
        try:
            made = await self._run(plan, invocation, record, inputs, keyed)
            outputs = write_json(made) if keyed is None or keyed.answer is None else keyed.answer.outputs
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - nobody awaits this task: the history tells
            self._failed(plan, invocation, record, error, started)
        else:
            self.history.keep_outputs(record, outputs)
            _finished(self._observe, invocation, record, started)

    async def _run(
        self, plan: Plan, invocation: Invocation, record: Record, inputs: Mapping[str, object], keyed: Keyed | None
    ) -> dict[str, object]:
        deadline = asyncio.get_running_loop().time() + plan.workflow.timeout_s
        if invocation.deadline is not None:
            deadline = min(deadline, invocation.deadline)
        run = Run(
            id=record.id,
            plan=plan,
            inputs=inputs,
            invocation=invocation,
            now=record.started_at,
            deadline=deadline,
            database=self.database,
            observe=self._observe,
            keyed=keyed,
        )
        span = None if invocation.trace is None else invocation.trace.span
        if span is None:
            return await self._engine.run(run)
        with span.child(f"execute {plan.name}", {"nexusd.execution.id": record.id}) as inner:
            return await self._engine.run(replace(run, span=inner))

    def _failed(
        self, plan: Plan, invocation: Invocation, record: Record, error: BaseException, started: float
    ) -> NexusError | None:
        """Note a failure; the error to tell, None where there is nobody to tell it."""
        told: NexusError
        attended = True
        if isinstance(error, NexusError):
            told = error
        elif isinstance(error, asyncio.CancelledError):
            told = Cancelled()
            attended = record.cancel_asked
            if attended and (task := asyncio.current_task()) is not None:
                task.uncancel()
        else:
            told = InternalError()  # the edge: whatever is no NexusError is a bug
        if isinstance(told, InternalError) and not told.is_logged:
            self._observe(unexpected("runtime", invocation.request_id, error))
            told.is_logged = True
        if plan.keeps_parts and not invocation.dry_run:
            _mention_parts(told)
        told.execution_id = record.id
        duration_s = time.perf_counter() - started
        record.fail(told, round(duration_s * 1000, 3))
        place = (record.workflow, record.channel, record.id, invocation.request_id, duration_s)
        if told.code is Code.CANCELLED:
            self._observe(ExecutionCancelled(*place, *_caller(invocation)))
        elif isinstance(told, QuestionsPending):
            self.history.drop(record)
            self._observe(ExecutionSuspended(*place, *_caller(invocation)))
        else:
            self._observe(ExecutionFailed(*place, told.code.value, told.node, *_caller(invocation)))
        return told if attended else None


def _mention_parts(error: NexusError) -> None:
    """Say of a run that was cut off what became of the parts that it had committed."""
    if isinstance(error, (DeadlineExceeded, Cancelled)):
        ended = error.detail.removesuffix(".").removesuffix("; nothing was kept")
        error.detail = f"{ended}; what was done before stays."


def _finished(observe: Observer, invocation: Invocation, record: Record, started: float) -> float:
    """Note that a run completed; how long it took in seconds."""
    duration_s = time.perf_counter() - started
    record.end(Status.COMPLETED, round(duration_s * 1000, 3))
    place = (record.workflow, record.channel, record.id, invocation.request_id, duration_s)
    observe(ExecutionFinished(*place, *_caller(invocation)))
    return duration_s


def _begin(history: History, invocation: Invocation, task: asyncio.Task[None] | None) -> Record:
    now = invocation.now or utc_now()
    caller = invocation.principal.id
    record = Record(new_uuid7(), invocation.workflow, invocation.channel, caller, invocation.request_id, now, task)
    record.sight = invocation.principal.sight
    history.add(record)
    return record


def _exceeded(invocation: Invocation, policy: str) -> LimitExceeded:
    channel, caller = invocation.channel, invocation.principal.id
    return LimitExceeded(channel, policy, invocation.request_id, invocation.workflow, caller)


def _caller(invocation: Invocation) -> tuple[str | None, str | None, str | None]:
    """Who called, and in which trace and span, for the log."""
    return shown(invocation.principal), *ids(invocation.trace)
