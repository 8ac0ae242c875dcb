"""A new record and what is kept of the Idempotency-Key that it came under, in one statement (PostgreSQL)."""

# ruff: noqa: S608 - names come from the registry and are quoted, values are arguments

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

import msgspec

from nexusd.databases.idempotency import KEEP_S, compact
from nexusd.databases.statements import CACHE_SIZE, new_row, overriding
from nexusd.databases.tables import Placeholders, quote
from nexusd.databases.types import Codec
from nexusd.definitions.model import FieldType

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nexusd.databases.tables import Query, Table
    from nexusd.definitions.model import Field

MAX_COLUMNS: Final = 50
"""json_build_object takes 100 arguments."""

_TEXT: Final = Codec(cast="::text")
_BYTES: Final = Codec(cast="::bytea")
_INTEGER: Final = Codec(cast="::bigint")
_FLOAT: Final = Codec(cast="::double precision")

_WIRE: Final = {
    FieldType.STR: "{}",
    FieldType.ENUM: "{}",
    FieldType.INT: "{}",
    FieldType.BOOL: "{}",
    FieldType.JSON: "{}",
    FieldType.FLOAT: "{}",
    FieldType.BIGINT: "{}::text",
    FieldType.DECIMAL: "{}::text",
    FieldType.UUID: "{}::text",
    FieldType.DATE: "{}::text",
    FieldType.DATETIME: """to_char({}, 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')""",
    FieldType.TIME: "to_char({}, 'HH24:MI:SS.US')",
    FieldType.BYTES: "translate(encode({}, 'base64'), E'\\n', '')",
}
"""How a column becomes what a reader of JSON sees of it, under `TimeZone=UTC` and `DateStyle=ISO`."""


@lru_cache(maxsize=CACHE_SIZE)
def insert_once(table: Table, names: tuple[str, ...]) -> Query | None:
    """INSERT of a record and of its answer, RETURNING it as JSON and `duration_ms`; no row if the key is in use.

    Values: the named fields, then now, scope, key, fingerprint, execution id, lock number, milliseconds so far, the
    answer's text up to the milliseconds, from there to the record, and behind it. None where the database cannot write
    the record as a reader of JSON sees it, and where another statement has to note the change.

    The lock is one of the transaction's: while somebody else holds it, or a row is there, nothing is inserted. Whoever
    was committed between this statement's snapshot and its lock shows as a unique violation, which undoes both.
    """
    columns = [table.model.by_name[name] for name in table.columns]
    if (
        not table.is_postgresql
        or table.audited
        or len(columns) > MAX_COLUMNS
        or any(column.type not in _WIRE for column in columns)
    ):
        return None
    placeholders = Placeholders(table)
    row = new_row(table, placeholders, names)
    codecs = (_TEXT, _TEXT, _BYTES, _TEXT, _INTEGER, _FLOAT, _TEXT, _TEXT, _TEXT)
    scope, key, fingerprint, execution, lock, so_far, before, between, behind = (
        placeholders.codec(len(names) + 1 + i, codec) for i, codec in enumerate(codecs)
    )
    if not row:
        return None
    duration = f"round(({so_far} + 1000 * extract(epoch FROM clock_timestamp() - statement_timestamp()))::numeric, 3)"
    record = ", ".join(f"{_literal(column.name)}, {_wire(column)}" for column in columns)
    sql = (
        f"WITH _nexusd_l AS (SELECT pg_try_advisory_xact_lock({lock}) AS free),"
        f" _nexusd_w AS (INSERT INTO {table.name} ({', '.join(map(quote, row))}){overriding(table, names)}"
        f" SELECT {', '.join(row.values())} FROM _nexusd_l WHERE free AND NOT EXISTS"
        f" (SELECT FROM _nexusd_idempotency AS k WHERE k.scope = {scope} AND k.key = {key})"
        f" RETURNING json_build_object({record})::text AS record, {duration} AS duration_ms),"
        " _nexusd_i AS (INSERT INTO _nexusd_idempotency"
        " (scope, key, fingerprint, execution_id, answer, expires_at)"
        f" SELECT {scope}, {key}, {fingerprint}, {execution},"
        f" concat({before}, duration_ms, {between}, record, {behind}),"
        f" now() + interval '{KEEP_S} seconds' FROM _nexusd_w)"
        " SELECT record, duration_ms::double precision FROM _nexusd_w"
    )
    return placeholders.query(sql, _decode, writes=True)


def _decode(row: Sequence[object]) -> dict[str, object]:
    record, duration_ms = row
    return {"record": msgspec.Raw(compact(str(record).encode())), "duration_ms": duration_ms}


def _wire(column: Field) -> str:
    return _WIRE[column.type].format(quote(column.name))


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
