"""Other plans while requests run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nexusd.definitions.registry import Registry
from tests.support.http_server import WAIT_S

if TYPE_CHECKING:
    from tests.support.http_server import HttpServer


def test_a_run_ends_on_the_plan_it_began_with(server: HttpServer) -> None:
    with server.connect() as client:
        client.execute("hold", b'{"inputs": {"value": 1}}')
        assert server.gate.entered.acquire(timeout=WAIT_S)
        plans = {name: plan for name, plan in server.runtime.plans.items() if name != "hold"}
        server.call(lambda: server.runtime.served.use(plans, Registry()))

        assert server.execute("hold").json()["code"] == "workflow_not_found"
        server.gate.open()

        assert client.answer().json()["outputs"] == {"run": {"value": 1}}


def test_documents_follow_the_plans(server: HttpServer) -> None:
    before = server.get("/openapi.json")
    plans = {"echo": server.runtime.plan("echo")}
    server.call(lambda: server.runtime.served.use(plans, Registry()))

    after = server.get("/openapi.json", If_None_Match=before.headers["etag"])

    assert after.status_code == 200
    assert [path for path in after.json()["paths"] if "execute" in path] == ["/workflows/echo/execute"]
    assert [each["name"] for each in server.get("/workflows").json()["workflows"]] == ["echo"]
