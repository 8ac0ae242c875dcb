from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from nexusd.configuration import FIXED, load_settings
from nexusd.documents import read_document
from nexusd.errors import ConfigurationError
from nexusd.settings import Settings, all_settings, is_loopback, redacted_url
from tests.support.tree import ROOT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from nexusd.settings import Setting


def problems(
    path: str | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[Setting, object] | None = None,
) -> list[str]:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(path, environ or {}, overrides)
    return [problem.render() for problem in caught.value.problems]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_file_and_environment_everything_has_its_default() -> None:
    assert load_settings(None, {}) == Settings()


def test_the_shipped_file_names_every_setting_with_its_default() -> None:
    path = ROOT / "config" / "nexusd.yaml"

    assert load_settings(str(path), {}) == Settings()
    value = read_document(path).value
    assert isinstance(value, dict)
    assert {(section, key) for section, entries in value.items() for key in entries} == set(all_settings())


def test_a_flag_wins_over_the_environment_which_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text("http: {port: 1111, host: localhost}\nmcp: {port: 2222}\n")

    settings = load_settings(str(file), {"NEXUSD_HTTP__PORT": "3333", "MCP_PORT": "4444"}, {("http", "port"): 5555})

    assert (settings.http.port, settings.http.host, settings.mcp.port) == (5555, "localhost", 4444)


def test_a_long_name_wins_over_the_short_one() -> None:
    settings = load_settings(None, {"API_PORT": "1", "NEXUSD_HTTP__PORT": "2"})

    assert settings.http.port == 2


def test_the_short_names_are_read() -> None:
    settings = load_settings(None, {"DATABASE_URL": "postgresql://h/d", "API_PORT": "1", "MCP_PORT": "2"})

    assert (settings.database.url, settings.http.port, settings.mcp.port) == ("postgresql://h/d", 1, 2)


@pytest.mark.parametrize("text", ["a.example, b.example", '["a.example", "b.example"]'])
def test_a_list_in_the_environment_is_json_or_has_commas(text: str) -> None:
    settings = load_settings(None, {"NEXUSD_HTTP__ALLOWED_HOSTS": text})

    assert settings.http.allowed_hosts == ("a.example", "b.example")


def test_a_secret_is_read_from_the_file_that_a_variable_names(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("postgresql://u:p@h/d\n")

    settings = load_settings(None, {"NEXUSD_DATABASE__URL_FILE": str(tmp_path / "url")})

    assert settings.database.url == "postgresql://u:p@h/d"
    assert "u:p" not in repr(settings)


def test_every_mistake_is_told_at_once_with_its_place(tmp_path: Path) -> None:
    file = tmp_path / "n.yaml"
    file.write_text("htp: {}\nhttp:\n  prot: 1\n  port: yes\ndatabase: {pooler: transactoin}\n")

    found = problems("n.yaml", {"NEXUSD_MCP__PORT": "x"})

    assert found == [
        "NEXUSD_MCP__PORT: must be an integer",
        "n.yaml:1:1: unknown section 'htp'\n  htp: {}\n  ^^^\n  hint: did you mean 'http'?",
        "n.yaml:3:3: unknown setting http.prot\n    prot: 1\n    ^^^^\n  hint: did you mean 'port'?",
        "n.yaml:4:9: http.port: must be an integer\n    port: yes\n          ^^^",
        "n.yaml:5:20: database.pooler: must be one of none, transaction\n  database: {pooler: transactoin}\n                     ^^^^^^^^^^^\n  hint: did you mean 'transaction'?",
    ]


def test_an_unknown_variable_of_ours_is_an_error_with_a_hint() -> None:
    assert problems(environ={"NEXUSD_HTTP__PROT": "1"}) == [
        "NEXUSD_HTTP__PROT: no such setting\n  hint: did you mean 'NEXUSD_HTTP__PORT'?"
    ]


def test_a_file_that_was_asked_for_must_be_there() -> None:
    assert problems("missing.yaml") == ["missing.yaml:1:1: cannot be read: No such file or directory"]


@pytest.mark.parametrize(
    ("environ", "name"),
    [
        ({"NEXUSD_HTTP__PORT": "65536"}, "NEXUSD_HTTP__PORT"),
        ({"NEXUSD_HTTP__BODY_TIMEOUT_S": "0"}, "NEXUSD_HTTP__BODY_TIMEOUT_S"),
        ({"NEXUSD_HTTP__BODY_TIMEOUT_S": "nan"}, "NEXUSD_HTTP__BODY_TIMEOUT_S"),
        ({"NEXUSD_DATABASE__POOL_MIN": "11"}, "NEXUSD_DATABASE__POOL_MIN"),
        ({"DATABASE_URL": "mysql://h/d"}, "DATABASE_URL"),
        ({"DATABASE_URL": "sqlite://file.db"}, "DATABASE_URL"),
        ({"NEXUSD_MCP__PATH": "mcp"}, "NEXUSD_MCP__PATH"),
        ({"NEXUSD_MCP__PORT": "8000"}, "NEXUSD_MCP__PORT"),
        ({"NEXUSD_MCP__ENABLED": "maybe"}, "NEXUSD_MCP__ENABLED"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_name(environ: dict[str, str], name: str) -> None:
    found = problems(environ=environ)

    assert len(found) == 1
    assert found[0].startswith(f"{name}: ")


@pytest.mark.parametrize("variable", ["NEXUSD_HTTP__HOST", "NEXUSD_MCP__HOST"])
def test_an_open_address_without_authentication_is_refused_unless_insecure(variable: str) -> None:
    found = problems(environ={variable: "0.0.0.0"})

    assert len(found) == 1
    assert "--insecure" in found[0]
    load_settings(None, {variable: "0.0.0.0", "NEXUSD_SERVER__INSECURE": "true"})


def test_what_is_not_built_is_refused_rather_than_ignored() -> None:
    assert "version" in problems(environ={"NEXUSD_EXECUTIONS__ENGINE": "dbos"})[0]


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "sqlite:///"])
def test_workers_are_refused_on_a_database_that_lives_in_one_process(url: str) -> None:
    assert "share" in problems(environ={"NEXUSD_SERVER__WORKERS": "2", "DATABASE_URL": url})[0]


def test_every_fixed_setting_exists() -> None:
    assert set(all_settings()) >= FIXED


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.1.2.3", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("db", False)],
)
def test_loopback_is_recognised(host: str, *, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_shown_url_has_no_password() -> None:
    assert redacted_url("postgresql://u:secret@h:5/d?x=secret") == "postgresql://u@h:5/d"


def test_secrets_of_the_registry_are_an_object_of_texts_and_never_told(tmp_path: Path) -> None:
    (tmp_path / "s.json").write_text('{"CRM": "s3cret"}\n')
    text = load_settings(None, {"NEXUSD_REGISTRY__SECRETS": '{"CRM": "s3cret"}'})
    file = load_settings(None, {"NEXUSD_REGISTRY__SECRETS_FILE": str(tmp_path / "s.json")})

    assert text.registry.secrets == file.registry.secrets == {"CRM": "s3cret"}
    assert "s3cret" not in repr(text)
    (told,) = problems(environ={"NEXUSD_REGISTRY__SECRETS": '{"CRM": ["s3cret"]}'})
    assert told == 'NEXUSD_REGISTRY__SECRETS: must be an object of texts, such as {"CRM_TOKEN": "…"}'
