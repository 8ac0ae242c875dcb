"""PostgreSQL's catalog: the tables that are there, those that the registry wants, sizes, and a fingerprint.

What the registry wants is made as temporary tables inside a transaction that is rolled back, and read by the same
queries, so that PostgreSQL itself normalises types, defaults and expressions on both sides.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import psycopg

from nexusd.ddl.catalog import Column, Part, PartKind, Table, TableSize
from nexusd.ddl.columns import quote
from nexusd.ddl.postgresql_errors import statement_error
from nexusd.ddl.tables import references

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nexusd.ddl.tables import WantedTable

# pg_get_indexdef names the table with its schema; what follows " USING " does not.
_COLUMNS: Final = """
SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod), NOT a.attnotnull,
       CASE WHEN a.attgenerated = '' THEN coalesce(pg_get_expr(d.adbin, d.adrelid), '') ELSE '' END,
       a.attidentity <> '', CASE WHEN a.attcollation <> t.typcollation THEN l.collname ELSE '' END,
       a.attgenerated <> '', coalesce(l.collisdeterministic, true)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation l ON l.oid = a.attcollation
WHERE c.relnamespace = %s::oid AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
  AND a.attnum > 0 AND NOT a.attisdropped
ORDER BY c.relname, a.attnum
"""

_PARTS: Final = """
SELECT c.relname, o.conname, o.contype::text, pg_get_constraintdef(o.oid),
       CASE WHEN o.conindid <> 0 AND o.contype IN ('p', 'u') THEN pg_get_indexdef(o.conindid) ELSE '' END,
       o.convalidated,
       ARRAY(SELECT a.attname::text FROM unnest(o.conkey) WITH ORDINALITY AS k (num, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num ORDER BY k.place),
       false
FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
WHERE c.relnamespace = %s::oid AND c.relname = ANY(%s) AND o.contype IN ('p', 'u', 'f', 'c', 'x')
UNION ALL
SELECT c.relname, i.relname, CASE WHEN x.indisunique AND x.indpred IS NULL AND x.indexprs IS NULL THEN 'u' ELSE 'i' END,
       CASE WHEN x.indisunique THEN 'UNIQUE' ELSE '' END, pg_get_indexdef(x.indexrelid), x.indisvalid,
       ARRAY(SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY AS k (num, place)
             JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.num ORDER BY k.place),
       true
FROM pg_index x JOIN pg_class c ON c.oid = x.indrelid JOIN pg_class i ON i.oid = x.indexrelid
LEFT JOIN pg_constraint o ON o.conindid = x.indexrelid AND o.contype IN ('p', 'u', 'x')
WHERE c.relnamespace = %s::oid AND c.relname = ANY(%s) AND o.oid IS NULL
"""

# Defaults, constraints and indexes are replaced, never altered in what they say, so their object ids stand for it. They
# differ in a restored dump too, which is then looked at closely and found equal.
_FINGERPRINTS: Final = """
SELECT c.relname, md5(concat_ws('|',
  (SELECT string_agg(concat_ws(' ', a.attnum, a.attname, a.atttypid, a.atttypmod, a.attnotnull, a.attidentity,
                               a.attgenerated, a.attcollation, d.oid), ',' ORDER BY a.attnum)
   FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.atthasdef
   WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped),
  (SELECT string_agg(concat_ws(' ', o.oid, o.conname, o.convalidated, o.condeferrable, o.condeferred), ','
                     ORDER BY o.oid)
   FROM pg_constraint o WHERE o.conrelid = c.oid AND o.contype IN ('p', 'u', 'f', 'c', 'x')),
  (SELECT string_agg(concat_ws(' ', x.indexrelid, i.relname, x.indisvalid), ',' ORDER BY x.indexrelid)
   FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid WHERE x.indrelid = c.oid)))
FROM pg_class c
WHERE c.relnamespace = %s::regnamespace AND c.relname = ANY(%s) AND c.relkind IN ('r', 'p')
"""

_TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'p')
"""

_OTHERS: Final = """
SELECT relname, CASE relkind WHEN 'v' THEN 'a view' WHEN 'm' THEN 'a materialized view' WHEN 'S' THEN 'a sequence'
                             WHEN 'f' THEN 'a foreign table' WHEN 'c' THEN 'a type' ELSE 'an index' END
FROM pg_class WHERE relnamespace = %s::regnamespace AND relname = ANY(%s) AND relkind NOT IN ('r', 'p')
"""

_INDEX: Final = """
SELECT x.indisvalid FROM pg_index x JOIN pg_class c ON c.oid = x.indexrelid
WHERE c.relnamespace = %s::regnamespace AND c.relname = %s
"""

# A bulk create takes keys from the sequence itself, which an insert alone would need no right for.
_MISSING_RIGHTS: Final = """
SELECT 'schema', nspname FROM pg_namespace
WHERE oid = %(schema)s::regnamespace AND NOT has_schema_privilege(%(role)s, oid, 'USAGE')
UNION ALL
SELECT 'table', relname FROM pg_class c
WHERE relnamespace = %(schema)s::regnamespace AND relname = ANY(%(tables)s) AND relkind IN ('r', 'p')
  AND (SELECT NOT bool_and(has_table_privilege(%(role)s, c.oid, each))
       FROM unnest(%(rights)s::text[]) AS each)
UNION ALL
SELECT 'sequence', s.relname
FROM pg_class c JOIN pg_depend d ON d.refobjid = c.oid AND d.deptype IN ('a', 'i')
JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
WHERE c.relnamespace = %(schema)s::regnamespace AND c.relname = ANY(%(tables)s)
  AND CASE s.relkind WHEN 'S' THEN NOT has_sequence_privilege(%(role)s, s.oid, 'USAGE') ELSE false END
ORDER BY 1, 2
"""

_SIZE: Final = "SELECT reltuples::bigint, pg_relation_size(oid) FROM pg_class WHERE oid = %s::regclass"

_KINDS: Final = {
    "p": PartKind.PRIMARY_KEY,
    "u": PartKind.UNIQUE,
    "f": PartKind.FOREIGN_KEY,
    "c": PartKind.CHECK,
    "x": PartKind.INDEX,
    "i": PartKind.INDEX,
}

_NOT_VALID: Final = " NOT VALID"


class PostgresqlCatalog:
    """The catalog of one schema.

    Args:
        connection: the target's.
        schema: where the tables are.
        path: the search_path, which begins with that schema.
        role: whose rights are named where one is missing.
    """

    def __init__(self, connection: psycopg.Connection, schema: str, path: str, role: str) -> None:
        self._connection = connection
        self._schema = schema
        self._path = path
        self._role = role

    @contextlib.contextmanager
    def _told(self, what: str) -> Iterator[None]:
        """The driver's errors in an operator's words."""
        try:
            yield
        except psycopg.Error as error:
            raise statement_error(error, what, self._schema, self._role) from error

    def missing_rights(self, role: str, tables: Collection[str], rights: Sequence[str]) -> list[tuple[str, str]]:
        """What a role lacks to have these rights to tables: of a schema, table or sequence, and its name."""
        args = {"schema": quote(self._schema), "role": role, "tables": list(tables), "rights": list(rights)}
        return [(str(kind), str(name)) for kind, name in self._ask(_MISSING_RIGHTS, args)]

    def _ask(self, sql: str, args: Sequence[object] | Mapping[str, object]) -> list[tuple[object, ...]]:
        with self._told("the database's catalog"):
            return self._connection.execute(sql.encode(), args).fetchall()

    def table_names(self) -> set[str]:
        """All tables of the schema."""
        return {str(name) for (name,) in self._ask(_TABLES, [quote(self._schema)])}

    def others(self, names: Collection[str]) -> Mapping[str, str]:
        """What is called like a table and is none."""
        return {str(name): str(what) for name, what in self._ask(_OTHERS, [quote(self._schema), list(names)])}

    def index_is_valid(self, name: str) -> bool | None:
        """Whether an index is complete; a CREATE INDEX CONCURRENTLY that was cut off leaves one that is not."""
        rows = self._ask(_INDEX, [quote(self._schema), name])
        return bool(rows[0][0]) if rows else None

    def fingerprints(self, tables: Collection[str]) -> dict[str, str]:
        """A hash of what the catalog says of each table."""
        rows = self._ask(_FINGERPRINTS, [quote(self._schema), list(tables)])
        return {str(name): str(fingerprint) for name, fingerprint in rows}

    def tables(self, names: Collection[str]) -> dict[str, Table]:
        """Those of the tables that exist; not while a temporary table hides one of them."""
        rows = self._ask("SELECT %s::regnamespace::oid", [quote(self._schema)])
        with self._told("the database's catalog"):
            return _read(self._connection, rows[0][0], names)

    def shadows(self, tables: Iterable[WantedTable], targets: Iterable[WantedTable]) -> dict[str, Table]:
        """What PostgreSQL would show of the wanted tables; they are rolled back."""
        with self._told("the registry's tables, tried out"):
            return _shadows(self._connection, self._path, list(tables), targets)

    def size(self, table: str) -> TableSize:
        """How much is in a table."""
        name = f"{quote(self._schema)}.{quote(table)}"
        rows, size_bytes = (int(str(value)) for value in self._ask(_SIZE, [name])[0])
        found = self._ask(f"SELECT 1 FROM {name} LIMIT 1", [])  # noqa: S608 - a quoted name
        return TableSize(rows if rows >= 0 else None, size_bytes, empty=not found)


def _shadows(
    connection: psycopg.Connection, path: str, tables: list[WantedTable], targets: Iterable[WantedTable]
) -> dict[str, Table]:
    with connection.transaction(force_rollback=True):
        space = _shadow_space(connection, path)
        for table in (*targets, *tables):
            connection.execute(table.create().encode())
        for table in tables:
            for statement in (*references(table), *(index.create_index() for index in table.indexes)):
                connection.execute(statement.encode())
        return _read(connection, space, [table.name for table in tables])


def _shadow_space(connection: psycopg.Connection, path: str) -> object:
    """Where shadows are made: the session's temporary schema, or without that right one of our own."""
    row = connection.execute("SELECT has_database_privilege(current_database(), 'TEMP')").fetchone()
    if row is not None and row[0]:
        connection.execute(f"SET LOCAL search_path = pg_temp, {path}".encode())
        # The temporary schema does not exist before its first table.
        connection.execute('CREATE TABLE "_nexusd_shadow" ()')
        found = connection.execute("SELECT pg_my_temp_schema()").fetchone()
    else:
        connection.execute('CREATE SCHEMA "_nexusd_shadow"')
        connection.execute(f'SET LOCAL search_path = "_nexusd_shadow", {path}'.encode())
        found = connection.execute("SELECT '_nexusd_shadow'::regnamespace::oid").fetchone()
    return found[0] if found else 0


def _read(connection: psycopg.Connection, space: object, tables: Collection[str]) -> dict[str, Table]:
    names = list(tables)
    columns: dict[str, dict[str, Column]] = {}
    for table, *column in connection.execute(_COLUMNS, [space, names]):
        columns.setdefault(table, {})[column[0]] = Column(*column)
    parts: dict[str, dict[str, Part]] = {}
    for table, name, kind, definition, index, valid, covered, is_index in connection.execute(
        _PARTS, [space, names, space, names]
    ):
        says = _definition(kind, definition, index)
        parts.setdefault(table, {})[name] = Part(name, _KINDS[kind], says, tuple(covered), valid, is_index)
    return {table: Table(found, parts.get(table, {})) for table, found in columns.items()}


def _definition(kind: str, definition: str, index: str) -> str:
    """What a part says, whatever it is called and in which schema; valid or not."""
    if not index:
        return definition.removesuffix(_NOT_VALID)
    # An index and a constraint over the same columns do the same: what differs is how they are dropped.
    unique = "UNIQUE" if kind == "u" else definition.partition(" (")[0]
    deferrable = " DEFERRABLE" if " DEFERRABLE" in definition else ""
    return f"{unique} {index[index.index(' USING ') :]}{deferrable}"
