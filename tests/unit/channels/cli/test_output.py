from __future__ import annotations

import io
from decimal import Decimal
from typing import TYPE_CHECKING

from nexusd.channels.cli.output import chosen_form, print_outputs, print_table, printable

if TYPE_CHECKING:
    import pytest


def test_columns_are_as_wide_as_their_widest_cell(capfd: pytest.CaptureFixture[str]) -> None:
    print_table([{"name": "a", "n": 1}, {"name": "longer", "n": None}], ("name", "n"))
    assert capfd.readouterr().out == "NAME    N\na       1\nlonger\n"


def test_wide_and_combining_characters_keep_columns_straight(capfd: pytest.CaptureFixture[str]) -> None:
    print_table([{"a": "名前", "b": "x"}, {"a": "e\u0301", "b": "y"}], ("a", "b"))
    assert capfd.readouterr().out == "A     B\n名前  x\ne\u0301     y\n"


def test_control_characters_are_shown_and_not_sent() -> None:
    assert printable("a\x1b[31mb\nc\u202ed") == "a\\x1b[31mb\\nc\\u202ed"


def test_json_outputs_keep_every_digit(capfd: pytest.CaptureFixture[str]) -> None:
    print_outputs({"a": Decimal("1.10"), "b": "Zoë"}, "json")
    assert capfd.readouterr().out == '{\n  "a": 1.10,\n  "b": "Zoë"\n}\n'


def test_table_of_outputs_has_a_row_for_each_record_or_field(capfd: pytest.CaptureFixture[str]) -> None:
    outputs = {"search": {"records": [{"id": 1}, {"id": 2}], "count": 2}, "create": {"id": "x"}, "n": 3, "none": None}
    print_outputs(outputs, "table")
    assert capfd.readouterr().out == "search:\nID\n1\n2\ncreate:\nFIELD  VALUE\nid     x\nn:\n3\nnone:\n\n"


def test_empty_list_of_records_is_shown_as_its_fields(capfd: pytest.CaptureFixture[str]) -> None:
    print_outputs({"search": {"records": [], "count": 0}}, "table")
    assert capfd.readouterr().out == "search:\nFIELD    VALUE\nrecords  []\ncount    0\n"


def test_form_is_json_where_no_terminal_is(capfd: pytest.CaptureFixture[str]) -> None:
    assert [chosen_form(None), chosen_form("table"), chosen_form("json")] == ["json", "table", "json"]
    assert capfd.readouterr().out == ""


def test_payload_is_utf8_whatever_the_locale(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr("sys.stdout", io.TextIOWrapper(written, encoding="ascii"))
    print_outputs({"a": "🎈"}, "json")
    assert written.getvalue().decode() == '{\n  "a": "🎈"\n}\n'
