"""API keys: what one looks like, what is kept of it, and whether it is still good.

A key is `nxd_<id>_<secret>`: the prefix is for people and secret scanners, the id finds the record, the secret has 256
random bits. Of the whole text only the SHA-256 is kept; a slow hash is for passwords, which can be guessed.
"""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from hmac import compare_digest
from typing import TYPE_CHECKING, Final

from nexusd.definitions.principal import Principal

if TYPE_CHECKING:
    from collections.abc import Mapping

PREFIX: Final = "nxd_"
SECRET_BYTES: Final = 32

_FORM: Final = re.compile(r"nxd_([0-9a-f]{12})_[A-Za-z0-9_-]{43}", re.ASCII)
_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([smhdw])", re.ASCII)
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was just made; the only moment in which its text exists."""

    id: str
    text: str = field(repr=False)

    @property
    def sha256(self) -> bytes:
        """What is kept of it."""
        return digest_of(self.text)


def new_key() -> NewKey:
    """A key from the system's random source."""
    key_id = secrets.token_hex(6)
    return NewKey(key_id, f"{PREFIX}{key_id}_{secrets.token_urlsafe(SECRET_BYTES)}")


def digest_of(text: str) -> bytes:
    """The SHA-256 of a credential."""
    return hashlib.sha256(text.encode()).digest()


def key_id_of(text: str) -> str | None:
    """The id in a key's text; None if this does not look like a key of ours."""
    match = _FORM.fullmatch(text)
    return None if match is None else match[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """What is known of a key.

    Attributes:
        sha256: of its whole text.
        expires_at, revoked_at: RFC 3339 in UTC with six digits, so that text order is time order; None: never.
    """

    principal: Principal
    sha256: bytes = field(repr=False)
    expires_at: str | None = None
    revoked_at: str | None = None

    def matches(self, digest: bytes) -> bool:
        """Whether this is the key with that digest; takes as long whatever differs."""
        return compare_digest(self.sha256, digest)

    def refusal(self, now: str) -> str | None:
        """Why the key is no longer good: `revoked`, `expired`, or None while it is."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else None


def key_principal(name: str, scopes: frozenset[str], claims: Mapping[str, object]) -> Principal:
    """The caller behind a key; its claims say what row policies may know, `sub` its id unless they say otherwise."""
    principal_id = f"key:{name}"
    return Principal(principal_id, scopes, {"sub": principal_id, **claims})


def timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with six digits."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def read_expiry(text: str, now: datetime) -> datetime:
    """When a key expires that is to last until `text`: a span such as `90d`, a date, or RFC 3339 with offset.

    Raises:
        ValueError: it is none of these, or has passed.
    """
    span = _SPAN.fullmatch(text)
    if span is not None:
        return now + timedelta(seconds=int(span[1]) * _SECONDS[span[2]])
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ValueError("must be a span such as 90d, 12h, a date, or a time such as 2027-01-31T12:00:00Z") from error
    if moment.tzinfo is None:
        if len(text) > len("2027-01-31"):
            raise ValueError("a time needs an offset, such as 2027-01-31T12:00:00Z")
        moment = moment.replace(tzinfo=UTC)
    if moment <= now:
        raise ValueError("has passed already")
    return moment
