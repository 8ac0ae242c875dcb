"""Workflows as the registry declares them (docs/reference.md, sections 3 and 8)."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from nexusd.definitions.access import scope_fault
from nexusd.definitions.model_loader import INPUT_KEYS, read_field
from nexusd.definitions.workflow import (
    Connection,
    DeclaredInput,
    Node,
    RateLimit,
    Retry,
    TransactionMode,
    Workflow,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.definitions.entry import Entry

WORKFLOW_KEYS: Final = (
    "description", "inputs", "nodes", "connections", "outputs", "transaction", "batch_writes", "max_body_bytes",
    "timeout_s", "scopes", "rate_limit", "max_in_flight", "durable", "queue", "schedule", "retention_days", "from",
)  # fmt: skip
NODE_KEYS: Final = ("type", "params", "when", "foreach", "concurrency", "retry", "timeout_s", "on_error")
OPTION_KEYS: Final = (
    "call", "pure", "sql", "write", "unrestricted", "workflow", "cases", "default", "from", "allow_status", "topic",
    "schema",
)  # fmt: skip
"""Node keys that only some types take; the type says which."""

WORKFLOW_NAME: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)
_WORD: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}", re.ASCII)
_EDGE_LENGTH: Final = 4


def read_workflow(name: str, entry: Entry) -> Workflow:
    """A workflow; problems are noted in the entry."""
    if not WORKFLOW_NAME.fullmatch(name):
        entry.wrong("a workflow's name is letters, digits, _ and -, at most 64")
    options = entry.options(WORKFLOW_KEYS, "a workflow")
    if "nodes" not in options:
        entry.wrong(f"the workflow {name} has no nodes")
    mode = (
        options["transaction"].word([m.value for m in TransactionMode], "transaction")
        if "transaction" in options
        else None
    )
    return Workflow(
        name=name,
        nodes=_read_nodes(options["nodes"]) if "nodes" in options else (),
        connections=_read_connections(options["connections"]) if "connections" in options else (),
        description=options["description"].text() if "description" in options else "",
        inputs=_read_inputs(options["inputs"]) if "inputs" in options else {},
        outputs=_read_outputs(options["outputs"]) if "outputs" in options else None,
        transaction=TransactionMode(mode) if mode else TransactionMode.AUTO,
        batch_writes=options["batch_writes"].flag() if "batch_writes" in options else False,
        max_body_bytes=_optional_integer(options, "max_body_bytes"),
        timeout_s=(options["timeout_s"].number() if "timeout_s" in options else None) or 30.0,
        scopes=_read_scopes(options["scopes"]) if "scopes" in options else (),
        rate_limit=_read_rate_limit(options["rate_limit"]) if "rate_limit" in options else None,
        max_in_flight=_optional_integer(options, "max_in_flight"),
        durable=options["durable"].flag() if "durable" in options else False,
        queue=_mapping(options, "queue"),
        schedule=_mapping(options, "schedule"),
        retention_days=_optional_integer(options, "retention_days"),
    )


def _read_scopes(entry: Entry) -> tuple[str, ...]:
    for item in entry.elements("scopes"):
        fault = scope_fault(item.value) if isinstance(item.value, str) else None
        if fault is not None:
            item.wrong(fault)
    return entry.texts("scopes")


def _optional_integer(options: Mapping[str, Entry], key: str) -> int | None:
    entry = options.get(key)
    return None if entry is None or entry.value is None else entry.integer(1)


def _mapping(options: Mapping[str, Entry], key: str) -> Mapping[str, object] | None:
    entry = options.get(key)
    return None if entry is None or entry.value is None else {name: e.value for name, e in entry.items(key)}


def _read_inputs(entry: Entry) -> dict[str, DeclaredInput]:
    inputs: dict[str, DeclaredInput] = {}
    for name, option in entry.items("inputs"):
        if not _WORD.fullmatch(name):
            entry.wrong_key(name, f"{name!r} cannot be an input's name")
            continue
        field = read_field(name, option, (*INPUT_KEYS, "required"))
        required = None
        if isinstance(option.value, dict) and "required" in option.value:
            required = option.child("required").flag()
        if required and field is not None and field.has_default:
            hint = "an input with a default may be left out; say one of the two"
            option.child("required").wrong(f"the input {name!r} is required and has a default", hint)
        if field is not None:
            inputs[name] = DeclaredInput(field, required)
    return inputs


def _read_nodes(entry: Entry) -> tuple[Node, ...]:
    nodes = [node for name, option in entry.items("nodes") if (node := _read_node(name, entry, option)) is not None]
    if entry.value is None or entry.value == {}:
        entry.wrong("a workflow needs at least one node")
    return tuple(nodes)


def _read_node(name: str, parent: Entry, entry: Entry) -> Node | None:
    if not _WORD.fullmatch(name):
        parent.wrong_key(name, f"{name!r} cannot be a node's id", "letters, digits and _, beginning with a letter")
        return None
    if name in ("fail", "continue"):
        parent.wrong_key(name, f"{name!r} cannot be a node's id: it is a word of on_error")
        return None
    options = entry.options((*NODE_KEYS, *OPTION_KEYS), "a node")
    if "type" not in options:
        entry.wrong(f"the node {name} has no type", "such as `type: ContactCreateNode`")
        return None
    params = options.get("params")
    return Node(
        id=name,
        type=options["type"].text(),
        params={key: item.value for key, item in params.items("params")} if params is not None else {},
        when=options["when"].text() if "when" in options else None,
        foreach=options["foreach"].value if "foreach" in options else None,
        concurrency=_optional_integer(options, "concurrency"),
        retry=_read_retry(options["retry"]) if "retry" in options else None,
        timeout_s=options["timeout_s"].number() if "timeout_s" in options else None,
        on_error=options["on_error"].text() if "on_error" in options else "fail",
        options={key: options[key].value for key in OPTION_KEYS if key in options},
    )


def _read_retry(entry: Entry) -> Retry:
    options = entry.options(("attempts", "backoff_s", "factor", "jitter"), "retry")
    plain = Retry()
    attempts = options["attempts"].integer(1) if "attempts" in options else None
    backoff_s = options["backoff_s"].pause() if "backoff_s" in options else None
    factor = options["factor"].number() if "factor" in options else None
    jitter = options["jitter"].share() if "jitter" in options else None
    return Retry(
        attempts=attempts or plain.attempts,
        backoff_s=plain.backoff_s if backoff_s is None else backoff_s,
        factor=factor or plain.factor,
        jitter=plain.jitter if jitter is None else jitter,
    )


def _read_connections(entry: Entry) -> tuple[Connection, ...]:
    edges: list[Connection] = []
    for item in entry.elements("connections"):
        words = item.value
        if isinstance(words, list) and len(words) == _EDGE_LENGTH and all(isinstance(w, str) for w in words):
            edges.append(Connection(*words))
        else:
            item.wrong("a connection is [source node, output, target node, input]")
    return tuple(edges)


def _read_outputs(entry: Entry) -> Mapping[str, object] | None:
    outputs: dict[str, object] = {}
    for name, option in entry.items("outputs"):
        if not _WORD.fullmatch(name):
            entry.wrong_key(name, f"{name!r} cannot be an output's name")
        outputs[name] = option.value
    return outputs or None


def _read_rate_limit(entry: Entry) -> RateLimit | None:
    if entry.value is None:
        return None
    options = entry.options(("requests", "per_s"), "rate_limit")
    requests = options["requests"].integer(1) if "requests" in options else None
    per_s = options["per_s"].number() if "per_s" in options else None
    if requests is None or per_s is None:
        entry.wrong("rate_limit needs requests and per_s: {requests: 100, per_s: 60}")
        return None
    return RateLimit(requests, per_s)
