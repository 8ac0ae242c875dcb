"""What the policies of a model mean for the caller of a run: which records are there, and what may be written.

A record that a policy keeps from the caller does not exist for it: statements run over a table that lets the others
through alone. What is written is looked at in the transaction that writes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.databases import listings
from nexusd.databases.filters import Operator, Predicate
from nexusd.databases.policies import NOTHING, FromClaims, Guard, guard_of
from nexusd.databases.tables import Table
from nexusd.definitions.model import compared
from nexusd.definitions.policy import Access
from nexusd.definitions.principal import is_operator
from nexusd.errors import Fault, RecordForbidden, ReferenceViolation
from nexusd.nodes.field_scopes import FieldScopes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from nexusd.databases.database import Dialect, Session
    from nexusd.definitions.model import Model
    from nexusd.definitions.policy import FilterTree
    from nexusd.definitions.principal import Principal
    from nexusd.nodes.node import NodeContext

Row = dict[str, object]
FOREIGN: Final = "the record would be another's; leave the field out"
CHECKED_KEYS: Final = 5_000
"""Keys that one statement looks at."""


class Rules:
    """The policies of one model, compiled.

    Attributes:
        model: whose they are.
        scopes: what its fields need to be seen and given.
    """

    def __init__(self, model: Model, *, audited: bool = False) -> None:
        self._audited = audited
        self.model = model
        self._kept, self._written = _guards(model)
        self._tables: dict[tuple[Dialect, Guard | None, str], Table] = {}
        self.scopes = FieldScopes(model)
        policies = model.policies
        self._tenant = policies.tenant.field if policies and policies.tenant else ""
        self._owner: FromClaims | None = None
        if policies and policies.tenant:
            self._owner = FromClaims(policies.tenant.claim.path, compared(model.by_name[self._tenant]))

    def table(self, context: NodeContext, access: Access, fold: str = "") -> Table:
        """The table with the records that are there for the caller to `access`."""
        guard = self._guard(context.invocation.principal, self._kept.get(access))
        return self._table(context.session.dialect, guard, fold)

    def foreign(self, context: NodeContext, rows: Sequence[Mapping[str, object]]) -> dict[int, str]:
        """The rows that are said to be another's, by their place: the field that says so."""
        owner = self._owner_for(context)
        if owner is None:
            return {}
        return {i: self._tenant for i, row in enumerate(rows) if row.get(self._tenant, owner) != owner}

    def stamp(self, context: NodeContext, rows: list[Row]) -> list[Row]:
        """The rows, none of them foreign, each with whose it is.

        Raises:
            RecordForbidden: the claims do not say who the caller is.
        """
        if self._owner is None or is_operator(context.invocation.principal):
            return rows
        owner = self._owner_for(context)
        if owner is None:
            raise RecordForbidden("the credentials do not say whose record it would be")
        return [{**row, self._tenant: owner} for row in rows]

    def own(self, context: NodeContext, row: Row, pointer: str) -> Row:
        """One row with whose it is.

        Raises:
            RecordForbidden: it is said to be another's, or the claims do not say who the caller is.
        """
        self.keep_owner(context, row, pointer)
        return self.stamp(context, [row])[0]

    def keep_owner(self, context: NodeContext, row: Mapping[str, object], pointer: str) -> None:
        """Refuse to make a record another's.

        Raises:
            RecordForbidden: the row would do so.
        """
        if self.foreign(context, [row]):
            raise RecordForbidden(FOREIGN, faults=[Fault(f"{pointer}/{self._tenant}", "forbidden", FOREIGN)])

    def is_checked(self, context: NodeContext, access: Access, names: Iterable[str]) -> bool:
        """Whether records that were written, and these fields of them, have to be looked at."""
        guard = self._guard(context.invocation.principal, self._written.get(access))
        return guard is not None and (access is Access.CREATE or not guard.fields.isdisjoint(names))

    async def check(self, context: NodeContext, session: Session, keys: Iterable[object], access: Access) -> None:
        """Look whether records that were just written are such as the caller may write.

        Raises:
            RecordForbidden: one is not; whoever holds the transaction rolls it back.
        """
        guard = self._guard(context.invocation.principal, self._written.get(access))
        if guard is None:
            return
        table = self._table(session.dialect, guard)
        wanted = list(dict.fromkeys(keys))
        for start in range(0, len(wanted), CHECKED_KEYS):
            part = wanted[start : start + CHECKED_KEYS]
            query = listings.count(table, Predicate(table.key, Operator.IN), include_deleted=True)
            found = await session.run(query.bind([part], context.claims))
            if found.rows[0]["count"] != len(part):
                raise RecordForbidden

    def _owner_for(self, context: NodeContext) -> object:
        """The value of the tenant field for this caller; None where there is none."""
        principal = context.invocation.principal
        if self._owner is None or is_operator(principal) or not self._owner.fits(principal.claims):
            return None
        return self._owner.of(principal.claims)

    def _table(self, dialect: Dialect, guard: Guard | None, fold: str = "") -> Table:
        key = dialect, guard, fold
        table = self._tables.get(key)
        if table is None:
            table = self._tables[key] = Table(self.model, dialect, fold=fold, guard=guard, audited=self._audited)
        return table

    def _guard(self, principal: Principal, guard: Guard | None) -> Guard | None:
        if guard is None or is_operator(principal):
            return None
        return guard if guard.fits(principal.claims) else NOTHING


async def check_references(
    rules: Mapping[str, tuple[Rules, str]], context: NodeContext, session: Session, rows: Sequence[Mapping[str, object]]
) -> None:
    """Look whether the caller can see what new values refer to; what it cannot see does not exist for it.

    `rules` has by the name of a referring field those of the model it refers to, and the field there.

    Raises:
        ReferenceViolation: a record refers to one that is not there for the caller.
    """
    for name, (target, field) in rules.items():
        table = target.table(context, Access.READ)
        wanted = list(dict.fromkeys(row[name] for row in rows if row.get(name) is not None))
        if table.guard is None or not wanted:
            continue
        for start in range(0, len(wanted), CHECKED_KEYS):
            part = wanted[start : start + CHECKED_KEYS]
            query = listings.count(table, Predicate(field, Operator.IN), include_deleted=True)
            found = await session.run(query.bind([part], context.claims))
            if found.rows[0]["count"] != len(part):
                raise ReferenceViolation(f"there is no record that {name} could refer to", fields=(name,))


def _guards(model: Model) -> tuple[dict[Access, Guard], dict[Access, Guard]]:
    """What an existing record must meet, and what a written one must, by access."""
    policies = model.policies
    if policies is None:
        return {}, {}
    own: list[FilterTree] = [{policies.tenant.field: {"$eq": policies.tenant.claim}}] if policies.tenant else []
    rules = policies.rules
    kept = {
        Access.READ: guard_of(model, *own, rules[Access.READ]),
        Access.UPDATE: guard_of(model, *own, rules[Access.READ], rules[Access.UPDATE]),
        Access.DELETE: guard_of(model, *own, rules[Access.READ], rules[Access.DELETE]),
    }
    # Whose a record is was stamped, so only what else is asked has to be looked at.
    written = {access: guard_of(model, rules[access]) for access in (Access.CREATE, Access.UPDATE) if rules[access]}
    return kept, written
