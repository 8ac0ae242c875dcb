from __future__ import annotations

import ast
import inspect
from datetime import UTC, datetime

import pytest
from typing_extensions import TypeIs

from nexusd.auth import authenticator, key_table, keys
from nexusd.auth.keys import KeyRecord, digest_of, key_id_of, new_key, read_expiry, timestamp
from nexusd.definitions.principal import Principal

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)


def test_a_new_key_names_its_id_and_has_256_random_bits() -> None:
    made = [new_key() for _ in range(50)]

    assert len({key.text for key in made}) == 50
    assert all(key_id_of(key.text) == key.id for key in made)
    assert all(len(key.text.split("_", 2)[2]) == 43 for key in made)
    assert all(key.text not in repr(key) for key in made)


@pytest.mark.parametrize("text", ["", "nxd_", "nxd_0123456789ab_short", "NXD_0123456789ab_" + "a" * 43, "a.b.c"])
def test_what_is_no_key_has_no_id(text: str) -> None:
    assert key_id_of(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90d", "2026-07-30T12:00:00.000000Z"),
        ("12h", "2026-05-02T00:00:00.000000Z"),
        ("2w", "2026-05-15T12:00:00.000000Z"),
        ("2026-06-01", "2026-06-01T00:00:00.000000Z"),
        ("2026-06-01T12:00:00+02:00", "2026-06-01T10:00:00.000000Z"),
    ],
)
def test_an_expiry_is_a_span_a_date_or_a_time(text: str, expected: str) -> None:
    assert timestamp(read_expiry(text, NOW)) == expected


def test_a_key_is_good_until_it_expires_or_is_revoked() -> None:
    good = KeyRecord(principal=Principal("key:k"), sha256=b"", expires_at="2026-06-01T00:00:00.000000Z")

    assert good.refusal("2026-05-31T23:59:59.999999Z") is None
    assert good.refusal("2026-06-01T00:00:00.000000Z") == "expired"
    revoked = KeyRecord(principal=Principal("key:k"), sha256=b"", revoked_at="2026-01-01T00:00:00.000000Z")
    assert revoked.refusal("2026-05-01T00:00:00.000000Z") == "revoked"


def test_only_digests_are_compared_and_only_in_constant_time() -> None:
    """By construction: no `==`, `startswith` or look-up in the path of a check sees a key, only its SHA-256."""
    record = KeyRecord(principal=Principal("key:k"), sha256=digest_of("right"))
    assert record.matches(digest_of("right"))
    assert not record.matches(digest_of("wrong"))

    compared = next(node for node in ast.walk(ast.parse(inspect.getsource(keys))) if _is_call(node, "compare_digest"))
    assert [ast.unparse(argument) for argument in compared.args] == ["self.sha256", "digest"]
    for module in (authenticator, key_table):
        tree = ast.parse(inspect.getsource(module))
        names = {"credential", "text", "sha256", "digest"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Compare):
                operands = {ast.unparse(each) for each in (node.left, *node.comparators)}
                assert not names & operands, ast.unparse(node)


def _is_call(node: ast.AST, name: str) -> TypeIs[ast.Call]:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == name
