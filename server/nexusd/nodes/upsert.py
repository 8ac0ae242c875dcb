"""Upsert: one record, new or changed."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, TypedDict, cast

from nexusd.databases import statements
from nexusd.definitions.policy import Access
from nexusd.definitions.shape import Record
from nexusd.errors import Fault, SerializationConflict, UniqueViolation
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.conflict import Conflicts
from nexusd.nodes.operation import fields_of
from nexusd.nodes.resource import Row, refuse
from nexusd.nodes.shapes import fields_shape, flag, one_of, record_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Session
    from nexusd.databases.statements import Conflict
    from nexusd.databases.tables import Table
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.resource import Resource

ATTEMPTS: Final = 3


class Upserted(TypedDict):
    """What an upsert answers."""

    record: Row
    created: bool
    outcome: str


class Upsert:
    """One record, inserted or overwritten."""

    flat_in = "record"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._conflicts = Conflicts(resource.model)
        self.flat: Record | None = fields_shape(resource.model, required=True)
        self.params: Mapping[str, Param] = {
            "record": Param(self.flat, Purpose.NEED, Purpose.FILL),
            **self._conflicts.params,
        }

    def rules(self, _binder: Binder, _declared: Mapping[str, object], _given: frozenset[str]) -> None:
        """No more than what holds for every operation."""

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """The record and what became of it."""
        properties: dict[str, Shape] = {
            "record": record_shape(self._resource.model),
            "created": flag("created"),
            "outcome": one_of("outcome", "inserted", "updated", "unchanged"),
        }
        return Record(properties, frozenset(properties))

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One INSERT … ON CONFLICT; a SELECT when nothing had to be changed."""
        resource = self._resource

        async def upsert(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            given, pointer = fields_of(self, params)
            row = resource.new.read(given, pointer, faults)
            on, update = self._conflicts.read(params, faults)
            if not faults:
                faults += self._conflicts.unidentified(row, on, pointer)
            refuse(faults)
            resource.rules.scopes.gives(context, row, pointer)
            conflict = self._conflicts.conflict(row, on, update)
            # Whether a value was changed tells what it was.
            resource.rules.scopes.sees(context, (*on, *conflict.update), pointer)
            row = resource.rules.own(context, row, pointer)
            writing = _Writing(
                resource=resource,
                table=resource.table(context, Access.UPDATE),
                row=resource.with_key(row),
                conflict=conflict,
                context=context,
            )
            for _ in range(ATTEMPTS):
                answer = await writing.run(context.session)
                if answer is not None:
                    (answer["record"],) = resource.rules.scopes.shown(context, [answer["record"]])
                    return answer
            if writing.table.guard is not None:
                # Somebody has such a record, whom the caller does not see.
                raise UniqueViolation(fields=on)
            raise SerializationConflict

        return upsert


@dataclass(frozen=True, slots=True)
class _Writing:
    """One run."""

    resource: Resource
    table: Table
    row: Row
    conflict: Conflict
    context: NodeContext

    async def run(self, session: Session) -> Upserted | None:
        """Insert or overwrite; None when the record was there and has gone meanwhile."""
        looks = self.resource.looks(self.context, Access.CREATE, self.row)
        if self.table.tells_created and self.table.guard is None and not looks:
            return await self._write(session, None)
        async with session.atomic() as transaction:
            existed = None if self.table.tells_created else bool(await self._find(transaction, self.table))
            answer = await self._write(transaction, existed)
            await self.resource.refers(self.context, transaction, [self.row])
            if answer is not None and answer["outcome"] != "unchanged":
                access = Access.CREATE if answer["created"] else Access.UPDATE
                key = answer["record"][self.table.key]
                await self.resource.rules.check(self.context, transaction, [key], access)
            return answer

    async def _write(self, session: Session, existed: bool | None) -> Upserted | None:  # noqa: FBT001
        query = statements.upsert(self.table, tuple(self.row), self.conflict)
        bound = query.bind([*self.row.values(), self.context.now], self.context.claims)
        if existed is not None:
            bound = replace(bound, is_new=lambda _record: not existed)
        result = await session.run(bound)
        if result.rows:
            created = bool(result.rows[0]["created"] if existed is None else not existed)
            record = cast("Row", result.rows[0]["record"])
            return {"record": record, "created": created, "outcome": "inserted" if created else "updated"}
        found = await self._find(session, self.table)
        return {"record": found[0], "created": False, "outcome": "unchanged"} if found else None

    async def _find(self, session: Session, table: Table) -> list[Row]:
        query = statements.select_one(table, self.conflict.on, table.columns, include_deleted=True)
        values = [self.row.get(name) for name in self.conflict.on]
        return (await session.run(query.bind(values, self.context.claims))).rows
