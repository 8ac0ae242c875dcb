"""The JSON Schema (2020-12) of the registry file, for editors; made from the same tables that read the file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from nexusd.definitions.loader import ROOT_KEYS, VERSION
from nexusd.definitions.model import FieldType, OnDelete, Operation
from nexusd.definitions.model_loader import FIELD_KEYS, INPUT_KEYS, MODEL_KEYS
from nexusd.definitions.policy_loader import POLICY_KEYS, TENANT_KEYS
from nexusd.definitions.prompt_loader import prompt_schema
from nexusd.definitions.resource_loader import resource_schema
from nexusd.definitions.workflow import TransactionMode
from nexusd.definitions.workflow_loader import NODE_KEYS, OPTION_KEYS, WORKFLOW_KEYS

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_TEXT: Final[Mapping[str, object]] = {"type": "string"}
_FLAG: Final[Mapping[str, object]] = {"type": "boolean"}
_COUNT: Final[Mapping[str, object]] = {"type": "integer", "minimum": 0}
_SECONDS: Final[Mapping[str, object]] = {"type": "number", "exclusiveMinimum": 0}
_TEXTS: Final[Mapping[str, object]] = {"type": "array", "items": {"type": "string"}}
_OBJECT: Final[Mapping[str, object]] = {"type": ["object", "null"]}

_FIELD: Final[Mapping[str, object]] = {
    "type": {"enum": [t.value for t in FieldType]},
    "on_delete": {"enum": [o.value for o in OnDelete]},
    "format": {"enum": ["email", "uri"]},
    "values": _TEXTS,
    "items": {"enum": [t.value for t in FieldType if t is not FieldType.ARRAY]},
    "references": {"type": "string", "pattern": r"^\w+\.\w+$"},
    **dict.fromkeys(("primary_key", "nullable", "unique", "index", "required"), _FLAG),
    **dict.fromkeys(("min_length", "max_length", "precision", "scale"), _COUNT),
    **dict.fromkeys(("pattern", "description", "read_scope", "write_scope"), _TEXT),
    "renamed_from": {"type": ["string", "null"]},
}

_RETRY: Final[Mapping[str, object]] = {
    "type": "object",
    "properties": {
        "attempts": {"type": "integer", "minimum": 1},
        "backoff_s": _SECONDS,
        "factor": _SECONDS,
        "jitter": {"type": "number", "minimum": 0},
    },
    "additionalProperties": False,
}

_NODE: Final[Mapping[str, object]] = {
    "type": _TEXT,
    "params": _OBJECT,
    "when": _TEXT,
    "foreach": {"type": ["string", "array"]},
    "on_error": _TEXT,
    "cases": {"type": "object", "additionalProperties": _TEXT, "minProperties": 1},
    "default": _TEXT,
    "from": {**_TEXTS, "minItems": 1},
    "workflow": _TEXT,
    "call": {"type": "string", "pattern": r"^[\w.]+:\w+$"},
    "pure": _FLAG,
    "sql": _TEXT,
    "write": _FLAG,
    "unrestricted": _FLAG,
    "allow_status": {"type": "array", "items": {"type": "integer", "minimum": 100, "maximum": 599}},
    "timeout_s": _SECONDS,
    "concurrency": {"type": "integer", "minimum": 1},
    "retry": _RETRY,
}


def registry_schema() -> dict[str, object]:
    """The schema of one registry file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "nexusd registry",
        **_closed(
            ROOT_KEYS,
            {
                "version": {"const": VERSION},
                "include": _TEXTS,
                "models": _by_name(_model()),
                "workflows": _by_name(_workflow()),
                "python": _TEXTS,
                "http_allow": _TEXTS,
                "toolsets": _by_name({**_TEXTS, "minItems": 1}),
                "prompts": _by_name(prompt_schema(_TEXT, _FLAG)),
                "resources": _by_name(resource_schema(_TEXT)),
            },
            required=("version",),
        ),
    }


def _model() -> dict[str, object]:
    words = {"type": "array", "items": {"enum": [o.value for o in Operation]}}
    index = _closed(("fields", "unique"), {"fields": _TEXTS, "unique": _FLAG}, required=("fields",))
    return _closed(
        MODEL_KEYS,
        {
            "fields": _by_name(_field(FIELD_KEYS)),
            "indexes": {"type": "array", "items": index},
            "checks": {"type": "object", "additionalProperties": _TEXT},
            "publish": {"anyOf": [_FLAG, words]},
            "policies": _closed(POLICY_KEYS, dict.fromkeys(POLICY_KEYS, _TEXT)),
            "tenant": {"anyOf": [_TEXT, _closed(TENANT_KEYS, dict.fromkeys(TENANT_KEYS, _TEXT), required=("field",))]},
            "table": _TEXT,
            "renamed_from": {"type": ["string", "null"]},
            **dict.fromkeys(("timestamps", "versioned", "soft_delete"), _FLAG),
        },
        required=("fields",),
    )


def _workflow() -> dict[str, object]:
    edge = {"type": "array", "items": _TEXT, "minItems": 4, "maxItems": 4}
    limit = _closed(("requests", "per_s"), {"requests": _COUNT, "per_s": _SECONDS}, required=("requests", "per_s"))
    return {
        **_closed(
            WORKFLOW_KEYS,
            {
                "description": _TEXT,
                "inputs": _by_name(_field((*INPUT_KEYS, "required"))),
                "nodes": _by_name(_closed((*NODE_KEYS, *OPTION_KEYS), _NODE, required=("type",))),
                "connections": {"type": ["array", "null"], "items": edge},
                "outputs": _OBJECT,
                "transaction": {"enum": [m.value for m in TransactionMode]},
                "scopes": _TEXTS,
                "max_in_flight": {"anyOf": [{"type": "null"}, {"type": "integer", "minimum": 1}]},
                "rate_limit": {"anyOf": [{"type": "null"}, limit]},
                "timeout_s": _SECONDS,
                **dict.fromkeys(("batch_writes", "durable"), _FLAG),
                "from": _TEXT,
            },
        ),
        "anyOf": [{"required": ["nodes"]}, {"required": ["from"]}],
    }


def _field(keys: Iterable[str]) -> dict[str, object]:
    """The short form, a type, or the long one."""
    short = {"enum": [t.value for t in FieldType if t not in {FieldType.ARRAY, FieldType.ENUM}]}
    known = tuple(keys)
    options = {key: schema for key, schema in _FIELD.items() if key in known}
    return {"anyOf": [short, _closed(known, options, required=("type",))]}


def _by_name(schema: Mapping[str, object]) -> dict[str, object]:
    return {"type": ["object", "null"], "additionalProperties": schema}


def _closed(
    keys: Iterable[str], properties: Mapping[str, object], *, required: tuple[str, ...] = ()
) -> dict[str, object]:
    """An object of these keys alone; a key without a schema of its own takes anything."""
    schema: dict[str, object] = {
        "type": "object",
        "properties": {key: properties.get(key, {}) for key in keys},
        "additionalProperties": False,
    }
    if required:
        schema["required"] = list(required)
    return schema
