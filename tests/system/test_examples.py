"""The examples do what they say, each in a process of its own."""

from __future__ import annotations

import json
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.daemon import ROOT, Daemon, run_cli

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

EXAMPLES = ROOT / "examples"
JOHN = {"name": "John Doe", "email": "john@example.com", "company": "Acme Corp"}


@pytest.fixture
def python_example(tmp_path: Path) -> Iterator[Daemon]:
    """The Python example as it stands, its two ports aside."""
    text = (EXAMPLES / "crm_python" / "app.py").read_text(encoding="utf-8")
    ports = "api_port=8000, mcp_port=3001"
    assert text.count(ports) == 1
    script = tmp_path / "app.py"
    script.write_text(text.replace(ports, "api_port=0, mcp_port=0"), encoding="utf-8")
    with Daemon(tmp_path, command=(sys.executable, str(script))) as daemon:
        yield daemon


def test_python_example_creates_a_contact(python_example: Daemon) -> None:
    answer = python_example.execute("create_contact", JOHN)
    assert answer.status_code == 200
    created = answer.json()["outputs"]["create"]
    assert {key: created[key] for key in JOHN} == JOHN


def test_python_example_finds_what_it_created(python_example: Daemon) -> None:
    outputs = python_example.execute("contact_workflow", JOHN).json()["outputs"]
    assert [record["id"] for record in outputs["search"]["records"]] == [outputs["create"]["id"]]


def test_python_example_ends_with_zero_on_sigterm(python_example: Daemon) -> None:
    assert python_example.stop(signal.SIGTERM) == 0


class Crm:
    """The YAML example on a database of its own."""

    def __init__(self, folder: Path) -> None:
        self._environment = {"DATABASE_URL": f"sqlite:///{folder / 'crm.db'}"}

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run nexusd in the example's folder, as its README says."""
        return run_cli(*arguments, "--registry", "registry.yaml", cwd=EXAMPLES / "crm", env=self._environment)

    def run(self, workflow: str, *options: str) -> Any:  # noqa: ANN401 - JSON
        """The outputs of a workflow that succeeds."""
        done = self.cli("run", workflow, *options)
        assert (done.returncode, done.stderr) == (0, "")
        return json.loads(done.stdout)


@pytest.fixture
def crm(tmp_path: Path) -> Crm:
    return Crm(tmp_path)


def test_crm_has_no_problems(crm: Crm) -> None:
    done = crm.cli("check")
    assert (done.returncode, done.stdout) == (0, "registry.yaml: 3 models, 16 workflows, no problems\n")


def test_crm_cases_hold(crm: Crm) -> None:
    done = crm.cli("test")
    assert (done.returncode, done.stderr) == (0, "4 cases, 0 failed\n")


def test_crm_employs_contacts_of_one_company(crm: Crm) -> None:
    first = crm.run("employ_contact", "--name", "Ann", "--email", "Ann@example.com", "--company", "Acme")
    second = crm.run("employ_contact", "--name", "Bob", "--email", "bob@example.com", "--company", "Acme")
    assert (first["company_is_new"], second["company_is_new"]) == (True, False)
    assert first["company_id"] == second["company_id"]
    contact = crm.run("contact_read", "--id", first["contact_id"])["read"]
    assert (contact["email"], contact["company_id"]) == ("ann@example.com", first["company_id"])


def test_crm_takes_every_kind_of_option(crm: Crm) -> None:
    created = crm.run(
        "create_contact",
        *("--name", "Ann", "--email", "ann@example.com", "--tier", "pro", "--score=12.5"),
        *("--newsletter", "--tags", '["vip"]', "--notes", '{"since": 2020}'),
    )["create"]
    expected = {"tier": "pro", "score": "12.50", "newsletter": True, "tags": ["vip"], "notes": {"since": 2020}}
    assert {key: created[key] for key in expected} == expected


def test_crm_follows_a_deal_from_open_to_won(crm: Crm) -> None:
    crm.run("create_contact", "--name", "Ann", "--email", "ann@example.com")
    for title, amount in (("small", "10"), ("large", "2000.50")):
        crm.run("open_deal", "--title", title, "--email", "ann@example.com", "--amount", amount)
    pipeline = crm.run("pipeline")
    assert [deal["title"] for deal in pipeline["deals"]["records"]] == ["large", "small"]
    assert pipeline["open"] == {"count": 2}
    won = crm.run("close_deal", "--id", pipeline["deals"]["records"][0]["id"], "--stage", "won")["deal"]
    assert (won["stage"], won["amount"], won["version"]) == ("won", "2000.50", 2)
    assert crm.run("pipeline", "--min-amount", "5")["open"] == {"count": 1}


def test_crm_keeps_the_good_rows_of_an_import(crm: Crm) -> None:
    records = [{"name": "A", "email": "a@example.com"}, {"name": "", "email": "b@example.com"}]
    outcome = crm.run("import_contacts", "--inputs", json.dumps({"records": records}))["import"]
    assert (outcome["inserted"], outcome["failed"]) == (1, 1)


def test_crm_serves(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'crm.db'}"}
    with Daemon(EXAMPLES / "crm", environment, ("--registry", "registry.yaml")) as daemon:
        assert daemon.execute("contact_workflow", JOHN).json()["outputs"]["search"]["count"] == 1


def test_functions_price_and_draw(tmp_path: Path) -> None:
    environment = {"DATABASE_URL": f"sqlite:///{tmp_path / 'quotes.db'}"}
    with Daemon(EXAMPLES / "functions", environment, ("--registry", "registry.yaml")) as daemon:
        lines = [{"name": "a", "price": "9.99", "count": 3}, {"name": "b", "price": "0.05"}]
        answer = daemon.execute("quote", {"customer": "Acme", "lines": lines, "discount": "0.1"})
        assert {key: answer.json()["outputs"][key] for key in ("total", "saved")} == {"total": "27.02", "saved": "3.00"}
        best = daemon.execute("best_customers", {"least": 10}).json()["outputs"]["best"]
        assert best == {"records": [{"customer": "Acme", "quotes": 1, "total": "27.02"}], "count": 1}
        refused = daemon.execute("quote", {"customer": "Acme", "lines": lines, "discount": "7"})
        assert (refused.status_code, refused.json()["node"]) == (502, "price")
        assert refused.json()["detail"] == "a discount is a part of the price, such as 0.1"
        wrong = daemon.execute("quote", {"customer": "Acme", "lines": [{"name": "a", "price": "x"}]})
        assert [fault["pointer"] for fault in wrong.json()["errors"]] == ["/inputs/lines/0/price"]
        drawn = daemon.execute("price_list", {"prices": {"a": 1.5}}).json()["outputs"]["draw"]
        assert (drawn["type"], drawn["mimeType"]) == ("image", "image/svg+xml")
