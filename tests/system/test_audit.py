from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import psycopg
import pytest

from tests.support.daemon import Daemon

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REGISTRY: Final = """\
version: 1
models:
  Contact:
    fields:
      id: {type: str, primary_key: true}
      email: {type: str, unique: true}
      name: {type: str, nullable: true}
    publish: true
  Plain:
    fields:
      id: {type: int, primary_key: true}
      code: {type: str, unique: true}
      name: {type: str, nullable: true}
    versioned: false
    timestamps: false
    publish: true
  Kept:
    fields:
      id: {type: str, primary_key: true}
      name: {type: str, nullable: true}
    soft_delete: true
    publish: true
workflows:
  two_contacts:
    nodes:
      first: {type: ContactCreateNode, params: {id: "{{one}}", email: "{{one}}"}}
      second: {type: ContactCreateNode, params: {id: "{{two}}", email: "{{two}}"}}
    connections: [[first, result, second, input]]
  relay:
    nodes:
      inner: {type: WorkflowNode, workflow: two_contacts, params: {one: "{{one}}", two: "{{two}}"}}
  by_hand:
    nodes:
      change: {type: SqlNode, sql: "UPDATE contact SET name = :name", write: true, params: {name: "{{name}}"}}
  each:
    inputs: {ids: {type: array, items: str}}
    nodes:
      made: {type: KeptCreateNode, foreach: "{{ids}}", params: {id: "{{item}}"}}
"""
CANARY: Final = "canary-9d1c"
NEXT: Final = "SELECT operation, model, key, version FROM _nexusd_audit WHERE id > {after} ORDER BY id"


class Audited:
    """A daemon that audits, and what it has noted."""

    def __init__(self, daemon: Daemon, url: str) -> None:
        self._daemon = daemon
        self._url = url
        self._seen = 0

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Ask the database."""
        if self._url.startswith("sqlite"):
            with closing(sqlite3.connect(self._url.removeprefix("sqlite:///"))) as connection:
                return connection.execute(sql).fetchall()
        with psycopg.connect(self._url) as connection:
            return connection.execute(sql.encode()).fetchall()

    def run(self, workflow: str, status: int = 200, headers: dict[str, str] | None = None, **inputs: object) -> Any:  # noqa: ANN401
        """Run a workflow; its outputs."""
        answer = self._daemon.execute(workflow, inputs, **headers or {})
        assert answer.status_code == status, answer.text
        return answer.json().get("outputs")

    def noted(self) -> list[tuple[Any, ...]]:
        """What was noted since the last time: operation, model, key, version."""
        found = self.rows(NEXT.format(after=self._seen))
        self._seen = self.rows("SELECT coalesce(max(id), 0) FROM _nexusd_audit")[0][0]
        return found


@pytest.fixture
def audited(tmp_path: Path, database_url: str) -> Iterator[Audited]:
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "registry.yaml").write_text(REGISTRY, "utf-8")
    with Daemon(tmp_path, {"NEXUSD_MONITORING__AUDIT": "true", "DATABASE_URL": database_url}) as daemon:
        yield Audited(daemon, database_url)


def test_every_change_of_a_record_is_noted_and_nothing_else(audited: Audited) -> None:
    run = audited.run
    run("contact_create", id="a", email="a@b.example", name=CANARY)
    run("contact_update", id="a", name=CANARY + "2")
    run("contact_update", id="a")
    run("contact_update", 404, id="none", name=CANARY)
    assert audited.noted() == [("insert", "Contact", "a", 1), ("update", "Contact", "a", 2)]

    run("contact_upsert", record={"id": "a", "email": "a@b.example", "name": "n"})
    run("contact_upsert", record={"id": "a", "email": "a@b.example", "name": "n"})
    run("contact_upsert", record={"id": "b", "email": "b@b.example"})
    assert audited.noted() == [("update", "Contact", "a", 3), ("insert", "Contact", "b", 1)]

    records = [
        {"id": "c", "email": "c@b.example"},
        {"id": "d", "email": "a@b.example"},
        {"id": "e", "email": "e@b.example"},
    ]
    run("contact_bulk_create", records=records, mode="partial", returning="none")
    run("contact_bulk_create", 409, records=records)
    run("contact_bulk_create", records=[*records, {"id": "f", "email": "f@b.example"}], on_conflict="skip")
    assert sorted(audited.noted()) == [("insert", "Contact", key, 1) for key in ("c", "e", "f")]

    run("contact_bulk_update", filter={"id": {"$in": ["c", "e"]}}, fields={"name": "x"})
    run("contact_bulk_update", records=[{"id": "c", "name": "y"}, {"id": "none", "name": "y"}])
    run("contact_bulk_update", 422, filter={"id": {"$in": ["c", "e"]}}, fields={"name": "z"}, max_affected=1)
    assert sorted(audited.noted()) == [("update", "Contact", *each) for each in (("c", 2), ("c", 3), ("e", 2))]

    upserted = [{"id": "c", "email": "c@b.example", "name": "y"}, {"id": "g", "email": "g@b.example", "name": "y"}]
    run("contact_bulk_upsert", records=upserted)
    assert audited.noted() == [("insert", "Contact", "g", 1)]

    run("contact_delete", id="a")
    run("contact_delete", id="a")
    run("contact_bulk_delete", ids=["b", "c", "none"])
    found = sorted(audited.noted())
    assert [each[:3] for each in found] == [("delete", "Contact", key) for key in ("a", "b", "c")]

    run("contact_list")
    run("contact_count")
    run("contact_read", 404, id="a")
    assert audited.noted() == []
    assert CANARY not in str(audited.rows("SELECT * FROM _nexusd_audit"))


def test_models_without_versions_and_with_soft_deletes_are_noted_too(audited: Audited) -> None:
    run = audited.run
    key = str(run("plain_create", code="x")["create"]["id"])
    run("plain_upsert", record={"code": "x", "name": "n"}, conflict_on=["code"])
    other = str(run("plain_upsert", record={"code": "y"}, conflict_on=["code"])["upsert"]["record"]["id"])
    run("plain_bulk_upsert", records=[{"code": "x", "name": "m"}, {"code": "z", "name": "m"}], conflict_on=["code"])
    third = str(run("plain_list", filter={"code": "z"})["list"]["records"][0]["id"])
    run("plain_bulk_delete", filter={"code": "x"})
    found = audited.noted()
    assert found[:3] == [
        ("insert", "Plain", key, None),
        ("update", "Plain", key, None),
        ("insert", "Plain", other, None),
    ]
    assert sorted(found[3:5]) == [("insert", "Plain", third, None), ("update", "Plain", key, None)]
    assert found[5:] == [("delete", "Plain", key, None)]

    run("each", ids=["p", "q"])
    run("kept_delete", id="p")
    run("kept_upsert", record={"id": "p"})
    assert audited.noted() == [
        ("insert", "Kept", "p", 1),
        ("insert", "Kept", "q", 1),
        ("delete", "Kept", "p", 2),
        ("update", "Kept", "p", 3),
    ]


def test_what_is_not_kept_leaves_no_note(audited: Audited) -> None:
    run = audited.run
    run("two_contacts", headers={"Prefer": "tx=rollback"}, one="a", two="b")
    run("two_contacts", 409, one="a", two="a")
    assert audited.noted() == []
    for _ in range(2):
        run("two_contacts", headers={"Idempotency-Key": "k"}, one="a", two="b")
    assert audited.noted() == [("insert", "Contact", "a", 1), ("insert", "Contact", "b", 1)]


def test_note_says_who_and_where(audited: Audited) -> None:
    audited.run("relay", one="a", two="b")
    audited.run("by_hand", name=CANARY)

    found = audited.rows("SELECT workflow, node, principal, operation, model, key FROM _nexusd_audit ORDER BY id")
    assert found == [
        ("relay", "inner.first", "anonymous", "insert", "Contact", "a"),
        ("relay", "inner.second", "anonymous", "insert", "Contact", "b"),
        ("by_hand", "change", "anonymous", "sql", None, None),
    ]
    ids = audited.rows("SELECT execution_id, at FROM _nexusd_audit ORDER BY id")
    assert ids[0] == ids[1]
    assert ids[1][0] != ids[2][0]


def test_notes_are_not_changed(audited: Audited) -> None:
    audited.run("two_contacts", one="a", two="b")
    with pytest.raises((sqlite3.IntegrityError, psycopg.Error), match="not changed"):
        audited.rows("UPDATE _nexusd_audit SET principal = 'somebody else'")
