"""The section `auth` of the settings, from files and variables."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING

import pytest

from nexusd.configuration import load_settings
from nexusd.errors import ConfigurationError
from nexusd.settings import ApiKeySettings, JwtSettings, RateSettings

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "0123456789abcdef0123456789abcdef"  # noqa: S105 - a test's own
SHA256 = hashlib.sha256(b"key").hexdigest()
JWT = {"issuer": "https://i.example", "audience": "a", "secret": SECRET}


pytestmark = pytest.mark.usefixtures("in_folder")


def refused(environ: dict[str, str], path: str | None = None) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, environ)
    assert SECRET[:-1] not in caught.value.detail
    return caught.value.detail


def test_the_whole_section_is_read_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(
        f"""auth:
  enabled: true
  api_keys: [{{name: ci, sha256: {SHA256.upper()}, scopes: ["workflow:*:execute"], claims: {{tenant: acme}}}}]
  jwt: {{issuer: "https://i.example", audience: [a, b], jwks_url: "https://i.example/jwks", algorithms: [ES256]}}
  rate_limit: {{requests: 100, per_s: 60}}
"""
    )

    auth = load_settings("n.yaml", {}).auth

    assert auth.api_keys == (
        ApiKeySettings(name="ci", sha256=SHA256, scopes=("workflow:*:execute",), claims={"tenant": "acme"}),
    )
    assert auth.jwt == JwtSettings(
        issuer="https://i.example", audience=("a", "b"), jwks_url="https://i.example/jwks", algorithms=("ES256",)
    )
    assert auth.rate_limit == RateSettings(requests=100, per_s=60.0)


def test_variables_hold_json_or_one_part_each(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    whole = load_settings(None, {"NEXUSD_AUTH__JWT": json.dumps(JWT)})
    parts = load_settings(
        None,
        {
            "NEXUSD_AUTH__JWT__ISSUER": "https://i.example",
            "NEXUSD_AUTH__JWT__AUDIENCE": "a",
            "NEXUSD_AUTH__JWT__SECRET_FILE": str(tmp_path / "secret"),
            "NEXUSD_AUTH__RATE_LIMIT__REQUESTS": "5",
            "NEXUSD_AUTH__RATE_LIMIT__PER_S": "1.5",
        },
    )

    assert whole.auth.jwt == parts.auth.jwt
    assert parts.auth.jwt is not None
    assert (parts.auth.jwt.secret, parts.auth.jwt.algorithms) == (SECRET, ("HS256",))
    assert parts.auth.rate_limit == RateSettings(requests=5, per_s=1.5)
    assert SECRET not in repr(parts)


def test_a_part_from_a_variable_completes_what_the_file_says(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text("auth: {jwt: {issuer: https://i.example, audience: a}}\n")

    jwt = load_settings("n.yaml", {"NEXUSD_AUTH__JWT__SECRET": SECRET}).auth.jwt

    assert jwt is not None
    assert (jwt.issuer, jwt.secret) == ("https://i.example", SECRET)


def test_the_first_key_comes_from_its_own_variable_or_from_a_file(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("an admin key of many letters".replace(" ", "-"))

    for text in ("x" * 16, "correct horse battery staple", "schlüsselwörterei"):
        assert load_settings(None, {"NEXUSD_ADMIN_KEY": text}).auth.admin_key == text
    from_file = load_settings(None, {"NEXUSD_ADMIN_KEY_FILE": str(tmp_path / "key")}).auth.admin_key
    assert from_file == "an-admin-key-of-many-letters"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"NEXUSD_ADMIN_KEY": "x" * 15}, "NEXUSD_ADMIN_KEY: must have at least 16 characters"),
        ({"NEXUSD_ADMIN_KEY": "with a line's end\n"}, "NEXUSD_ADMIN_KEY: must have"),
        ({"NEXUSD_ADMIN_KEY": "with a blank behind "}, "NEXUSD_ADMIN_KEY: must have"),
        ({"NEXUSD_ADMIN_KEY_FILE": "missing"}, "NEXUSD_ADMIN_KEY_FILE: the file cannot be read"),
        ({"NEXUSD_AUTH__API_KEYS": "ci"}, "NEXUSD_AUTH__API_KEYS: must be JSON"),
        ({"NEXUSD_AUTH__API_KEYS": '[{"name": "a", "scopes": ["*"]}]'}, "key 1: sha256 must be set"),
        ({"NEXUSD_AUTH__API_KEYS": '[{"name": "a", "sha256": "12", "scopes": ["*"]}]'}, "key 1: sha256 must be the 64"),
        (
            {"NEXUSD_AUTH__API_KEYS": json.dumps([{"name": "a", "sha256": SHA256, "scopes": ["*"]}] * 2)},
            "two keys have the same name",
        ),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "isuer": "x"})}, "there is no 'isuer' in it"),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "issuer": ""})}, "issuer must be set"),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "audience": []})}, "audience must be set"),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "public_key": "x"})}, "one of jwks_url, public_key and secret"),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "secret": SECRET[:-1]})}, "secret must have at least 32 bytes"),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "algorithms": ["RS256"]})}, "with secret they may be HS256"),
        (
            {"NEXUSD_AUTH__JWT": json.dumps({**JWT, "secret": "", "public_key": "x", "algorithms": ["HS256"]})},
            "with public_key they may be RS256 and ES256",
        ),
        ({"NEXUSD_AUTH__JWT": json.dumps({**JWT, "algorithms": ["none"]})}, "not 'none'"),
        (
            {"NEXUSD_AUTH__JWT": json.dumps({**JWT, "secret": "", "jwks_url": "http://i.example/jwks"})},
            "jwks_url must be https",
        ),
        ({"NEXUSD_AUTH__RATE_LIMIT": '{"requests": 0, "per_s": 1}'}, "requests must be at least 1"),
        ({"NEXUSD_AUTH__RATE_LIMIT": '{"requests": 1}'}, "per_s must be set"),
        ({"NEXUSD_AUTH__JWT__ISUER": "x"}, "NEXUSD_AUTH__JWT__ISUER: no such setting"),
        ({"NEXUSD_MCP__PUBLIC_URL": "crm.example.com"}, "NEXUSD_MCP__PUBLIC_URL: must be"),
    ],
)
def test_what_would_let_in_nobody_or_everybody_is_refused(environ: dict[str, str], expected: str) -> None:
    assert expected in refused(environ)


def test_a_mistake_beside_a_secret_does_not_show_its_line(tmp_path: Path) -> None:
    (tmp_path / "n.yaml").write_text(
        f"auth:\n  jwt: {{issuer: i, secret: {SECRET}}}\n  admin_keyy: {SECRET}\ndatabase:\n  url: mysql://u:{SECRET}@h/d\n"
    )

    detail = refused({}, "n.yaml")

    assert "n.yaml:2:" in detail
    assert "did you mean 'admin_key'" in detail
