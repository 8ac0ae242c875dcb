"""Models as the registry declares them (docs/reference.md, section 3)."""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from typing import TYPE_CHECKING, Final

from nexusd.definitions.model import (
    MISSING,
    Field,
    FieldType,
    Index,
    Model,
    OnDelete,
    Operation,
    Reference,
)
from nexusd.definitions.naming import index_names
from nexusd.definitions.policy_loader import with_policies
from nexusd.definitions.wire import check_value, normalise, read_json
from nexusd.documents import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from nexusd.definitions.entry import Entry

MODEL_KEYS: Final = (
    "table", "fields", "indexes", "checks", "timestamps", "versioned", "soft_delete", "renamed_from", "cache",
    "publish", "policies", "tenant",
)  # fmt: skip
FIELD_KEYS: Final = (
    "type", "primary_key", "nullable", "default", "unique", "index", "references", "on_delete", "min", "max",
    "min_length", "max_length", "pattern", "format", "precision", "scale", "values", "items", "description", "example",
    "renamed_from", "read_scope", "write_scope",
)  # fmt: skip
INPUT_KEYS: Final = tuple(
    key for key in FIELD_KEYS if key not in {
        "primary_key", "unique", "index", "references", "on_delete", "renamed_from", "read_scope", "write_scope",
    }
)  # fmt: skip

_APPLIES: Final[Mapping[str, frozenset[FieldType]]] = {
    "min": frozenset({FieldType.INT, FieldType.BIGINT, FieldType.FLOAT, FieldType.DECIMAL}),
    "max": frozenset({FieldType.INT, FieldType.BIGINT, FieldType.FLOAT, FieldType.DECIMAL}),
    "min_length": frozenset({FieldType.STR}),
    "max_length": frozenset({FieldType.STR, FieldType.BYTES}),
    "pattern": frozenset({FieldType.STR}),
    "format": frozenset({FieldType.STR}),
    "precision": frozenset({FieldType.DECIMAL}),
    "scale": frozenset({FieldType.DECIMAL}),
    "values": frozenset({FieldType.ENUM}),
    "items": frozenset({FieldType.ARRAY}),
}
"""Options that only some types have."""

_MODEL_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9]{0,62}", re.ASCII)
_COLUMN_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,62}", re.ASCII)
_MANAGED: Final = ("created_at", "updated_at", "version", "deleted_at")
_KEY_TYPES: Final = frozenset({FieldType.STR, FieldType.INT, FieldType.BIGINT, FieldType.UUID})
_SCALARS: Final = tuple(t for t in FieldType if t is not FieldType.ARRAY)


def read_model(name: str, entry: Entry) -> Model | None:
    """A model, or None where it cannot be told what it should be; problems are noted in the entry."""
    if not _MODEL_NAME.fullmatch(name):
        entry.wrong("a model's name is letters and digits, beginning with a letter, such as Contact")
        return None
    options = entry.options(MODEL_KEYS, "a model")
    if "fields" not in options:
        entry.wrong(f"the model {name} has no fields")
        return None
    flags = {
        key: options[key].flag(default=default) if key in options else default
        for key, default in (("timestamps", True), ("versioned", True), ("soft_delete", False))
    }
    fields = _read_fields(options["fields"], _taken_names(flags))
    table = options["table"].text() if "table" in options else snake_case(name)
    if not _COLUMN_NAME.fullmatch(table) or table.startswith("_nexusd_"):
        (options.get("table", entry)).wrong(f"{table!r} cannot be a table's name")
    if not fields:
        return None
    names = [field.name for field in fields]
    model = Model(
        name=name,
        table=table,
        fields=tuple(fields),
        indexes=_read_indexes(options["indexes"], names) if "indexes" in options else (),
        checks=_read_checks(options["checks"]) if "checks" in options else {},
        timestamps=flags["timestamps"],
        versioned=flags["versioned"],
        soft_delete=flags["soft_delete"],
        renamed_from=_old_name(options),
        cache_max_age_s=_read_cache(options["cache"]) if "cache" in options else None,
        publish=_read_publish(options["publish"]) if "publish" in options else (),
    )
    return with_policies(model, options)


def snake_case(name: str) -> str:
    """`HttpLog` as `http_log`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def _taken_names(flags: Mapping[str, bool]) -> frozenset[str]:
    taken = {"created_at", "updated_at"} if flags["timestamps"] else set()
    taken |= {"version"} if flags["versioned"] else set()
    taken |= {"deleted_at"} if flags["soft_delete"] else set()
    return frozenset(taken)


def _read_fields(entry: Entry, taken: frozenset[str]) -> list[Field]:
    fields: list[Field] = []
    for name, option in entry.items("fields"):
        if not _COLUMN_NAME.fullmatch(name):
            entry.wrong_key(name, f"{name!r} cannot be a field's name", "letters, digits and _, at most 63")
        elif name in taken:
            hint = "the daemon keeps this column; switch timestamps, versioned or soft_delete off to declare it"
            entry.wrong_key(name, f"the field {name!r} has a reserved name", hint)
        elif name.lower() in {field.name.lower() for field in fields}:
            entry.wrong_key(name, f"the field {name!r} differs from another only in case")
        else:
            field = read_field(name, option, FIELD_KEYS)
            if field is not None:
                fields.append(field)
    return _with_key(entry, fields)


def _with_key(entry: Entry, fields: list[Field]) -> list[Field]:
    keys = [field for field in fields if field.primary_key]
    if not keys:
        position = next((i for i, field in enumerate(fields) if field.name == "id"), None)
        if position is None:
            if isinstance(entry.value, dict):
                entry.wrong("there is no primary key", "mark one field with primary_key: true, or name it id")
            return []
        fields[position] = _as_key(fields[position])
        keys = [fields[position]]
    for extra in keys[1:]:
        entry.wrong_key(extra.name, f"{extra.name!r} is a second primary key; a model has one")
    key = keys[0]
    if key.type not in _KEY_TYPES:
        entry.wrong_key(key.name, f"a {key.type} cannot be a primary key", "use str, uuid, int or bigint")
    if key.nullable:
        entry.wrong_key(key.name, "a primary key cannot be nullable")
    return fields


def _as_key(field: Field) -> Field:
    from_options = {name: getattr(field, name) for name in Field.__dataclass_fields__}
    return Field(**{**from_options, "primary_key": True})


def read_field(name: str, entry: Entry, known: tuple[str, ...]) -> Field | None:
    """A field from its short form (`str`) or its options."""
    if isinstance(entry.value, str):
        kind = entry.word([t.value for t in _SCALARS], "a field's type")
        if kind == FieldType.ENUM.value:
            entry.wrong("an enum needs its values: {type: enum, values: [a, b]}")
            return None
        return None if kind is None else Field(name=name, type=FieldType(kind))
    options = entry.options(known, "a field")
    if "type" not in options:
        if isinstance(entry.value, dict):
            entry.wrong(f"the field {name!r} has no type")
        elif entry.value is None:
            entry.wrong(f"the field {name!r} has no type", "such as `str`")
        return None
    kind = options["type"].word([t.value for t in FieldType], "a field's type")
    if kind is None:
        return None
    return _checked(_build_field(name, FieldType(kind), options), options, entry)


def _build_field(name: str, kind: FieldType, options: Mapping[str, Entry]) -> Field:
    for key, kinds in _APPLIES.items():
        if key in options and kind not in kinds:
            options[key].wrong(f"{key} does not apply to {kind}")

    def given(key: str, read: Callable[[Entry], object], default: object) -> object:
        return read(options[key]) if key in options else default

    values: dict[str, object] = {
        "primary_key": given("primary_key", lambda e: e.flag(), default=False),
        "nullable": given("nullable", lambda e: e.flag(), default=False),
        "unique": given("unique", lambda e: e.flag(), default=False),
        "index": given("index", lambda e: e.flag(), default=False),
        "min_length": given("min_length", lambda e: e.integer(0), None),
        "max_length": given("max_length", lambda e: e.integer(1), None),
        "precision": given("precision", lambda e: e.integer(1), None),
        "scale": given("scale", lambda e: e.integer(0), None),
        "pattern": given("pattern", _read_pattern, None),
        "format": given("format", lambda e: e.word(("email", "uri"), "format"), None),
        "values": given("values", _read_values, ()),
        "items": given("items", _read_items, None),
        "minimum": given("min", lambda e: e.value, None),
        "maximum": given("max", lambda e: e.value, None),
        "description": given("description", lambda e: e.text(), ""),
        "references": _read_reference(options),
        "renamed_from": _old_name(options),
        "read_scope": given("read_scope", lambda e: e.text(), None),
        "write_scope": given("write_scope" if "write_scope" in options else "read_scope", lambda e: e.text(), None),
    }
    return Field(name=name, type=kind, **values)  # type: ignore[arg-type]


def _checked(field: Field, options: Mapping[str, Entry], entry: Entry) -> Field:
    """The field with its default and example, once the options that judge them are known."""
    if field.type is FieldType.ENUM and not field.values and "values" not in options:
        entry.wrong("an enum needs its values: {type: enum, values: [a, b]}")
    if field.type is FieldType.ARRAY and field.items is None and "items" not in options:
        entry.wrong("an array needs the type of its items: {type: array, items: str}")
    if field.scale is not None and field.precision is None:
        options["scale"].wrong("scale needs precision beside it")
    elif field.scale is not None and field.precision is not None and field.scale > field.precision:
        options["scale"].wrong("scale must not be larger than precision")
    plain = {name: getattr(field, name) for name in Field.__dataclass_fields__}
    for key in ("min", "max"):
        if key in options:
            plain[f"{key}imum"] = _literal(Field(name=field.name, type=field.type), options[key])
    _check_range(plain["minimum"], plain["maximum"], options, ("min", "max"))
    _check_range(field.min_length, field.max_length, options, ("min_length", "max_length"))
    bare = Field(**{**plain, "minimum": None, "maximum": None}) if field.type is FieldType.JSON else Field(**plain)
    for key in ("default", "example"):
        if key in options:
            plain[key] = _literal(bare, options[key])
    return Field(**plain)


def _check_range(least: object, most: object, options: Mapping[str, Entry], keys: tuple[str, str]) -> None:
    """Note a range in which nothing is; bounds that are no numbers are noted elsewhere."""
    try:
        is_empty = least is not None and most is not None and Decimal(str(least)) > Decimal(str(most))
    except InvalidOperation:
        return
    if is_empty:
        options[keys[0]].wrong(f"{keys[0]} must not be larger than {keys[1]}: no value would fit")


def _literal(field: Field, entry: Entry) -> object:
    """A literal of a field's type in wire form; numbers are taken for decimals by the digits YAML shows."""
    value = entry.value
    if field.type in {FieldType.DECIMAL, FieldType.BIGINT} and type(value) in (int, float):
        value = str(value)
    faults = check_value(field, value, "")
    if faults:
        entry.wrong(f"{faults[0].detail} (its type is {field.type})")
        return None if entry.path[-1] in {"min", "max"} else MISSING
    wire = normalise(field, value)
    return read_json(bytes(wire)) if field.type is FieldType.JSON and wire is not None else wire  # type: ignore[call-overload]


def _read_pattern(entry: Entry) -> str | None:
    text = entry.text()
    try:
        re.compile(text)
    except re.error as error:
        entry.wrong(f"is not a regular expression: {error.msg}")
        return None
    return text


def _read_values(entry: Entry) -> tuple[str, ...]:
    values = entry.texts("values")
    if isinstance(entry.value, list) and (not values or len(set(values)) != len(values)):
        entry.wrong("values must be a list of different words")
    return values


def _read_items(entry: Entry) -> FieldType | None:
    allowed = [t.value for t in _SCALARS if t not in {FieldType.JSON, FieldType.ENUM, FieldType.BYTES}]
    kind = entry.word(allowed, "items")
    return None if kind is None else FieldType(kind)


def _read_reference(options: Mapping[str, Entry]) -> Reference | None:
    on_delete = OnDelete.NO_ACTION
    if "on_delete" in options:
        word = options["on_delete"].word([o.value for o in OnDelete], "on_delete")
        on_delete = OnDelete(word) if word else on_delete
        if "references" not in options:
            options["on_delete"].wrong("on_delete needs references beside it")
    if "references" not in options:
        return None
    model, dot, field = options["references"].text().partition(".")
    if not dot:
        options["references"].wrong("must name a model and a field, such as Company.id")
        return None
    return Reference(model, field, on_delete)


def _old_name(options: Mapping[str, Entry]) -> str | None:
    entry = options.get("renamed_from")
    return None if entry is None or entry.value is None else entry.text()


def _read_indexes(entry: Entry, names: list[str]) -> tuple[Index, ...]:
    indexes: list[Index] = []
    for item in entry.elements("indexes"):
        options = item.options(("fields", "unique"), "an index")
        fields = options["fields"].texts("fields") if "fields" in options else ()
        if not fields:
            item.wrong("an index needs its fields")
            continue
        for i, name in enumerate(fields):
            if name not in (*names, *_MANAGED):
                options["fields"].child(i).wrong(f"the model has no field {name!r}", did_you_mean(name, names))
        indexes.append(Index(fields, options["unique"].flag() if "unique" in options else False))
    return tuple(indexes)


def _read_checks(entry: Entry) -> dict[str, str]:
    checks: dict[str, str] = {}
    for name, option in entry.items("checks"):
        if not _COLUMN_NAME.fullmatch(name):
            entry.wrong_key(name, f"{name!r} cannot be a check's name")
        checks[name] = option.text()
    return checks


def _read_cache(entry: Entry) -> float | None:
    if entry.value == "none":
        return None
    options = entry.options(("max_age_s",), "cache")
    return options["max_age_s"].number() if "max_age_s" in options else None


def _read_publish(entry: Entry) -> tuple[Operation, ...]:
    if isinstance(entry.value, bool):
        return tuple(Operation) if entry.value else ()
    words = [item.word([o.value for o in Operation], "publish") for item in entry.elements("publish")]
    return tuple(Operation(word) for word in dict.fromkeys(words) if word is not None)


def check_references(
    models: Mapping[str, Model], entries: Mapping[str, Entry], unread: Collection[str] = ()
) -> frozenset[str]:
    """Every reference leads to a unique field of the same type; every table and index has a name of its own.

    References to `unread` models are not judged. The names of the models that have problems are given back.
    """
    taken: dict[str, str] = {}
    faulty: set[str] = set()
    for name, model in models.items():
        entry = entries[name]
        before = len(entry.problems)
        # SQLite takes names that differ in case alone for the same.
        owner = taken.setdefault(model.table.lower(), name)
        if owner != name:
            entry.wrong(f"the table {model.table!r} belongs to the model {owner} already")
            continue
        for index, fields in index_names(model):
            owner = taken.setdefault(index.lower(), f"{name} ({', '.join(fields)})")
            if owner != f"{name} ({', '.join(fields)})":
                message = f"the index of {', '.join(fields)} would be called {index}, as that of {owner} is"
                entry.wrong(message, "give one of the fields or tables another name")
        for field in model.fields:
            if field.references is not None and field.references.model not in unread:
                at = entry.child("fields").child(field.name).child("references")
                _check_reference(field, field.references, models, at)
        if len(entry.problems) > before:
            faulty.add(name)
    return frozenset(faulty)


def _check_reference(field: Field, reference: Reference, models: Mapping[str, Model], entry: Entry) -> None:
    target = models.get(reference.model)
    if target is None:
        entry.wrong(f"there is no model {reference.model!r}", did_you_mean(reference.model, models))
        return
    column = target.by_name.get(reference.field)
    if column is None:
        hint = did_you_mean(reference.field, target.by_name)
        entry.wrong(f"{reference.model} has no field {reference.field!r}", hint)
    elif column.type is not field.type:
        entry.wrong(f"{reference.model}.{reference.field} is a {column.type}, this field a {field.type}")
    elif not (column.primary_key or column.unique):
        entry.wrong(f"{reference.model}.{reference.field} is not unique, so nothing can refer to it")
    elif reference.on_delete is OnDelete.SET_NULL and not field.nullable:
        entry.wrong("on_delete: set_null needs a nullable field")
