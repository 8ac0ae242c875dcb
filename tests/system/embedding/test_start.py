"""The Python API serving: started in a thread as an application would, stopped from another."""

from __future__ import annotations

import queue
import threading
from typing import TYPE_CHECKING

import pytest

from nexusd import DataFlow, Nexus, WorkflowBuilder
from nexusd.embedding.misuse import UsageError

if TYPE_CHECKING:
    from pathlib import Path

WAIT_S = 30.0


def contact_app() -> Nexus:
    db = DataFlow(database_url="sqlite:///:memory:")

    @db.model
    class Contact:
        id: str
        name: str

    app = Nexus(api_port=0, mcp_port=0, dataflow=db)
    app.register(
        "create_contact", WorkflowBuilder().add_node("ContactCreateNode", "create", {"name": "{{name}}"}).build()
    )
    return app


@pytest.fixture(autouse=True)
def _http_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NEXUSD_MCP__ENABLED", "false")


def started(app: Nexus) -> tuple[threading.Thread, queue.Queue[BaseException | None]]:
    ended: queue.Queue[BaseException | None] = queue.Queue()

    def serve() -> None:
        try:
            app.start()
        except BaseException as error:  # noqa: BLE001 - handed to the test, which looks at it
            ended.put(error)
        else:
            ended.put(None)

    thread = threading.Thread(target=serve)
    thread.start()
    return thread, ended


def test_stop_before_it_serves_ends_it_cleanly() -> None:
    app = contact_app()
    app.stop()
    thread, ended = started(app)
    assert ended.get(timeout=WAIT_S) is None
    thread.join(WAIT_S)


def test_stop_is_heard_from_another_thread_and_may_be_said_twice() -> None:
    app = contact_app()
    thread, ended = started(app)
    app.stop()
    app.stop()
    assert ended.get(timeout=WAIT_S) is None
    thread.join(WAIT_S)
    app.stop()


def test_second_start_is_refused() -> None:
    app = contact_app()
    app.stop()
    app.start()
    with pytest.raises(UsageError, match="started already"):
        app.start()


def test_register_after_start_is_refused() -> None:
    app = contact_app()
    app.stop()
    app.start()
    with pytest.raises(UsageError, match="comes too late"):
        app.register("late", WorkflowBuilder().add_node("ContactListNode", "list").build())
