from __future__ import annotations

import pytest

from nexusd.ddl.plan import Risk
from nexusd.ddl.policy import type_change


@pytest.mark.parametrize(
    ("have", "want", "risk"),
    [
        ("character varying(40)", "character varying(80)", Risk.SAFE),
        ("character varying(40)", "text", Risk.SAFE),
        ("numeric(10,2)", "numeric(12,2)", Risk.SAFE),
        ("numeric(10,2)", "numeric", Risk.SAFE),
        ("numeric(10,2)", "numeric(12,4)", Risk.GUARDED),
        ("integer", "bigint", Risk.GUARDED),
        ("bigint", "text", Risk.GUARDED),
        ("text", "uuid", Risk.GUARDED),
        ("real", "double precision", Risk.GUARDED),
        ("bigint", "double precision", Risk.GUARDED),
        ("bigint", "integer", Risk.REFUSED),
        ("text", "character varying(40)", Risk.REFUSED),
        ("character varying(80)", "character varying(40)", Risk.REFUSED),
        ("numeric(12,2)", "numeric(10,2)", Risk.REFUSED),
        ("numeric(12,4)", "numeric(14,2)", Risk.REFUSED),
        ("numeric", "numeric(10,2)", Risk.REFUSED),
        ("double precision", "bigint", Risk.REFUSED),
        ("numeric(10,2)", "bigint", Risk.REFUSED),
        ("timestamp with time zone", "date", Risk.REFUSED),
        ("REAL", "INTEGER", Risk.REFUSED),
        ("INTEGER", "TEXT", Risk.GUARDED),
    ],
)
def test_a_change_of_type_is_safe_only_where_no_row_is_touched(have: str, want: str, risk: Risk) -> None:
    assert type_change(have, want) is risk
