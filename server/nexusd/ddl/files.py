"""Migration files: `migrations/0003_name.sql`, plain SQL with a header of `-- nexusd:` lines."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from nexusd.databases.database import Dialect
from nexusd.ddl.errors import MigrationFileChanged, MigrationFileInvalid, MigrationFileOrder
from nexusd.ddl.scripts import first_word, split_statements

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

EXPAND: Final = "expand"
CONTRACT: Final = "contract"

_NAME: Final = re.compile(r"(\d{1,14})_([a-z0-9][a-z0-9_]*)(?:\.(pg|sqlite))?\.sql")
_SUFFIXES: Final = {Dialect.POSTGRESQL: "pg", Dialect.SQLITE: "sqlite"}
_HEADER: Final = re.compile(r"--\s*nexusd:\s*(.*)")
_ALLOWED: Final = re.compile(r"allow\s+(drop_table|drop_column|alter_type|convert_values)\s+([\w.$]+)")
_BLOCKS: Final = frozenset({"BEGIN", "COMMIT", "END", "ROLLBACK", "ABORT", "START", "SAVEPOINT", "RELEASE"})
_LIMIT: Final = re.compile(r"\d+(ms|s|min)?")
_BATCH: Final = re.compile(r"(?<!:):batch\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class MigrationFile:
    """One file.

    Attributes:
        version: its number as text, such as `0003`; order is numeric.
        sha256: over the bytes with LF line ends.
        phase: `expand`, applied at a start, or `contract`, applied by `nexusd migrate apply --contract` alone.
        transactional: all in one transaction; else each statement in its own.
        lock_timeout: how long a statement waits for a lock, such as `2s`; empty: the executor's own.
        batch: rows of one round of a statement that is repeated until it changes none; 0: none is.
        always: it carries data and is applied to a fresh database too.
        allowed: what it may lose, such as `drop_column users.nick`.
        undecided: what somebody has to say before it is run, with the lines.
    """

    version: str
    name: str
    path: Path
    sha256: str
    statements: tuple[str, ...]
    phase: str = EXPAND
    transactional: bool = True
    lock_timeout: str = ""
    batch: int = 0
    always: bool = False
    allowed: frozenset[str] = frozenset()
    undecided: tuple[tuple[int, str], ...] = ()


@dataclass(slots=True)
class _Header:
    phase: str = EXPAND
    transactional: bool = True
    lock_timeout: str = ""
    batch: int = 0
    always: bool = False
    allowed: set[str] = field(default_factory=set)
    undecided: list[tuple[int, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class AppliedFile:
    """What the ledger says of a file; `status` is ok, partial, fresh or baseline."""

    version: str
    name: str
    sha256: str
    status: str
    statements_done: int


def read_files(folder: Path, dialect: Dialect) -> tuple[MigrationFile, ...]:
    """The files of a folder for one database, in order; none if there is no such folder.

    Raises:
        MigrationFileInvalid: a file's name or header cannot be understood, or two have one number.
    """
    found: dict[int, MigrationFile] = {}
    for path in sorted(folder.glob("*.sql")) if folder.is_dir() else ():
        match = _NAME.fullmatch(path.name)
        if match is None:
            raise MigrationFileInvalid(
                f"{path}: not a name of a migration file",
                hint="call it NNNN_name.sql, NNNN_name.pg.sql or NNNN_name.sqlite.sql",
            )
        version, name, suffix = match.groups()
        if suffix is not None and suffix != _SUFFIXES[dialect]:
            continue
        other = found.get(int(version))
        if other is not None:
            raise MigrationFileInvalid(f"{path} and {other.path.name} have the same number")
        found[int(version)] = _read(path, version, name, dialect)
    return tuple(found[number] for number in sorted(found))


def _read(path: Path, version: str, name: str, dialect: Dialect) -> MigrationFile:
    try:
        text = path.read_bytes().replace(b"\r\n", b"\n").decode()
    except UnicodeDecodeError as error:
        raise MigrationFileInvalid(f"{path}: not UTF-8") from error
    header = _header(path, text)
    statements = split_statements(text, dollar_quotes=dialect is Dialect.POSTGRESQL)
    for statement in statements:
        if first_word(statement) in _BLOCKS:
            raise MigrationFileInvalid(
                f"{path}: {first_word(statement)} in a migration file",
                hint="a file is a transaction; -- nexusd: transaction=off runs each statement by itself",
            )
    if header.batch and not any(_BATCH.search(statement) for statement in statements):
        raise MigrationFileInvalid(f"{path}: batch is given, and no statement uses :batch", hint="write LIMIT :batch")
    return MigrationFile(
        version=version,
        name=name,
        path=path,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        statements=tuple(statements),
        phase=header.phase,
        transactional=header.transactional,
        lock_timeout=header.lock_timeout,
        batch=header.batch,
        always=header.always,
        allowed=frozenset(header.allowed),
        undecided=tuple(header.undecided),
    )


def _header(path: Path, text: str) -> _Header:
    header = _Header()
    for number, line in enumerate(text.splitlines(), 1):
        match = _HEADER.match(line)
        if match is None:
            continue
        if match[1].startswith("decide "):
            header.undecided.append((number, match[1].removeprefix("decide ")))
            continue
        for setting in match[1].split(";"):
            _set(header, setting.strip(), f"{path}:{number}")
    return header


def _set(header: _Header, setting: str, where: str) -> None:
    key, _, value = (part.strip() for part in setting.partition("="))
    if allowed := _ALLOWED.fullmatch(setting):
        header.allowed.add(f"{allowed[1]} {allowed[2]}")
    elif key == "phase" and value in {EXPAND, CONTRACT}:
        header.phase = value
    elif (key, value) == ("transaction", "off"):
        header.transactional = False
    elif key == "lock_timeout" and _LIMIT.fullmatch(value):
        header.lock_timeout = value
    elif key == "batch" and value.isdecimal() and int(value) > 0:
        header.batch, header.transactional = int(value), False
    elif (key, value) == ("data", "always"):
        header.always = True
    else:
        hint = (
            "known are phase=expand|contract, transaction=off, lock_timeout=2s, batch=10000, data=always and "
            "allow drop_table|drop_column|alter_type|convert_values NAME"
        )
        raise MigrationFileInvalid(f"{where}: {setting!r} is not understood", hint=hint)


def is_batch(statement: str) -> bool:
    """Whether the statement is repeated until it changes no row."""
    return _BATCH.search(statement) is not None


def batch_statement(statement: str, rows: int) -> str:
    """The statement with the number of rows of a round in place of `:batch`."""
    return _BATCH.sub(str(rows), statement)


def files_hash(files: Iterable[MigrationFile]) -> str:
    """SHA-256 over the versions and contents of all files."""
    return hashlib.sha256("".join(f"{file.version} {file.sha256}\n" for file in files).encode()).hexdigest()


def pending(files: Iterable[MigrationFile], applied: Mapping[str, AppliedFile]) -> Iterator[MigrationFile]:
    """The files that are not applied, or not wholly, in order.

    Raises:
        MigrationFileChanged: an applied file is not what it was.
        MigrationFileOrder: a file stands below one that is applied.
    """
    highest = max((int(version) for version in applied), default=-1)
    # A contract file waits for its command while later files are applied, so it may stand below them.
    for file in files:
        there = applied.get(file.version)
        if there is None:
            if int(file.version) < highest and file.phase == EXPAND:
                raise MigrationFileOrder(
                    f"{file.path} stands below {highest}, which is applied",
                    hint="give it the next number; nexusd migrate new does",
                )
            yield file
        elif there.sha256 != file.sha256:
            raise MigrationFileChanged(
                f"{file.path} was changed after it was applied",
                hint="restore it and write a new file; nexusd migrate repair --accept takes it as it is",
            )
        elif there.status == PARTIAL:
            yield file


PARTIAL: Final = "partial"
