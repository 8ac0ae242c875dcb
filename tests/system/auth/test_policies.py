"""The registry of docs/authorization.md in the real daemon: two organisations at two doors."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from tests.support.daemon import ROOT, Daemon, run_cli
from tests.support.mcp import HEADERS, INITIALIZE
from tests.support.tokens import AUDIENCE, ISSUER, claims, public_pem, rsa_key, signed

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RSA: Final = rsa_key()
DOCUMENT: Final = (ROOT / "docs" / "authorization.md").read_text(encoding="utf-8")
REGISTRY: Final = "version: 1\n" + re.findall(r"```yaml\n(.*?)```", DOCUMENT, re.DOTALL)[0]


@pytest.fixture(params=["sqlite", "postgres"])
def daemon(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Daemon]:
    (tmp_path / "registry.yaml").write_text(REGISTRY, encoding="utf-8")
    (tmp_path / "key.pem").write_text(public_pem(RSA), encoding="utf-8")
    env = {
        "DATABASE_URL": str(request.getfixturevalue(f"{request.param}_url")),
        "NEXUSD_REGISTRY__PATH": "registry.yaml",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_AUTH__JWT__ISSUER": ISSUER,
        "NEXUSD_AUTH__JWT__AUDIENCE": AUDIENCE,
        "NEXUSD_AUTH__JWT__PUBLIC_KEY_FILE": str(tmp_path / "key.pem"),
    }
    with Daemon(tmp_path, env) as daemon:
        yield daemon


def call(daemon: Daemon, org: str, sub: str, workflow: str, inputs: dict[str, Any], scope: str = "*") -> httpx.Response:
    token = signed(RSA, "RS256", claims(scope, org=org, sub=sub))
    return daemon.execute(workflow, inputs, Authorization=f"Bearer {token}")


def test_each_organisation_has_its_own_records(daemon: Daemon) -> None:
    made = call(daemon, "acme", "ann", "doc_create", {"title": "Plan", "owner": "ann"})
    assert made.status_code == 200, made.text
    plan = made.json()["outputs"]["create"]
    assert (plan["org"], plan["salary"]) == ("acme", None)
    assert call(daemon, "evil", "ann", "doc_create", {"title": "Plot", "owner": "ann"}).status_code == 200

    for org, titles in (("acme", ["Plan"]), ("evil", ["Plot"]), ("none", [])):
        answer = call(daemon, org, "ann", "doc_list", {"filter": {"title": {"$ne": "x"}}, "count": "exact"}).json()
        assert [record["title"] for record in answer["outputs"]["list"]["records"]] == titles
        assert answer["outputs"]["list"]["total"] == len(titles)
    assert call(daemon, "evil", "ann", "doc_read", {"id": plan["id"]}).status_code == 404
    foreign = call(daemon, "acme", "ann", "doc_create", {"title": "Mine", "owner": "ann", "org": "evil"})
    assert (foreign.status_code, foreign.json()["code"], foreign.json()["errors"][0]["pointer"]) == (
        403,
        "forbidden",
        "/inputs/org",
    )


def test_a_field_with_a_scope_needs_it(daemon: Daemon) -> None:
    scope = "workflow:*:execute"
    refused = call(daemon, "acme", "ann", "doc_create", {"title": "A", "owner": "ann", "salary": 5}, scope)
    assert (refused.status_code, refused.json()["errors"][0]["pointer"]) == (403, "/inputs/salary")
    made = call(daemon, "acme", "ann", "doc_create", {"title": "A", "owner": "ann", "salary": 5}, f"{scope} hr")
    assert made.json()["outputs"]["create"]["salary"] == 5
    seen = call(daemon, "acme", "ann", "doc_list", {}, scope).json()["outputs"]["list"]["records"]
    assert [record["title"] for record in seen] == ["A"]
    assert "salary" not in seen[0]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("owner = {{claims.sub}} or", "ownr = {{claims.sub}} or", "13:13: no policy: the model has no field 'ownr'"),
        ("tenant: org", "tenant: orgs", "the model has no field 'orgs'"),
        ("tenant: org", "tenant: owner", "no primary key and not nullable"),
        ("policies:", "policy:", "did you mean 'policies'"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, old: str, new: str, message: str) -> None:
    path = tmp_path / "registry.yaml"
    path.write_text(REGISTRY.replace(old, new), encoding="utf-8")
    checked = run_cli("check", "--registry", "registry.yaml", cwd=tmp_path)
    assert checked.returncode == 78
    assert message in checked.stderr


def test_what_a_session_was_sent_is_sent_again_to_who_sees_the_same(daemon: Daemon) -> None:
    """Under one subject, and with the id of the session."""
    scope = "workflow:*:execute hr"
    made = call(daemon, "acme", "ann", "doc_create", {"title": "A", "owner": "ann", "salary": 4242}, scope)
    assert made.status_code == 200, made.text

    def headers(org: str, scope: str) -> dict[str, str]:
        token = signed(RSA, "RS256", claims(scope, org=org, sub="ann"))
        return HEADERS | {"Authorization": f"Bearer {token}", "MCP-Protocol-Version": "2025-11-25"}

    owner = headers("acme", scope)
    opened = httpx.post(daemon.mcp, json=INITIALIZE, headers=owner)
    session = {"Mcp-Session-Id": opened.headers["mcp-session-id"]}
    call_tool = {"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "doc_list", "arguments": {}}}
    assert "4242" in httpx.post(daemon.mcp, json=call_tool, headers=owner | session).text

    for stranger in (headers("evil", scope), headers("acme", "workflow:*:execute")):
        for number in range(4):
            again = httpx.get(daemon.mcp, headers=stranger | session | {"Last-Event-ID": str(number)})
            assert (again.status_code, "4242" in again.text) == (404, False)
        assert httpx.post(daemon.mcp, json=call_tool, headers=stranger | session).status_code == 404
    renewed = headers("acme", scope) | session
    assert "4242" in httpx.post(daemon.mcp, json=call_tool, headers=renewed).text
