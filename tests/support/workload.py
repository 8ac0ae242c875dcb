"""Clients that write and read under faults, and note every attempt: a small HTTP client, a workload, its registry."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import sqlite3
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import psycopg

from tests.support.history import Attempt, History, Line, Outcome

if TYPE_CHECKING:
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Counter:
    table: counters
    fields: {id: {type: str, primary_key: true}, note: str}
  Line:
    table: journal
    fields: {id: {type: str, primary_key: true}, mark: str, counter: str, number: int}
workflows:
  begin:
    nodes: {create: {type: CounterCreateNode, params: {id: "{{row}}", note: "{{row}}"}}}
  write:
    nodes:
      update: {type: CounterUpdateNode, params: {id: "{{row}}", note: "{{mark}}"}}
      line: {type: LineCreateNode, params: {mark: "{{mark}}", counter: "{{row}}", number: "{{update.version}}"}}
  append:
    nodes: {line: {type: LineCreateNode, params: {mark: "{{mark}}", counter: "{{row}}", number: 0}}}
  read:
    nodes: {read: {type: CounterReadNode, params: {id: "{{row}}"}}}
  loose:
    transaction: none
    nodes:
      line: {type: LineCreateNode, params: {mark: "{{mark}}", counter: "{{row}}", number: 0}}
      again: {type: CounterReadNode, params: {id: "{{line.counter}}"}}
"""

ROWS: Final = tuple(f"row-{number}" for number in range(6))
REFUSED: Final = frozenset({"database_unavailable", "overloaded", "timeout", "idempotency_in_flight"})
"""Codes that say that nothing was kept."""

CONTRACT: Final = REFUSED | {"unknown_outcome"}
"""What a client may be told while the database comes and goes."""

PAUSE_S: Final = 0.05


@dataclass
class Reply:
    """An HTTP answer; status 0: the connection was lost before there was one."""

    status: int
    document: Any = None
    replayed: bool = False


class Connection:
    """One kept HTTP connection to 127.0.0.1, opened anew when it was lost."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, workflow: str, inputs: dict[str, str], key: str | None) -> Reply:
        """POST to a workflow."""
        fields = ["Content-Type: application/json", *([] if key is None else [f"Idempotency-Key: {key}"])]
        body = json.dumps({"inputs": inputs}).encode()
        return await self._send(f"POST /workflows/{workflow}/execute", fields, body)

    async def get(self, path: str) -> Reply:
        """GET a path."""
        return await self._send(f"GET {path}", [], b"")

    async def _send(self, line: str, fields: list[str], body: bytes) -> Reply:
        head = [f"{line} HTTP/1.1", "Host: 127.0.0.1", *fields, f"Content-Length: {len(body)}", "", ""]
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write("\r\n".join(head).encode() + body)
            return await _reply(reader)
        except (OSError, asyncio.IncompleteReadError):
            await self.close()
            return Reply(0)

    async def close(self) -> None:
        """Close it."""
        if self._streams is not None:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()


async def _reply(reader: asyncio.StreamReader) -> Reply:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    lines = head.split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    body = await reader.readexactly(int(fields["content-length"]))
    return Reply(int(lines[0].split()[1]), json.loads(body), "idempotency-replayed" in fields)


@dataclass
class Load:
    """Clients that go on until they are told to stop; with keys each write is asked for until its outcome is known.

    Attributes:
        port: of the daemon, the same after each restart.
        keyed: clients whose writes have keys.
        unkeyed: clients whose writes have none, and are asked for once.
        seed: of what they choose.
        progress: released by each acknowledged write.
    """

    port: int
    keyed: int
    unkeyed: int = 0
    seed: int = 0
    history: History = field(default_factory=History)
    progress: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    stopping: asyncio.Event = field(default_factory=asyncio.Event)

    async def begin(self) -> None:
        """Make the rows."""
        connection = Connection(self.port)
        for row in ROWS:
            assert (await connection.ask("begin", {"row": row}, f"begin-{row}")).status == 200
        await connection.close()

    def start(self) -> list[asyncio.Task[None]]:
        """Start the clients."""
        clients = [self._client(number, keyed=number < self.keyed) for number in range(self.keyed + self.unkeyed)]
        return [asyncio.create_task(client) for client in clients]

    async def acknowledged(self, count: int) -> None:
        """Wait until so many more writes are acknowledged."""
        for _ in range(count):
            await self.progress.acquire()

    async def _client(self, number: int, *, keyed: bool) -> None:
        choose = random.Random(f"{self.seed}.{number}")  # noqa: S311 - the same choices with the same seed
        connection = Connection(self.port)
        turn = 0
        while not self.stopping.is_set():
            turn += 1
            mark = f"{number}.{turn}"
            op = choose.choice(("write", "append", "append", "read"))
            row = choose.choice(ROWS)
            key = f"key-{mark}" if keyed and op != "read" else None
            # What has a key is asked for until it is known, also when everybody is to stop.
            while await self._attempt(connection, number, op, (row, mark), key) is not Outcome.OK:
                await asyncio.sleep(PAUSE_S)
                if key is None:
                    break
        await connection.close()

    async def _attempt(
        self, connection: Connection, client: int, op: str, place: tuple[str, str], key: str | None
    ) -> Outcome:
        row, mark = place
        inputs = {"row": row} if op == "read" else {"row": row, "mark": mark}
        t0 = time.monotonic()
        reply = await connection.ask(op, inputs, key)
        t1 = time.monotonic()
        outcome, answer, version, code = Outcome.UNKNOWN, "", 0, ""
        if reply.status == 200:
            outputs = reply.document["outputs"]
            outcome, answer = Outcome.OK, json.dumps(reply.document)
            version = outputs["read"]["version"] if op == "read" else outputs["line"]["number"]
            self.progress.release()
        elif reply.status:
            code = reply.document["code"]
            outcome = Outcome.FAIL if code in REFUSED else Outcome.UNKNOWN
        self.history.add(
            Attempt(
                client=client, op=op, key=key, row=row, mark=mark, t0=t0, t1=t1,
                outcome=outcome, answer=answer, version=version, code=code,
            )
        )  # fmt: skip
        return outcome


def write_registry(folder: Path) -> Path:
    """The registry of the workload as a file."""
    path = folder / "registry.yaml"
    path.write_text(REGISTRY, encoding="utf-8")
    return path


def journal_of(url: str) -> tuple[list[Line], dict[str, int]]:
    """The journal and the versions of all rows, read without the daemon."""
    lines, versions = (_rows(url, sql) for sql in (_JOURNAL, _VERSIONS))
    journal = [Line(str(mark), str(row), int(str(version))) for mark, row, version in lines]
    return journal, {str(row): int(str(version)) for row, version in versions}


_JOURNAL: Final = "SELECT mark, counter, number FROM journal"
_VERSIONS: Final = "SELECT id, version FROM counters"


def _rows(url: str, sql: str) -> list[tuple[object, ...]]:
    if url.startswith("sqlite:///"):
        connection = sqlite3.connect(url.removeprefix("sqlite:///"))
        try:
            return connection.execute(sql).fetchall()
        finally:
            connection.close()
    with psycopg.connect(url) as session:
        return session.execute(sql.encode()).fetchall()
