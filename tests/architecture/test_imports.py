from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.tree import ROOT


def test_files_import_only_what_the_contracts_allow(tmp_path: Path) -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("lint-imports")), "--no-logo", "--cache-dir", str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stdout


def test_importing_the_package_loads_none_of_its_parts() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import nexusd, sys; print(*(m for m in sys.modules if m.startswith('nexusd')))"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["nexusd"]
