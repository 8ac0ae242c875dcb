"""`nexusd healthcheck`: asks the running server whether it is ready.

Containers run it every few seconds, so it loads as little as it can: the request is written by hand (RFC 9112), since
http.client alone costs more than everything else here.
"""

from __future__ import annotations

import socket
import sys
from typing import TYPE_CHECKING, Final

from nexusd.channels.cli.exits import USAGE
from nexusd.configuration import load_settings
from nexusd.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from nexusd.settings import Settings

NOT_READY: Final = 1
TIMEOUT_S: Final = 3.0
EVERYWHERE: Final = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "::": "::1"}  # noqa: S104 - compared, not bound
"""Addresses to bind that are none to connect to, and what to connect to instead."""

_HELP: Final = """Usage: nexusd healthcheck [OPTIONS]

  Ask the running server whether it is ready: GET /health/ready at the
  configured HTTP address. Exit codes: 0 ready, 1 not ready or no answer,
  2 wrong use, 78 wrong settings.

Options:
  --config FILE  Settings file [default: config/nexusd.yaml]
  --port PORT    Port of HTTP, where it is not the configured one
  --help         Show this message and exit."""


def healthcheck(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """0 when the server is ready, 1 when not; 2 and 78 for wrong use and wrong settings."""
    options: dict[str, str] = {}
    words = list(arguments)
    while words:
        flag, attached, value = words.pop(0).partition("=")
        if flag == "--help":
            print(_HELP)
            return 0
        if flag not in {"--config", "--port"} or not (attached or words):
            print(_HELP, file=sys.stderr)
            return USAGE
        options[flag] = value if attached else words.pop(0)
    port = options.get("--port")
    overrides = {} if port is None else {("http", "port"): port}
    try:
        settings = load_settings(options.get("--config"), environ, overrides, names={("http", "port"): "--port"})
    except ConfigurationError as error:
        print(error.detail, file=sys.stderr)
        return error.exit_code
    try:
        status = _ask(settings)
    except OSError as error:
        print(f"not ready: no answer ({error.strerror or type(error).__name__})", file=sys.stderr)
        return NOT_READY
    if status != "200":
        print(f"not ready: {status or 'no HTTP'}", file=sys.stderr)
        return NOT_READY
    print("ready")
    return 0


def _ask(settings: Settings) -> str:
    """The status that /health/ready answers.

    Raises:
        OSError: nothing answers in time.
    """
    host = settings.http.host.strip("[]")
    with socket.create_connection((EVERYWHERE.get(host, host), settings.http.port), TIMEOUT_S) as connection:
        # Health routes answer under any Host.
        connection.sendall(b"GET /health/ready HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        with connection.makefile("rb") as answer:
            version, _, rest = answer.readline(256).decode("latin-1").partition(" ")
    return rest[:3] if version.startswith("HTTP/") else ""
