"""Runs that last too long, by waiting or by computing, and functions that raise what nobody expects."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Note: {fields: {id: str, text: {type: str, unique: true}}, publish: [count]}
workflows:
  parts:
    transaction: none
    timeout_s: 0.3
    nodes:
      note: {type: NoteCreateNode, params: {text: "{{text}}"}}
      wait: {type: FunctionNode, call: "own:wait", params: {text: "{{note.text}}"}}
  whole:
    transaction: all
    timeout_s: 0.3
    nodes:
      note: {type: NoteCreateNode, params: {text: "{{text}}"}}
      wait: {type: FunctionNode, call: "own:wait", params: {text: "{{note.text}}"}}
  each: {nodes: {t: {type: TransformNode, foreach: "{{xs}}", params: {v: "{{item}}"}}}, outputs: {n: "{{t | length}}"}}
  compute:
    timeout_s: 0.5
    inputs: {xs: {type: array, items: int}}
    nodes: {t: {type: WorkflowNode, workflow: each, foreach: "{{xs}}", params: {xs: "{{inputs.xs}}"}}}
    outputs: {n: "{{t | length}}"}
  repeat:
    inputs: {xs: {type: array, items: int}}
    nodes: {t: {type: TransformNode, foreach: "{{xs}}", params: {all: "{{inputs.xs | json}}"}}}
    outputs: {n: "{{t | length}}"}
  interrupt: {nodes: {f: {type: FunctionNode, call: "own:interrupt"}}}
  strange: {nodes: {f: {type: FunctionNode, call: "own:strange", on_error: continue}}}
"""
OWN: Final = """\
import asyncio

class Strange(BaseException):
    pass

async def wait(text: str) -> str:
    await asyncio.sleep(10)
    return text

def interrupt() -> str:
    raise KeyboardInterrupt

async def strange() -> str:
    raise Strange
"""


@pytest.fixture
def daemon(tmp_path: Path, database_url: str) -> Iterator[Daemon]:
    (tmp_path / "r.yaml").write_text(REGISTRY, encoding="utf-8")
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    env = {"DATABASE_URL": database_url, "NEXUSD_REGISTRY__PATH": "r.yaml", "NEXUSD_MCP__ENABLED": "false"}
    with Daemon(tmp_path, env) as daemon:
        yield daemon


def test_what_a_late_run_says_of_its_parts_is_true(daemon: Daemon) -> None:
    for workflow, kept, words in (
        ("parts", 1, "The deadline passed; what was done before stays."),
        ("whole", 1, "The deadline passed; nothing was kept."),
    ):
        late = daemon.execute(workflow, {"text": workflow})
        assert (late.status_code, late.json()["code"], late.json()["detail"]) == (504, "timeout", words)
        assert daemon.execute("note_count", {}).json()["outputs"]["count"] == {"count": kept}


def test_computing_without_a_pause_leaves_room_for_others_and_ends_at_the_deadline(daemon: Daemon) -> None:
    begun = time.monotonic()
    with httpx.Client(base_url=daemon.http, timeout=30) as client:
        sent = client.post("/workflows/compute/execute", json={"inputs": {"xs": [1] * 3000}})

    assert (sent.status_code, sent.json()["code"]) == (504, "timeout")
    # Untold, it would compute for half a minute.
    assert time.monotonic() - begun < 10
    assert daemon.execute("each", {"xs": [1] * 3000}).json()["outputs"] == {"n": 3000}


def test_text_that_a_foreach_multiplies_has_a_bound(daemon: Daemon) -> None:
    refused = daemon.execute("repeat", {"xs": [1_000_000_000_000] * 10_000})

    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_input")
    assert refused.json()["detail"] == "foreach makes at most 64 MiB of text"
    assert daemon.execute("repeat", {"xs": [1, 2]}).json()["outputs"] == {"n": 2}


def test_function_that_raises_no_exception_proper_has_failed(daemon: Daemon) -> None:
    answer = daemon.execute("interrupt", {})
    survived = daemon.execute("strange", {})

    assert (answer.status_code, answer.json()["code"]) == (502, "node_failed")
    assert (survived.status_code, survived.json()["outputs"]) == (200, {"f": None})
    executions = httpx.get(f"{daemon.http}/executions").json()["executions"]
    assert sorted(each["status"] for each in executions) == ["completed", "failed"]
