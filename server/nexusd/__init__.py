"""nexusd: declared models and workflows, served over HTTP, MCP and a command line from one process.

`Nexus`, `DataFlow` and `WorkflowBuilder` are the Python API. They are resolved when first asked for, so that importing
the package, as every start of the daemon does, loads nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = ["DataFlow", "Nexus", "WorkflowBuilder", "__version__"]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nexusd.embedding.builder import WorkflowBuilder
    from nexusd.embedding.dataflow import DataFlow
    from nexusd.embedding.nexus import Nexus
else:
    _HOMES = {
        "DataFlow": "nexusd.embedding.dataflow",
        "Nexus": "nexusd.embedding.nexus",
        "WorkflowBuilder": "nexusd.embedding.builder",
    }

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
