"""Upsert: one record, new or changed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from nexusd.databases import statements
from nexusd.definitions.shape import Record
from nexusd.errors import Fault, SerializationConflict
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.conflict import Conflicts
from nexusd.nodes.operation import fields_of
from nexusd.nodes.resource import refuse
from nexusd.nodes.shapes import fields_shape, flag, one_of, record_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Session
    from nexusd.databases.statements import Conflict
    from nexusd.databases.tables import Table
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.resource import Resource, Row

ATTEMPTS: Final = 3


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
            writing = _Writing(
                table=resource.table(context),
                row=resource.with_key(row),
                conflict=self._conflicts.conflict(row, on, update),
                now=context.now,
            )
            for _ in range(ATTEMPTS):
                answer = await writing.run(context.session)
                if answer is not None:
                    return answer
            raise SerializationConflict

        return upsert


@dataclass(frozen=True, slots=True)
class _Writing:
    """One run."""

    table: Table
    row: Row
    conflict: Conflict
    now: str

    async def run(self, session: Session) -> dict[str, object] | None:
        """Insert or overwrite; None when the record was there and has gone meanwhile."""
        if self.table.tells_created:
            return await self._write(session, None)
        async with session.atomic() as transaction:
            return await self._write(transaction, bool(await self._find(transaction)))

    async def _write(self, session: Session, existed: bool | None) -> dict[str, object] | None:  # noqa: FBT001
        query = statements.upsert(self.table, tuple(self.row), self.conflict)
        result = await session.run(query.bind([*self.row.values(), self.now]))
        if result.rows:
            created = result.rows[0]["created"] if existed is None else not existed
            outcome = "inserted" if created else "updated"
            return {"record": result.rows[0]["record"], "created": created, "outcome": outcome}
        found = await self._find(session)
        return {"record": found[0], "created": False, "outcome": "unchanged"} if found else None

    async def _find(self, session: Session) -> list[Row]:
        query = statements.select_one(self.table, self.conflict.on, self.table.columns, include_deleted=True)
        result = await session.run(query.bind([self.row.get(name) for name in self.conflict.on]))
        return result.rows
