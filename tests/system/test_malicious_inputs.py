"""Callers who mean no good: each is answered by the right code, soon, and the next caller notices nothing."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator

REGISTRY = """\
version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      name: {type: str, max_length: 100}
      score: {type: decimal, precision: 12, scale: 2, nullable: true}
      age: {type: int, nullable: true}
      ratio: {type: float, nullable: true}
    publish: [create]
http_allow: [api.example.com]
workflows:
  each:
    nodes:
      a: {type: TransformNode, foreach: "{{list}}", params: {x: "{{item.x}}"}}
  one:
    nodes:
      a: {type: TransformNode, when: "has(inputs.tags) && tags.exists(t, t.matches('^(a+)+$'))", params: {x: "{{inputs.tags[0]}}"}}
  endless:
    timeout_s: 0.2
    nodes:
      a: {type: SqlNode, sql: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT sum(i) AS s FROM n"}
  rows:
    nodes:
      a: {type: SqlNode, params: {n: "{{n}}"}, sql: "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n LIMIT :n"}
  hang:
    timeout_s: 0.2
    nodes:
      a: {type: FunctionNode, call: "hostile:hang"}
  leak:
    nodes:
      a: {type: FunctionNode, call: "hostile:leak", params: {text: "{{text}}"}}
  ask:
    nodes:
      a: {type: HttpRequestNode, params: {url: "{{url}}"}}
"""

FUNCTIONS = """\
import threading


def hang() -> None:
    threading.Event().wait()


def leak(text: str) -> str:
    raise ValueError(text)
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    (folder / "hostile.py").write_text(FUNCTIONS, encoding="utf-8")
    environment = {"DATABASE_URL": f"sqlite:///{folder / 'hostile.db'}"}
    with Daemon(folder, environment, ("--registry", "registry.yaml")) as daemon:
        yield daemon


DEEP = 100_000
CASES = {
    "list too long": ("each", {"list": [{"x": 1}] * 10_001}, 422, "invalid_input"),
    "no list": ("each", {"list": {"x": 1}}, 422, "invalid_input"),
    "items without what is asked of them": ("each", {"list": [1, None]}, 422, "invalid_input"),
    "deep and open": ("one", b'{"inputs": {"tags": ' + b"[" * DEEP, 400, "malformed_body"),
    "deep and closed": ("one", b'{"inputs": {"tags": ' + b"[" * DEEP + b"]" * DEEP + b"}}", 400, "malformed_body"),
    "deep object": ("one", b'{"inputs": {"tags": ' + b'{"a":' * DEEP, 400, "malformed_body"),
    "body too large": ("one", b'{"inputs": {"tags": "' + b"a" * (1 << 20) + b'"}}', 413, "payload_too_large"),
    "many keys": ("one", {f"k{i}": i for i in range(20_000)}, 422, "invalid_input"),
    "many digits": ("contact_create", b'{"inputs": {"name": "a", "age": ' + b"9" * DEEP + b"}}", 400, "malformed_body"),
    "large exponent": ("contact_create", b'{"inputs": {"name": "a", "ratio": 1e999999999}}', 422, "invalid_input"),
    "exponent of a decimal": ("contact_create", b'{"inputs": {"name": "a", "score": 1e999999}}', 422, "invalid_input"),
    "no number": ("contact_create", b'{"inputs": {"name": "a", "ratio": NaN}}', 400, "malformed_body"),
    "text that is no text": ("contact_create", b'{"inputs": {"name": "\\ud800"}}', 400, "malformed_body"),
    "bytes that are no text": ("contact_create", b'{"inputs": {"name": "\xff"}}', 400, "malformed_body"),
    "character that no database keeps": ("contact_create", {"name": "a\x00b"}, 422, "invalid_input"),
    "template in a value": ("contact_create", {"name": "{{ 9**9 }}" * 11}, 422, "invalid_input"),
    "too much for a condition": ("one", {"tags": ["a"] * 1001}, 422, "invalid_input"),
    "statement without an end": ("endless", {}, 504, "timeout"),
    "too many rows": ("rows", {"n": 10_001}, 502, "node_failed"),
    "function without an end": ("hang", {}, 504, "timeout"),
    "function that tells": ("leak", {"text": "a secret of the row"}, 502, "node_failed"),
    "metadata": ("ask", {"url": "http://169.254.169.254/latest/meta-data/"}, 422, "invalid_input"),
    "decimal address": ("ask", {"url": "http://2130706433/"}, 422, "invalid_input"),
    "user in front": ("ask", {"url": "http://api.example.com@127.0.0.1/"}, 422, "invalid_input"),
    "lines in a URL": ("ask", {"url": "http://api.example.com/\r\nX: y"}, 422, "invalid_input"),
    "file": ("ask", {"url": "file:///etc/passwd"}, 422, "invalid_input"),
}


@pytest.mark.parametrize("name", CASES)
def test_hostile_input_is_answered_by_its_code(daemon: Daemon, name: str) -> None:
    workflow, inputs, status, code = CASES[name]
    body = inputs if isinstance(inputs, bytes) else json.dumps({"inputs": inputs}).encode()
    answer = httpx.post(
        f"{daemon.http}/workflows/{workflow}/execute",
        content=body,
        headers={"Content-Type": "application/json"},
        timeout=10,
    )
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert "a secret of the row" not in answer.text
    created = daemon.execute("contact_create", {"name": "Ann"})
    assert (created.status_code, created.json()["outputs"]["create"]["name"]) == (200, "Ann")


def test_regular_expression_that_others_choke_on_takes_no_time(daemon: Daemon) -> None:
    answer = daemon.execute("one", {"tags": ["a" * 60_000 + "!"]})
    assert (answer.status_code, answer.json()["outputs"]["a"]) == (200, None)


def test_process_ends_although_a_function_does_not(daemon: Daemon) -> None:
    assert daemon.execute("hang", {}).status_code == 504
    assert daemon.stop() == 0
