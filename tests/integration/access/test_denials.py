"""The gate on a real database: what a refusal tells, and what it leaves in the log."""

from itertools import product

import pytest
import sqlalchemy as sa

from cdp.access.answers import DenialKind
from tests.integration.access.shop import (
    CARD,
    NATIONAL_ID,
    NOBODY_ID,
    ROLES,
    VALUES,
    Shop,
)

pytestmark = pytest.mark.integration


def test_not_yours_and_no_such_person_are_one_answer(shop: Shop) -> None:
    """Invariant 4: nobody can tell a stranger's id from an id that does not exist."""
    fields = ["phone", "national_id", "nickname", "evidence", "no such field"]
    for who, field in product(ROLES, fields):
        asked = [
            (
                shop.view(who, profile_id) if shop.view(who, shop.far) is None else None,
                shop.reveal(who, profile_id, field),
            )
            for profile_id in (shop.far, NOBODY_ID, "+8613912345678")
        ]
        seen_by_whole_brand = who == "headquarters"
        if not seen_by_whole_brand:
            assert asked[0] == asked[1] == asked[2], who
        assert asked[1] == asked[2], who


def test_the_same_work_is_done_for_both(shop: Shop) -> None:
    """Invariant 4: the statements behind "not yours" and "no such person" are the same."""
    statements: list[str] = []
    sa.event.listen(shop.engine, "before_cursor_execute", lambda *call: statements.append(call[2]))
    shop.view("clerk.bj01", shop.far)
    not_mine, statements[:] = list(statements), []
    shop.view("clerk.bj01", NOBODY_ID)
    assert statements == not_mine
    assert len(statements) == 2


def test_a_denied_attempt_is_in_the_log(shop: Shop) -> None:
    """Invariant 5: who tried what, with whom, for what, and which rule said no."""
    shop.view("clerk.sz01", shop.ada)
    shop.view("clerk.bj01", NOBODY_ID)
    shop.view("compliance", "+8613912345678")
    shop.reveal("clerk.bj01", shop.ada, "phone")
    shop.find("clerk.bj01", "national_id", NATIONAL_ID)
    shop.find("clerk.bj01", "phone", "139****6789")
    shop.find("clerk.sz01", "loyalty_card", CARD)
    shop.find("clerk.bj01", "phone", "13711112222")
    shop.page("clerk.bj01")
    shop.view("headquarters", shop.ada, "13912345678")
    told = [
        (e["actor"], e["action"], e["reason"], e["profile_id"], e["fields"])
        for e in shop.retailer.events()
    ]
    assert told == [
        ("clerk.sz01", "profile.read", "outside_scope", shop.ada, []),
        ("clerk.bj01", "profile.read", "no_store", NOBODY_ID, []),
        ("compliance", "profile.read", "no_rule", None, []),
        ("clerk.bj01", "profile.reveal", "denied", shop.ada, ["phone"]),
        ("clerk.bj01", "profile.find", "no_rule", None, ["national_id"]),
        ("clerk.bj01", "profile.find", "identifier_unusable", None, ["phone"]),
        ("clerk.sz01", "profile.find", "outside_scope", shop.ada, ["loyalty_card"]),
        ("clerk.bj01", "profile.find", "no_such_profile", None, ["phone"]),
        ("clerk.bj01", "profile.list", "no_rule", None, []),
        ("headquarters", "profile.read", "unknown_purpose", shop.ada, []),
    ]
    events = shop.retailer.events()
    assert {e["decision"] for e in events} == {"deny"}
    assert events[-1]["purpose"] == "unknown"
    assert not [value for value in VALUES if value in str(events)]


def test_why_nobody_is_shown_can_be_asked(shop: Shop) -> None:
    """A role that sees nobody is told why; a role that sees some people is told nothing."""
    gate = shop.gate
    for who in ("compliance", "operator", "stray"):
        denial = gate.refusal(shop.subject(who), "read", "service")
        assert denial is not None
        assert denial.kind is DenialKind.FORBIDDEN
        assert denial.sentence.endswith(".")
    for who in ("clerk.bj01", "manager.bj01", "manager.empty", "headquarters"):
        assert gate.refusal(shop.subject(who), "read", "service") is None
