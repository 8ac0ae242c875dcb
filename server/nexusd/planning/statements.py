"""The statements of SqlNodes, shown to the database once it is as the registry wants it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.errors import ConfigurationError
from nexusd.nodes.sql import SqlNode

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.databases.database import Database, Dialect, Statement
    from nexusd.definitions.registry import Registry, RegistryPath


async def check_statements(registry: Registry, database: Database) -> None:
    """Have the database say whether it could run every statement; none is run.

    Raises:
        ConfigurationError: with each that it could not.
        DatabaseError: the database does not answer.
    """
    problems = []
    for path, statement in statements(registry, database.dialect):
        refusal = await database.check(statement)
        if refusal:
            problems.append(registry.sources.problem(path, refusal))
    if problems:
        raise ConfigurationError(problems)


def statements(registry: Registry, dialect: Dialect) -> Iterator[tuple[RegistryPath, Statement]]:
    """Every statement with its place."""
    node_type = SqlNode(registry.models)
    for workflow in registry.workflows.values():
        for node, statement in node_type.statements(workflow, dialect):
            yield ("workflows", workflow.name, "nodes", node, "sql"), statement
