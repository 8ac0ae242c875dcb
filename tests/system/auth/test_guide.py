"""docs/authentication.md: what it says to type works, and its settings are settings."""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING, Final, TypeAlias

import httpx
import pytest

from nexusd.configuration import load_settings
from tests.support.daemon import ROOT, Daemon

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"

GUIDE: Final = (ROOT / "docs" / "authentication.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)


def test_the_commands_work_one_after_the_other(folder: Path, nexusd: Nexusd, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{folder}/guide.db")
    environment = {
        "DATABASE_URL": f"sqlite:///{folder}/guide.db",
        "NEXUSD_AUTH__ENABLED": "true",
        "NEXUSD_MCP__ENABLED": "false",
    }
    lines = [line for block in blocks("sh") for line in block.splitlines()]
    keys: list[str] = []
    with Daemon(folder, environment) as daemon:
        for line in lines:
            first = keys[0] if keys else ""
            told = line.replace("http://localhost:8000", daemon.http).replace("$KEY", first)
            words = shlex.split(told.replace("0123456789ab", first[4:16]))
            if words[0] == "curl":
                assert _posted(words[1:]).status_code == 200, line
                continue
            if words[0].startswith("NEXUSD_API_KEY="):
                monkeypatch.setenv(*words.pop(0).split("=", 1))
            done = nexusd(*words[1:])
            assert done.exit_code == 0, (line, done.err)
            if words[1:3] == ["keys", "create"]:
                keys.append(done.out.strip())
    assert len(keys) == 3


def _posted(words: list[str]) -> httpx.Response:
    """What the words of a curl command are answered."""
    headers = dict(words[i + 1].split(": ", 1) for i, word in enumerate(words) if word == "-H")
    url = next(word for word in words if word.startswith("http"))
    return httpx.post(url, headers=headers, content=words[words.index("-d") + 1], timeout=10)


@pytest.mark.parametrize(
    "text", [block for block in blocks("yaml") if block.lstrip("# \n").startswith(("auth", "config"))]
)
def test_the_settings_are_settings(tmp_path: Path, text: str) -> None:
    (tmp_path / "n.yaml").write_text(text.replace("<64 hexadecimal digits>", "0" * 64))

    assert load_settings(str(tmp_path / "n.yaml"), {}).auth.enabled
