"""The keys that an issuer publishes (RFC 7517): fetched beside what is being served, kept, and fetched anew.

Old keys stay good while their host does not answer: a token that they signed is still signed.
"""

from __future__ import annotations

import asyncio
import http.client
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import msgspec
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from nexusd.errors import Overloaded
from nexusd.events import JwksFailed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from nexusd.events import Observer

MAX_AGE_S: Final = 600.0
"""After this long they are fetched anew, beside what is being served."""

UNKNOWN_PAUSE_S: Final = 30.0
"""How often a token of an unknown key can have them fetched; anybody can make such tokens."""

FAILED_PAUSE_S: Final = 2.0
"""How long to wait after a failure while there are no keys at all."""

FETCH_TIMEOUT_S: Final = 5.0
MAX_BYTES: Final = 262144
MAX_KEYS: Final = 64
MIN_RSA_BITS: Final = 2048

_ALGORITHM: Final = {"RSA": "RS256", "EC": "ES256"}

VerifyingKey = tuple[str, object]
"""The algorithm that a key is for, and the key as PyJWT takes it."""


class _Jwk(msgspec.Struct):
    """What is read of a key here; PyJWT reads the rest."""

    kty: str = ""
    kid: str | None = None
    use: str = "sig"
    alg: str | None = None
    crv: str = "P-256"
    key_ops: list[str] | None = None


class JwksUnreadable(Exception):
    """The answer is no set of keys that can be used; the message says why."""


def read_jwks(text: bytes, algorithms: Sequence[str]) -> dict[str | None, list[VerifyingKey]]:
    """The keys by id; those that are for something else are passed over.

    Raises:
        JwksUnreadable: this is no key set, or none of its keys can be used.
    """
    try:
        entries = msgspec.json.decode(text, type=dict[str, msgspec.Raw]).get("keys", msgspec.Raw(b"[]"))
        keys = msgspec.json.decode(entries, type=list[dict[str, object]])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise JwksUnreadable("not a JSON Web Key Set") from error
    found: dict[str | None, list[VerifyingKey]] = {}
    for entry in keys[:MAX_KEYS]:
        key = _read_key(entry, algorithms)
        if key is not None:
            kid = entry.get("kid")
            found.setdefault(kid if isinstance(kid, str) else None, []).append(key)
    if not found:
        raise JwksUnreadable(f"no key in it is for {' or '.join(algorithms)}")
    return found


def _read_key(entry: dict[str, object], algorithms: Sequence[str]) -> VerifyingKey | None:
    try:
        jwk = msgspec.convert(entry, _Jwk)
    except msgspec.ValidationError:
        return None
    algorithm = _ALGORITHM.get(jwk.kty)
    fits = jwk.use == "sig" and jwk.alg in {None, algorithm} and "verify" in (jwk.key_ops or ["verify"])
    # A private key has no business here, and its public part may be known to whoever put it there.
    if algorithm not in algorithms or not fits or "d" in entry or (jwk.kty == "EC" and jwk.crv != "P-256"):
        return None
    try:
        key = PyJWK(entry, algorithm=algorithm)
    except (PyJWTError, ValueError, TypeError):
        return None
    size = getattr(key.key, "key_size", 0)
    return None if jwk.kty == "RSA" and size < MIN_RSA_BITS else (str(algorithm), key.key)


class KeySet:
    """The keys of one issuer, by key id.

    Args:
        url: where they are published.
        algorithms: those that are taken.
        observe: told when they cannot be had.
        clock: seconds.
    """

    def __init__(
        self, url: str, algorithms: Sequence[str], observe: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._url = url
        self._algorithms = algorithms
        self._observe = observe
        self._clock = clock
        self._keys: dict[str | None, list[VerifyingKey]] = {}
        self._fetched_at = -MAX_AGE_S
        self._tried_at = -UNKNOWN_PAUSE_S
        self._fetching: asyncio.Task[None] | None = None

    async def find(self, kid: str | None) -> Sequence[VerifyingKey]:
        """The keys that may have signed a token with this key id; all of them for one without.

        Raises:
            Overloaded: there are no keys, since their host does not answer.
        """
        now = self._clock()
        if not self._keys:
            if now - self._tried_at >= FAILED_PAUSE_S or self._fetching is not None:
                await asyncio.shield(self.refresh())
            if not self._keys:
                raise Overloaded("the keys of the token's issuer cannot be had now; try again later")
        elif kid is not None and kid not in self._keys and now - self._tried_at >= UNKNOWN_PAUSE_S:
            await asyncio.shield(self.refresh())
        elif now - self._fetched_at >= MAX_AGE_S and now - self._tried_at >= UNKNOWN_PAUSE_S:
            self.refresh()
        if kid is None:
            return [key for keys in self._keys.values() for key in keys]
        return self._keys.get(kid, ())

    def refresh(self) -> asyncio.Task[None]:
        """Fetch them, once at a time; the task ends when that has been tried."""
        if self._fetching is None:
            self._tried_at = self._clock()
            self._fetching = asyncio.create_task(self._fetch())
            self._fetching.add_done_callback(self._fetched)
        return self._fetching

    def _fetched(self, _task: asyncio.Task[None]) -> None:
        self._fetching = None

    async def _fetch(self) -> None:
        try:
            text = await asyncio.to_thread(_get, self._url)
            self._keys = read_jwks(text, self._algorithms)
        except JwksUnreadable as error:
            self._observe(JwksFailed(str(error)))
        except (OSError, http.client.HTTPException) as error:
            self._observe(JwksFailed(f"no answer ({type(error).__name__})"))
        else:
            self._fetched_at = self._clock()

    async def close(self) -> None:
        """Give up what is being fetched."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.wait([self._fetching])


def _get(url: str) -> bytes:
    """What is at a URL, by a direct request: no proxy, no redirect.

    Raises:
        OSError, HTTPException: there is no answer.
        JwksUnreadable: there is, but not what was asked for.
    """
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=FETCH_TIMEOUT_S)
    try:
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", path, headers={"Accept": "application/json", "Connection": "close"})
        answer = connection.getresponse()
        text = answer.read(MAX_BYTES + 1)
    finally:
        connection.close()
    if answer.status != http.client.OK or len(text) > MAX_BYTES:
        raise JwksUnreadable(f"answered {answer.status} with {len(text)} bytes")
    return text
