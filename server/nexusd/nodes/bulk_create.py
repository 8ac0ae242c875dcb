"""BulkCreate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.databases import bulk_statements
from nexusd.databases.rows import portions
from nexusd.definitions.policy import Access
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.bulk_results import Results, counted_shape, results_shape
from nexusd.nodes.guards import disown
from nexusd.nodes.halving import write_all, write_those_that_fit
from nexusd.nodes.operation import MODE
from nexusd.nodes.records import RecordsShape, records_rules
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import one_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.shape import Record, Shape
    from nexusd.errors import DatabaseError, Fault
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.records import Batch
    from nexusd.nodes.resource import Resource, Row

ON_CONFLICT: Final = one_of("on_conflict", "error", "skip", description="What to do when a record exists already.")
RETURNING: Final = one_of("returning", "ids", "records", "none", description="What the results say of each record.")
OUTCOMES: Final = ("inserted", "skipped", "failed")


class BulkCreate:
    """Many new records."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.params: Mapping[str, Param] = {
            "records": Param(RecordsShape(resource.new), Purpose.NEED, Purpose.FILL, required=True),
            "mode": Param(MODE),
            "on_conflict": Param(ON_CONFLICT),
            "returning": Param(RETURNING),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """In partial mode an invalid record is no invalid input."""
        records_rules(self._resource.new, binder, declared, given)

    def result(self, declared: Mapping[str, object]) -> Shape:
        """Counts and an entry for each record; with `returning: none` only for those that failed."""
        records = all(declared.get("returning", "ids") != each for each in ("ids", "none"))
        return counted_shape(("total", *OUTCOMES), results_shape(self._resource.model, OUTCOMES, records=records))

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One INSERT for each portion of rows, in one transaction."""
        resource = self._resource

        async def bulk_create(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            mode = option(MODE, params, "mode", faults, default="atomic")
            skip = option(ON_CONFLICT, params, "on_conflict", faults, default="error") == "skip"
            returning = str(option(RETURNING, params, "returning", faults, default="ids"))
            batch = resource.new.read_all(params.get("records"), "/records")
            disown(resource, batch, context)
            if mode == "atomic":
                faults += batch.faults
            refuse(faults)
            insertion = _Insertion(resource, batch, context, skip=skip, returning=returning)
            async with context.session.atomic() as transaction:
                await insertion.run(transaction, partial=mode == "partial")
            return insertion.answer()

        return bulk_create


class _Insertion:
    """One run of a BulkCreate."""

    def __init__(self, resource: Resource, batch: Batch, context: NodeContext, *, skip: bool, returning: str) -> None:
        self._resource = resource
        self._table = resource.table(context)
        self._batch = batch
        self._context = context
        self._skip = skip
        self._returning = returning
        self._results = Results()
        self._rows: list[Row] = []

    async def run(self, session: Session, *, partial: bool) -> None:
        """Write the rows and note what became of each."""
        batch = self._batch
        self._results.fail_all(batch.refused, self._context)
        if not batch.rows:
            return
        self._rows = await self._resource.with_keys(
            self._resource.rules.stamp(self._context, batch.rows), self._table, session
        )
        refused: dict[int, DatabaseError] = {}
        if partial:
            everything = slice(0, len(self._rows))
            stretches = await write_those_that_fit(session, everything, self._write, refused.__setitem__)
        else:
            stretches = [await write_all(session, len(self._rows), self._write, self._pointer)]
        for position, error in refused.items():
            self._results.refuse(batch.indexes[position], error, self._context)
        self._note({place: row for stretch in stretches for place, row in stretch.items()}, refused)

    def answer(self) -> dict[str, object]:
        """The node's result."""
        counted = self._results.counted
        counts = {"total": self._batch.total, **{outcome: counted[outcome] for outcome in OUTCOMES}}
        return {**counts, "results": self._results.listed()}

    def _pointer(self, position: int) -> str:
        return f"/records/{self._batch.indexes[position]}"

    @property
    def _columns(self) -> tuple[str, ...]:
        """What must be asked of inserted rows: nothing when all of them will be there with keys that are known."""
        if self._returning == "records":
            return self._table.columns
        return (self._table.key,) if self._skip else ()

    async def _write(self, session: Session, stretch: slice) -> dict[int, Row]:
        """Insert a stretch of the rows; what was asked of those inserted, by their place."""
        table, names = self._table, tuple(self._rows[0])
        inserted: dict[int, Row] = {}
        for start, rows in self._without_repeated_keys(stretch):
            for portion in portions(table, len(rows), len(names)):
                part = rows[portion]
                query = bulk_statements.insert_rows(table, names, self._columns, len(part), skip=self._skip)
                result = await session.run(query.bind(part, [self._context.now], self._context.claims))
                if self._columns:
                    places = {row[table.key]: start + portion.start + i for i, row in enumerate(part)}
                    inserted |= {places[row[table.key]]: row for row in result.rows}
                await self._resource.refers(self._context, session, part)
                written = result.rows if self._columns else part
                keys = (row[table.key] for row in written)
                await self._resource.rules.check(self._context, session, keys, Access.CREATE)
        return inserted

    def _without_repeated_keys(self, stretch: slice) -> Iterator[tuple[int, list[Row]]]:
        """The rows of a stretch, cut before each one whose key occurred: skipped rows are told by their key."""
        start = stretch.start
        if self._skip:
            seen: set[object] = set()
            for place in range(stretch.start, stretch.stop):
                key = self._rows[place][self._table.key]
                if key in seen:
                    yield start, self._rows[start:place]
                    start = place
                    seen.clear()
                seen.add(key)
        yield start, self._rows[start : stretch.stop]

    def _note(self, inserted: Mapping[int, Row], refused: Mapping[int, DatabaseError]) -> None:
        results, key = self._results, self._table.key
        version = 1 if self._resource.model.versioned else None
        if not self._columns and not refused and self._returning == "ids":
            results.add_all("inserted", self._batch.indexes, (row[key] for row in self._rows), version)
            return
        for place, (index, row) in enumerate(zip(self._batch.indexes, self._rows, strict=True)):
            if place in refused:
                continue
            record = inserted.get(place) if self._columns else row
            outcome = "skipped" if record is None else "inserted"
            if self._returning == "none":
                results.counted[outcome] += 1
            elif record is None:
                results.add(index, outcome, None, None)
            else:
                entry = results.add(index, outcome, row[key], version)
                if self._returning == "records":
                    entry["record"] = self._resource.rules.scopes.shown(self._context, [record])[0]
