"""PgBouncer before a test's PostgreSQL server, where it is installed."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from typing import TYPE_CHECKING, Final

import pytest

from tests.support.ports import find_free_port
from tests.support.postgres import account

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.support.postgres import PostgresServer

_WAIT_S: Final = 10.0
_PLACES: Final = "/usr/sbin:/usr/local/sbin:/opt/homebrew/bin"
_SETTINGS: Final = """
[databases]
* = host=127.0.0.1 port={server} user=postgres
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 20
"""


@contextlib.contextmanager
def pgbouncer(server: PostgresServer, folder: Path) -> Iterator[int]:
    """PgBouncer in transaction mode; its port. Skips the test where there is none.

    Args:
        server: where it leads.
        folder: that other users may enter, for its settings.
    """
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path=_PLACES)
    if program is None:
        pytest.skip("PgBouncer is not installed (Debian: apt-get install pgbouncer), so poolers are not tested")
    port = find_free_port()
    settings = folder / f"pgbouncer-{port}.ini"
    settings.write_text(_SETTINGS.format(server=server.port, port=port))
    settings.chmod(0o644)
    process = subprocess.Popen(
        [program, str(settings)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=folder, **account()
    )
    assert process.stderr is not None
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "process up" in line:
                break
        else:
            pytest.fail(f"PgBouncer did not start:\n{''.join(lines)}")
        yield port
    finally:
        process.terminate()
        process.wait(_WAIT_S)
        process.stderr.close()
