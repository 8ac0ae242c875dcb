"""`nexusd init`: what it writes works."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from nexusd.configuration import load_settings
from nexusd.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

    from tests.support.commands import Done

Nexusd: TypeAlias = "Callable[..., Done]"


def test_started_folder_checks_tests_and_runs(nexusd: Nexusd, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done = nexusd("init", "crm")
    assert done.exit_code == 0
    assert done.out.split() == ["crm/config/registry.yaml", "crm/tests/contacts.yaml", "crm/config/nexusd.yaml"]
    monkeypatch.chdir(folder / "crm")
    assert nexusd("check").exit_code == 0
    assert nexusd("test").exit_code == 0
    created = nexusd("run", "create_contact", "--name", "Ann", "--email", "Ann@example.com").payload["create"]
    assert created["email"] == "ann@example.com"


def test_settings_that_it_writes_are_the_defaults(nexusd: Nexusd, folder: Path) -> None:
    nexusd("init", "crm")
    text = (folder / "crm" / "config" / "nexusd.yaml").read_text(encoding="utf-8")
    file = folder / "all.yaml"
    file.write_text("\n".join(line.removeprefix("# ") for line in text.splitlines()[2:]), encoding="utf-8")
    assert load_settings(str(file), {}) == Settings()
    assert load_settings(str(folder / "crm" / "config" / "nexusd.yaml"), {}) == Settings()


def test_nothing_is_overwritten(nexusd: Nexusd, folder: Path) -> None:
    before = (folder / "config" / "registry.yaml").read_bytes()
    done = nexusd("init")
    assert (done.exit_code, done.out) == (73, "")
    assert done.err == "error: config/registry.yaml: there already; nothing was written\n"
    assert (folder / "config" / "registry.yaml").read_bytes() == before
    assert not (folder / "tests").exists()


def test_place_that_cannot_be_written_is_told(nexusd: Nexusd, folder: Path) -> None:
    (folder / "file").write_text("", encoding="utf-8")
    done = nexusd("init", "file")
    assert (done.exit_code, done.out) == (73, "")
    assert "cannot be written" in done.err
