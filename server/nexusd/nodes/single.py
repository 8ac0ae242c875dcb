"""Create, Read, Update and Delete."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nexusd.databases import statements
from nexusd.databases.insert_once import insert_once
from nexusd.definitions.policy import Access
from nexusd.definitions.shape import Record, Scalar
from nexusd.errors import Fault, RecordNotFound, VersionMismatch
from nexusd.nodes.binding import Param, Purpose
from nexusd.nodes.operation import (
    IF_VERSION,
    INCLUDE_DELETED,
    REQUIRED,
    fields_of,
    include_params,
    included,
    including,
    locating_params,
    locating_rules,
    seeing_params,
    version_params,
)
from nexusd.nodes.resource import option, refuse
from nexusd.nodes.shapes import fields_shape, flag, record_shape

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.databases.database import Bound, Session
    from nexusd.databases.idempotency import Once
    from nexusd.databases.tables import Table
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.binding import Binder
    from nexusd.nodes.node import NodeContext, Runner
    from nexusd.nodes.resource import Resource, Row


class Create:
    """One new record."""

    flat_in = "fields"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.flat: Record | None = fields_shape(resource.model, required=True)
        self.params: Mapping[str, Param] = {"fields": Param(self.flat, Purpose.NEED, Purpose.FILL)}

    def rules(self, _binder: Binder, _declared: Mapping[str, object], _given: frozenset[str]) -> None:
        """No more than what holds for every operation."""

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """The record."""
        return record_shape(self._resource.model)

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One INSERT."""
        resource = self._resource

        async def create(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            given, pointer = fields_of(self, params)
            values = resource.with_key(resource.new.read(given, pointer, faults))
            refuse(faults)
            resource.rules.scopes.gives(context, values, pointer)
            values = resource.rules.own(context, values, pointer)
            if context.once is not None:
                return await self._keep(values, context, context.once)
            if not resource.looks(context, Access.CREATE, values):
                rows = await self._insert(values, context, context.session)
            else:
                async with context.session.atomic() as transaction:
                    rows = await self._insert(values, context, transaction)
                    await resource.refers(context, transaction, [values])
                    await resource.rules.check(context, transaction, [rows[0][resource.key.name]], Access.CREATE)
            return resource.rules.scopes.shown(context, rows)[0]

        return create

    async def _insert(self, values: Row, context: NodeContext, session: Session) -> list[Row]:
        query = statements.insert(self._resource.table(context), tuple(values))
        return (await session.run(query.bind([*values.values(), context.now]))).rows

    async def _keep(self, values: Row, context: NodeContext, once: Once) -> object:
        """The record, kept with the answer that it is; None where that cannot be, and nothing was done."""
        # What the caller may not see would be kept too; and what is looked at besides could undo this.
        if self._resource.rules.scopes.limit_seeing or self._resource.looks(context, Access.CREATE, values):
            return None
        query = insert_once(self._resource.table(context), tuple(values))
        if query is None:
            return None
        bound = query.bind([*values.values(), context.now, *once.arguments(context.node)])
        return once.take((await context.session.run(bound)).rows)


class Read:
    """One record."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.params: Mapping[str, Param] = {
            **locating_params(resource),
            "required": Param(REQUIRED),
            **include_params(resource),
            **seeing_params(resource),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """One record must be meant."""
        locating_rules(self._resource, binder, declared, given)

    def result(self, declared: Mapping[str, object]) -> Shape:
        """The record, or null where it need not be there."""
        record = record_shape(self._resource.model, nullable=declared.get("required", True) is not True)
        return including(self._resource, record, declared)

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One SELECT, and one for each relation that is included."""
        resource = self._resource

        async def read(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            where = resource.locate(params, faults)
            required = option(REQUIRED, params, "required", faults, default=True)
            include_deleted = option(INCLUDE_DELETED, params, "include_deleted", faults, default=False)
            relations = included(resource, params, faults)
            refuse(faults)
            resource.rules.scopes.sees(context, where, "/where")
            resource.rules.scopes.sees(context, (relation.field for relation in relations), "/include")
            table = resource.table(context)
            query = statements.select_one(table, tuple(where), table.columns, include_deleted=bool(include_deleted))
            result = await context.session.run(query.bind([*where.values()], context.claims))
            for relation in relations:
                await relation.attach(result.rows, context)
            return _found(resource.rules.scopes.shown(context, result.rows), required=required)

        return read


class Update:
    """Some fields of one record."""

    flat_in = "fields"

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.flat: Record | None = fields_shape(resource.model, required=False)
        self.params: Mapping[str, Param] = {
            **locating_params(resource),
            "fields": Param(self.flat, Purpose.CHOICE, Purpose.CHANGE),
            "required": Param(REQUIRED),
            **version_params(resource),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """One record must be meant."""
        locating_rules(self._resource, binder, declared, given)

    def result(self, declared: Mapping[str, object]) -> Shape:
        """The record after the change, or null where it need not be there."""
        return record_shape(self._resource.model, nullable=declared.get("required", True) is not True)

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One UPDATE; where it meets no record, a look at why. Without fields a read."""
        resource = self._resource

        async def update(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            where = resource.locate(params, faults)
            given, pointer = fields_of(self, params)
            values = resource.changes.read(given, pointer, faults)
            required = option(REQUIRED, params, "required", faults, default=True)
            version = option(IF_VERSION, params, "if_version", faults, default=None)
            refuse(faults)
            rules = resource.rules
            rules.scopes.sees(context, where, "/where")
            rules.scopes.gives(context, values, pointer)
            rules.keep_owner(context, values, pointer)
            table = resource.table(context, Access.UPDATE)
            if not values:
                found = await _find(table, context, where)
                if found and version not in {None, found[0].get("version")}:
                    raise _other_version()
                return _found(rules.scopes.shown(context, found), required=required)
            query = statements.update(table, tuple(values), tuple(where), if_version=version is not None)
            bound = query.bind([*values.values(), *where.values(), context.now, version], context.claims)
            rows = await self._change(bound, values, context)
            if not rows and version is not None and await _find(table, context, where):
                raise _other_version()
            return _found(rules.scopes.shown(context, rows), required=required)

        return update

    async def _change(self, bound: Bound, values: Row, context: NodeContext) -> list[Row]:
        resource = self._resource
        if not resource.looks(context, Access.UPDATE, values):
            return (await context.session.run(bound)).rows
        async with context.session.atomic() as transaction:
            rows = (await transaction.run(bound)).rows
            await resource.refers(context, transaction, [values])
            await resource.rules.check(context, transaction, (row[resource.key.name] for row in rows), Access.UPDATE)
        return rows


class Delete:
    """One record less."""

    flat: Record | None = None
    flat_in = ""

    def __init__(self, resource: Resource) -> None:
        self._resource = resource
        self.params: Mapping[str, Param] = {
            **locating_params(resource),
            "required": Param(REQUIRED),
            **version_params(resource),
        }

    def rules(self, binder: Binder, declared: Mapping[str, object], given: frozenset[str]) -> None:
        """One record must be meant."""
        locating_rules(self._resource, binder, declared, given)

    def result(self, _declared: Mapping[str, object]) -> Shape:
        """The key, null where no record met a `where`, and whether a record was deleted."""
        key = replace(self._resource.key, name="id", nullable=True)
        properties: dict[str, Shape] = {"id": Scalar(key, stored=True), "deleted": flag("deleted")}
        return Record(properties, frozenset(properties))

    def build(self, _declared: Mapping[str, object]) -> Runner:
        """One DELETE; where it meets no record although a version was expected, a look at why."""
        resource = self._resource
        key = resource.key.name

        async def delete(params: Mapping[str, object], context: NodeContext) -> object:
            faults: list[Fault] = []
            where = resource.locate(params, faults)
            required = option(REQUIRED, params, "required", faults, default=False)
            version = option(IF_VERSION, params, "if_version", faults, default=None)
            refuse(faults)
            resource.rules.scopes.sees(context, where, "/where")
            table = resource.table(context, Access.DELETE)
            query = statements.delete(table, tuple(where), if_version=version is not None)
            result = await context.session.run(query.bind([*where.values(), context.now, version], context.claims))
            if not result.rows and version is not None and await _find(table, context, where):
                raise _other_version()
            deleted = _found(result.rows, required=required)
            return {"id": where.get(key) if deleted is None else deleted[key], "deleted": deleted is not None}

        return delete


async def _find(table: Table, context: NodeContext, where: Mapping[str, object]) -> list[Row]:
    query = statements.select_one(table, tuple(where), table.columns, include_deleted=False)
    return (await context.session.run(query.bind([*where.values()], context.claims))).rows


def _found(rows: list[dict[str, object]], *, required: object) -> dict[str, object] | None:
    if rows:
        return rows[0]
    if required:
        raise RecordNotFound
    return None


def _other_version() -> VersionMismatch:
    return VersionMismatch(faults=[Fault("/if_version", "version_mismatch", "the record has another version by now")])
