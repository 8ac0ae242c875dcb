"""Nexus: a server over models and workflows that were declared in Python."""

from __future__ import annotations

import os
import sys
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from nexusd import app as boot
from nexusd import daemon
from nexusd.configuration import load_settings
from nexusd.definitions.registry import Registry
from nexusd.definitions.workflow import Workflow
from nexusd.definitions.workflow_loader import WORKFLOW_NAME
from nexusd.embedding.dataflow import DataFlow, alive_dataflows, only_dataflow
from nexusd.embedding.misuse import UsageError, refuse_unknown
from nexusd.embedding.references import PythonDefinitions

if TYPE_CHECKING:
    from collections.abc import Callable

    from nexusd.settings import Setting

_ARGUMENTS: Final = ("api_port", "mcp_port", "auto_discovery", "enable_auth", "enable_monitoring", "dataflow")
_DEFAULT_URL: Final = "sqlite:///:memory:"

_NO_DISCOVERY: Final = (
    "auto_discovery=True: nexusd serves what is registered and searches no folders, since what a file happens to "
    "define must not become an endpoint; call register(name, workflow) for each workflow"
)


class Nexus:
    """A server over the models of a DataFlow and the workflows that are registered here.

    What is given here wins over the environment, which wins over `config/nexusd.yaml`; None: as configured there.

    Args:
        api_port: of the HTTP channel (8000 unless configured).
        mcp_port: of the MCP channel (3001 unless configured).
        auto_discovery: must be False.
        enable_auth: as `auth.enabled`.
        enable_monitoring: as `monitoring.enabled`.
        dataflow: whose models are served; None: the one DataFlow of the process.

    Raises:
        UsageError: an argument that there is not, or that cannot be had.
    """

    def __init__(
        self,
        api_port: int | None = None,
        mcp_port: int | None = None,
        *,
        auto_discovery: bool = False,
        enable_auth: bool | None = None,
        enable_monitoring: bool | None = None,
        dataflow: DataFlow | None = None,
        **unknown: object,
    ) -> None:
        refuse_unknown("Nexus", unknown, _ARGUMENTS)
        if auto_discovery:
            raise UsageError(_NO_DISCOVERY)
        if dataflow is not None and not isinstance(dataflow, DataFlow):
            raise UsageError(f"Nexus(dataflow=…) takes a DataFlow, not {type(dataflow).__name__}")
        self._given: dict[str, tuple[Setting, object]] = {
            "api_port": (("http", "port"), api_port),
            "mcp_port": (("mcp", "port"), mcp_port),
            "enable_auth": (("auth", "enabled"), enable_auth),
            "enable_monitoring": (("monitoring", "enabled"), enable_monitoring),
        }
        self._dataflow = dataflow
        self._kept: list[DataFlow] = []
        self._workflows: dict[str, Workflow] = {}
        self._lock = threading.Lock()
        self._started = False
        self._stop_asked = False
        self._stop: Callable[[], None] | None = None

    def register(self, name: str, workflow: Workflow) -> None:
        """Serve a built workflow under a name.

        Raises:
            UsageError: the name is taken or not possible, this is no built workflow, or the server has started.
        """
        if not isinstance(workflow, Workflow):
            raise UsageError(
                f"register({name!r}, …) takes what WorkflowBuilder().build() gives, not {type(workflow).__name__}"
            )
        if not WORKFLOW_NAME.fullmatch(name):
            raise UsageError(f"{name!r} cannot be a workflow's name: letters, digits, _ and -, at most 64")
        if name in self._workflows:
            raise UsageError(f"the workflow {name!r} is registered already")
        if self._started:
            raise UsageError(f"{name!r} comes too late: register every workflow before start()")
        self._workflows[name] = replace(workflow, name=name)
        # A program may build all this in a function whose own names are gone when it starts.
        self._kept = alive_dataflows()

    def start(self) -> None:
        """Serve until SIGTERM, SIGINT or `stop`; blocks, and returns once everything is drained.

        Raises:
            StartupError: a mistake in models, workflows or settings, a taken port, a database that cannot be migrated.
            SystemExit: a channel failed while serving.
        """
        with self._lock:
            if self._started:
                raise UsageError("this Nexus has been started already; make another to serve again")
            self._started = True
        try:
            code = daemon.serve(self.load, self._take_stop)
        finally:
            with self._lock:
                self._stop = None
        if code:
            sys.exit(code)

    def stop(self) -> None:
        """Begin the drain; from any thread, at any time: before `start` serves, it ends as soon as it does."""
        with self._lock:
            self._stop_asked = True
            if self._stop is not None:
                self._stop()

    def _take_stop(self, stop: Callable[[], None]) -> None:
        with self._lock:
            self._stop = stop
            if self._stop_asked:
                stop()

    def load(self) -> boot.Loaded:
        """Check settings, models and workflows as `start` does, without serving.

        Raises:
            ConfigurationError: with every mistake.
            UsageError: no DataFlow, or several.
        """
        dataflow = self._dataflow if self._dataflow is not None else only_dataflow()
        given = {
            **self._given,
            "database_url": (("database", "url"), dataflow.database_url),
            "auto_migrate": (("database", "auto_migrate"), dataflow.auto_migrate),
        }
        settings = load_settings(
            None,
            os.environ,
            {setting: value for setting, value in given.values() if value is not None},
            names={setting: name for name, (setting, _) in given.items()},
            defaults={("database", "url"): _DEFAULT_URL},
        )
        registry = Registry(models=dict(dataflow.checked_models()), workflows=dict(self._workflows))
        return boot.load(settings, PythonDefinitions(), registry)
