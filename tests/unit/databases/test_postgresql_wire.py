from __future__ import annotations

from nexusd.databases.postgresql_wire import ahead


def test_each_command_is_parse_bind_and_execute_of_the_unnamed_statement() -> None:
    parse = b"P\0\0\0\x0d\0BEGIN\0\0\0"
    bind = b"B\0\0\0\x0c\0\0\0\0\0\0\0\0"
    execute = b"E\0\0\0\x09\0\0\0\0\0"
    assert ahead(("BEGIN",)) == parse + bind + execute


def test_commands_follow_each_other_without_a_sync() -> None:
    assert ahead(("BEGIN", "SAVEPOINT s1")) == ahead(("BEGIN",)) + ahead(("SAVEPOINT s1",))
