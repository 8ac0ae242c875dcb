"""The files of this project, for tests about all of them."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGE: Final = ROOT / "server" / "nexusd"


def python_files(folder: Path) -> list[Path]:
    """Every Python file below a folder, sorted."""
    return sorted(folder.rglob("*.py"))


def project_files() -> list[Path]:
    """What is in the repository or is about to be: every file that git does not ignore.

    Without git, as in an unpacked source archive, the calling test is skipped, or fails where `CI` is set.
    """
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout
    except (OSError, subprocess.CalledProcessError) as error:
        (pytest.fail if "CI" in os.environ else pytest.skip)(f"the project's files cannot be listed: {error}")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).is_file()]


def relative(path: Path) -> str:
    """A path as it is written in this project, such as `server/nexusd/errors.py`."""
    return path.relative_to(ROOT).as_posix()
