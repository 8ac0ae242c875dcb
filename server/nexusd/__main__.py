"""`python -m nexusd` and the command `nexusd`."""

from __future__ import annotations

import os
import signal
import sys

from nexusd import __version__


def main() -> None:
    """Run the command line; the two verbs that scripts call often start without the rest of the program."""
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
    from nexusd.channels.cli.program import main as run_program

    sys.exit(run_program(arguments))


if __name__ == "__main__":
    main()
