"""docs/workflows.md is true: its registry loads, and its cases hold on both databases."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, TypeAlias

from tests.support.daemon import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"


def test_workflows_of_the_page_do_what_it_says(nexusd: Nexusd, folder: Path, database_url: str) -> None:
    page = (ROOT / "docs" / "workflows.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    models, workflows, (cases,) = (
        [block for block in blocks if block.startswith(head)] for head in ("models:", "workflows:", "cases:")
    )
    bodies = [block.removeprefix("workflows:\n") for block in workflows]
    registry = "".join(["version: 1\n", *models, "workflows:\n", *bodies])
    (folder / "config" / "registry.yaml").write_text(registry, encoding="utf-8")
    (folder / "cases.yaml").write_text(cases, encoding="utf-8")

    checked = nexusd("check")
    assert (checked.exit_code, checked.out) == (0, "config/registry.yaml: 2 models, 6 workflows, no problems\n"), (
        checked
    )

    done = nexusd("test", "cases.yaml", "--database-url", database_url)
    assert (done.exit_code, done.err) == (0, "6 cases, 0 failed\n"), done.out
