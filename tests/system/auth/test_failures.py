"""Many wrong attempts from one address, and a database that does not answer: who still gets in."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Final

import pytest

from nexusd import app
from nexusd.auth.authenticator import Authenticator, fixed_keys
from nexusd.auth.key_table import KeyTable
from nexusd.auth.keys import new_key
from nexusd.auth.limits import Gcra
from nexusd.configuration import load_settings
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import DatabaseUnavailable, RateLimited, Unauthenticated
from tests.support.migrations import Heard

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from nexusd.auth.keys import NewKey
    from nexusd.definitions.principal import Principal
    from tests.support.postgres import PostgresServer

ALLOWED: Final = 5
ADMIN: Final = "an-admin-key-for-the-first-hour"


class Door:
    """An authenticator over a database, and two keys in it."""

    def __init__(self, authenticator: Authenticator, seen: NewKey, unseen: NewKey, heard: Heard) -> None:
        self._authenticator = authenticator
        self.seen = seen
        self.unseen = unseen
        self.heard = heard

    async def knock(self, credential: str, client: str = "10.0.0.1") -> Principal:
        headers = [(b"host", b"h"), (b"authorization", f"Bearer {credential}".encode())]
        return await self._authenticator(headers, channel="http", request_id="r", client=client)

    async def fail(self, credential: str = "wrong", client: str = "10.0.0.1") -> str:
        with pytest.raises((Unauthenticated, RateLimited)) as caught:
            await self.knock(credential, client)
        return type(caught.value).__name__


@contextlib.asynccontextmanager
async def opened(folder: Path, url: str) -> AsyncIterator[Door]:
    """A door at which 5 attempts may fail in an hour."""
    (folder / "r.yaml").write_text("version: 1\nmodels: {Note: {fields: {id: str}}}\n")
    variables = {"DATABASE_URL": url, "NEXUSD_REGISTRY__PATH": str(folder / "r.yaml"), "NEXUSD_ADMIN_KEY": ADMIN}
    settings = load_settings(None, variables)
    heard = Heard()
    with app.open_keys(settings) as keys:
        seen, unseen = (keys.create(name, ["*"], {}, None)[0] for name in ("seen", "unseen"))
    async with app.open_runtime(app.load(settings, PythonDefinitions())) as runtime:
        table, fixed = KeyTable(runtime.database), fixed_keys(settings.auth)
        async with Authenticator(fixed, table, None, None, heard, Gcra(ALLOWED, 3600.0)) as authenticator:
            yield Door(authenticator, seen, unseen, heard)


async def test_an_address_that_fails_too_often_is_told_to_wait_and_others_are_not(
    tmp_path: Path, sqlite_url: str
) -> None:
    async with opened(tmp_path, sqlite_url) as door:
        await door.knock(door.seen.text)
        told = [await door.fail(new_key().text) for _ in range(ALLOWED + 2)]

        assert told == ["Unauthenticated"] * ALLOWED + ["RateLimited"] * 2
        assert await door.fail(client="10.0.0.2") == "Unauthenticated"
        assert [event.policy for event in door.heard.named("limit.exceeded")] == ["failures"] * 2  # type: ignore[attr-defined]


async def test_from_such_an_address_known_keys_still_get_in(tmp_path: Path, sqlite_url: str) -> None:
    async with opened(tmp_path, sqlite_url) as door:
        await door.knock(door.seen.text)
        for _ in range(ALLOWED + 1):
            await door.fail()

        assert (await door.knock(door.seen.text)).id == f"key:{door.seen.id}"
        assert (await door.knock(ADMIN)).id == "admin"
        assert await door.fail(door.unseen.text) == "RateLimited"
        assert (await door.knock(door.unseen.text, client="10.0.0.2")).id == f"key:{door.unseen.id}"
        # Seen now, so it is looked up from anywhere.
        assert (await door.knock(door.unseen.text)).id == f"key:{door.unseen.id}"


async def test_to_come_without_a_credential_is_no_failure(tmp_path: Path, sqlite_url: str) -> None:
    async with opened(tmp_path, sqlite_url) as door:
        for _ in range(ALLOWED * 2):
            with pytest.raises(Unauthenticated):
                await door._authenticator([], channel="mcp", request_id="r", client="10.0.0.1")  # noqa: SLF001

        assert await door.fail() == "Unauthenticated"


async def test_without_its_database_a_server_says_so_and_keys_of_the_settings_still_get_in(
    tmp_path: Path, postgres_server: PostgresServer
) -> None:
    async with opened(tmp_path, postgres_server.url()) as door:
        await door.knock(door.seen.text)
        postgres_server.stop()

        assert (await door.knock(door.seen.text)).id == f"key:{door.seen.id}"
        assert (await door.knock(ADMIN)).id == "admin"
        with pytest.raises(DatabaseUnavailable):
            await door.knock(door.unseen.text)


async def test_before_anything_was_migrated_there_are_no_keys_and_the_first_one_makes_their_table(
    tmp_path: Path, database_url: str
) -> None:
    (tmp_path / "r.yaml").write_text("version: 1\nmodels: {}\n")
    variables = {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": str(tmp_path / "r.yaml")}
    settings = load_settings(None, variables | {"NEXUSD_DATABASE__AUTO_MIGRATE": "false"})
    heard = Heard()
    async with (
        app.open_runtime(app.load(settings, PythonDefinitions())) as runtime,
        Authenticator({}, KeyTable(runtime.database), None, None, heard) as authenticator,
    ):
        door = Door(authenticator, new_key(), new_key(), heard)
        assert await door.fail(door.seen.text) == "Unauthenticated"
        with app.open_keys(settings) as keys:
            key, _ = keys.create("first", ["*"], {}, None)
        assert (await door.knock(key.text)).id == f"key:{key.id}"
    assert len(heard.named("auth.locked")) == 1
