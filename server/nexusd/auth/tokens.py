"""JSON Web Tokens (RFC 7519, checked as RFC 8725 and RFC 9068 ask): who an issuer says is calling.

Which algorithm and key verify a token is known before it is looked at: from the settings, or from the kind of the key
that its issuer publishes. What the token says of itself only has to agree.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, TypeAlias

import jwt
from jwt import exceptions
from jwt.algorithms import get_default_algorithms

from nexusd.auth.jwks import MIN_RSA_BITS, KeySet, VerifyingKey
from nexusd.definitions.principal import Principal
from nexusd.errors import ConfigurationError, Problem, Unauthenticated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.events import Observer
    from nexusd.settings import JwtSettings

FindKeys: TypeAlias = Callable[[str | None], Awaitable[Sequence[VerifyingKey]]]
"""The keys that may have signed a token with this key id."""

_REQUIRED: Final = ["exp", "iss", "aud"]
_TIMES: Final = frozenset({"exp", "nbf", "iat"})
_REASONS: Final[Mapping[type[exceptions.PyJWTError], tuple[str, str]]] = {
    exceptions.ExpiredSignatureError: ("expired", "the token has expired"),
    exceptions.ImmatureSignatureError: ("not_yet_valid", "the token is not valid yet"),
    exceptions.InvalidAudienceError: ("audience", "the token is for another audience"),
    exceptions.InvalidIssuerError: ("issuer", "the token is from another issuer"),
    exceptions.MissingRequiredClaimError: ("incomplete", "the token lacks exp, iss or aud"),
    exceptions.InvalidSignatureError: ("signature", "the token is not signed by a key that is trusted"),
    exceptions.InvalidAlgorithmError: ("signature", "the token is not signed by a key that is trusted"),
}
_UNFIT: Final = re.compile("[\\0\\ud800-\\udfff]")
_INVALID: Final = ("malformed", "the token is not valid")


@dataclass(frozen=True, slots=True)
class Verified:
    """A token that is good.

    Attributes:
        expires_at: seconds since 1970, the leeway included.
    """

    principal: Principal
    expires_at: float


class Tokens:
    """Verifies the tokens of one issuer.

    Args:
        settings: whose tokens, for whom.
        find_keys: the keys.
    """

    def __init__(self, settings: JwtSettings, find_keys: FindKeys) -> None:
        self._settings = settings
        self._find_keys = find_keys

    async def verify(self, token: bytes) -> Verified:
        """Who calls.

        Raises:
            Unauthenticated: the token is not good; its reason says why.
            Overloaded: the issuer's keys cannot be had now.
        """
        try:
            kid = jwt.get_unverified_header(token).get("kid")
        except exceptions.PyJWTError as error:
            raise Unauthenticated(_INVALID[1], reason=_INVALID[0]) from error
        keys = await self._find_keys(kid if isinstance(kid, str) else None)
        failure: exceptions.PyJWTError = exceptions.InvalidSignatureError()
        for algorithm, key in keys:
            try:
                return self._verified(self._decoded(token, algorithm, key), token)
            except (exceptions.InvalidSignatureError, exceptions.InvalidAlgorithmError) as error:
                failure = error
            except exceptions.PyJWTError as error:
                # It was signed by this key, or cannot be read at all: no other will do better.
                failure = error
                break
        reason, detail = next((told for kind, told in _REASONS.items() if isinstance(failure, kind)), _INVALID)
        raise Unauthenticated(detail, reason=reason) from failure

    def _decoded(self, token: bytes, algorithm: str, key: object) -> dict[str, Any]:
        settings = self._settings
        try:
            claims = jwt.decode(
                token,
                key,  # type: ignore[arg-type] # as get_default_algorithms or PyJWK have made it
                algorithms=[algorithm],
                audience=settings.audience,
                issuer=settings.issuer,
                leeway=settings.leeway_s,
                options={"require": _REQUIRED},
            )
            for name in _TIMES & claims.keys():
                float(claims[name])
        except OverflowError as error:
            raise exceptions.DecodeError("a time is beyond every number") from error
        if not _is_plain(claims):
            raise exceptions.DecodeError("a text has a character that nothing else takes")
        return claims

    def _verified(self, claims: dict[str, Any], token: bytes) -> Verified:
        scopes: set[str] = set()
        for name in ("scope", "scopes"):
            value = claims.get(name)
            if isinstance(value, str):
                scopes |= set(value.split())
            elif isinstance(value, list):
                scopes |= {item for item in value if isinstance(item, str)}
        principal = Principal(f"jwt:{_subject(claims, token)}", frozenset(scopes), claims)
        return Verified(principal, float(claims["exp"]) + self._settings.leeway_s)


def _is_plain(claims: object) -> bool:
    """Whether no text in it has a NUL or half a surrogate pair: escapes can name them (RFC 8259, section 8.2)."""
    left = [claims]
    while left:
        value = left.pop()
        if isinstance(value, str):
            if _UNFIT.search(value) is not None:
                return False
        elif isinstance(value, dict):
            left += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            left += value
    return True


def _subject(claims: Mapping[str, object], token: bytes) -> str:
    """Who the token is about; for one that does not say, what tells it from others, under a name no subject has."""
    for name, kind in (("sub", ""), ("client_id", "client:"), ("jti", "token:")):
        value = claims.get(name)
        if isinstance(value, str) and value:
            return f"{kind}{value}"
    return hashlib.sha256(token).hexdigest()[:16]


def static_keys(settings: JwtSettings) -> list[VerifyingKey]:
    """The keys that the settings hold themselves.

    Raises:
        ConfigurationError: `public_key` is none that fits one of the algorithms.
    """
    if settings.secret:
        return [("HS256", settings.secret.encode())]
    known = get_default_algorithms()
    for algorithm in settings.algorithms:
        try:
            key = known[algorithm].prepare_key(settings.public_key)
        except (exceptions.PyJWTError, ValueError, TypeError):
            continue
        if hasattr(key, "private_bytes"):
            raise ConfigurationError([Problem("auth.jwt: public_key is a private key; give its public part")])
        if algorithm == "RS256" and getattr(key, "key_size", 0) < MIN_RSA_BITS:
            raise ConfigurationError([Problem(f"auth.jwt: public_key must have at least {MIN_RSA_BITS} bits")])
        return [(algorithm, key)]
    fitting = " or ".join(settings.algorithms)
    raise ConfigurationError([Problem(f"auth.jwt: public_key is no public key in PEM form for {fitting}")])


def find_keys(settings: JwtSettings, observe: Observer) -> tuple[FindKeys, KeySet | None]:
    """Where the keys come from; and the published set, if they do from there."""
    if settings.jwks_url:
        published = KeySet(settings.jwks_url, settings.algorithms, observe)
        return published.find, published
    keys = static_keys(settings)

    async def find(_kid: str | None) -> Sequence[VerifyingKey]:
        return keys

    return find, None
