"""From the headers of a request to the caller behind it, the same for every door."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Self

from nexusd.auth.credentials import credential_of
from nexusd.auth.keys import KeyRecord, digest_of, key_id_of, key_principal, timestamp
from nexusd.auth.limits import Gcra
from nexusd.definitions.access import EVERYTHING, scope_fault
from nexusd.definitions.principal import Principal
from nexusd.errors import ConfigurationError, NexusError, Problem, RateLimited, Unauthenticated
from nexusd.events import AuthLocked, AuthRefused, LimitExceeded

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from types import TracebackType

    from nexusd.auth.jwks import KeySet
    from nexusd.auth.key_table import KeyTable
    from nexusd.auth.tokens import Tokens
    from nexusd.events import Observer
    from nexusd.settings import AuthSettings

KEY_CACHE_S: Final = 5.0
"""How long a key is good without being looked up again: so long a revoked one may still let in."""

TOKEN_CACHE_S: Final = 60.0
MAX_CACHED: Final = 10_000

FAILURES: Final = 600
FAILURES_PER_S: Final = 60.0
"""Failed attempts of one address, before they are told to wait."""

_UNKNOWN: Final = "the key or token is not known here"
_OVER: Final = {"revoked": "the key was revoked", "expired": "the key has expired"}


class Authenticator:
    """Knows callers by their keys and tokens; a context manager, open while it is used.

    What is kept of a credential is its SHA-256: it is the key of every table here, and what is compared at last, so how
    long that takes says nothing about a secret.

    Args:
        fixed: keys of the settings by digest.
        table: keys of the database.
        tokens: None: no tokens are taken.
        published: where the keys of the tokens' issuer come from, if they are fetched.
        observe: told who was refused.
    """

    def __init__(
        self,
        fixed: Mapping[bytes, KeyRecord],
        table: KeyTable,
        tokens: Tokens | None,
        published: KeySet | None,
        observe: Observer,
        failures: Gcra | None = None,
    ) -> None:
        self._fixed = fixed
        self._table = table
        self._tokens = tokens
        self._published = published
        self._observe = observe
        self._failures = failures or Gcra(FAILURES, FAILURES_PER_S)
        self._recent: OrderedDict[bytes, tuple[Principal, float]] = OrderedDict()
        self.sight: Callable[[Principal], str] = _alike

    async def __aenter__(self) -> Self:
        if self._published is not None:
            self._published.refresh()
        if not self._fixed and self._tokens is None and await self._table.is_empty():
            self._observe(AuthLocked())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._published is not None:
            await self._published.close()
        await self._table.close()

    async def __call__(
        self, headers: Iterable[tuple[bytes, bytes]], *, channel: str, request_id: str, client: str | None
    ) -> Principal:
        """Who sent a request with these headers.

        Args:
            headers: names in lower case.
            channel: the door.
            request_id: of the request.
            client: its address, for which failures are counted.

        Raises:
            Unauthenticated: nobody that is known.
            RateLimited: nor were many others from that address.
            DatabaseUnavailable: the key cannot be looked up.
            Overloaded: the keys of a token's issuer cannot be had.
        """
        try:
            credential = credential_of(headers)
            digest = hashlib.sha256(credential).digest()
            recent = self._recent.get(digest)
            if recent is not None and recent[1] > time.monotonic():
                return self._seeing(recent[0])
            return self._seeing(await self._known(credential, digest, client))
        except Unauthenticated as error:
            self._observe(AuthRefused(channel, error.reason, request_id, client))
            if error.reason != "missing":
                self._count_failure(error, channel, request_id, client)
            raise

    async def still_knows(
        self, headers: Iterable[tuple[bytes, bytes]], *, channel: str, request_id: str, client: str | None
    ) -> bool:
        """Whether who was let in would be let in again; where that cannot be found out, it is taken to be so."""
        try:
            await self(headers, channel=channel, request_id=request_id, client=client)
        except (Unauthenticated, RateLimited):
            return False
        except NexusError:
            return True
        return True

    def _seeing(self, principal: Principal) -> Principal:
        sight = self.sight(principal)
        return replace(principal, sight=sight) if sight else principal

    async def _known(self, credential: bytes, digest: bytes, client: str | None) -> Principal:
        fixed = self._fixed.get(digest)
        if fixed is not None and fixed.matches(digest):
            return fixed.principal
        text = credential.decode("latin-1")
        key_id = key_id_of(text)
        if key_id is not None:
            return await self._by_key(key_id, digest, client)
        if self._tokens is not None and credential.count(b".") == 2:  # noqa: PLR2004 - a token has three parts
            verified = await self._tokens.verify(credential)
            self._remember(digest, verified.principal, min(TOKEN_CACHE_S, verified.expires_at - time.time()))
            return verified.principal
        raise Unauthenticated(_UNKNOWN, reason="unknown")

    async def _by_key(self, key_id: str, digest: bytes, client: str | None) -> Principal:
        if not self._table.knows(key_id) and self._failures.wait_s(client, time.monotonic()) > 0:
            # Made-up ids must not become a load on the database; keys that were seen here before still get in.
            raise Unauthenticated(_UNKNOWN, reason="unknown")
        record = await self._table.find(key_id)
        if record is None or not record.matches(digest):
            raise Unauthenticated(_UNKNOWN, reason="unknown")
        now = datetime.now(UTC)
        refusal = record.refusal(timestamp(now))
        if refusal is not None:
            raise Unauthenticated(_OVER[refusal], reason=refusal)
        self._table.note_use(key_id)
        lasts_s = KEY_CACHE_S
        if record.expires_at is not None:
            lasts_s = min(lasts_s, (datetime.fromisoformat(record.expires_at) - now).total_seconds())
        self._remember(digest, record.principal, lasts_s)
        return record.principal

    def _remember(self, digest: bytes, principal: Principal, lasts_s: float) -> None:
        self._recent[digest] = (principal, time.monotonic() + lasts_s)
        self._recent.move_to_end(digest)
        if len(self._recent) > MAX_CACHED:
            self._recent.popitem(last=False)

    def _count_failure(self, error: Unauthenticated, channel: str, request_id: str, client: str | None) -> None:
        """Count it for the address; beyond the limit it is told to wait instead.

        Raises:
            RateLimited: too many have failed from there.
        """
        now = time.monotonic()
        wait_s = self._failures.wait_s(client, now)
        if wait_s == 0:
            self._failures.take(client, now)
            return
        self._observe(LimitExceeded(channel, "failures", request_id, None, None))
        raise RateLimited("too many failed attempts to authenticate; try again later", retry_after_s=wait_s) from error


def _alike(_principal: Principal) -> str:
    return ""


def fixed_keys(settings: AuthSettings) -> dict[bytes, KeyRecord]:
    """The keys of the settings by digest.

    Raises:
        ConfigurationError: a scope is none.
    """
    problems: list[Problem] = []
    fixed: dict[bytes, KeyRecord] = {}
    for key in settings.api_keys:
        faults = [f"{scope!r} {fault}" for scope in key.scopes if (fault := scope_fault(scope)) is not None]
        problems += [Problem(f"auth.api_keys: key {key.name!r}: {fault}") for fault in faults]
        digest = bytes.fromhex(key.sha256)
        principal = key_principal(key.name, frozenset(key.scopes), key.claims)
        fixed[digest] = KeyRecord(principal=principal, sha256=digest)
    if problems:
        raise ConfigurationError(problems)
    if settings.admin_key:
        digest = digest_of(settings.admin_key)
        admin = Principal("admin", frozenset({EVERYTHING}), {"sub": "admin"})
        fixed[digest] = KeyRecord(principal=admin, sha256=digest)
    return fixed
