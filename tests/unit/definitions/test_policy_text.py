"""Policies as text, read into filters."""

from __future__ import annotations

import pytest

from nexusd.definitions.policy import Claim
from nexusd.definitions.policy_text import PolicySyntax, read_policy
from tests.support.models import EVERY
from tests.support.policies import DOC

SUB = Claim(("sub",))
FIELDS = DOC.by_name


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("owner = {{claims.sub}}", {"owner": {"$eq": SUB}}),
        ("{{ claims.sub }} == owner", {"owner": {"$eq": SUB}}),
        ("owner = {{claims.app.user-id}}", {"owner": {"$eq": Claim(("app", "user-id"))}}),
        ("rank >= 3", {"rank": {"$gte": 3}}),
        ("3 >= rank", {"rank": {"$lte": 3}}),
        ("title <> 'it''s'", {"title": {"$ne": "it's"}}),
        ("public = true", {"public": {"$eq": True}}),
        ("owner IS NULL", {"owner": {"$null": True}}),
        ("owner is not null", {"owner": {"$null": False}}),
        ("org in ['a', {{claims.org}}]", {"$or": [{"org": {"$in": ["a"]}}, {"org": {"$eq": Claim(("org",))}}]}),
        ("org not in [{{claims.org}}]", {"org": {"$ne": Claim(("org",))}}),
        ("org not in {{claims.orgs}}", {"org": {"$nin": Claim(("orgs",))}}),
        ("true", {}),
        ("false", {"$or": []}),
        (
            "public = true or owner = {{claims.sub}} and not rank < 2",
            {"$or": [{"public": {"$eq": True}}, {"$and": [{"owner": {"$eq": SUB}}, {"$not": {"rank": {"$lt": 2}}}]}]},
        ),
        (
            "(public = true OR owner = {{claims.sub}}) AND rank = 1",
            {"$and": [{"$or": [{"public": {"$eq": True}}, {"owner": {"$eq": SUB}}]}, {"rank": {"$eq": 1}}]},
        ),
    ],
)
def test_a_policy_is_read(text: str, tree: object) -> None:
    assert tree == read_policy(text, FIELDS)


def test_a_claim_may_be_in_an_array() -> None:
    assert {"str_list": {"$has": SUB}} == read_policy("{{claims.sub}} in str_list", EVERY.by_name)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "was expected before the end"),
        ("ownr = {{claims.sub}}", "no field 'ownr'; did you mean 'owner'?"),
        ("owner = {{inputs.sub}}", "a claim is written {{claims.name}}"),
        ("owner = {{claims.sub}} or", "was expected before the end"),
        ("owner {{claims.sub}}", "a comparison was expected"),
        ("owner = {{claims.sub}} rank = 1", "'rank' was not expected here"),
        ("(owner = {{claims.sub}}", "')' was expected before the end"),
        ("rank = 'one'", "must be an integer"),
        ("rank = null", "`is null`"),
        ("public > true", "cannot be compared so"),
        ("org in 'a'", "'[' was expected"),
        ("'a' in org", "is no array"),
        ("owner = owner", "a value was expected before 'owner'"),
        ("owner = current_user or drop", "a value was expected before 'current_user'"),
        ("rank = 1 -- or true", "cannot be read from '-- or true' on"),
    ],
)
def test_what_is_no_policy_is_refused(text: str, says: str) -> None:
    with pytest.raises(PolicySyntax) as refused:
        read_policy(text, FIELDS)
    assert says in str(refused.value)
