"""What the eleven node types of one model share: its tables, and the reading of rendered params."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from nexusd.databases import bulk_statements
from nexusd.databases.filters import EVERYTHING, FilterReader, unknown
from nexusd.databases.folding import find_collation, folds
from nexusd.definitions.execution import new_uuid7, new_uuid7s
from nexusd.definitions.model import FieldType, compared
from nexusd.definitions.policy import Access
from nexusd.definitions.shape import escape
from nexusd.definitions.wire import check_value, normalise
from nexusd.errors import Code, Fault, InvalidInput, RecordForbidden
from nexusd.nodes.records import FieldsReader
from nexusd.nodes.relations import relations_of
from nexusd.nodes.rules import Rules, check_references

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexusd.databases.cursors import CursorSigner
    from nexusd.databases.database import Session
    from nexusd.databases.filters import Condition, Filter
    from nexusd.databases.tables import Table
    from nexusd.definitions.model import Model
    from nexusd.definitions.shape import Shape
    from nexusd.nodes.node import NodeContext

Row: TypeAlias = dict[str, object]
SHOWN: Final = 5
"""Faults that an error's own text repeats; all of them are in its list."""

TEXT_KEYS: Final = frozenset({FieldType.STR, FieldType.UUID})


class Resource:
    """A model, ready to be worked with on either database.

    Args:
        model: the model.
        models: all models of the registry by name, for the relations.
        cursors: signs page cursors.
        audited: whether statements tell which records they change.

    Attributes:
        filters: reads filters.
        managed: names of the columns that the server keeps.
        new: reads the fields of new records.
        changes: reads fields that are to be changed.
        relations: by name, what references lead to.
        key: the primary key as a value to look for.
        rules: what its policies mean for a caller.
        makes_key: whether a key that was not given is made here rather than by the database.
    """

    def __init__(
        self, model: Model, models: Mapping[str, Model], cursors: CursorSigner, *, audited: bool = False
    ) -> None:
        self.model = model
        self.cursors = cursors
        self.filters = FilterReader(model)
        fields = {column.name: column for column in model.writable}
        self.managed = managed = model.by_name.keys() - fields.keys()
        required = frozenset(column.name for column in model.writable if column.required_on_create)
        self.new = FieldsReader(fields, required, managed)
        self.changes = FieldsReader(fields, frozenset(), managed)
        self.relations = relations_of(model, models)
        self._blank = {f.name: normalise(f, f.default) if f.has_default else None for f in model.writable}
        self.key = compared(model.key)
        self.makes_key = model.key.generated and model.key.type in TEXT_KEYS
        self.rules = Rules(model, audited=audited)
        self._referred = {
            field.name: (Rules(models[field.references.model]), field.references.field)
            for field in model.fields
            if field.references is not None and models[field.references.model].policies is not None
        }
        self._fold: str | None = None
        self._identifying = {name: compared(model.by_name[name]) for names in model.unique_sets for name in names}

    def table(self, context: NodeContext, access: Access = Access.READ) -> Table:
        """The table in the dialect of the run's database, with the records that are there for the caller."""
        return self.rules.table(context, access)

    async def filtered_table(self, condition: Condition, context: NodeContext, access: Access = Access.READ) -> Table:
        """The table for statements with a condition.

        Which collation ignores case on the server is asked for once, when the first condition needs to know.
        """
        table = self.rules.table(context, access)
        if not table.is_postgresql or not folds(condition):
            return table
        if self._fold is None:
            self._fold = await find_collation(context.session)
        return self.rules.table(context, access, self._fold)

    def looks(self, context: NodeContext, access: Access, names: Iterable[str]) -> bool:
        """Whether what is written has to be looked at, and so needs a transaction."""
        return bool(self._referred) or self.rules.is_checked(context, access, names)

    async def refers(self, context: NodeContext, session: Session, rows: Sequence[Mapping[str, object]]) -> None:
        """Look whether new rows, or changes, refer to records that are there for the caller.

        Raises:
            ReferenceViolation: one does not.
        """
        if self._referred:
            await check_references(self._referred, context, session, rows)

    def with_key(self, row: Row) -> Row:
        """The row with a key of its own, where the server makes keys and none was given."""
        return {self.key.name: new_uuid7(), **row} if self.makes_key and self.key.name not in row else row

    async def with_keys(self, rows: list[Row], table: Table, session: Session) -> list[Row]:
        """The rows with a key each, and all of the same fields; what they were given is left as it is.

        A field that only some rows have is filled with its default in the others. Integer keys are taken from the
        database, so that every row is known by its key before it is written.
        """
        rows = self._same_fields(rows)
        key = self.key.name
        missing = [position for position, row in enumerate(rows) if row.get(key) is None]
        if not missing:
            return rows
        if self.makes_key:
            # They ascend, so that the records sort as they were given.
            keys: list[object] = [*new_uuid7s(len(missing))]
        else:
            reserved = await session.run(bulk_statements.reserve_keys(table).bind([len(missing)]))
            keys = [row["id"] for row in reserved.rows]
        rows = list(rows)
        for position, made in zip(missing, keys, strict=True):
            rows[position] = {**rows[position], key: made}
        return rows

    def _same_fields(self, rows: list[Row]) -> list[Row]:
        if not rows:
            return rows
        first = rows[0].keys()
        if all(row.keys() == first for row in rows):
            return rows
        given = set().union(*rows)
        blank = {name: value for name, value in self._blank.items() if name in given}
        return [{**blank, **row} for row in rows]

    def locate(self, params: Mapping[str, object], faults: list[Fault]) -> dict[str, object]:
        """The unique fields and values that `id` or `where` name."""
        if "id" in params and "where" in params:
            faults.append(Fault("/where", "not_allowed", "give id or where, not both"))
        elif "id" in params:
            faults += (found := check_value(self.key, params["id"], "/id"))
            if not found:
                return {self.key.name: normalise(self.key, params["id"])}
        elif "where" in params:
            return self._where(params["where"], faults)
        else:
            faults.append(Fault("/id", "required", "is required, or where"))
        return {}

    def _where(self, where: object, faults: list[Fault]) -> dict[str, object]:
        if not isinstance(where, dict):
            faults.append(Fault("/where", "type", "must be an object of unique fields"))
            return {}
        accepted: dict[str, object] = {}
        for name, value in where.items():
            place = f"/where/{escape(str(name))}"
            field = self._identifying.get(name)
            if field is None:
                faults.append(Fault(place, "unknown", unknown("unique field", str(name), self._identifying)))
                continue
            faults += (found := check_value(field, value, place))
            if not found:
                accepted[name] = normalise(field, value)
        if not identifies(self.model, where):
            faults.append(Fault("/where", "required", f"must name {unique_sets(self.model)}"))
        return accepted

    def filter(self, params: Mapping[str, object], declared: object, faults: list[Fault]) -> Filter:
        """The filter in the params; `declared` is the param as the workflow declares it."""
        if "filter" not in params:
            return EVERYTHING
        value = params["filter"]
        found, wrong = self.filters.read(value, "/filter")
        faults += wrong
        if isinstance(declared, dict) and not wrong:
            faults += self._operators_from_outside(declared, value, "/filter")
        return found

    def _operators_from_outside(self, declared: object, value: object, pointer: str) -> list[Fault]:
        """Faults where a template at a field gave an object: it would bring operators that nobody declared."""
        if isinstance(declared, dict) and isinstance(value, dict):
            return [
                fault
                for name, part in declared.items()
                if name in value
                for fault in self._operators_from_outside(part, value[name], f"{pointer}/{escape(name)}")
            ]
        if isinstance(declared, list) and isinstance(value, list):
            pairs = enumerate(zip(declared, value, strict=False))
            return [f for i, (part, item) in pairs for f in self._operators_from_outside(part, item, f"{pointer}/{i}")]
        if isinstance(value, dict):
            return [Fault(pointer, "type", "must be a value, not an object")]
        return []


def option(shape: Shape, params: Mapping[str, object], name: str, faults: list[Fault], *, default: object) -> object:
    """The value of an option, or its default; what is wrong is added to `faults`."""
    if name not in params:
        return default
    found = shape.check(params[name], f"/{name}")
    faults += found
    return default if found else shape.normalise(params[name])


def refuse(faults: list[Fault]) -> None:
    """Raise when there are faults.

    Raises:
        InvalidInput: with all of them; pointers are relative to the node's params.
        RecordForbidden: the same, where nothing is wrong but whose the records are.
    """
    if faults:
        lines = [f"{fault.pointer.lstrip('/') or 'params'} {fault.detail}" for fault in faults[:SHOWN]]
        more = f"; and {len(faults) - SHOWN} more" if len(faults) > SHOWN else ""
        kind = RecordForbidden if all(fault.code == Code.FORBIDDEN for fault in faults) else InvalidInput
        raise kind("; ".join(lines) + more, faults=faults)


def identifies(model: Model, names: Iterable[str]) -> bool:
    """Whether the fields identify at most one record."""
    given = set(names)
    return any(given.issuperset(unique) for unique in model.unique_sets)


def unique_sets(model: Model) -> str:
    """The sets of fields that identify a record, in words."""
    return " or ".join(" and ".join(names) for names in model.unique_sets)
