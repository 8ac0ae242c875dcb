"""`python -m nexusd` and the command `nexusd`."""

from __future__ import annotations

import os
import signal
import sys
from typing import Final

from nexusd import __version__

INTERRUPTED: Final = 130
"""128 and the number of SIGINT, as shells count."""


def main() -> None:
    """Run the command line; the verbs that must start quickly do so without the rest of the program."""
    arguments = sys.argv[1:]
    if arguments in (["version"], ["--version"]):
        print(f"nexusd {__version__}")
        return
    if arguments[:1] == ["healthcheck"]:
        from nexusd.channels.cli.healthcheck import healthcheck

        sys.exit(healthcheck(arguments[1:], os.environ))
    if "serve" in arguments:
        # A server never dies of SIGHUP. Nothing has been read yet, so here there is nothing to read again either.
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    if arguments == ["serve"]:
        sys.exit(_serve())
    from nexusd.channels.cli.program import main as run_program

    sys.exit(run_program(arguments))


def _serve() -> int:
    """`nexusd serve` without options, as the program would do it: a third of a start is reading options."""
    from nexusd import app, daemon
    from nexusd.configuration import load_settings
    from nexusd.embedding.references import PythonDefinitions

    debug = False
    try:
        settings = load_settings(None, os.environ)
        debug = settings.server.log_level == "debug"
        return daemon.serve(lambda: app.load(settings, PythonDefinitions()))
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:  # noqa: BLE001 - the edge of the process, where the program tells whatever comes
        from nexusd.channels.cli.program import failed

        return failed(error, debug=debug)


if __name__ == "__main__":
    main()
