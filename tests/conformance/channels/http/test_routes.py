from __future__ import annotations

import re
from typing import TYPE_CHECKING

import httpx
import pytest
from jsonschema import Draft202012Validator

from nexusd import __version__
from nexusd.definitions.model import Field, FieldType
from nexusd.definitions.workflow import DeclaredInput
from tests.support.http_server import workflow

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.http_server import HttpServer

ROUTES = {
    "/workflows": "GET",
    "/workflows/echo": "GET",
    "/workflows/echo/execute": "POST",
    "/executions": "GET",
    "/executions/x": "GET",
    "/executions/x/events": "GET",
    "/executions/x/cancel": "POST",
    "/executions/x/resume": "POST",
    "/executions/x/signal": "POST",
    "/health": "GET",
    "/health/live": "GET",
    "/health/ready": "GET",
    "/openapi.json": "GET",
    "/docs": "GET",
}


def test_workflows_are_listed_by_name(server: HttpServer) -> None:
    listed = server.get("/workflows").json()["workflows"]

    assert [each["name"] for each in listed] == ["break", "echo", "hold", "refuse"]
    assert set(listed[1]) == {"name", "description", "inputs", "outputs", "read_only", "durable", "scopes"}


def test_one_workflow_is_shown_with_its_graph(server: HttpServer) -> None:
    shown = server.get("/workflows/echo").json()

    assert shown["nodes"] == {"run": {"type": "EchoNode", "params": {"value": "{{value}}"}}}
    assert shown["connections"] == []
    assert server.get("/workflows/ecko").json()["code"] == "workflow_not_found"


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/nowhere",
        "/workflows/",
        "/workflows//execute",
        "/workflows/echo/",
        "/workflows/echo/execute/",
        "/workflows/a%2Fb/execute",
        "/health/",
        "/health/live/",
        "/docs/",
        "//workflows",
        "/metrics",
        "/workflows/echo/execute%00",
    ],
)
def test_there_is_nothing_elsewhere(server: HttpServer, path: str) -> None:
    answer = server.get(path)

    assert (answer.status_code, answer.json()["code"]) == (404, "route_not_found")


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "TRACE", "PROPFIND"])
def test_other_methods_are_refused_with_those_that_are_not(server: HttpServer, path: str, method: str) -> None:
    answer = httpx.request(method, server.url + path)

    allow = "GET, HEAD, OPTIONS" if ROUTES[path] == "GET" else "POST, OPTIONS"
    assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", allow)


@pytest.mark.parametrize("path", [path for path, method in ROUTES.items() if method == "GET"])
def test_head_is_answered_as_get_without_the_body(server: HttpServer, path: str) -> None:
    got, head = server.get(path), httpx.head(server.url + path)

    varying = {"x-request-id", "date"}
    assert (head.status_code, head.content) == (got.status_code, b"")
    assert {k: v for k, v in head.headers.items() if k not in varying} == {
        k: v for k, v in got.headers.items() if k not in varying
    }


@pytest.mark.parametrize("path", ROUTES)
def test_options_says_what_is_allowed(server: HttpServer, path: str) -> None:
    answer = httpx.options(server.url + path)

    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["allow"] == ("GET, HEAD, OPTIONS" if ROUTES[path] == "GET" else "POST, OPTIONS")


def test_options_of_the_server_is_answered(server: HttpServer) -> None:
    with server.connect() as client:
        assert client.request("OPTIONS", "*").answer().status == 204


def test_health_tells_each_part(server: HttpServer) -> None:
    assert server.get("/health/live").json() == {"status": "ok"}
    assert server.get("/health/ready").json() == {"status": "ok"}
    assert server.get("/health").json() == {
        "status": "ok",
        "checks": {"http": "ready", "database": "ok", "migrations": "ok"},
        "version": __version__,
    }


def test_health_tells_what_is_missing(server: HttpServer) -> None:
    server.health.database_answers = False

    assert server.get("/health/live").status_code == 200
    for path in ("/health", "/health/ready"):
        answer = server.get(path)
        assert (answer.status_code, answer.json()["status"]) == (503, "unavailable")
        assert answer.headers["cache-control"] == "no-store"
    assert server.get("/health").json()["checks"]["database"] == "unavailable"


def test_no_page_elsewhere_may_call_the_server(server: HttpServer) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}

    preflight = httpx.options(f"{server.url}/workflows/echo/execute", headers=asked)
    answer = server.execute("echo", Origin="https://app.example")

    assert [k for k in (*preflight.headers, *answer.headers) if k.startswith("access-control")] == []


def test_a_page_of_an_allowed_origin_may(serve_http: Callable[..., HttpServer]) -> None:
    server = serve_http(cors_origins=("https://app.example",))
    url = f"{server.url}/workflows/echo/execute"
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}

    preflight = httpx.options(url, headers=asked | {"Origin": "https://app.example"})
    foreign = httpx.options(url, headers=asked | {"Origin": "https://evil.example"})
    answer = server.execute("echo", Origin="https://app.example")

    assert (preflight.status_code, preflight.headers["vary"]) == (204, "origin")
    assert preflight.headers["access-control-allow-origin"] == "https://app.example"
    assert "content-type" in preflight.headers["access-control-allow-headers"]
    assert "access-control-allow-origin" not in foreign.headers
    assert foreign.headers["vary"] == "origin"
    assert answer.headers["access-control-allow-origin"] == "https://app.example"
    assert "x-request-id" in answer.headers["access-control-expose-headers"]


def test_the_description_has_a_path_for_each_workflow(server: HttpServer) -> None:
    document = server.get("/openapi.json").json()

    assert document["openapi"].startswith("3.1.")
    executable = [path for path in document["paths"] if path.endswith("/execute")]
    assert executable == [f"/workflows/{name}/execute" for name in ("break", "echo", "hold", "refuse")]
    assert "/metrics" not in document["paths"]


def test_every_reference_of_the_description_leads_somewhere(server: HttpServer) -> None:
    answer = server.get("/openapi.json")
    for reference in set(re.findall(r'"\$ref":"#/([^"]+)"', answer.text)):
        place = answer.json()
        for step in reference.split("/"):
            place = place[step]


def test_every_route_is_described(server: HttpServer) -> None:
    paths = server.get("/openapi.json").json()["paths"]

    shown = {re.sub(r"/workflows/(echo|\{name\})", "/workflows/*", path) for path in paths}
    served = {re.sub("/workflows/echo", "/workflows/*", path.replace("/x", "/{id}")) for path in ROUTES}
    undescribed = {"/docs", "/openapi.json", "/executions/{id}/resume", "/executions/{id}/signal"}
    assert served - shown == undescribed


def test_what_the_description_promises_is_what_comes(server: HttpServer) -> None:
    document = server.get("/openapi.json").json()
    operation = document["paths"]["/workflows/echo/execute"]["post"]
    request = operation["requestBody"]["content"]["application/json"]

    Draft202012Validator(request["schema"]).validate(request["example"])
    answer = httpx.post(f"{server.url}/workflows/echo/execute", json=request["example"])
    schema = operation["responses"]["200"]["content"]["application/json"]["schema"]
    Draft202012Validator(schema | {"components": document["components"]}).validate(answer.json())
    problem = document["components"]["schemas"]["Problem"]
    Draft202012Validator(problem).validate(server.execute("refuse").json())
    execution = document["components"]["schemas"]["Execution"]
    Draft202012Validator(execution).validate(server.execute("echo", Prefer="respond-async").json())
    listing = document["components"]["schemas"]["Executions"] | {"components": document["components"]}
    Draft202012Validator(listing).validate(server.get("/executions").json())


def test_the_page_loads_nothing_from_anywhere(server: HttpServer) -> None:
    answer = server.get("/docs")

    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert re.findall(r"""(?:src|href|action)\s*=\s*["']?(?:https?:)?//""", answer.text) == []
    assert re.findall(r"@import|url\(", answer.text) == []
    assert "/workflows/echo/execute" in answer.text


def test_the_page_shows_a_description_as_text(serve_http: Callable[..., HttpServer]) -> None:
    value = DeclaredInput(
        Field(name="value", type=FieldType.STR, description='<script>alert("x")</script>', example="</textarea>")
    )
    described = workflow("echo")
    server = serve_http(workflows=(type(described)(name="echo", nodes=described.nodes, inputs={"value": value}),))

    page = server.get("/docs").text

    assert "<script>alert" not in page
    assert "&lt;script&gt;alert" in page
    assert page.count("</textarea>") == 4


@pytest.mark.parametrize("path", ["/openapi.json", "/docs"])
def test_what_has_not_changed_is_not_sent_again(server: HttpServer, path: str) -> None:
    etag = server.get(path).headers["etag"]

    for asked in (etag, f"W/{etag}", f'"other", {etag}', "*"):
        answer = server.get(path, If_None_Match=asked)
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", etag)
    assert server.get(path, If_None_Match='"other"').status_code == 200
