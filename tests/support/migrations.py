"""Migrations run as a start runs them, and databases looked at from outside."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import time
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psycopg

from nexusd import catalog
from nexusd.configuration import load_settings
from nexusd.databases.sqlite_functions import register_functions
from nexusd.ddl.executor import SyncDDLExecutor
from nexusd.ddl.files import read_files
from nexusd.ddl.options import Waits
from nexusd.ddl.outlook import Outlook
from nexusd.ddl.tables import wanted_tables
from nexusd.definitions.loader import load_registry
from nexusd.embedding.references import PythonDefinitions
from nexusd.events import ignore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nexusd.ddl.executor import DDLOutcome
    from nexusd.ddl.options import DDLOptions
    from nexusd.ddl.plan import Plan
    from nexusd.definitions.registry import Registry
    from nexusd.events import Event, Observer

IMPATIENT = Waits(lock_s=5.0, table_s=1.0, lock_timeout="200ms")


def registry_of(text: str) -> Registry:
    """The registry of a file `r.yaml` with this text, in the working directory."""
    Path("r.yaml").write_text(text)
    return load_registry("r.yaml", PythonDefinitions())


def contacts(fields: str, more: str = "") -> Registry:
    """A registry of one model Contact with these fields, table `contacts`; `more` are options of the model."""
    return registry_of(f"version: 1\nmodels:\n  Contact:\n    table: contacts\n{more}    fields:\n{fields}")


def executor(
    url: str,
    models: Registry,
    mode: str = "true",
    *,
    change: Callable[[DDLOptions], DDLOptions] = lambda options: options,
    observe: Observer = ignore,
    wait_s: float = 10.0,
) -> SyncDDLExecutor:
    """The executor of a start with these settings; `change` adapts its options."""
    variables = {"DATABASE_URL": url, "NEXUSD_DATABASE__AUTO_MIGRATE": mode}
    settings = load_settings(None, variables)
    settings = replace(settings, database=replace(settings.database, wait_s=wait_s))
    options = change(catalog.ddl_options(settings, "test"))
    folder = Path(settings.database.migrations_dir)
    return SyncDDLExecutor(catalog.ddl_connect(settings.database), models.models, folder, options, observe)


def migrate(
    url: str,
    models: Registry,
    mode: str = "true",
    *,
    change: Callable[[DDLOptions], DDLOptions] = lambda options: options,
    observe: Observer = ignore,
    wait_s: float = 10.0,
) -> DDLOutcome:
    """A start's migration from beginning to end."""
    run = executor(url, models, mode, change=change, observe=observe, wait_s=wait_s)
    run.start()
    return run.wait()


def plan_of(url: str, models: Registry, mode: str = "true") -> Plan:
    """What a start would do."""
    settings = load_settings(None, {"DATABASE_URL": url, "NEXUSD_DATABASE__AUTO_MIGRATE": mode})
    target = catalog.ddl_connect(settings.database)()
    try:
        tables = wanted_tables(models.models, target.dialect)
        files = read_files(Path(settings.database.migrations_dir), target.dialect)
        options = catalog.ddl_options(settings, "test")
        outlook = Outlook(target, tables, files, options, ignore)
        return outlook.compared(outlook.ledger.state()).plan
    finally:
        target.hand_over()


def rows(url: str, sql: str) -> list[tuple[object, ...]]:
    """What a statement gives, run by a client of its own that commits."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection, connection:
            register_functions(connection)
            connection.execute("PRAGMA foreign_keys = ON")
            return connection.execute(sql).fetchall()
    with psycopg.connect(url, autocommit=True) as client:
        cursor = client.execute(sql.encode())
        return cursor.fetchall() if cursor.description else []


def schema(url: str) -> list[tuple[object, ...]]:
    """All that is declared, in a form that can be compared."""
    if url.startswith("sqlite"):
        return rows(url, "SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY name")
    columns = rows(
        url,
        "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns"
        " WHERE table_schema = 'public' ORDER BY 1, 2",
    )
    constraints = (
        "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE connamespace = 'public'::regnamespace"
    )
    indexes = "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public'"
    return [*columns, *rows(url, f"{constraints} ORDER BY 1"), *rows(url, f"{indexes} ORDER BY 1")]


def tables_of(url: str) -> set[object]:
    """The names of all tables."""
    sql = (
        "SELECT name FROM sqlite_master WHERE type = 'table'"
        if url.startswith("sqlite")
        else "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    )
    return {name for (name,) in rows(url, sql) if not str(name).startswith("sqlite_")}


@contextmanager
def hold(url: str, table: str) -> Iterator[psycopg.Connection]:
    """A client that has read a table in a transaction that goes on."""
    with psycopg.connect(url, application_name="a-report") as holder:
        holder.execute(f"SELECT * FROM {table}".encode())
        yield holder


_STARTER: Final = """
import sys
from tests.support.migrations import migrate
from nexusd.definitions.loader import load_registry
from nexusd.embedding.references import PythonDefinitions
outcome = migrate(sys.argv[1], load_registry(sys.argv[2], PythonDefinitions()))
print(outcome.verdict)
"""


def start_process(url: str, registry: str) -> subprocess.Popen[str]:
    """A process that does what a start does, and prints the verdict."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(root), str(root / "server")])}
    return subprocess.Popen(
        [sys.executable, "-c", _STARTER, url, registry],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_until(condition: Callable[[], bool], longest_s: float = 5.0) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + longest_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Heard:
    """An observer that keeps what it is told."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def __call__(self, event: Event) -> None:
        """Keep an event."""
        self.events.append(event)

    def named(self, name: str) -> list[Event]:
        """The events of one name."""
        return [event for event in self.events if event.name == name]
