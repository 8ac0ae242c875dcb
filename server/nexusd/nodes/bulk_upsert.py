"""BulkUpsert."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd.databases import bulk_statements
from nexusd.databases.rows import portions
from nexusd.definitions.policy import Access
from nexusd.errors import Fault, SerializationConflict, UniqueViolation
from nexusd.nodes.arrangement import Arrangement, Identity, arranged, grouped, repeated
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.bulk_results import Results, counted_shape, results_shape
from nexusd.nodes.conflict import Conflicts
from nexusd.nodes.guards import disown
from nexusd.nodes.halving import write_all
from nexusd.nodes.records import RecordsShape
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import one_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.shape import Record, Shape
    from nexusd.nodes.arrangement import Group
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.resource import Resource, Row

ON_DUPLICATE: Final = one_of(
    "on_duplicate",
    "error",
    "last",
    "first",
    description="Which of several records that mean the same one counts.",
)
COUNTED: Final = ("inserted", "updated", "unchanged")


class BulkUpsert:
    """Many records, each inserted or overwritten."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self._conflicts = Conflicts(resource.model)
        self.params: Mapping[str, Param] = {
            "records": Param(RecordsShape(resource.new), Purpose.NEED, Purpose.FILL, required=True),
            **self._conflicts.params,
            "on_duplicate": Param(ON_DUPLICATE),
        }

    def rules(self, _binder: Binder, _declared: Mapping[str, object], _given: frozenset[str]) -> None:
        """No more than what holds for every operation."""

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """Counts and an entry for each record; one that gave way to another of the same identity is skipped."""
        results = results_shape(self._resource.model, (*COUNTED, "skipped"), records=False)
        return counted_shape(("total", *COUNTED), results)

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One INSERT … ON CONFLICT for each set of fields and portion of rows, in one transaction."""
        resource = self._resource

        async def bulk_upsert(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            batch = resource.new.read_all(params.get("records"), "/records")
            disown(resource, batch, context)
            faults += batch.faults
            on, update = self._conflicts.read(params, faults)
            choice = str(option(ON_DUPLICATE, params, "on_duplicate", faults, default="error"))
            refuse(faults)
            for place, row in enumerate(batch.rows):
                faults += self._conflicts.unidentified(row, on, f"/records/{place}")
            refuse(faults)
            # Whether a value was changed tells what it was.
            given = dict.fromkeys(name for row in batch.rows for name in row if name != resource.key.name)
            resource.rules.scopes.sees(context, (*on, *given), "/records/0")
            batch.rows = resource.rules.stamp(context, batch.rows)
            writing = _Writing(resource, self._conflicts, context, on, update)
            writing.choose(batch.rows, choice)
            async with context.session.atomic() as transaction:
                await writing.run(transaction)
            return writing.answer(batch.rows)

        return bulk_upsert


class _Writing:
    """One run of a BulkUpsert."""

    def __init__(
        self,
        resource: Resource,
        conflicts: Conflicts,
        context: NodeContext,
        on: tuple[str, ...],
        update: frozenset[str] | None,
    ) -> None:
        self._resource = resource
        self._conflicts = conflicts
        self._context = context
        self._on = on
        self._update = update
        self._table = resource.table(context, Access.UPDATE)
        self._identity = Identity(resource.model, on)
        self._chosen: list[tuple[int, Row]] = []
        self._arrangement = Arrangement([])
        self._outcomes: dict[int, tuple[str, Row]] = {}

    def choose(self, rows: list[Row], choice: str) -> None:
        """Decide which of several rows with one identity counts.

        Raises:
            InvalidInput: several have one, and that is an error.
        """
        # A row without a key gets one of its own, so it is like no other.
        identified = [(place, row) for place, row in enumerate(rows) if all(name in row for name in self._on)]
        several = repeated([row for _, row in identified], self._identity)
        out: set[int] = set()
        faults: dict[int, Fault] = {}
        for found in several.values():
            places = [identified[i][0] for i in found]
            kept = places[-1] if choice == "last" else places[0]
            out |= set(places) - {kept}
            faults |= {place: _duplicate(place, places[0], self._on) for place in places[1:]}
        if choice == "error":
            refuse([faults[place] for place in sorted(faults)])
        self._chosen = [(place, row) for place, row in enumerate(rows) if place not in out]

    async def run(self, session: Session) -> None:
        """Write the chosen rows."""
        order = (*self._resource.new.fields,)
        keyed: list[tuple[int, Row]] = []
        for group in grouped(self._chosen, order):
            rows = await self._resource.with_keys(group.rows, self._table, session)
            keyed += zip(group.positions, rows, strict=True)
        self._arrangement = arranged(grouped(keyed, order), self._identity)
        count = self._arrangement.count
        if count:
            await write_all(session, count, self._write, lambda i: f"/records/{self._arrangement.position(i)}")

    def answer(self, rows: list[Row]) -> dict[str, object]:
        """The node's result."""
        results = Results()
        key = self._table.key
        for place in range(len(rows)):
            outcome, record = self._outcomes.get(place, ("skipped", {}))
            results.add(place, outcome, record.get(key), record.get("version"))
        counts = {"total": len(rows), **{outcome: results.counted[outcome] for outcome in COUNTED}}
        return {**counts, "results": results.listed()}

    async def _write(self, session: Session, stretch: slice) -> None:
        for part in self._arrangement.parts(self._table, stretch):
            await self._write_part(session, part)

    async def _write_part(self, session: Session, part: Group) -> None:
        identity, places = self._identity, {}
        for place, row in zip(part.positions, part.rows, strict=True):
            places[identity.of(row)] = place
        existed = set() if self._table.tells_created else {identity.of(row) for row in await self._find(session, part)}
        conflict = self._conflicts.conflict(part.names, self._on, self._update)
        query = bulk_statements.upsert_rows(self._table, part.names, conflict, self._returning, len(part.rows))
        written: dict[str, list[object]] = {"inserted": [], "updated": []}
        bound = query.bind(part.rows, [self._context.now], self._context.claims)
        if not self._table.tells_created:
            bound = replace(bound, is_new=lambda record: identity.of(dict(record)) not in existed)
        for row in (await session.run(bound)).rows:
            record = row["record"]
            if not isinstance(record, dict):
                continue
            created = row["created"] if self._table.tells_created else identity.of(record) not in existed
            outcome = "inserted" if created else "updated"
            written[outcome].append(record[self._table.key])
            self._outcomes[places.pop(identity.of(record))] = (outcome, record)
        await self._resource.refers(self._context, session, part.rows)
        await self._resource.rules.check(self._context, session, written["inserted"], Access.CREATE)
        await self._resource.rules.check(self._context, session, written["updated"], Access.UPDATE)
        if places:
            self._unchanged(places, await self._find(session, part))

    @property
    def _returning(self) -> tuple[str, ...]:
        version = ("version",) if self._resource.model.versioned else ()
        return tuple(dict.fromkeys((self._table.key, *version, *self._on)))

    async def _find(self, session: Session, part: Group) -> list[Row]:
        rows = [{name: row[name] for name in self._on} for row in part.rows]
        found: list[Row] = []
        for portion in portions(self._table, len(rows), len(self._on)):
            cut = rows[portion]
            query = bulk_statements.select_rows(self._table, self._on, self._returning, len(cut), include_deleted=True)
            found += (await session.run(query.bind(cut, (), self._context.claims))).rows
        return found

    def _unchanged(self, places: dict[tuple[object, ...], int], found: list[Row]) -> None:
        """Note the rows that nothing had to be written for.

        Raises:
            SerializationConflict: one of them has gone meanwhile.
        """
        by_identity = {self._identity.of(record): record for record in found}
        for identity, place in places.items():
            record = by_identity.get(identity)
            if record is None:
                # With a guard somebody has such a record whom the caller does not see; else it has gone meanwhile.
                raise SerializationConflict if self._table.guard is None else UniqueViolation(fields=self._on)
            self._outcomes[place] = ("unchanged", record)


def _duplicate(place: int, first: int, on: tuple[str, ...]) -> Fault:
    return Fault(f"/records/{place}/{on[0]}", "not_allowed", f"means the same record as record {first}")
