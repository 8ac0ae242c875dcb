from __future__ import annotations

from nexusd.databases.savepoints import HeldBack


def test_commands_are_drained_in_order_and_once() -> None:
    held_back = HeldBack()
    held_back.add("SAVEPOINT s1")
    held_back.add("SAVEPOINT s2")
    assert bool(held_back)
    assert held_back.drain() == ["SAVEPOINT s1", "SAVEPOINT s2"]
    assert held_back.drain() == []
    assert not held_back


def test_command_that_was_not_sent_is_taken_back_with_those_after_it() -> None:
    held_back = HeldBack()
    for command in ("SAVEPOINT s1", "SAVEPOINT s2", "RELEASE SAVEPOINT s2"):
        held_back.add(command)
    assert held_back.take_back("SAVEPOINT s2")
    assert held_back.drain() == ["SAVEPOINT s1"]


def test_command_that_was_sent_cannot_be_taken_back() -> None:
    held_back = HeldBack()
    held_back.add("SAVEPOINT s1")
    held_back.drain()
    assert not held_back.take_back("SAVEPOINT s1")


def test_restored_commands_come_first() -> None:
    held_back = HeldBack()
    held_back.add("SAVEPOINT s1")
    drained = held_back.drain()
    held_back.add("SAVEPOINT s2")
    held_back.restore(drained)
    assert held_back.drain() == ["SAVEPOINT s1", "SAVEPOINT s2"]
