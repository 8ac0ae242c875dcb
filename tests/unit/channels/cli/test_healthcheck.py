from __future__ import annotations

import pytest

from nexusd.channels.cli.healthcheck import healthcheck


def test_help_is_on_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck(["--help"], {}) == 0
    assert capsys.readouterr().out.startswith("Usage: nexusd healthcheck")


@pytest.mark.parametrize("words", [["--config"], ["--porto", "1"], ["extra"]])
def test_wrong_use_ends_with_two(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck(words, {}) == 2
    assert capsys.readouterr().out == ""


def test_wrong_settings_end_with_78(capsys: pytest.CaptureFixture[str]) -> None:
    assert healthcheck(["--port=http"], {}) == 78
    assert capsys.readouterr().err == "--port: must be an integer\n"
