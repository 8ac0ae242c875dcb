from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING

import pytest

from nexusd.telemetry.lines import LineWriter

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

LINES = [f"{number:06d} {'x' * (number % 200)}\n".encode() for number in range(5_000)]


@pytest.fixture
def pipe() -> Iterator[tuple[BinaryIO, int]]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as reader:
        yield reader, writing
        os.close(writing)


def test_lines_arrive_whole_and_in_order(pipe: tuple[BinaryIO, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor)
    for line in LINES:
        writer.write(line)

    assert [reader.readline() for _ in LINES] == LINES
    assert writer.dropped == 0


def test_flush_has_written_when_it_returns(pipe: tuple[BinaryIO, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor)
    writer.write(b"one\n")
    writer.write(b"two\n")
    writer.flush()

    os.set_blocking(reader.fileno(), False)
    assert reader.read() == b"one\ntwo\n"


def test_reader_that_takes_nothing_costs_lines_and_not_time(pipe: tuple[BinaryIO, int]) -> None:
    reader, descriptor = pipe
    writer = LineWriter(descriptor, limit=1_000)
    # More than the pipe and the queue hold together; a writer that waited would wait for ever.
    many = LINES * 10
    for line in many:
        writer.write(line)
    writer.flush()
    taken = len(many) - writer.dropped
    found: list[bytes] = []
    reading = threading.Thread(target=lambda: found.extend(reader.readline() for _ in range(taken)))
    reading.start()
    reading.join(5)

    assert 1_000 <= taken < len(many)
    assert found == sorted(found, key=found.index)
    assert len(found) == taken
