"""Log lines for people: structlog's renderer for a terminal."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

# structlog loads `rich` (200 ms) for tracebacks that nexusd never prints; while it is imported, rich counts as absent.
_RICH = sys.modules.get("rich")
sys.modules["rich"] = None  # type: ignore[assignment]
import structlog  # noqa: E402

if _RICH is None:
    del sys.modules["rich"]
else:
    sys.modules["rich"] = _RICH

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nexusd.telemetry.logging import Render


def console_renderer(*, colors: bool) -> Render:
    """Renders lines as text, with colours where the terminal shows them."""
    renderer = structlog.dev.ConsoleRenderer(colors=colors, pad_event_to=0)

    def render(line: Mapping[str, object]) -> bytes:
        return f"{renderer(None, '', dict(line))}\n".encode("utf-8", "backslashreplace")

    return render
