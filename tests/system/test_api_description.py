"""The daemon against its own API description: Schemathesis makes requests out of it, valid and not, and checks answers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import httpx
import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IN_SUITE: Final = 4
EXAMPLES: Final = os.environ.get("NEXUSD_TEST_API_EXAMPLES", str(IN_SUITE))
PHASES: Final = "examples,coverage,fuzzing,stateful" if int(EXAMPLES) > IN_SUITE else "examples,fuzzing,stateful"
"""Generated requests per operation. With more than the suite has time for every edge of every schema is tried as well."""

REGISTRY: Final = """
version: 1
models:
  Team:
    fields:
      id: {type: int, primary_key: true}
      name: {type: str, unique: true}
    soft_delete: true
    publish: true
  Member:
    fields:
      id: {type: str, primary_key: true}
      email: {type: str, unique: true, max_length: 320, format: email}
      team_id: {type: int, nullable: true, references: Team.id, on_delete: set_null}
      score: {type: decimal, precision: 12, scale: 2, default: "0"}
      tier: {type: enum, values: [free, pro], default: free}
      counter: {type: bigint, nullable: true}
      weight: {type: float, nullable: true}
      site: {type: str, nullable: true, format: uri}
      seen_at: {type: datetime, nullable: true}
      born: {type: date, nullable: true}
      wakes: {type: time, nullable: true}
      token: {type: uuid, nullable: true}
      photo: {type: bytes, nullable: true}
      tags: {type: array, items: str, nullable: true}
      extra: {type: json, nullable: true}
      active: {type: bool, default: true}
    checks: {score_positive: "score >= 0"}
    publish: true
workflows:
  join_team:
    description: Add a member, and list the team.
    nodes:
      join: {type: MemberCreateNode, params: {email: "{{email}}", team_id: "{{team_id}}"}}
      list: {type: MemberListNode, params: {filter: {team_id: "{{team_id}}"}, limit: 10}}
    connections:
      - [join, result, list, input]
"""

SETTINGS: Final = """
[checks.positive_data_acceptance]
# What a schema cannot say is refused as well: a cursor of another list, 1.0 as an integer, a filter that means everything.
expected-statuses = ["2xx", "401", "403", "404", "409", "412", "422", "429", "504"]

[checks.negative_data_rejection]
# 202: what only the node can tell stands in the execution that was started.
expected-statuses = ["202", "400", "404", "405", "409", "413", "415", "422", "431"]

[[operations]]
include-operation-id-regex = "_bulk_(create|update)$"
# In the mode `partial` a faulty record is a result and not an error.
checks.negative_data_rejection.expected-statuses = ["2xx", "400", "404", "405", "409", "413", "415", "422", "431"]
"""


@pytest.fixture(params=["sqlite", "postgres"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    env = {
        "DATABASE_URL": str(request.getfixturevalue(f"{request.param}_url")),
        "NEXUSD_REGISTRY__PATH": "registry.yaml",
        "NEXUSD_MCP__ENABLED": "false",
        "NEXUSD_HTTP__BODY_TIMEOUT_S": "2",
    }
    with Daemon(tmp_path, env) as daemon:
        yield daemon


@pytest.mark.timeout(0 if int(EXAMPLES) > IN_SUITE else 180)
def test_answers_keep_to_the_description_whatever_is_sent(daemon: Daemon) -> None:
    (daemon.cwd / "schemathesis.toml").write_text(SETTINGS, encoding="utf-8")
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--config-file", "schemathesis.toml"),
            *("run", f"{daemon.http}/openapi.json", "--checks", "all", "--max-failures", "5", "--no-color"),
            *("--phases", PHASES, "--seed", "1", "--max-examples", EXAMPLES),
        ],
        cwd=daemon.cwd,
        capture_output=True,
        text=True,
        timeout=3600,
        check=False,
    )
    assert run.returncode == 0, run.stdout[-6000:] + run.stderr[-2000:]
    bugs = [entry for entry in daemon.log if entry["event"] == "error.unexpected"]
    assert bugs == [], json.dumps(bugs)
    assert httpx.get(f"{daemon.http}/health/ready").status_code == 200
