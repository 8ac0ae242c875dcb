"""BulkUpdate: the same change for all records of a filter, or a change for each of a list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.databases import bulk_statements
from nexusd.databases.bulk_statements import IF_VERSION as EXPECTED
from nexusd.databases.filters import fields_in
from nexusd.databases.rows import portions
from nexusd.definitions.policy import Access
from nexusd.errors import Fault, VersionMismatch
from nexusd.nodes.arrangement import Identity, arranged, grouped, repeated
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.bulk_results import Results, counted_shape, results_shape
from nexusd.nodes.guards import disown, filter_rules, guarded_filter, require_at_most, run_limited
from nexusd.nodes.halving import write_all, write_those_that_fit
from nexusd.nodes.operation import ALL, IF_VERSION, MAX_AFFECTED, MODE, exclusive
from nexusd.nodes.records import FieldsReader, RecordsShape, records_rules
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import FilterShape, fields_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.shape import Record, Shape
    from nexusd.errors import DatabaseError
    from nexusd.nodes.arrangement import Group
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.records import Batch
    from nexusd.nodes.resource import Resource

OUTCOMES: Final = ("updated", "missing", "failed")


class BulkUpdate:
    """Many records, changed."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        fields = {**resource.changes.fields, resource.key.name: resource.key}
        if resource.model.versioned:
            fields[EXPECTED] = IF_VERSION.field
        self._reader = FieldsReader(fields, frozenset({resource.key.name}), resource.managed)
        self.params: Mapping[str, Param] = {
            "filter": Param(FilterShape(resource.model), Purpose.CHOICE, Purpose.NEED),
            "fields": Param(fields_shape(resource.model, required=False), Purpose.CHOICE, Purpose.CHANGE),
            "records": Param(RecordsShape(self._reader), Purpose.CHOICE, Purpose.NEED),
            "all": Param(ALL),
            "max_affected": Param(MAX_AFFECTED),
            "mode": Param(MODE),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """Either a filter with fields, or records."""
        exclusive(binder, declared, "filter", "records")
        exclusive(binder, declared, "fields", "records")
        if "records" not in given:
            filter_rules(self._resource, binder, declared, given)
            if "fields" not in given:
                binder.problem((), "param 'fields' is missing", "give filter and fields, or records")
        records_rules(self._reader, binder, declared, given)

    def result(self, declared: Mapping[str, object]) -> Shape:
        """Counts; and an entry for each record of a list."""
        results = None
        if "filter" not in declared or "records" in declared:
            results = results_shape(self._resource.model, OUTCOMES, records=False)
        return counted_shape(("total", *OUTCOMES), results, always="filter" not in declared)

    def build(self, declared: Mapping[str, object]) -> Runner:
        """One UPDATE for a filter; for records one for each set of fields and portion, in one transaction."""

        async def bulk_update(params: Mapping[str, object], context: NodeContext) -> object:
            if "records" in params:
                return await self._records(params, context)
            return await self._filter(params, context, declared.get("filter"))

        return bulk_update

    async def _filter(self, params: Mapping[str, object], context: NodeContext, declared: object) -> object:
        resource = self._resource
        faults: list[Fault] = []
        found = guarded_filter(resource, params, declared, faults)
        wrong: list[Fault] = []
        values = resource.changes.read(params.get("fields", {}), "/fields", wrong)
        faults += wrong
        if not values and not wrong:
            faults.append(Fault("/fields", "required", "is required, with a field to change"))
        if option(MODE, params, "mode", faults, default="atomic") != "atomic":
            faults.append(Fault("/mode", "not_allowed", "a change by filter is one statement: all records or none"))
        most = option(MAX_AFFECTED, params, "max_affected", faults, default=None)
        refuse(faults)
        rules = resource.rules
        rules.scopes.sees(context, fields_in(found.condition), "/filter")
        rules.scopes.gives(context, values, "/fields")
        rules.keep_owner(context, values, "/fields")
        table = await resource.filtered_table(found.condition, context, Access.UPDATE)
        bound_values = [*values.values(), context.now, *found.values]
        if resource.looks(context, Access.UPDATE, values):
            query = bulk_statements.update_where(table, tuple(values), found.condition, (table.key,))
            async with context.session.atomic() as transaction:
                rows = (await transaction.run(query.bind(bound_values, context.claims))).rows
                await resource.refers(context, transaction, [values])
                await rules.check(context, transaction, (row[table.key] for row in rows), Access.UPDATE)
                require_at_most(most, updated := len(rows))
        else:
            query = bulk_statements.update_where(table, tuple(values), found.condition)
            updated = await run_limited(context, query, bound_values, most)
        return {"total": updated, "updated": updated, "missing": 0, "failed": 0}

    async def _records(self, params: Mapping[str, object], context: NodeContext) -> object:
        faults = [
            Fault(f"/{name}", "not_allowed", "does not go with records")
            for name in ("filter", "fields", "all")
            if name in params
        ]
        mode = option(MODE, params, "mode", faults, default="atomic")
        most = option(MAX_AFFECTED, params, "max_affected", faults, default=None)
        batch = self._reader.read_all(params["records"], "/records")
        batch.refuse(self._unusable(batch))
        disown(self._resource, batch, context)
        if mode == "atomic":
            faults += batch.faults
        refuse(faults)
        changing = _Changing(self._resource, batch, context, partial=mode == "partial")
        async with context.session.atomic() as transaction:
            answer = await changing.run(transaction)
            require_at_most(most, changing.updated)
        return answer

    def _unusable(self, batch: Batch) -> dict[int, Fault]:
        """Rows that change nothing, and those that mean the same record as one before, by their place."""
        rows, indexes, key = batch.rows, batch.indexes, self._resource.key.name
        identifying = {key, EXPECTED}
        unusable = {
            place: Fault(f"/records/{indexes[place]}", "required", "has no field to change")
            for place, row in enumerate(rows)
            if row.keys() <= identifying
        }
        for places in repeated(rows, Identity(self._resource.model, (key,))).values():
            detail = f"means the same record as record {indexes[places[0]]}"
            for place in places[1:]:
                unusable[place] = Fault(f"/records/{indexes[place]}/{key}", "not_allowed", detail)
        return unusable


class _Changing:
    """One run over a list of records."""

    def __init__(self, resource: Resource, batch: Batch, context: NodeContext, *, partial: bool) -> None:
        self._batch = batch
        self._context = context
        self._partial = partial
        self._resource = resource
        self._table = resource.table(context, Access.UPDATE)
        self._versioned = resource.model.versioned
        self._identity = Identity(resource.model, (self._table.key,))
        rows = list(enumerate(batch.rows))
        order = (self._table.key, *(name for name in resource.changes.fields if name != self._table.key), EXPECTED)
        self._arrangement = arranged(grouped(rows, order), self._identity)
        self._outcomes: dict[int, tuple[str, object]] = {}

    @property
    def updated(self) -> int:
        """How many records were changed."""
        return sum(outcome == "updated" for outcome, _ in self._outcomes.values())

    async def run(self, session: Session) -> dict[str, object]:
        """Change the records and say what became of each.

        Raises:
            VersionMismatch: a record has another version than expected, and all or none were to be changed.
        """
        results = Results()
        results.fail_all(self._batch.refused, self._context)
        everything = slice(0, self._arrangement.count)
        refused: dict[int, DatabaseError] = {}
        if self._partial and everything.stop:
            await write_those_that_fit(session, everything, self._write, refused.__setitem__)
        elif everything.stop:
            await write_all(session, everything.stop, self._write, lambda i: f"/records/{self._index(i)}")
        for place, error in refused.items():
            # What an attempt that was rolled back had noted does not count.
            self._outcomes.pop(self._arrangement.position(place), None)
            results.refuse(self._index(place), error, self._context)
        self._note(results)
        counts = {"total": self._batch.total, **{outcome: results.counted[outcome] for outcome in OUTCOMES}}
        return {**counts, "results": results.listed()}

    def _index(self, place: int) -> int:
        return self._batch.indexes[self._arrangement.position(place)]

    def _note(self, results: Results) -> None:
        mismatches: dict[int, Fault] = {}
        for position, (outcome, version) in self._outcomes.items():
            index = self._batch.indexes[position]
            if outcome == "mismatch":
                pointer = f"/records/{index}/{EXPECTED}"
                mismatches[index] = Fault(pointer, "version_mismatch", "the record has another version by now")
            else:
                results.add(index, outcome, self._batch.rows[position][self._table.key], version)
        if mismatches and not self._partial:
            raise VersionMismatch(faults=[mismatches[index] for index in sorted(mismatches)])
        for index, fault in mismatches.items():
            results.fail(index, fault, self._context)

    async def _write(self, session: Session, stretch: slice) -> None:
        for part in self._arrangement.parts(self._table, stretch):
            await self._write_part(session, part)

    async def _write_part(self, session: Session, part: Group) -> None:
        key = self._table.key
        returning = (key, "version") if self._versioned else (key,)
        positions = {self._identity.of(row): place for place, row in zip(part.positions, part.rows, strict=True)}
        query = bulk_statements.update_rows(self._table, part.names, returning, len(part.rows))
        changed = (await session.run(query.bind(part.rows, [self._context.now], self._context.claims))).rows
        await self._resource.refers(self._context, session, part.rows)
        if self._resource.rules.is_checked(self._context, Access.UPDATE, part.names):
            await self._resource.rules.check(self._context, session, (row[key] for row in changed), Access.UPDATE)
        for row in changed:
            self._outcomes[positions.pop(self._identity.of(row))] = ("updated", row.get("version"))
        there = await self._there(session, part, positions) if EXPECTED in part.names else set()
        for identity, position in positions.items():
            self._outcomes[position] = ("mismatch" if identity in there else "missing", None)

    async def _there(
        self, session: Session, part: Group, positions: Mapping[tuple[object, ...], int]
    ) -> set[tuple[object, ...]]:
        """Which of the records that were not changed exist."""
        key = self._table.key
        rest = [{key: row[key]} for row in part.rows if self._identity.of(row) in positions]
        found: set[tuple[object, ...]] = set()
        for portion in portions(self._table, len(rest), 1):
            rows = rest[portion]
            probe = bulk_statements.select_rows(self._table, (key,), (key,), len(rows), include_deleted=False)
            found |= {
                self._identity.of(row) for row in (await session.run(probe.bind(rows, (), self._context.claims))).rows
            }
        return found
