"""Callers with one name and different claims."""

from __future__ import annotations

from dataclasses import replace

from nexusd.definitions.idempotency import scope_of
from nexusd.definitions.principal import ANONYMOUS, Principal
from nexusd.definitions.sight import Sights
from nexusd.engines.history import Record
from tests.support.models import CONTACT
from tests.support.policies import DOC, TEAM, member

SIGHTS = Sights([CONTACT, DOC, TEAM])
KEY = Principal("key:ops", frozenset({"*"}), {"sub": "key:ops"})


def seen(principal: Principal) -> Principal:
    return replace(principal, sight=SIGHTS.of(principal))


def test_claims_that_policies_name_tell_callers_apart() -> None:
    ann = member("acme", sub="ann")
    assert SIGHTS.of(ann) == SIGHTS.of(Principal(ann.id, ann.scopes, {**ann.claims, "exp": 2, "jti": "x"}))
    others = [member("evil", sub="ann"), member("acme", sub="bob"), member("acme", "hr", sub="ann"), KEY, ANONYMOUS]
    assert SIGHTS.of(ann) not in [SIGHTS.of(other) for other in others]
    assert scope_of("list", seen(ann)) != scope_of("list", seen(member("evil", sub="ann")))


def test_without_policies_all_see_the_same() -> None:
    assert Sights([CONTACT]).of(member("acme")) == ""
    assert scope_of("list", member("acme")) == "list jwt:acme"


def test_an_execution_is_there_for_its_caller_and_who_sees_everything() -> None:
    ann = seen(member("acme", sub="ann"))
    record = Record("1", "list", "http", ann.id, "r", "now", None, sight=ann.sight)
    assert record.is_visible_to(ann)
    assert record.is_visible_to(seen(KEY))
    assert not record.is_visible_to(seen(replace(member("evil", "admin", sub="ann"), id=ann.id)))
    assert not record.is_visible_to(seen(member("evil", "*", "admin")))
