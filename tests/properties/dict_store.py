"""What nodes do, said with a dict: the oracle of the property tests."""

from __future__ import annotations

from decimal import Decimal
from functools import cmp_to_key
from typing import TYPE_CHECKING, Final, TypeAlias, cast

from nexusd.definitions.model import Field, FieldType, Model
from nexusd.errors import Code

if TYPE_CHECKING:
    from collections.abc import Callable

Record: TypeAlias = dict[str, object]

THING: Final = Model(
    name="Thing",
    table="things",
    fields=(
        Field(name="id", type=FieldType.STR, primary_key=True),
        Field(name="name", type=FieldType.STR),
        Field(name="mail", type=FieldType.STR, nullable=True, unique=True),
        Field(name="size", type=FieldType.INT, nullable=True),
        Field(name="price", type=FieldType.DECIMAL, precision=8, scale=2, default="1"),
    ),
    timestamps=False,
)

BLANK: Final[Record] = {"mail": None, "size": None, "price": "1.00"}


class Refused(Exception):
    """The store refuses, for the reason of a code."""

    def __init__(self, code: Code) -> None:
        super().__init__(code)
        self.code = code


class DictStore:
    """Things by their key."""

    def __init__(self) -> None:
        self.things: dict[str, Record] = {}

    def create(self, fields: Record) -> Record:
        """Add a thing."""
        key = str(fields["id"])
        if key in self.things:
            raise Refused(Code.UNIQUE_VIOLATION)
        self._require_free_mail(fields.get("mail"), key)
        thing = {"id": key, "name": fields["name"], **BLANK, **fields, "version": 1}
        self.things[key] = {name: thing[name] for name in ("id", "name", "mail", "size", "price", "version")}
        return self.things[key]

    def update(self, key: str, fields: Record, if_version: int | None = None) -> Record:
        """Change a thing."""
        thing = self.things.get(key)
        if thing is None:
            raise Refused(Code.RECORD_NOT_FOUND)
        if if_version not in {None, thing["version"]}:
            raise Refused(Code.VERSION_MISMATCH)
        if not fields:
            return thing
        self._require_free_mail(fields.get("mail"), key)
        self.things[key] = {**thing, **fields, "version": cast("int", thing["version"]) + 1}
        return self.things[key]

    def upsert(self, fields: Record, on: str) -> tuple[Record, str]:
        """Add a thing or change the one with the same key or mail."""
        found = next((thing for thing in self.things.values() if thing[on] == fields[on]), None)
        if found is None:
            return self.create(fields), "inserted"
        changes = {name: value for name, value in fields.items() if name not in {"id", on} and found[name] != value}
        if not changes:
            return found, "unchanged"
        return self.update(str(found["id"]), changes), "updated"

    def matching(self, found: Record) -> list[Record]:
        """The things a filter lets through, by key."""
        return [self.things[key] for key in sorted(self.things) if matches(found, self.things[key])]

    def _require_free_mail(self, mail: object, key: str) -> None:
        if mail is not None and any(t["mail"] == mail and t["id"] != key for t in self.things.values()):
            raise Refused(Code.UNIQUE_VIOLATION)


def matches(found: Record, thing: Record) -> bool:
    """Whether a filter lets a thing through: two-valued logic."""
    return all(_entry(name, item, thing) for name, item in found.items())


def _entry(name: str, item: object, thing: Record) -> bool:
    if name == "$not":
        return not matches(cast("Record", item), thing)
    if name in {"$and", "$or"}:
        parts = [matches(part, thing) for part in cast("list[Record]", item)]
        return all(parts) if name == "$and" else any(parts)
    value = _comparable(name, thing[name])
    if not isinstance(item, dict):
        return value == _comparable(name, item)
    return all(_test(operator, value, _operand(name, operand)) for operator, operand in item.items())


def _operand(name: str, operand: object) -> object:
    return [_comparable(name, each) for each in operand] if isinstance(operand, list) else _comparable(name, operand)


def _comparable(name: str, value: object) -> object:
    return Decimal(str(value)) if name == "price" and isinstance(value, str) else value


def _test(operator: str, value: object, operand: object) -> bool:
    if operator in {"$eq", "$ne"}:
        return (value == operand) is (operator == "$eq")
    if operator == "$null":
        return (value is None) is operand
    if operator in {"$in", "$nin"}:
        return (value in cast("list[object]", operand)) is (operator == "$in")
    return value is not None and _TESTS[operator](value, operand)


_TESTS: Final[dict[str, Callable[..., bool]]] = {
    "$gt": lambda value, operand: value > operand,
    "$gte": lambda value, operand: value >= operand,
    "$lt": lambda value, operand: value < operand,
    "$lte": lambda value, operand: value <= operand,
    "$between": lambda value, operand: operand[0] <= value <= operand[1],
    "$contains": lambda value, operand: operand in value,
    "$icontains": lambda value, operand: operand.lower() in value.lower(),
    "$startswith": lambda value, operand: value.startswith(operand),
    "$endswith": lambda value, operand: value.endswith(operand),
}


def in_order(things: list[Record], sort: list[str]) -> list[Record]:
    """Things sorted: nulls last ascending, first descending, then by key."""

    def compare(first: Record, second: Record) -> int:
        for word in [*sort, "id"]:
            name = word.removeprefix("-")
            a, b = (_comparable(name, thing[name]) for thing in (first, second))
            if a != b:
                after = a is None if a is None or b is None else cast("int", a) > cast("int", b)
                return -1 if after is word.startswith("-") else 1
        return 0

    return sorted(things, key=cmp_to_key(compare))
