"""nexusd: declared models and workflows, served over HTTP, MCP and a command line from one process.

`Nexus`, `DataFlow` and `WorkflowBuilder` are the Python API; the other names are for the functions that a FunctionNode
calls. They are resolved when first asked for, so that importing the package, as every start of the daemon does, loads
nothing else.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

__all__ = [
    "Audio",
    "BlockingContext",
    "Context",
    "DataFlow",
    "Elicit",
    "Embedded",
    "Image",
    "Link",
    "Nexus",
    "Roots",
    "Sample",
    "Text",
    "ToolError",
    "WorkflowBuilder",
    "__version__",
]

__version__ = "0.1.0"

if TYPE_CHECKING:
    from nexusd.definitions.content import Audio, Embedded, Image, Link, Text
    from nexusd.definitions.conversation import Elicit, Roots, Sample
    from nexusd.embedding.builder import WorkflowBuilder
    from nexusd.embedding.dataflow import DataFlow
    from nexusd.embedding.nexus import Nexus
    from nexusd.errors import ToolError
    from nexusd.nodes.function_context import BlockingContext, Context
else:
    _HOMES = {
        **dict.fromkeys(("Audio", "Embedded", "Image", "Link", "Text"), "nexusd.definitions.content"),
        **dict.fromkeys(("BlockingContext", "Context"), "nexusd.nodes.function_context"),
        **dict.fromkeys(("Elicit", "Roots", "Sample"), "nexusd.definitions.conversation"),
        "DataFlow": "nexusd.embedding.dataflow",
        "Nexus": "nexusd.embedding.nexus",
        "ToolError": "nexusd.errors",
        "WorkflowBuilder": "nexusd.embedding.builder",
    }

    def __getattr__(name: str) -> object:
        if name in _HOMES:
            return getattr(import_module(_HOMES[name]), name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
