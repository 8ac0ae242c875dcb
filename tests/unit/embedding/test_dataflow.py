from __future__ import annotations

import dataclasses
import enum
import gc
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Optional
from uuid import UUID

import pytest

from nexusd.definitions.model import MISSING, FieldType
from nexusd.embedding.dataflow import DataFlow, only_dataflow
from nexusd.embedding.misuse import UnknownArgument, UsageError
from nexusd.errors import ConfigurationError

if TYPE_CHECKING:
    from nexusd.definitions.model import Field


class Tier(enum.StrEnum):
    FREE = "free"
    PRO = "pro"


class Number(enum.Enum):
    ONE = 1


def one_field(annotation: object, **default: object) -> Field:
    """The field `x` of a model whose class has that annotation, and that default."""
    cls = type("Sample", (), {"__annotations__": {"id": str, "x": annotation}, **default})
    db = DataFlow()
    db.model(cls)
    return db.checked_models()["Sample"].by_name["x"]


def test_class_becomes_a_model_with_id_as_its_key() -> None:
    db = DataFlow()

    @db.model
    class HttpLog:
        id: str
        path: str
        status: int | None = None

    model = db.checked_models()["HttpLog"]
    assert (model.name, model.table, model.key.name) == ("HttpLog", "http_log", "id")
    assert [(f.name, f.type.value, f.nullable, f.required_on_create) for f in model.fields] == [
        ("id", "str", False, False),
        ("path", "str", False, True),
        ("status", "int", True, False),
    ]
    assert (model.timestamps, model.versioned, model.soft_delete) == (True, True, False)


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (str, FieldType.STR),
        (int, FieldType.INT),
        (float, FieldType.FLOAT),
        (bool, FieldType.BOOL),
        (Decimal, FieldType.DECIMAL),
        (datetime, FieldType.DATETIME),
        (date, FieldType.DATE),
        (time, FieldType.TIME),
        (UUID, FieldType.UUID),
        (dict, FieldType.JSON),
        pytest.param(dict[str, object], FieldType.JSON, id="dict-of"),
        (bytes, FieldType.BYTES),
        (Tier, FieldType.ENUM),
        (Literal["a", "b"], FieldType.ENUM),
        (list[int], FieldType.ARRAY),
    ],
)
def test_annotation_says_the_type(annotation: object, kind: FieldType) -> None:
    field = one_field(annotation)
    assert field.type is kind


def test_words_of_an_enum_are_its_values() -> None:
    assert one_field(Tier).values == ("free", "pro")
    assert one_field(Literal["a", "b"]).values == ("a", "b")
    assert one_field(list[date]).items is FieldType.DATE


@pytest.mark.parametrize("annotation", [str | None, Optional[str]])  # noqa: UP045 - both ways to write it
def test_optional_field_is_nullable_without_a_default(annotation: object) -> None:
    field = one_field(annotation, x=None)
    assert (field.nullable, field.default) == (True, MISSING)


@pytest.mark.parametrize(
    ("annotation", "default", "wire"),
    [
        (str, "x", "x"),
        (int, 0, 0),
        (bool, False, False),
        (Decimal, Decimal("1.50"), "1.50"),
        (datetime, datetime(2020, 1, 2, tzinfo=UTC), "2020-01-02T00:00:00.000000Z"),
        (date, date(2020, 1, 2), "2020-01-02"),
        (bytes, b"\x00", "AA=="),
        (Tier, Tier.PRO, "pro"),
        (list[str], [], []),
        (dict, {"a": [1]}, {"a": [1]}),
        (UUID, UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_default_is_kept_in_wire_form(annotation: object, default: object, wire: object) -> None:
    assert one_field(annotation, x=default).default == wire


def test_annotated_adds_options_of_the_registry() -> None:
    field = one_field(Annotated[str, {"unique": True, "max_length": 5}, "for somebody else"])
    assert (field.unique, field.max_length) == (True, 5)


def test_wrong_option_is_told_with_its_place() -> None:
    with pytest.raises(ConfigurationError, match=r"Sample\.fields\.x\.max_lenght: .*\n.*did you mean 'max_length'"):
        one_field(Annotated[str, {"max_lenght": 5}])


def test_inherited_annotations_are_fields_and_class_variables_are_not() -> None:
    class Named:
        name: str = "x"

    db = DataFlow()

    @db.model
    class Thing(Named):
        id: int
        KIND: ClassVar[str] = "thing"

    assert [f.name for f in db.checked_models()["Thing"].fields] == ["name", "id"]
    assert db.checked_models()["Thing"].by_name["name"].default == "x"


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (object, {}, "Sample.x: object is not a type"),
        (set[str], {}, r"Sample.x: set\[str\] is not a type"),
        (list, {}, "Sample.x: list is not a type"),
        pytest.param(list[dict[str, object]], {}, r"list\[dict\[str, object\]\] is not a type", id="list-of-dict"),
        (int | str, {}, r"Sample.x: int \| str is not a type"),
        (Number, {}, "Number is not a type"),
        (Literal[1, 2], {}, "is not a type"),
        (dict, {"x": datetime}, "Sample.x: type is not a value that JSON has"),
    ],
)
def test_what_no_field_can_be_is_refused_by_name(annotation: object, default: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        one_field(annotation, **default)


@pytest.mark.parametrize(
    ("annotation", "default", "message"),
    [
        (int, {"x": "x"}, "Sample.fields.x.default: must be an integer"),
        (datetime, {"x": datetime(2020, 1, 2)}, "Sample.fields.x.default: "),  # noqa: DTZ001 - what is refused
    ],
)
def test_what_the_registry_would_refuse_is_refused(
    annotation: object, default: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        one_field(annotation, **default)


def test_model_needs_a_field_named_id() -> None:
    with pytest.raises(ConfigurationError, match="there is no primary key"):
        DataFlow().model(type("Keyless", (), {"__annotations__": {"name": str}}))


def test_names_that_the_daemon_keeps_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="'version' has a reserved name"):
        DataFlow().model(type("Sample", (), {"__annotations__": {"id": str, "version": int}}))


def test_annotation_that_cannot_be_resolved_says_so() -> None:
    with pytest.raises(UsageError, match=r"Sample: an annotation cannot be resolved.*TYPE_CHECKING"):
        DataFlow().model(type("Sample", (), {"__annotations__": {"id": "Nowhere"}}))


def test_factory_default_is_refused() -> None:
    @dataclasses.dataclass
    class Sample:
        id: str
        tags: list[str] = dataclasses.field(default_factory=list)

    with pytest.raises(UsageError, match=r"Sample\.tags: a field has a value as its default"):
        DataFlow().model(Sample)


def test_model_is_declared_once() -> None:
    db = DataFlow()
    cls = type("Sample", (), {"__annotations__": {"id": str}})
    assert db.model(cls) is cls
    with pytest.raises(UsageError, match="Sample is declared already"):
        db.model(cls)


def test_two_models_on_one_table_are_refused() -> None:
    db = DataFlow()
    for name in ("HttpLog", "HTTPLog"):
        db.model(type(name, (), {"__annotations__": {"id": str}}))
    with pytest.raises(ConfigurationError, match="HTTPLog: the table 'http_log' belongs to the model HttpLog"):
        db.checked_models()


def test_reference_must_lead_to_a_model_of_the_same_dataflow() -> None:
    db = DataFlow()
    db.model(type("A", (), {"__annotations__": {"id": str, "b": Annotated[str, {"references": "B.id"}]}}))
    with pytest.raises(ConfigurationError, match=r"A\.fields\.b\.references: there is no model 'B'"):
        db.checked_models()
    db.model(type("B", (), {"__annotations__": {"id": str}}))
    assert list(db.checked_models()) == ["A", "B"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"skip_migration": True}, "auto_migrate=False"),
        ({"enable_model_persistence": False}, "leave it out"),
        ({"existing_schema_mode": True}, "'verify'"),
        ({"databse_url": "x"}, "did you mean 'database_url'"),
    ],
)
def test_unknown_arguments_are_refused_with_what_to_do(arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UnknownArgument, match=message):
        DataFlow(**arguments)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        DataFlow(**arguments)  # type: ignore[arg-type]


def test_decorator_is_written_without_brackets() -> None:
    with pytest.raises(UsageError, match="without brackets"):
        DataFlow().model("Contact")  # type: ignore[type-var]


def test_only_dataflow_is_the_one_that_is_alive() -> None:
    gc.collect()
    with pytest.raises(UsageError, match="there is no DataFlow"):
        only_dataflow()
    db = DataFlow()
    assert only_dataflow() is db
    other = DataFlow()
    with pytest.raises(UsageError, match=r"there are 2 DataFlow objects.*Nexus"):
        only_dataflow()
    assert other is not db
