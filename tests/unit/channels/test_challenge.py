from __future__ import annotations

import pytest

from nexusd.channels.challenge import challenge
from nexusd.errors import Forbidden, Unauthenticated


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unauthenticated("send a key…"), 'Bearer realm="nexusd"'),
        (
            Unauthenticated("the key has expired", reason="expired"),
            'Bearer realm="nexusd", error="invalid_token", error_description="the key has expired"',
        ),
        (
            Forbidden('needs "a"\\\r\nX: é', scopes=("a", "b")),
            (
                'Bearer realm="nexusd", error="insufficient_scope", '
                "error_description=\"needs 'a''''X: '\", scope=\"a b\""
            ),
        ),
    ],
)
def test_a_challenge_says_what_is_missing_in_the_characters_of_a_header(
    error: Unauthenticated | Forbidden, expected: str
) -> None:
    assert challenge(error) == expected


def test_what_a_token_claims_as_a_scope_cannot_end_the_header() -> None:
    told = challenge(Forbidden("no"), scopes=["a", 'b"', "c\r\nX: y", "é", "d"], resource_metadata="http://h/m")

    assert told.endswith('scope="a d", resource_metadata="http://h/m"')
