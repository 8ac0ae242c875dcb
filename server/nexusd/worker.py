"""A worker process: `python -m nexusd.worker FD`, started by the parent, which tells it over FD what to serve."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from typing import TYPE_CHECKING, Final

from nexusd import app, catalog
from nexusd.ddl.migration import Verdict
from nexusd.embedding.references import PythonDefinitions
from nexusd.errors import NexusError, StartupError
from nexusd.events import ServerDraining, ServerReady, ServerStopped, WorkerFailed, unexpected
from nexusd.order import Order
from nexusd.renewal import reasons
from nexusd.serving import Serving, Watch
from nexusd.supervisor.colleagues import Colleagues
from nexusd.supervisor.health import HealthBoard
from nexusd.supervisor.line import Line, LineError
from nexusd.supervisor.services import SERVICE_FAILED, Supervisor
from nexusd.telemetry.crew_counts import SUBJECT as METRICS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.events import Event
    from nexusd.telemetry.logging import LogSink

LEGACY_S: Final = 5.0


def main() -> int:
    """Serve until the parent says otherwise, or is gone; the exit code."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # the parent's business
    sock = _inherited(int(sys.argv[1]))
    try:
        order = Order.read(sock)
    except LineError:
        return 0
    sys.path[:] = order.path
    os.set_inheritable(order.turns, False)  # noqa: FBT003 - the function's own signature
    with catalog.log_sink(order.settings.server, order.number) as log:
        return _work(order, sock, log)


def _work(order: Order, sock: socket.socket, log: LogSink) -> int:
    try:
        loaded = app.load(order.settings, PythonDefinitions(), order.registry)
        catalog.preload(order.settings)
        sockets = {name: _inherited(number) for name, number in order.sockets.items()}
        with asyncio.Runner(loop_factory=catalog.loop_factory()) as runner:
            return runner.run(_serve(order, loaded, sockets, sock, Watch.begin(loaded, log)))
    except StartupError as error:
        log(WorkerFailed(reasons(error)))
        return error.exit_code
    except NexusError as error:
        log(WorkerFailed((error.detail,)))
    except Exception as error:  # noqa: BLE001 - the edge of the process: whatever comes here is a bug, logged and hidden
        log(unexpected("worker", "", error))
    return SERVICE_FAILED


def _inherited(number: int) -> socket.socket:
    """A socket of the parent's, not passed on to what an operator's function may start."""
    os.set_inheritable(number, False)  # noqa: FBT003 - the function's own signature
    return socket.socket(fileno=number)


async def _serve(
    order: Order, loaded: app.Loaded, sockets: Mapping[str, socket.socket], sock: socket.socket, watch: Watch
) -> int:
    health = HealthBoard(list(sockets), "skipped" if order.outcome.verdict is Verdict.SKIPPED else "ok")
    colleagues = Colleagues()
    async with Serving(loaded, sockets, health, colleagues, watch).open(order.outcome, order.turns) as (
        runtime,
        services,
    ):

        def tell(event: Event) -> None:
            """Of the process as a whole the parent tells."""
            if isinstance(event, ServerReady):
                line.tell("ready")
            elif isinstance(event, ServerStopped):
                line.tell("cut", event.cancelled)
            elif not isinstance(event, ServerDraining):
                watch.observe(event)

        supervisor = Supervisor(
            services, health, runtime.database.ready, tell, grace_s=order.settings.server.grace_s, is_worker=True
        )

        def hear(subject: str, body: object) -> None:
            if subject == "drain":
                supervisor.stop("replaced" if body else "stop", successor=bool(body))
            elif subject == "crew":
                health.workers = str(body)
            elif subject == "legacy" and isinstance(body, list):
                runtime.history.take_over(body)

        line = Line(hear, colleagues.replied, watch.observe)
        await line.open(sock)
        colleagues.use(line)
        reading = asyncio.create_task(line.run())
        reading.add_done_callback(lambda _task: supervisor.stop("the parent has gone"))
        try:
            code = await supervisor.run(loaded.started)
            # Whoever was told where the outcome of a run will be found finds it at the successor.
            with contextlib.suppress(LineError):
                await line.ask("legacy", runtime.history.written(), LEGACY_S)
            if watch.monitoring is not None:
                with contextlib.suppress(LineError):
                    await line.ask(METRICS, watch.monitoring.report(), LEGACY_S)
            return code
        finally:
            await line.end()
            await reading


if __name__ == "__main__":
    sys.exit(main())
