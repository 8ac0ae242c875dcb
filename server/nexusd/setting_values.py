"""Values of settings, from YAML or from the text of a variable, to their types."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final, TypeAlias
from urllib.parse import urlsplit

from nexusd.settings import ApiKeySettings, JwtSettings, RateSettings, is_loopback

if TYPE_CHECKING:
    from nexusd.settings import Setting

Convert: TypeAlias = Callable[[object, bool], object]
"""A value, and whether it is the text of a variable or flag, to a setting's value; ValueError says what is wrong."""

MIN_SECRET_BYTES: Final = 32
MIN_KEY_CHARACTERS: Final = 16


def _to_bool(value: object, text: bool) -> bool:  # noqa: FBT001 - one signature for all converters
    if text and isinstance(value, str) and value.lower() in {"true", "false", "1", "0", "yes", "no", "on", "off"}:
        return value.lower() in {"true", "1", "yes", "on"}
    if type(value) is not bool:
        message = "must be true or false"
        raise ValueError(message)
    return value


def _to_int(value: object, text: bool) -> int:  # noqa: FBT001
    if text and isinstance(value, str):
        stripped = value.strip()
        if stripped.lstrip("-").isascii() and stripped.lstrip("-").isdigit():
            return int(stripped)
    if type(value) is not int:
        message = "must be an integer"
        raise ValueError(message)
    return value


def _to_float(value: object, text: bool) -> float:  # noqa: FBT001
    if text and isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = None
    if type(value) not in (int, float) or not math.isfinite(value):  # type: ignore[arg-type]
        message = "must be a number (of seconds)"
        raise ValueError(message)
    return float(value)  # type: ignore[arg-type]


def _to_str(value: object, text: bool) -> str:  # noqa: FBT001
    if type(value) is bool and not text:
        return "true" if value else "false"  # auto_migrate is a word that may be written as a boolean
    if not isinstance(value, str):
        message = "must be text"
        raise ValueError(message)  # noqa: TRY004 - one error for all converters
    return value


def _to_list(value: object, text: bool) -> tuple[str, ...]:  # noqa: FBT001
    if text and isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except ValueError:
                value = None
        else:
            value = [word.strip() for word in value.split(",") if word.strip()]
    if not isinstance(value, list | tuple) or not all(isinstance(item, str) for item in value):
        message = "must be a list of texts (JSON, or separated by commas)"
        raise ValueError(message)
    return tuple(value)


def _to_admin_key(value: object, text: bool) -> str:  # noqa: FBT001
    key = _to_str(value, text)
    if key and (len(key) < MIN_KEY_CHARACTERS or not key.isprintable() or key != key.strip()):
        # What a header cannot carry could let nobody in.
        raise ValueError(f"must have at least {MIN_KEY_CHARACTERS} characters, no control characters, no blanks around")
    return key


def structure(value: object, text: bool, what: str) -> object:  # noqa: FBT001
    """What JSON text says, or the value itself."""
    if not text or not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError(f"must be JSON: {what}") from error


def _entries(value: object, known: Mapping[str, Convert], needed: set[str], what: str) -> dict[str, object]:
    """The entries of a mapping, converted; those that are empty are left out."""
    if not isinstance(value, dict):
        raise ValueError(f"must be {what}")  # noqa: TRY004 - one error for all converters
    unknown = sorted(str(key) for key in value if key not in known)
    if unknown:
        raise ValueError(f"there is no {unknown[0]!r} in it; it has {', '.join(known)}")
    found: dict[str, object] = {}
    for key, item in value.items():
        if item in (None, "", []):
            continue
        try:
            # Entries may come from variables of their own, so text is taken for what it says.
            found[key] = known[key](item, isinstance(item, str))
        except ValueError as error:
            raise ValueError(f"{key} {error}") from error
    missing = sorted(needed - set(found))
    if missing:
        raise ValueError(f"{' and '.join(missing)} must be set")
    return found


def _to_rate(value: object, text: bool) -> RateSettings | None:  # noqa: FBT001
    what = "{requests: 100, per_s: 60}"
    value = structure(value, text, what)
    if value is None:
        return None
    found = _entries(value, {"requests": _to_int, "per_s": _to_float}, {"requests", "per_s"}, what)
    rate = RateSettings(**found)  # type: ignore[arg-type] # the converters saw to the types
    if rate.requests < 1 or rate.per_s <= 0:
        raise ValueError("requests must be at least 1, and per_s more than 0")
    return rate


def _to_secrets(value: object, text: bool) -> Mapping[str, str]:  # noqa: FBT001
    what = 'an object of texts, such as {"CRM_TOKEN": "…"}'
    value = structure(value, text, what)
    if not isinstance(value, dict) or not all(isinstance(each, str) and each for each in value.values()):
        raise ValueError(f"must be {what}")
    return dict(value)


_SHA256: Final = re.compile(r"[0-9a-fA-F]{64}", re.ASCII)
_KEYS: Final = "a list of {name, sha256, scopes}"


def _to_sha256(value: object, text: bool) -> str:  # noqa: FBT001
    digits = _to_str(value, text)
    if not _SHA256.fullmatch(digits):
        raise ValueError("must be the 64 hexadecimal digits of the whole key's SHA-256")
    return digits.lower()


def _to_claims(value: object, _text: bool) -> Mapping[str, object]:  # noqa: FBT001
    if not isinstance(value, dict):
        raise ValueError("must be names and values")  # noqa: TRY004 - one error for all converters
    return value


def _to_api_keys(value: object, text: bool) -> tuple[ApiKeySettings, ...]:  # noqa: FBT001
    value = structure(value, text, _KEYS)
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be {_KEYS}")  # noqa: TRY004 - one error for all converters
    known: Mapping[str, Convert] = {
        "name": _to_str,
        "sha256": _to_sha256,
        "scopes": _to_list,
        "claims": _to_claims,
    }
    keys: list[ApiKeySettings] = []
    for number, entry in enumerate(value, 1):
        try:
            found = _entries(entry, known, {"name", "sha256", "scopes"}, "{name, sha256, scopes}")
        except ValueError as error:
            raise ValueError(f"key {number}: {error}") from error
        keys.append(ApiKeySettings(**found))  # type: ignore[arg-type] # the converters saw to the types
    for what, values in (("name", [key.name for key in keys]), ("sha256", [key.sha256 for key in keys])):
        if len(set(values)) < len(values):
            raise ValueError(f"two keys have the same {what}")
    return tuple(keys)


JWT_ENTRIES: Final[Mapping[str, Convert]] = {
    "issuer": _to_str,
    "audience": _to_list,
    "jwks_url": _to_str,
    "public_key": _to_str,
    "secret": _to_str,
    "algorithms": _to_list,
    "leeway_s": _to_float,
}
_JWT: Final = "{issuer, audience, and jwks_url, public_key or secret}"
_ALGORITHMS: Final = {"secret": ("HS256",), "public_key": ("RS256", "ES256"), "jwks_url": ("RS256", "ES256")}


def _to_jwt(value: object, text: bool) -> JwtSettings | None:  # noqa: FBT001
    value = structure(value, text, _JWT)
    if value is None:
        return None
    found = _entries(value, JWT_ENTRIES, {"issuer", "audience"}, _JWT)
    sources = [name for name in _ALGORITHMS if name in found]
    if len(sources) != 1:
        raise ValueError("one of jwks_url, public_key and secret must be set")
    fitting = _ALGORITHMS[sources[0]]
    jwt = JwtSettings(**{"algorithms": fitting, **found})  # type: ignore[arg-type] # the converters saw to the types
    for algorithm in jwt.algorithms:
        if algorithm not in fitting:
            # A public key that is taken for a shared secret would let anybody sign (RFC 8725, section 2.1).
            raise ValueError(f"algorithms: with {sources[0]} they may be {' and '.join(fitting)}, not {algorithm!r}")
    if jwt.secret and len(jwt.secret.encode()) < MIN_SECRET_BYTES:
        raise ValueError(f"secret must have at least {MIN_SECRET_BYTES} bytes (RFC 7518, section 3.2)")
    if jwt.leeway_s < 0:
        raise ValueError("leeway_s must not be negative")
    if jwt.jwks_url:
        _check_jwks_url(jwt.jwks_url)
    return jwt


def _check_jwks_url(url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme not in {"https", "http"} or not parts.hostname:
        raise ValueError("jwks_url must be a URL such as https://login.example.com/jwks.json")
    if parts.scheme == "http" and not is_loopback(parts.hostname):
        raise ValueError("jwks_url must be https: who can change the keys on their way can sign what they like")


CONVERTERS: Final[Mapping[type, Convert]] = {
    bool: _to_bool,
    int: _to_int,
    float: _to_float,
    str: _to_str,
    tuple: _to_list,
}
"""By the type of a setting's default."""

STRUCTURES: Final[Mapping[Setting, Convert]] = {
    ("auth", "admin_key"): _to_admin_key,
    ("auth", "api_keys"): _to_api_keys,
    ("auth", "jwt"): _to_jwt,
    ("auth", "rate_limit"): _to_rate,
    ("registry", "secrets"): _to_secrets,
}
"""For settings whose values are more than that."""

NESTED: Final[Mapping[Setting, tuple[str, ...]]] = {
    ("auth", "jwt"): tuple(JWT_ENTRIES),
    ("auth", "rate_limit"): ("requests", "per_s"),
}
"""Settings whose entries can be set by a variable each, such as NEXUSD_AUTH__JWT__ISSUER, or by the file it names."""
