"""Whether a process of this machine that left its name is still there."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path


@cache
def identity() -> str:
    """A name of this process that no later one has: its id, when it began, and in which namespace of ids."""
    return _name(os.getpid())


def is_alive(name: str) -> bool:
    """Whether the process of that name may be there; True where this cannot be found out."""
    number, _, rest = name.partition(" ")
    if not number.isdigit():
        return True
    if rest.partition(" ")[2] != _namespace():
        return True  # of another container
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return _name(int(number)) == name


def _name(pid: int) -> str:
    return f"{pid} {_begun(pid)} {_namespace()}"


def _begun(pid: int) -> str:
    """When a process began, in ticks since the machine did (man proc_pid_stat, field 22); empty without /proc."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""
    return text.rpartition(")")[2].split()[19]


@cache
def _namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115 - not a path, a name
    except OSError:
        return ""
