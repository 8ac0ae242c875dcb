"""Any value of any type comes back in its canonical form, from both databases, alone and in bulk."""

from __future__ import annotations

import json
from base64 import b64encode
from typing import TYPE_CHECKING, cast

import msgspec
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nexusd.definitions.wire import check_value, normalise
from tests.support.models import EVERY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.nodes import Bench

Record = dict[str, object]

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=30)
INTEGERS = st.integers(-(2**53) + 1, 2**53 - 1)
FLOATS = st.floats(allow_nan=False, allow_infinity=False)
DATES = st.dates().map(str)
TIMES = st.times().map(str)
DATETIMES = st.datetimes().map(lambda moment: f"{moment.isoformat()}Z")
UUIDS = st.uuids().map(str)
BYTES = st.binary(max_size=20).map(lambda data: b64encode(data).decode())
DECIMALS = st.decimals(allow_nan=False, allow_infinity=False, places=9, min_value=-(10**20), max_value=10**20).map(
    lambda number: format(number, "f")
)
JSON = st.recursive(
    st.none() | st.booleans() | INTEGERS | TEXT | st.floats(-1e15, 1e15),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=5,
)


def money(precision: int, scale: int) -> st.SearchStrategy[str]:
    """Decimals that fill a column."""
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(
        lambda digits: f"{'-' if digits < 0 else ''}{abs(digits) // 10**scale}.{abs(digits) % 10**scale:0{scale}}"
    )


SCALARS: dict[str, st.SearchStrategy[object]] = {
    "str": TEXT,
    "int": INTEGERS,
    "bigint": st.integers(-(2**63), 2**63 - 1).map(str),
    "float": FLOATS,
    "decimal": DECIMALS,
    "bool": st.booleans(),
    "datetime": DATETIMES,
    "date": DATES,
    "time": TIMES,
    "uuid": UUIDS,
    "bytes": BYTES,
}

FIELDS: dict[str, st.SearchStrategy[object]] = {
    **{f"{name}_value": st.none() | values for name, values in SCALARS.items()},
    **{f"{name}_list": st.none() | st.lists(values, max_size=3) for name, values in SCALARS.items()},
    "json_value": JSON,
    "enum_value": st.sampled_from([None, "a", "b"]),
    "money": st.none() | money(15, 4),
    "long_money": st.none() | money(38, 10),
}

RECORDS = st.fixed_dictionaries({}, optional=FIELDS)


def canonical(record: Record) -> Record:
    """The record as it must come back."""
    normal = {name: normalise(EVERY.by_name[name], value) for name, value in record.items()}
    return cast("Record", json.loads(msgspec.json.encode(normal)))


def fields_of(record: object, names: Record) -> Record:
    """The fields that were given."""
    return {name: cast("Record", record)[name] for name in names}


def test_records_come_back_in_canonical_form(open_bench: Callable[..., Bench]) -> None:
    bench = open_bench(EVERY)

    @settings(max_examples=60, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(RECORDS, min_size=1, max_size=4))
    @example([{"bigint_value": "9007199254740993", "decimal_value": "0.10", "long_money": "1234567890123456789.0"}])
    @example([{"str_value": "🦜e\u0301'; DROP TABLE every; --"}, {"json_value": {"a": None}}, {}])
    def round_trip(records: list[Record]) -> None:
        assert [] == [f for r in records for n, v in r.items() for f in check_value(EVERY.by_name[n], v, n)]
        expected = [canonical(record) for record in records]
        answer = bench.run("EveryBulkCreate", records=records, returning="records")
        entries = cast("dict[str, list[dict[str, object]]]", answer)["results"]
        assert expected == [fields_of(entry["record"], record) for entry, record in zip(entries, records, strict=True)]
        assert expected == [
            fields_of(bench.run("EveryRead", id=entry["id"]), record)
            for entry, record in zip(entries, records, strict=True)
        ]
        assert expected == [fields_of(bench.run("EveryCreate", fields=record), record) for record in records]

    round_trip()
