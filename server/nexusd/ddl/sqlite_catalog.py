"""SQLite's catalog: the tables that are there, those that the registry wants, and a fingerprint."""

from __future__ import annotations

import contextlib
import hashlib
import sqlite3
from typing import TYPE_CHECKING, Final

from nexusd.databases.sqlite_functions import register_functions
from nexusd.ddl.catalog import Column, Part, PartKind, Table, TableSize
from nexusd.ddl.columns import quote
from nexusd.ddl.sqlite_definitions import checks, collation, definitions, names, normalised
from nexusd.ddl.sqlite_errors import statement_error
from nexusd.definitions.naming import Kind, constraint_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from nexusd.ddl.sqlite_definitions import Definition
    from nexusd.ddl.tables import WantedTable

_MASTER: Final = "SELECT tbl_name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY tbl_name, type DESC, name"
_OF_TABLE: Final = (
    "SELECT type, name, sql FROM sqlite_master WHERE tbl_name = ? AND sql IS NOT NULL ORDER BY type, name"
)
_PRIMARY_KEY: Final = "pk"


class SqliteCatalog:
    """The catalog of one file."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def table_names(self) -> set[str]:
        """All tables but SQLite's own."""
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
        return {str(name) for (name,) in self._connection.execute(sql).fetchall()}

    def others(self, names: Collection[str]) -> Mapping[str, str]:
        """What is called like a table and is none; case does not tell names apart."""
        wanted = {name.lower(): name for name in names}
        rows = self._connection.execute("SELECT type, name FROM sqlite_master").fetchall()
        found = ((wanted.get(str(name).lower()), kind, name) for kind, name in rows)
        return {
            ours: f"{'an index' if kind == 'index' else f'a {kind}'} {name}"
            for ours, kind, name in found
            if ours is not None and (kind, name) != ("table", ours)
        }

    def index_is_valid(self, name: str) -> bool | None:
        """Whether there is an index; none is ever half built."""
        found = self._connection.execute("SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = ?", [name])
        return True if found.fetchone() else None

    def fingerprints(self, tables: Collection[str]) -> dict[str, str]:
        """A hash of the statements behind each of the tables that exist, indexes and triggers included."""
        texts: dict[str, list[str]] = {}
        for table, sql in self._connection.execute(_MASTER).fetchall():
            texts.setdefault(table, []).append(sql)
        return {
            table: hashlib.sha256("\0".join(texts[table]).encode()).hexdigest() for table in tables if table in texts
        }

    def tables(self, names: Collection[str]) -> dict[str, Table]:
        """Those of the tables that exist."""
        return _tables(self._connection, names)

    def shadows(self, tables: Iterable[WantedTable], targets: Iterable[WantedTable]) -> dict[str, Table]:
        """What SQLite would show of the wanted tables: they are made in a database of their own, in memory."""
        del targets
        try:
            return _shadows(list(tables))
        except sqlite3.Error as error:
            raise statement_error(error, "the registry's tables, tried out") from error

    def size(self, table: str) -> TableSize:
        """How many rows are in a table, by its highest row number."""
        first = f"SELECT 1 FROM {quote(table)} LIMIT 1"  # noqa: S608 - a quoted name
        if self._connection.execute(first).fetchone() is None:
            return TableSize(0, None, empty=True)
        # A table may have no row numbers, or a column called like them.
        plain = {"rowid", "oid", "_rowid_"} - {str(row[0]).lower() for row in self._columns(table)}
        for name in sorted(plain):
            with contextlib.suppress(sqlite3.OperationalError):
                highest = f"SELECT max({name}) FROM {quote(table)}"  # noqa: S608 - a quoted name
                return TableSize(self._connection.execute(highest).fetchone()[0], None, empty=False)
        return TableSize(None, None, empty=False)

    def _columns(self, table: str) -> list[tuple[object, ...]]:
        return self._connection.execute("SELECT name FROM pragma_table_info(?)", [table]).fetchall()

    def statements_of(self, table: str) -> list[tuple[str, str, str]]:
        """Type, name and SQL of all that belongs to a table, itself included."""
        return self._connection.execute(_OF_TABLE, [table]).fetchall()


def _tables(connection: sqlite3.Connection, names: Collection[str]) -> dict[str, Table]:
    found: dict[str, Table] = {}
    for name in names:
        row = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", [name]).fetchone()
        if row is not None:
            found[name] = _read(connection, name, str(row[0]))
    return found


def _shadows(tables: Sequence[WantedTable]) -> dict[str, Table]:
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        register_functions(connection)
        for table in tables:
            for statement in (table.create(), *(index.create_index() for index in table.indexes)):
                connection.execute(statement).close()
        return _tables(connection, [table.name for table in tables])


def affinity(declared: str) -> str:
    """How SQLite stores a column of this declared type; https://www.sqlite.org/datatype3.html#determination_of_column_affinity."""
    name = declared.upper()
    if "INT" in name:
        return "INTEGER"
    if any(part in name for part in ("CHAR", "CLOB", "TEXT")):
        return "TEXT"
    if "BLOB" in name or not name:
        return "BLOB"
    if any(part in name for part in ("REAL", "FLOA", "DOUB")):
        return "REAL"
    # BOOLEAN is NUMERIC to SQLite; the daemon tells them apart by the registry.
    return "BOOLEAN" if name.startswith("BOOL") else "NUMERIC"


def _read(connection: sqlite3.Connection, table: str, sql: str) -> Table:
    parts_of_table = definitions(sql)
    by_column = {each.column: each for each in parts_of_table if each.column}
    columns: dict[str, Column] = {}
    rows = connection.execute(
        'SELECT name, type, "notnull", dflt_value, pk, hidden FROM pragma_table_xinfo(?)', [table]
    )
    found = rows.fetchall()
    key = sorted((place, name) for name, _, _, _, place, _ in found if place)
    for name, declared, required, default, place, hidden in found:
        definition = by_column.get(name)
        # This form alone is the number of the row itself, which SQLite gives and never leaves empty.
        is_row_number = bool(place) and len(key) == 1 and declared.upper() == "INTEGER"
        columns[name] = Column(
            name=name,
            type=affinity(declared),
            nullable=not (required or is_row_number),
            default="" if default is None else normalised(str(default)),
            identity=is_row_number,
            collation="" if definition is None else collation(definition),
            computed=hidden > 1,
        )
    parts = [*_keys(connection, table, key), *_foreign_keys(connection, table), *_checks(parts_of_table)]
    return Table(columns, {part.name: part for part in _named(table, parts, parts_of_table)})


def _keys(connection: sqlite3.Connection, table: str, key: list[tuple[int, str]]) -> Iterator[Part]:
    if key:
        columns = tuple(name for _, name in key)
        yield Part("", PartKind.PRIMARY_KEY, ", ".join(columns), columns)
    sql = 'SELECT name, "unique", origin, partial FROM pragma_index_list(?) ORDER BY seq'
    for name, unique, origin, partial in connection.execute(sql, [table]).fetchall():
        if origin == _PRIMARY_KEY:
            continue
        found = connection.execute(
            'SELECT name, "desc", coll FROM pragma_index_xinfo(?) WHERE key = 1 ORDER BY seqno', [name]
        ).fetchall()
        columns = tuple(str(column) for column, _, _ in found if column is not None)
        definition = ", ".join(
            f"{column}{' desc' if desc else ''}{'' if coll == 'BINARY' else f' collate {coll.lower()}'}"
            for column, desc, coll in found
        )
        is_plain = not partial and len(columns) == len(found)
        if not is_plain:
            definition = _index_text(connection, name)
        if unique and is_plain:
            yield Part(name if origin == "c" else "", PartKind.UNIQUE, definition, columns, is_index=origin == "c")
        else:
            yield Part(name, PartKind.INDEX, f"{'unique ' if unique else ''}{definition}", columns, is_index=True)


def _index_text(connection: sqlite3.Connection, name: str) -> str:
    """What stands after the table of a CREATE INDEX over expressions or with a condition."""
    row = connection.execute("SELECT sql FROM sqlite_master WHERE type = 'index' AND name = ?", [name]).fetchone()
    text = str(row[0]) if row else ""
    return normalised(text[text.index("(") :]) if "(" in text else text


def _foreign_keys(connection: sqlite3.Connection, table: str) -> Iterator[Part]:
    keys: dict[int, list[tuple[str, str, str, str, str]]] = {}
    sql = 'SELECT id, "table", "from", "to", on_update, on_delete FROM pragma_foreign_key_list(?) ORDER BY id, seq'
    for number, *rest in connection.execute(sql, [table]).fetchall():
        keys.setdefault(number, []).append(tuple(rest))
    for rows in keys.values():
        target, _, _, on_update, on_delete = rows[0]
        columns = tuple(row[1] for row in rows)
        actions = "".join(
            f" on {event} {action.lower()}"
            for event, action in (("update", on_update), ("delete", on_delete))
            if action != "NO ACTION"
        )
        to = ", ".join(row[2] or "" for row in rows)
        yield Part("", PartKind.FOREIGN_KEY, f"({', '.join(columns)}) references {target} ({to}){actions}", columns)


def _checks(parts: Sequence[Definition]) -> Iterator[Part]:
    for definition in parts:
        for check in checks(definition):
            yield Part(check.name, PartKind.CHECK, check.expression)


def _named(table: str, parts: Iterable[Part], sources: Sequence[Definition]) -> Iterator[Part]:
    """The parts under their names; SQLite keeps names of constraints only in the statement's text."""
    written = {name for source in sources for _, name in names(source)}
    kinds = {
        PartKind.PRIMARY_KEY: Kind.PRIMARY_KEY,
        PartKind.UNIQUE: Kind.UNIQUE,
        PartKind.FOREIGN_KEY: Kind.FOREIGN_KEY,
    }
    for number, part in enumerate(parts):
        name = part.name
        if not name and part.kind in kinds:
            name = constraint_name(table, part.columns, kinds[part.kind])
            if name not in written:
                name = f"{name} (unnamed)"
        yield Part(name or f"check {number}", part.kind, part.definition, part.columns, part.valid, part.is_index)
