"""Databases opened by a test, and a small model with its tables and statements in both dialects."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final, Protocol

import pytest

from nexusd.databases.database import Bound, Dialect, PoolOptions, Statement
from nexusd.databases.postgresql import PostgresqlDatabase
from nexusd.databases.sqlite import SqliteDatabase
from nexusd.definitions.model import Field, FieldType, Model, Reference

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence
    from contextlib import AbstractAsyncContextManager

    from nexusd.databases.database import Database, Decoder, Session
    from nexusd.events import Event

WAIT_S: Final = 5.0

COMPANY: Final = Model(
    name="Company",
    table="company",
    fields=(Field(name="id", type=FieldType.STR, primary_key=True),),
    timestamps=False,
    versioned=False,
)

CONTACT: Final = Model(
    name="Contact",
    table="contact",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="email", type=FieldType.STR, unique=True),
        Field(name="score", type=FieldType.INT, default=0),
        Field(name="company_id", type=FieldType.STR, nullable=True, references=Reference("Company", "id")),
        Field(name="owner_id", type=FieldType.STR, nullable=True, references=Reference("Company", "id")),
    ),
    checks={"score_positive": "score >= 0"},
    timestamps=False,
    versioned=False,
)

TABLES: Final = (
    "CREATE TABLE company (id text NOT NULL CONSTRAINT company_id_pk PRIMARY KEY)",
    """CREATE TABLE contact (
        id text NOT NULL CONSTRAINT contact_id_pk PRIMARY KEY,
        email text NOT NULL CONSTRAINT contact_email_uq UNIQUE,
        score bigint NOT NULL DEFAULT 0,
        company_id text CONSTRAINT contact_company_id_fk REFERENCES company (id),
        owner_id text CONSTRAINT contact_owner_id_fk REFERENCES company (id),
        CONSTRAINT contact_score_positive_check CHECK (score >= 0)
    )""",
)


class OpenDatabase(Protocol):
    """Opens a database for the test and closes it afterwards."""

    async def __call__(self, url: str, options: PoolOptions | None = None) -> Database:
        """Open the database at `url`; what it observes goes to `events`."""


@pytest.fixture
def events() -> list[Event]:
    """What the databases of the test have observed, in order."""
    return []


@pytest.fixture
async def open_database(events: list[Event]) -> AsyncIterator[OpenDatabase]:
    """Opens databases; all are closed after the test, and must have given back every connection by then."""
    opened: list[Database] = []

    async def open_one(url: str, options: PoolOptions | None = None) -> Database:
        options = options or PoolOptions(pool_max=4)
        database: Database
        if url.startswith("sqlite:///"):
            database = SqliteDatabase(url.removeprefix("sqlite:///"), options=options, observe=events.append)
        else:
            database = PostgresqlDatabase(url, options=options, observe=events.append)
        await database.open()
        opened.append(database)
        return database

    yield open_one
    for database in opened:
        await database.close(WAIT_S)


@pytest.fixture
async def database(open_database: OpenDatabase, database_url: str) -> Database:
    """An open database with the tables of `TABLES`; the test runs on SQLite, then on PostgreSQL."""
    database = await open_database(database_url)
    await create_tables(database)
    return database


async def create_tables(database: Database) -> None:
    """Make the tables of `TABLES`."""
    for sql in TABLES:
        await run(database, sql, writes=True)


async def create_deferred(database: Database) -> None:
    """Make the table `deferred`, whose reference to a company is checked by COMMIT."""
    reference = "company_id text REFERENCES company (id) DEFERRABLE INITIALLY DEFERRED"
    await run(database, f"CREATE TABLE deferred (id text NOT NULL PRIMARY KEY, {reference})", writes=True)


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WAIT_S):
        while not condition():
            turn = asyncio.Event()
            loop.call_later(0.001, turn.set)
            await turn.wait()


async def pause(seconds: float) -> None:
    """Let time pass for what cannot be observed: a deadline, or news at a socket that nobody reads."""
    over = asyncio.Event()
    asyncio.get_running_loop().call_later(seconds, over.set)
    await over.wait()


def in_time() -> float:
    """A deadline that no test should reach."""
    return asyncio.get_running_loop().time() + WAIT_S


def statement(
    dialect: Dialect,
    sql: str,
    *,
    writes: bool = False,
    model: Model | None = CONTACT,
    rows: bool = True,
    inline: bool = False,
) -> Statement:
    """A statement whose rows come back as `{"values": […]}`; `?` stands for an argument in both dialects."""
    if dialect is Dialect.POSTGRESQL:
        first, *rest = sql.split("?")
        sql = first + "".join(f"${number}{text}" for number, text in enumerate(rest, 1))
    decode: Decoder | None = _values if rows else None
    return Statement(sql, decode, writes=writes, model=model, inline=inline)


def insert(dialect: Dialect, *values: object) -> Bound:
    """A new contact: id, email and, if given, score, company_id, owner_id."""
    names = ("id", "email", "score", "company_id", "owner_id")[: len(values)]
    sql = f"INSERT INTO contact ({', '.join(names)}) VALUES ({', '.join('?' * len(values))}) RETURNING id"
    return Bound(statement(dialect, sql, writes=True), values)


async def run(database: Database, sql: str, *args: object, writes: bool = False, rows: bool = False) -> None:
    """Run a statement by itself."""
    bound = Bound(statement(database.dialect, sql, writes=writes, rows=rows), args)
    await database.session(in_time()).run(bound)


async def run_all(block: AbstractAsyncContextManager[Session], *bounds: Bound, then: Exception | None = None) -> None:
    """Run statements in a transaction or savepoint, and then raise what is given."""
    async with block as session:
        for bound in bounds:
            await session.run(bound)
        if then is not None:
            raise then


async def ids(database: Database, table: str = "contact") -> list[object]:
    """The keys in a table, in order."""
    bound = Bound(statement(database.dialect, f"SELECT id FROM {table} ORDER BY id"))
    result = await database.session(in_time()).run(bound)
    return [row["id"] for row in result.rows]


def _values(row: Sequence[object]) -> dict[str, object]:
    return {"id": row[0], "values": list(row)}
