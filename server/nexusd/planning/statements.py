"""The statements of SqlNodes, shown to the database once it is as the registry wants it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nexusd.errors import ConfigurationError, InternalError
from nexusd.nodes.sql import MEANT, SqlNode, is_unrestricted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.databases.database import Database, Dialect, Statement
    from nexusd.definitions.registry import Registry, RegistryPath
    from nexusd.definitions.workflow import Node

_OTHERS: Final = re.compile(r"_nexusd_\w+|pg_statistic\w*", re.IGNORECASE)
"""Tables beside those of models that hold values of their rows."""


async def check_statements(registry: Registry, database: Database) -> None:
    """Have the database say whether it could run every statement, and what each would read; none is run.

    Raises:
        ConfigurationError: with each that it could not, and each that would pass policies without saying so.
        DatabaseError: the database does not answer.
    """
    restricted = {model.table.lower(): model.name for model in registry.models.values() if model.is_restricted}
    problems = []
    for path, node, statement in statements(registry, database.dialect):
        refusal, hint = await database.check(statement), ""
        if not refusal and restricted and not is_unrestricted(node):
            refusal, hint = await _passed(statement, database, restricted)
        if refusal:
            problems.append(registry.sources.problem(path, refusal, hint))
    if problems:
        raise ConfigurationError(problems)


async def _passed(statement: Statement, database: Database, restricted: dict[str, str]) -> tuple[str, str]:
    """Why a statement passes policies, or cannot be found out to pass none, and what to do; empty: it passes none."""
    try:
        tables = await database.tables(statement)
    except InternalError as error:
        return error.reason or error.detail, ""
    passed = sorted({_named(table, restricted) for table in tables} - {""})
    return (f"the statement would pass the policies of {' and '.join(passed)}", MEANT) if passed else ("", "")


def _named(table: str, restricted: dict[str, str]) -> str:
    """Whose policies a statement passes that uses a table, or a function with that name; empty: nobody's."""
    if table.lower() in restricted:
        return restricted[table.lower()]
    return "models" if _OTHERS.fullmatch(table) or "(" in table else ""


def statements(registry: Registry, dialect: Dialect) -> Iterator[tuple[RegistryPath, Node, Statement]]:
    """Every statement with its place and its node."""
    node_type = SqlNode(registry.models)
    for workflow in registry.workflows.values():
        for node, statement in node_type.statements(workflow, dialect):
            yield ("workflows", workflow.name, "nodes", node.id, "sql"), node, statement
