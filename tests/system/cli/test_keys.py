"""`nexusd keys` on both databases."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, TypeAlias

import pytest

from tests.support.migrations import rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"

KEY = re.compile(r"nxd_([0-9a-f]{12})_([A-Za-z0-9_-]{43})")


@pytest.fixture
def keys(nexusd: Nexusd, database_url: str) -> Nexusd:
    """`nexusd keys` on an empty database."""
    return lambda *words: nexusd("keys", *words, "--database-url", database_url)


def test_a_key_is_printed_once_and_only_its_hash_is_kept(keys: Nexusd, database_url: str) -> None:
    done = keys("create", "--scope", "workflow:*:execute", "--scope", "admin", "--name", "ci", "--expires", "1d")

    assert done.exit_code == 0
    match = KEY.fullmatch(done.out.rstrip("\n"))
    assert match is not None
    columns = "id, name, sha256, scopes, claims, created_at, expires_at, last_used_at, revoked_at"
    (row,) = rows(database_url, f"SELECT {columns} FROM _nexusd_api_key")
    assert row[:5] == (match[1], "ci", hashlib.sha256(match[0].encode()).digest(), "workflow:*:execute admin", "{}")
    assert str(row[5]) < str(row[6])
    assert row[7:] == (None, None)
    assert match[2] not in repr(row) + done.err


def test_listed_keys_show_what_they_may_and_how_they_are_but_no_secret(keys: Nexusd) -> None:
    first = keys("create", "--scope", "admin", "--output", "json", "--claim", "tenant=acme", "--claim", "n=3").payload
    second = keys("create", "--scope", "*", "--output", "json").payload
    assert keys("revoke", first["id"]).exit_code == 0

    done = keys("list", "--output", "json")

    listed = {each["id"]: each for each in done.payload["keys"]}
    assert list(listed) == [first["id"], second["id"]]
    assert [each["status"] for each in listed.values()] == ["revoked", "active"]
    assert listed[first["id"]]["claims"] == {"tenant": "acme", "n": 3}
    assert first["key"].rpartition("_")[2] not in done.out
    made = keys("create", "--scope", "*", "--output", "table").out
    assert KEY.search(made)
    table = keys("list", "--output", "table").out
    assert table.splitlines()[0].split()[:4] == ["ID", "NAME", "SCOPES", "STATUS"]


def test_revoking_twice_keeps_the_first_time_and_an_unknown_id_is_told(keys: Nexusd, database_url: str) -> None:
    key_id = keys("create", "--scope", "*", "--output", "json").payload["id"]
    assert keys("revoke", key_id).exit_code == 0
    revoked = rows(database_url, "SELECT revoked_at FROM _nexusd_api_key")

    assert keys("revoke", key_id).exit_code == 0
    assert rows(database_url, "SELECT revoked_at FROM _nexusd_api_key") == revoked
    assert keys("revoke", "000000000000").exit_code == 66


def test_without_keys_there_is_an_empty_list(keys: Nexusd) -> None:
    assert keys("list", "--output", "json").payload == {"keys": []}
    assert keys("revoke", "000000000000").exit_code == 66


def test_a_server_that_starts_later_finds_the_key_and_makes_its_tables(
    keys: Nexusd, nexusd: Nexusd, database_url: str
) -> None:
    keys("create", "--scope", "*")

    assert nexusd("migrate", "apply", "--database-url", database_url).exit_code == 0
    assert rows(database_url, "SELECT count(*) FROM contacts") == [(0,)]
    assert rows(database_url, "SELECT count(*) FROM _nexusd_api_key") == [(1,)]


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--scope", ""),
        ("--scope", "workflow:create_contact"),
        ("--scope", "workflow:create*:execute"),
        ("--scope", "model:Contact:delete"),
        ("--scope", 'a"b'),
        ("--scope", "*", "--expires", "2001-01-01"),
        ("--scope", "*", "--expires", "2099-01-01T00:00:00"),
        ("--scope", "*", "--expires", "soon"),
        ("--scope", "*", "--expires", "0d"),
        ("--scope", "*", "--claim", "tenant"),
    ],
)
def test_what_would_make_no_usable_key_is_wrong_use(nexusd: Nexusd, words: tuple[str, ...]) -> None:
    assert nexusd("keys", "create", *words).exit_code == 2


def test_a_database_in_memory_takes_no_keys(nexusd: Nexusd) -> None:
    done = nexusd("keys", "create", "--scope", "*", "--database-url", "sqlite:///:memory:")

    assert done.exit_code == 78
