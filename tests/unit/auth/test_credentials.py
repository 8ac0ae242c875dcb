from __future__ import annotations

import pytest

from nexusd.auth.credentials import credential_of
from nexusd.errors import Unauthenticated

Headers = list[tuple[bytes, bytes]]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"authorization", b"Bearer abc")],
        [(b"authorization", b"bearer  abc ")],
        [(b"x-api-key", b"abc")],
        [(b"host", b"h"), (b"authorization", b"Bearer abc"), (b"x-api-key", b"abc")],
        [(b"x-api-key", b"abc"), (b"x-api-key", b"abc")],
    ],
)
def test_one_credential_is_taken_from_either_header(headers: Headers) -> None:
    assert credential_of(headers) == b"abc"


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ([], "missing"),
        ([(b"cookie", b"authorization=Bearer abc")], "missing"),
        ([(b"authorization", b"Basic abc")], "malformed"),
        ([(b"authorization", b"abc")], "malformed"),
        ([(b"authorization", b"Bearer ")], "malformed"),
        ([(b"x-api-key", b"")], "malformed"),
        ([(b"authorization", b"Basic abc"), (b"x-api-key", b"abc")], "malformed"),
        ([(b"authorization", b"Bearer abc"), (b"x-api-key", b"def")], "several"),
        ([(b"authorization", b"Bearer abc"), (b"authorization", b"Bearer def")], "several"),
    ],
)
def test_anything_else_is_refused_with_its_reason(headers: Headers, reason: str) -> None:
    with pytest.raises(Unauthenticated) as caught:
        credential_of(headers)

    assert caught.value.reason == reason
