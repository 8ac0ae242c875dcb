from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode

import pytest

from nexusd.databases.cursors import CursorSigner, scope_of

SIGNER = CursorSigner(b"key")
SCOPE = scope_of("Pet", ["name"], {"name": "a"})
VALUES = ["é🦜", None, 5, "9007199254740993"]


def test_cursor_gives_back_its_values() -> None:
    assert VALUES == SIGNER.read(SCOPE, SIGNER.write(SCOPE, VALUES))


def test_cursor_fits_into_a_url() -> None:
    assert set(SIGNER.write(SCOPE, VALUES)) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_every_changed_byte_is_noticed() -> None:
    data = bytearray(urlsafe_b64decode(SIGNER.write(SCOPE, ["a"]) + "=="))
    for i in range(len(data)):
        changed = bytearray(data)
        changed[i] ^= 1
        assert None is SIGNER.read(SCOPE, urlsafe_b64encode(changed).decode().rstrip("="))


@pytest.mark.parametrize("cursor", ["", "x", "é", "====", "AAAA" * 20, "\0"])
def test_what_is_no_cursor_is_noticed(cursor: str) -> None:
    assert None is SIGNER.read(SCOPE, cursor)


def test_cursor_of_another_scope_or_key_is_noticed() -> None:
    cursor = SIGNER.write(SCOPE, VALUES)
    assert None is SIGNER.read(scope_of("Pet", ["-name"], {"name": "a"}), cursor)
    assert None is CursorSigner(b"other").read(SCOPE, cursor)


def test_scope_is_the_same_whatever_the_order_of_keys() -> None:
    assert scope_of({"a": 1, "b": {"c": 2, "d": 3}}) == scope_of({"b": {"d": 3, "c": 2}, "a": 1})
