"""Random nodes in random order: both databases answer as a dict would."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.principal import Principal
from nexusd.errors import NexusError
from tests.properties.dict_store import THING, DictStore, Record, Refused, in_order
from tests.support.policies import member, restricted

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.nodes import Bench

KEYS = st.sampled_from(["a", "B", "c", "é", "🦜"])
NAMES = st.sampled_from(["", "x", "X", "ÄX", "äx", "100%", "_", "'; DROP TABLE things; --", "e\u0301", "\\"])
MAILS = st.none() | st.sampled_from(["m1", "m2", "M1"])
SIZES = st.none() | st.integers(-2, 3)
PRICES = st.sampled_from(["0.10", "1.00", "-0.01", "100.00", "9.50"])
VALUES = {"id": KEYS, "name": NAMES, "mail": MAILS, "size": SIZES, "price": PRICES}

CHANGES = st.fixed_dictionaries({}, optional={name: VALUES[name] for name in ("name", "mail", "size", "price")})
THINGS = st.fixed_dictionaries(
    {"id": KEYS, "name": NAMES}, optional={name: VALUES[name] for name in ("mail", "size", "price")}
)
MANY = st.lists(THINGS, max_size=5)
SORTS = st.lists(st.sampled_from(list(VALUES)), unique=True, max_size=3).flatmap(
    lambda names: st.tuples(*(st.sampled_from([name, f"-{name}"]) for name in names)).map(list)
)


def _tests(name: str) -> st.SearchStrategy[Record]:
    some = VALUES[name].filter(lambda value: value is not None)
    operators: dict[str, st.SearchStrategy[object]] = {
        **dict.fromkeys(("$gt", "$gte", "$lt", "$lte"), some),
        "$eq": VALUES[name],
        "$ne": VALUES[name],
        "$in": st.lists(some, max_size=3),
        "$nin": st.lists(some, max_size=3),
        "$between": st.lists(some, min_size=2, max_size=2),
        "$null": st.booleans(),
    }
    if name in {"id", "name", "mail"}:
        operators |= dict.fromkeys(("$contains", "$icontains", "$startswith", "$endswith"), NAMES)
    test = st.fixed_dictionaries({}, optional=operators).filter(bool)
    return (VALUES[name] | test).map(lambda item: {name: item})


FILTERS: st.SearchStrategy[Record] = st.recursive(
    st.just({}) | st.sampled_from(list(VALUES)).flatmap(_tests),
    lambda inner: st.one_of(
        inner.map(lambda part: {"$not": part}),
        st.lists(inner, max_size=3).map(lambda parts: {"$or": parts}),
        st.lists(inner, max_size=3).map(lambda parts: {"$and": parts}),
        st.tuples(inner, inner).map(lambda pair: {**pair[0], **pair[1]}),
    ),
    max_leaves=4,
)


def outcome_of(act: Callable[[], object]) -> object:
    """What came of it: the result, or the code of the refusal."""
    try:
        return act()
    except (NexusError, Refused) as refused:
        return refused.code


class Things(RuleBasedStateMachine):
    """One sequence of nodes, from an empty table on."""

    bench: Bench

    def __init__(self) -> None:
        super().__init__()
        self.store = DictStore()
        self.bench.run("ThingBulkDelete", filter={}, all=True)

    def run(self, operation: str, **params: object) -> object:
        """The node's result, or the code of its error."""
        return outcome_of(lambda: self.bench.run(f"Thing{operation}", **params))

    def entries(self, operation: str, **params: object) -> object:
        """A bulk node's entries as (index, outcome), or the code of its error."""
        answer = self.run(operation, **params)
        if not isinstance(answer, dict):
            return answer
        return [(entry["index"], entry["outcome"]) for entry in answer["results"]]

    @rule(fields=THINGS)
    def create(self, fields: Record) -> None:
        assert outcome_of(lambda: self.store.create(fields)) == self.run("Create", fields=fields)

    @rule(key=KEYS, fields=CHANGES, version=st.none() | st.integers(1, 3))
    def update(self, key: str, fields: Record, version: int | None) -> None:
        expected = {} if version is None else {"if_version": version}
        updated = outcome_of(lambda: self.store.update(key, fields, version))
        assert updated == self.run("Update", id=key, fields=fields, **expected)

    @rule(key=KEYS)
    def delete(self, key: str) -> None:
        deleted = self.store.things.pop(key, None) is not None
        assert {"id": key, "deleted": deleted} == self.run("Delete", id=key)

    @rule(fields=THINGS, on=st.sampled_from(["id", "mail"]))
    def upsert(self, fields: Record, on: str) -> None:
        if fields.get(on) is None:
            return
        result = self.run("Upsert", record=fields, conflict_on=on)
        answered = (result["record"], result["outcome"]) if isinstance(result, dict) else result
        assert outcome_of(lambda: self.store.upsert(fields, on)) == answered

    @rule(things=MANY, partial=st.booleans())
    def bulk_create(self, things: list[Record], partial: bool) -> None:  # noqa: FBT001 - Hypothesis passes by name
        before = dict(self.store.things)
        made = [outcome_of(lambda thing=thing: self.store.create(thing)) for thing in things]  # type: ignore[misc]
        failed = [result for result in made if not isinstance(result, dict)]
        expected: object = [(i, "inserted" if isinstance(r, dict) else "failed") for i, r in enumerate(made)]
        if failed and not partial:
            self.store.things, expected = before, failed[0]
        assert expected == self.entries("BulkCreate", records=things, mode="partial" if partial else "atomic")

    @rule(things=MANY)
    def bulk_create_what_is_new(self, things: list[Record]) -> None:
        made = [outcome_of(lambda thing=thing: self.store.create(thing)) for thing in things]  # type: ignore[misc]
        expected = [(i, "inserted" if isinstance(r, dict) else "skipped") for i, r in enumerate(made)]
        assert expected == self.entries("BulkCreate", records=things, on_conflict="skip")

    @rule(things=st.lists(THINGS, max_size=5, unique_by=lambda thing: str(thing["id"])))
    def bulk_upsert(self, things: list[Record]) -> None:
        # Mails are left out: whether two records may swap them depends on the order in which rows are written.
        rows = [{name: value for name, value in thing.items() if name != "mail"} for thing in things]
        expected = [(i, self.store.upsert(row, "id")[1]) for i, row in enumerate(rows)]
        assert expected == self.entries("BulkUpsert", records=rows)

    @rule(found=FILTERS, size=SIZES)
    def bulk_update(self, found: Record, size: int | None) -> None:
        things = self.store.matching(found)
        for thing in things:
            self.store.update(str(thing["id"]), {"size": size})
        result = self.run("BulkUpdate", filter=found, fields={"size": size}, all=True)
        assert {"total": len(things), "updated": len(things), "missing": 0, "failed": 0} == result

    @rule(rows=st.dictionaries(KEYS, CHANGES.filter(lambda fields: bool(fields) and "mail" not in fields), max_size=4))
    def bulk_update_of_records(self, rows: dict[str, Record]) -> None:
        expected = []
        for i, (key, fields) in enumerate(rows.items()):
            updated = outcome_of(lambda key=key, fields=fields: self.store.update(key, fields))  # type: ignore[misc]
            expected.append((i, "updated" if isinstance(updated, dict) else "missing"))
        given = [{"id": key, **fields} for key, fields in rows.items()]
        assert expected == self.entries("BulkUpdate", records=given)

    @rule(found=FILTERS)
    def bulk_delete(self, found: Record) -> None:
        things = self.store.matching(found)
        for thing in things:
            del self.store.things[str(thing["id"])]
        assert {"deleted": len(things)} == self.run("BulkDelete", filter=found, all=True)

    @rule(found=FILTERS, sort=SORTS, limit=st.integers(1, 3))
    def read_pages(self, found: Record, sort: list[str], limit: int) -> None:
        things = self.store.matching(found)
        assert {"count": len(things)} == self.run("Count", filter=found)
        read: list[Record] = []
        cursor: object = None
        while cursor is not None or not read:
            page = self.run("List", filter=found, sort=sort, limit=limit, cursor=cursor)
            assert isinstance(page, dict)
            read += cast("list[Record]", page["records"])
            cursor = page["next_cursor"]
            if cursor is None:
                break
        assert in_order(things, sort) == read

    @invariant()
    def table_holds_what_the_dict_holds(self) -> None:
        page = self.run("List", limit=1000)
        assert isinstance(page, dict)
        assert in_order(list(self.store.things.values()), []) == page["records"]


def check(bench: Bench) -> None:
    bound = type("BoundThings", (Things,), {"bench": bench})
    run_state_machine_as_test(
        bound,
        settings=settings(
            max_examples=20,
            stateful_step_count=20,
            derandomize=True,
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )


def test_any_sequence_of_nodes_answers_as_a_dict_would(open_bench: Callable[..., Bench]) -> None:
    check(open_bench(THING))


def test_a_tenant_s_nodes_answer_as_if_nobody_else_had_records(open_bench: Callable[..., Bench]) -> None:
    org = Field(name="org", type=FieldType.STR, read_scope="operator")
    owned = restricted(replace(THING, fields=(*THING.fields, org)), tenant="org")
    bench = open_bench(owned)
    everything = bench.nodes
    bench.nodes = everything.by(member("other"))
    for key, name, mail in (("0", "x", "m3"), ("d", "ÄX", "m4"), ("zz", "", None)):
        bench.run("ThingCreate", id=key, name=name, mail=mail, size=1, price="1.00")
    bench.nodes = everything.by(Principal("key:operator", frozenset({"*"})))
    before = bench.run("ThingList", filter={"org": "other"}, sort=["id"])
    bench.nodes = everything.by(member("acme"))

    check(bench)

    bench.nodes = everything.by(Principal("key:operator", frozenset({"*"})))
    assert before == bench.run("ThingList", filter={"org": "other"}, sort=["id"])
