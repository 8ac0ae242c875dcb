"""SqlNode: one statement of the operator's own (docs/reference.md, section 8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Bound, Dialect, Open, Statement
from nexusd.definitions.shape import ANYTHING, ListOf, MapOf, Record
from nexusd.errors import NodeFailed, WriteRefused
from nexusd.nodes.binding import Binder, Purpose
from nexusd.nodes.node import Effects, ParamProblem, Slot
from nexusd.nodes.shapes import integer
from nexusd.nodes.sql_text import SqlProblem, SqlText, read_sql

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from nexusd.databases.database import Session
    from nexusd.definitions.model import Field, Model
    from nexusd.definitions.shape import Shape
    from nexusd.definitions.workflow import Node, Workflow
    from nexusd.nodes.node import Binding, Choice, FirstOf, NodeContext, Runner

MAX_ROWS: Final = 10_000
"""How many rows one statement may give."""

MEANT: Final = "say `unrestricted: true` beside it if that is meant"
"""What to do where a statement passes policies."""

_READS: Final = Effects(database=True, idempotent=True)
_WRITES: Final = Effects(database=True, writes=True, destructive=True)
_ROWS: Final = Record(
    {"records": ListOf(MapOf(ANYTHING)), "count": integer("count", 0, description="Rows that were given or changed.")},
    frozenset({"records", "count"}),
)


def is_unrestricted(node: Node) -> bool:
    """Whether a node's statement is meant to pass the policies of models."""
    return node.options.get("unrestricted") is True


class SqlNode:
    """Runs the statement that stands in its key `sql`; without `write: true` it cannot change anything."""

    name = "SqlNode"
    keys = frozenset({"sql", "write", "unrestricted"})

    def __init__(self, models: Mapping[str, Model]) -> None:
        self._models = models

    def derived(self, _node: Node) -> Mapping[str, Choice | FirstOf]:
        """None."""
        return {}

    def effects(self, node: Node) -> Effects:
        """It may change anything in the database if it says that it writes."""
        return _WRITES if node.options.get("write") is True else _READS

    def bind(self, node: Node, params: Mapping[str, object], connected: frozenset[str]) -> Binding:
        """The params are the statement's parameters, no fewer and no more."""
        binder = Binder()
        if not isinstance(node.options.get("write", False), bool):
            binder.binding.problems.append(ParamProblem(("write",), "write is true or false"))
        try:
            text = _text_of(node)
        except SqlProblem as problem:
            place = ("sql",) if "sql" in node.options else ()
            binder.binding.problems.append(ParamProblem(place, str(problem)))
            return binder.binding
        self._restrict(node, text, binder)
        if text.writes and node.options.get("write") is not True:
            message = "the statement changes rows, and the node is not said to write"
            binder.binding.problems.append(ParamProblem(("sql",), message, "say `write: true` beside it"))
        given = {*params, *connected} - {"input"}
        for name in text.names:
            if name not in given:
                binder.problem((), f"the parameter :{name} of the statement is not among the params")
        for name in sorted(given):
            if name not in text.names:
                binder.unknown("parameter of the statement", (name,), text.names)
            elif name in params:
                binder.bind(ANYTHING, params[name], (name,), Purpose.NEED, Purpose.NEED)
            else:
                binder.binding.slots[name,] = Slot(ANYTHING)
        return binder.binding

    def _restrict(self, node: Node, text: SqlText, binder: Binder) -> None:
        """A statement knows no policies, so it says itself that it is meant to pass those of a table it names.

        That is read from its text; what it reads in truth the database says at a start (`planning/statements.py`).
        """
        problems = binder.binding.problems
        if not isinstance(node.options.get("unrestricted", False), bool):
            problems.append(ParamProblem(("unrestricted",), "unrestricted is true or false"))
        if is_unrestricted(node):
            return
        tables = {name.lower() for name in text.tables}
        for model in self._models.values():
            if model.is_restricted and model.table.lower() in tables:
                message = f"the statement would pass the policies of {model.name}"
                problems.append(ParamProblem(("sql",), message, MEANT))

    def result(self, _node: Node) -> Shape:
        """Rows whose columns only the database knows."""
        return _ROWS

    def build(self, node: Node) -> Runner:
        """Run the statement."""
        statements = {dialect: self.statement(node, dialect) for dialect in Dialect}
        text = _text_of(node)

        async def run(params: Mapping[str, object], context: NodeContext) -> object:
            statement = statements[context.session.dialect]
            bound = Bound(statement, tuple([params[name] for name in _order(text, context.session.dialect)]))
            if not statement.writes or "returning" not in text.words:
                return await _result(context.session, bound)
            # Rows that were changed and are too many to give must be as they were.
            async with context.session.atomic() as session:
                return await _result(session, bound)

        return run

    def statement(self, node: Node, dialect: Dialect) -> Statement:
        """The node's statement for one database."""
        text = _text_of(node)
        sql = text.numbered() if dialect is Dialect.POSTGRESQL else text.marked()
        known = Open(_order(text, dialect), self._fields(text), MAX_ROWS)
        return Statement(sql, None, writes=node.options.get("write") is True, open=known)

    def statements(self, workflow: Workflow, dialect: Dialect) -> Iterator[tuple[Node, Statement]]:
        """The statements of a workflow, each with its node."""
        for node in workflow.nodes:
            if node.type == self.name:
                yield node, self.statement(node, dialect)

    def _fields(self, text: SqlText) -> dict[str, Field]:
        """The fields of the tables that the statement names; of a name that stands for several types none."""
        found: dict[str, Field] = {}
        unclear: set[str] = set()
        for model in self._models.values():
            if model.table not in text.words:
                continue
            for name, column in model.by_name.items():
                known = found.setdefault(name, column)
                if (known.type, known.precision, known.scale) != (column.type, column.precision, column.scale):
                    unclear.add(name)
        return {name: column for name, column in found.items() if name not in unclear}


async def _result(session: Session, bound: Bound) -> object:
    try:
        result = await session.run(bound)
    except WriteRefused as error:
        if bound.statement.writes:
            raise
        raise NodeFailed("the statement changes rows, and the node is not said to write") from error
    if len(result.rows) > MAX_ROWS:
        raise NodeFailed(f"the statement gives more than {MAX_ROWS} rows; give it a LIMIT")
    return {"records": result.rows, "count": result.affected}


def _order(text: SqlText, dialect: Dialect) -> tuple[str, ...]:
    """The parameters as the statement takes them: PostgreSQL each once, SQLite one for each place."""
    return text.names if dialect is Dialect.POSTGRESQL else text.places


def _text_of(node: Node) -> SqlText:
    sql = node.options.get("sql")
    if not isinstance(sql, str):
        raise SqlProblem("a SqlNode needs sql, one statement")
    return read_sql(sql)
