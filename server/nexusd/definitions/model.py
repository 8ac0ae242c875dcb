"""A model: one table, declared.

`Model.fields` is what the registry declares; `Model.columns` adds what the daemon manages (timestamps, version,
soft-delete mark), in the order in which the table has them and a record shows them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from enum import Enum, StrEnum
from functools import cached_property
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.policy import Policies


class FieldType(StrEnum):
    """The types a field can have; wire forms are in `databases/types.py`."""

    STR = "str"
    INT = "int"
    BIGINT = "bigint"
    FLOAT = "float"
    DECIMAL = "decimal"
    BOOL = "bool"
    DATETIME = "datetime"
    DATE = "date"
    TIME = "time"
    UUID = "uuid"
    JSON = "json"
    BYTES = "bytes"
    ENUM = "enum"
    ARRAY = "array"


class OnDelete(StrEnum):
    """What happens to a referring row when the row it refers to goes."""

    RESTRICT = "restrict"
    CASCADE = "cascade"
    SET_NULL = "set_null"
    SET_DEFAULT = "set_default"
    NO_ACTION = "no_action"


class Operation(StrEnum):
    """The eleven operations of a model; the node type is `<Model><suffix>Node`."""

    CREATE = "create"
    READ = "read"
    UPDATE = "update"
    DELETE = "delete"
    LIST = "list"
    UPSERT = "upsert"
    COUNT = "count"
    BULK_CREATE = "bulk_create"
    BULK_UPDATE = "bulk_update"
    BULK_DELETE = "bulk_delete"
    BULK_UPSERT = "bulk_upsert"

    @property
    def suffix(self) -> str:
        """`bulk_create` as `BulkCreate`."""
        return "".join(word.capitalize() for word in self.value.split("_"))


class Missing(Enum):
    """The value of an option that was not given, where null means something else."""

    MISSING = "missing"


MISSING: Final = Missing.MISSING


@dataclass(frozen=True, slots=True)
class Reference:
    """A foreign key: the model and field it points at."""

    model: str
    field: str
    on_delete: OnDelete = OnDelete.NO_ACTION


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """One column of a model.

    Attributes:
        default: a wire value (JSON as a caller would send it), or MISSING. `None` is a default of null.
        items: the item type of an array.
        values: the values of an enum.
        minimum, maximum: bounds of a number, inclusive, as wire values (a string for decimal and bigint).
        managed: written by the daemon alone (created_at, updated_at, version, deleted_at).
        stamped: filled by the daemon with whose record it is, where the caller is one of the tenants.
        read_scope, write_scope: what a caller must hold to see it and to give it; None: nothing.
    """

    name: str
    type: FieldType
    primary_key: bool = False
    nullable: bool = False
    default: object = field(default=MISSING, hash=False)
    unique: bool = False
    index: bool = False
    references: Reference | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str | None = None
    format: str | None = None
    precision: int | None = None
    scale: int | None = None
    values: tuple[str, ...] = ()
    items: FieldType | None = None
    minimum: object = None
    maximum: object = None
    description: str = ""
    example: object = field(default=MISSING, hash=False)
    renamed_from: str | None = None
    managed: bool = False
    read_scope: str | None = None
    write_scope: str | None = None
    stamped: bool = False

    @property
    def has_default(self) -> bool:
        """Whether a create may leave the field out because the column has a default."""
        return self.default is not MISSING

    @property
    def generated(self) -> bool:
        """Whether the daemon or database makes the value when a create leaves it out (keys)."""
        return self.primary_key and self.type in GENERATED_KEY_TYPES and self.references is None

    @property
    def required_on_create(self) -> bool:
        """Whether a create must supply the field."""
        return not (self.nullable or self.has_default or self.generated or self.managed or self.stamped)


def node_type_name(model: str, operation: Operation) -> str:
    """The name of the node type of a model's operation, such as `ContactCreateNode`."""
    return f"{model}{operation.suffix}Node"


def compared(column: Field, *, nullable: bool = False) -> Field:
    """The field as a value to compare with: its type, without the limits of what may be stored."""
    return replace(
        column,
        nullable=nullable,
        primary_key=False,
        minimum=None,
        maximum=None,
        min_length=None,
        max_length=None,
        pattern=None,
        format=None,
        precision=None,
        scale=None,
        default=MISSING,
    )


GENERATED_KEY_TYPES: Final = frozenset({FieldType.STR, FieldType.UUID, FieldType.INT, FieldType.BIGINT})


@dataclass(frozen=True, slots=True)
class Index:
    """An index over several fields."""

    fields: tuple[str, ...]
    unique: bool = False


@dataclass(frozen=True, kw_only=True)
class Model:
    """One table with its eleven operations.

    Attributes:
        checks: name to SQL expression, enforced by the database.
        cache_max_age_s: how old a cached read may be; None: never cached.
        publish: the operations that are workflows of their own.
        policies: which records a caller may see and change; None: all.
    """

    name: str
    table: str
    fields: tuple[Field, ...]
    indexes: tuple[Index, ...] = ()
    checks: Mapping[str, str] = field(default_factory=dict)
    timestamps: bool = True
    versioned: bool = True
    soft_delete: bool = False
    renamed_from: str | None = None
    cache_max_age_s: float | None = None
    publish: tuple[Operation, ...] = ()
    policies: Policies | None = None

    @cached_property
    def columns(self) -> tuple[Field, ...]:
        """Declared fields, then the managed ones: created_at, updated_at, version, deleted_at."""
        managed: list[Field] = []
        if self.timestamps:
            managed += [
                Field(name="created_at", type=FieldType.DATETIME, managed=True),
                Field(name="updated_at", type=FieldType.DATETIME, managed=True),
            ]
        if self.versioned:
            managed.append(Field(name="version", type=FieldType.INT, default=1, managed=True))
        if self.soft_delete:
            managed.append(Field(name="deleted_at", type=FieldType.DATETIME, nullable=True, managed=True))
        return (*self.fields, *managed)

    @cached_property
    def by_name(self) -> Mapping[str, Field]:
        """Columns by their name."""
        return {column.name: column for column in self.columns}

    @cached_property
    def key(self) -> Field:
        """The primary key (exactly one field)."""
        return next(column for column in self.fields if column.primary_key)

    @cached_property
    def writable(self) -> tuple[Field, ...]:
        """What a caller may give: the declared fields."""
        return self.fields

    @cached_property
    def unique_sets(self) -> tuple[tuple[str, ...], ...]:
        """Each set of fields that identifies at most one row, the key first."""
        sets: list[tuple[str, ...]] = [(self.key.name,)]
        sets += [(f.name,) for f in self.fields if f.unique and not f.primary_key]
        sets += [index.fields for index in self.indexes if index.unique]
        return tuple(sets)

    @property
    def is_restricted(self) -> bool:
        """Whether what a caller sees or changes depends on who it is."""
        return self.policies is not None or any(f.read_scope or f.write_scope for f in self.fields)

    @property
    def referred(self) -> frozenset[str]:
        """The models that its fields refer to."""
        return frozenset(field.references.model for field in self.fields if field.references is not None)

    def node_type(self, operation: Operation) -> str:
        """The node type's name, such as `ContactCreateNode`."""
        return node_type_name(self.name, operation)
