"""A folder for what one test run writes, removed when the run ends, in whichever way it ends."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from types import TracebackType

# Waits for the end of its standard input, which the kernel closes when the test run ends, killed or not. Then a server
# that still has a pid file is told to stop at once; it removes that file last, and then the folder goes.
_GUARD: Final = """
read -r _
for file in "$0"/*/data/postmaster.pid; do
    [ -f "$file" ] || continue
    kill -s QUIT "$(head -n 1 "$file")"
    for attempt in 1 2 3 4 5 6 7 8 9 10; do
        [ -f "$file" ] || break
        sleep 0.2
    done
done
rm -rf "$0" || { sleep 1; rm -rf "$0"; }
"""


class RunFolder:
    """A folder below the system's temporary one that other users may enter; a child process guards its removal."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="nexusd-tests-"))
        # The servers in it may run as another user.
        self.path.chmod(0o755)
        self._guard = subprocess.Popen(
            [shutil.which("sh") or "/bin/sh", "-c", _GUARD, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            # Neither ctrl-C nor a signal to the whole group of the test run is for the guard.
            start_new_session=True,
        )

    def __enter__(self) -> Self:
        """The folder itself; it exists already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Remove the folder and what still runs in it."""
        self._guard.communicate(timeout=30)
