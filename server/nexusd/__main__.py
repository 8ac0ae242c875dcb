"""`python -m nexusd` and the command `nexusd`."""

from __future__ import annotations

import os
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
    from nexusd.channels.cli.program import main as run_program

    sys.exit(run_program(arguments))


if __name__ == "__main__":
    main()
