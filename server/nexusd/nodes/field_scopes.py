"""The scopes that fields of a model need to be seen and to be given."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.errors import Fault, Forbidden

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from nexusd.definitions.model import Model
    from nexusd.nodes.node import NodeContext

Row = dict[str, object]


class FieldScopes:
    """Holds callers to the scopes of fields.

    A field that a caller may not see is not in its records, and it cannot find out about it by looking, sorting or
    counting either.
    """

    def __init__(self, model: Model) -> None:
        self._read_scopes = {c.name: c.read_scope for c in model.columns if c.read_scope is not None}
        self._write_scopes = {c.name: c.write_scope for c in model.columns if c.write_scope is not None}

    @property
    def limit_seeing(self) -> bool:
        """Whether some field needs a scope to be seen."""
        return bool(self._read_scopes)

    @property
    def limit_giving(self) -> bool:
        """Whether some field needs a scope to be given."""
        return bool(self._write_scopes)

    def sees(self, context: NodeContext, names: Iterable[str], pointer: str) -> None:
        """Refuse to select, sort or look by a field that the caller may not see.

        Raises:
            Forbidden: one is among the names.
        """
        if self._read_scopes:
            self._hold(context, self._read_scopes, names, pointer, "seen")

    def gives(self, context: NodeContext, names: Iterable[str], pointer: str) -> None:
        """Refuse a field that the caller may not give.

        Raises:
            Forbidden: one is among the names.
        """
        if self._write_scopes:
            self._hold(context, self._write_scopes, names, pointer, "given")

    def shown(self, context: NodeContext, rows: list[Row]) -> list[Row]:
        """The records without the fields that the caller may not see."""
        if not self._read_scopes:
            return rows
        scopes = context.invocation.principal.scopes
        hidden = {name for name, scope in self._read_scopes.items() if not _holds(scopes, scope)}
        return [{name: value for name, value in row.items() if name not in hidden} for row in rows]

    def _hold(
        self, context: NodeContext, needed: Mapping[str, str], names: Iterable[str], pointer: str, what: str
    ) -> None:
        scopes = context.invocation.principal.scopes
        lacking = [name for name in names if name in needed and not _holds(scopes, needed[name])]
        if lacking:
            error = Forbidden(
                f"{', '.join(lacking)} cannot be {what} without the scope {needed[lacking[0]]}",
                scopes=[needed[name] for name in lacking],
            )
            error.faults = tuple(Fault(f"{pointer}/{name}", "forbidden", f"cannot be {what}") for name in lacking)
            raise error


def _holds(scopes: frozenset[str], scope: str) -> bool:
    return not scopes.isdisjoint({scope, "*", "admin"})
