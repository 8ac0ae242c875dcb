from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest
from jwt import api_jws

from nexusd.auth.jwks import JwksUnreadable, KeySet, read_jwks
from nexusd.auth.tokens import Tokens, find_keys
from nexusd.errors import ConfigurationError, Overloaded, Unauthenticated
from nexusd.events import ignore
from nexusd.settings import JwtSettings
from tests.support.migrations import Heard
from tests.support.tokens import (
    AUDIENCE,
    ISSUER,
    SECRET,
    Issuer,
    claims,
    confused,
    ec_key,
    jwk,
    private_pem,
    public_pem,
    rsa_key,
    signed,
    unsigned,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nexusd.definitions.principal import Principal

RSA, EC, OTHER = rsa_key(), ec_key(), rsa_key()
BOTH = ("RS256", "ES256")


def tokens(**settings: object) -> Tokens:
    jwt = JwtSettings(issuer=ISSUER, audience=(AUDIENCE,), **settings)  # type: ignore[arg-type]
    return Tokens(jwt, find_keys(jwt, ignore)[0])


HS256 = tokens(secret=SECRET, algorithms=("HS256",))
RS256 = tokens(public_key=public_pem(RSA), algorithms=BOTH)
ES256 = tokens(public_key=public_pem(EC), algorithms=BOTH)


async def principal(verifier: Tokens, token: str) -> Principal:
    return (await verifier.verify(token.encode())).principal


async def reason(verifier: Tokens, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        await verifier.verify(token.encode())
    assert token not in str(caught.value)
    return caught.value.reason


@pytest.mark.parametrize(
    ("verifier", "key", "algorithm"), [(HS256, SECRET, "HS256"), (RS256, RSA, "RS256"), (ES256, EC, "ES256")]
)
async def test_each_algorithm_lets_in_whom_its_key_has_signed(verifier: Tokens, key: object, algorithm: str) -> None:
    caller = await principal(verifier, signed(key, algorithm, claims("a b", tenant="acme")))

    assert (caller.id, caller.scopes) == ("jwt:alice", frozenset({"a", "b"}))
    assert (caller.claims["sub"], caller.claims["tenant"]) == ("alice", "acme")


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"scope": None, "scopes": ["a", "b"]}, {"a", "b"}),
        ({"scope": "a", "scopes": ["b"]}, {"a", "b"}),
        ({"scope": None}, set()),
        ({"scope": 5, "scopes": [7, "a"]}, {"a"}),
    ],
)
async def test_scopes_are_words_or_a_list(more: dict[str, object], expected: set[str]) -> None:
    assert (await principal(HS256, signed(SECRET, "HS256", claims(**more)))).scopes == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({"exp": int(time.time()) - 60}, "expired"),
        ({"exp": None}, "incomplete"),
        ({"exp": "soon"}, "malformed"),
        ({"nbf": int(time.time()) + 60}, "not_yet_valid"),
        ({"iat": int(time.time()) + 60}, "not_yet_valid"),
        ({"aud": "https://other.example.com"}, "audience"),
        ({"aud": [AUDIENCE + "/"]}, "audience"),
        ({"aud": None}, "incomplete"),
        ({"iss": "https://evil.example.com"}, "issuer"),
        ({"iss": ISSUER + "/"}, "issuer"),
        ({"iss": None}, "incomplete"),
        ({"sub": 5}, "malformed"),
        ({"exp": 10**400}, "malformed"),
        ({"nbf": -(10**400)}, "malformed"),
        ({"iat": -(10**400)}, "malformed"),
        ({"sub": "a\ud800"}, "malformed"),
        ({"sub": "a\0"}, "malformed"),
        ({"scope": "a \udfff"}, "malformed"),
        ({"tenant": "\0"}, "malformed"),
        ({"groups": [["a"], {"names": ["b", "\ud800"]}]}, "malformed"),
        ({"names": {"\udc00": True}}, "malformed"),
    ],
)
async def test_a_signed_token_that_is_not_for_here_and_now_is_refused(more: dict[str, object], expected: str) -> None:
    assert await reason(HS256, signed(SECRET, "HS256", claims(**more))) == expected  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "text"), [("exp", b"1e400"), ("exp", b"Infinity"), ("nbf", b"NaN"), ("exp", b"1" * 5000)]
)
async def test_a_time_that_is_no_number_is_refused(name: str, text: bytes) -> None:
    payload = json.dumps(claims(**{name: "here"})).encode().replace(b'"here"', text)
    token = api_jws.encode(payload, SECRET, "HS256")

    assert await reason(HS256, token) == "malformed"


async def test_letters_of_any_script_are_plain() -> None:
    assert (await principal(HS256, signed(SECRET, "HS256", claims(sub="Zoë \U0001f600")))).id == "jwt:Zoë \U0001f600"


async def test_clocks_may_differ_by_the_leeway() -> None:
    now = int(time.time())
    lenient = tokens(secret=SECRET, algorithms=("HS256",), leeway_s=120.0)

    verified = await lenient.verify(signed(SECRET, "HS256", claims(exp=now - 60, nbf=now + 60)).encode())

    assert verified.expires_at == now + 60


@pytest.mark.parametrize("audience", [AUDIENCE, ["x", AUDIENCE]])
async def test_a_token_may_name_several_audiences(audience: object) -> None:
    assert (await principal(HS256, signed(SECRET, "HS256", claims(aud=audience)))).id == "jwt:alice"


@pytest.mark.parametrize(
    ("verifier", "token"),
    [
        (HS256, unsigned(claims())),
        (RS256, unsigned(claims())),
        (RS256, confused(public_pem(RSA), claims())),
        (ES256, confused(public_pem(EC), claims())),
        (HS256, signed(SECRET, "HS512", claims())),
        (HS256, signed(RSA, "RS256", claims())),
        (RS256, signed(OTHER, "RS256", claims())),
        (RS256, signed(RSA, "PS256", claims())),
        (RS256, signed(EC, "ES256", claims())),
        (ES256, signed(RSA, "RS256", claims())),
    ],
)
async def test_what_the_token_says_of_its_algorithm_changes_nothing(verifier: Tokens, token: str) -> None:
    assert await reason(verifier, token) == "signature"


@pytest.mark.parametrize("token", ["a.b.c", "..", "e30.e30.e30", "é.é.é", "eyJhbGciOiJIUzI1NiJ9.W10."])
async def test_what_is_no_token_is_refused(token: str) -> None:
    assert await reason(HS256, token) in {"malformed", "signature"}


async def test_a_changed_token_is_refused() -> None:
    head, payload, signature = signed(SECRET, "HS256", claims("read")).split(".")
    other = signed("another secret of thirty-two bytes or more", "HS256", claims("*")).split(".")

    assert await reason(HS256, f"{head}.{other[1]}.{signature}") == "signature"
    assert await reason(HS256, f"{head}.{payload}.{signature[:-4]}") in {"malformed", "signature"}


@pytest.mark.parametrize(
    "pem", ["", "no key", private_pem(RSA), public_pem(rsa_key(1024)), "-----BEGIN PUBLIC KEY-----"]
)
def test_a_public_key_that_cannot_be_one_is_a_mistake_of_the_configuration(pem: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        tokens(public_key=pem, algorithms=BOTH)

    assert not pem or pem not in str(caught.value)


# Published keys


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def issuer() -> Iterator[Issuer]:
    with Issuer() as issuer:
        issuer.publish(jwk(RSA, kid="one", use="sig", alg="RS256"), jwk(EC, kid="two"))
        yield issuer


def published(issuer: Issuer, clock: Clock, heard: Heard | None = None) -> Tokens:
    jwt = JwtSettings(issuer=ISSUER, audience=(AUDIENCE,), jwks_url=f"{issuer.url}/jwks", algorithms=BOTH)
    return Tokens(jwt, KeySet(jwt.jwks_url, BOTH, heard or ignore, clock).find)


async def test_published_keys_are_fetched_once_for_all_tokens(issuer: Issuer) -> None:
    verifier = published(issuer, Clock())

    for key, algorithm, kid in ((RSA, "RS256", "one"), (EC, "ES256", "two"), (RSA, "RS256", None)):
        assert (await principal(verifier, signed(key, algorithm, claims(), kid))).id == "jwt:alice"
    assert issuer.asked == ["/jwks"]


async def test_a_key_id_of_another_key_lets_nobody_in(issuer: Issuer) -> None:
    verifier = published(issuer, Clock())

    assert await reason(verifier, signed(OTHER, "RS256", claims(), "one")) == "signature"
    assert await reason(verifier, signed(RSA, "RS256", claims(), "two")) == "signature"


async def test_a_new_key_is_found_and_unknown_ones_fetch_once_in_thirty_seconds(issuer: Issuer) -> None:
    clock = Clock()
    verifier = published(issuer, clock)
    await principal(verifier, signed(RSA, "RS256", claims(), "one"))
    issuer.publish(jwk(OTHER, kid="three"))
    token = signed(OTHER, "RS256", claims(), "three")

    assert [await reason(verifier, token) for _ in range(3)] == ["signature"] * 3
    clock.now += 30
    assert (await principal(verifier, token)).id == "jwt:alice"
    assert await reason(verifier, signed(RSA, "RS256", claims(), "one")) == "signature"
    assert len(issuer.asked) == 2


async def test_known_keys_outlive_their_host(issuer: Issuer) -> None:
    clock, heard = Clock(), Heard()
    verifier = published(issuer, clock, heard)
    await principal(verifier, signed(RSA, "RS256", claims(), "one"))
    issuer.documents["/jwks"] = None
    clock.now += 100_000

    assert (await principal(verifier, signed(RSA, "RS256", claims(), "one"))).id == "jwt:alice"
    assert await reason(verifier, signed(OTHER, "RS256", claims(), "three")) == "signature"
    clock.now += 31
    assert await reason(verifier, signed(OTHER, "RS256", claims(), "three")) == "signature"
    assert len(heard.named("jwks.failed")) >= 1


@pytest.mark.parametrize("document", [None, 404, [], {}, {"keys": {}}, {"keys": [5]}, {"keys": []}])
async def test_without_any_key_a_token_is_told_to_come_back(issuer: Issuer, document: object) -> None:
    issuer.documents["/jwks"] = document
    heard = Heard()
    verifier = published(issuer, Clock(), heard)

    with pytest.raises(Overloaded):
        await principal(verifier, signed(RSA, "RS256", claims(), "one"))
    assert len(heard.named("jwks.failed")) == 1


@pytest.mark.parametrize(
    "text",
    [
        b'{"keys":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"keys":[],"more":' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b'{"keys":[{"kty":"RSA","x5c":' + b"[" * 50_000 + b"]" * 50_000 + b"}]}",
    ],
)
async def test_a_key_set_that_is_nested_too_deeply_is_no_key_set(issuer: Issuer, text: bytes) -> None:
    issuer.documents["/jwks"] = text
    heard = Heard()
    verifier = published(issuer, Clock(), heard)

    with pytest.raises(Overloaded):
        await principal(verifier, signed(RSA, "RS256", claims(), "one"))
    assert [event.reason for event in heard.named("jwks.failed")] == ["not a JSON Web Key Set"]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "entry",
    [
        jwk(RSA, use="enc"),
        jwk(RSA, alg="RS512"),
        jwk(RSA, alg="HS256"),
        jwk(RSA, key_ops=["encrypt"]),
        jwk(rsa_key(1024)),
        jwk(EC, crv="P-384"),
        jwk(RSA, d="AQAB"),
        jwk(RSA, n=7),
        {"kty": "oct", "k": "AAAA", "alg": "HS256"},
        {"kty": 5},
    ],
)
def test_a_published_key_for_something_else_is_passed_over(entry: dict[str, object]) -> None:
    with pytest.raises(JwksUnreadable):
        read_jwks(json.dumps({"keys": [entry]}).encode(), BOTH)
