"""The gate on a real database: pages of people, and the evidence behind one."""

from itertools import combinations

import pytest
import sqlalchemy as sa

from cdp.access import rows
from cdp.access.answers import NOT_FOUND, Denial, DenialKind, Page
from cdp.profiles.evidence import Evidence
from cdp.storage import schema
from identity.comparisons import COMPARISONS, MISSING
from policies.decision import Scope
from tests.integration.access.shop import (
    NOBODY_ID,
    Shop,
)
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


def test_a_page_holds_the_people_of_the_scope_in_the_order_of_ids(shop: Shop) -> None:
    """Invariant 6: pages have one order and one filter, the scope; one event for each person."""
    first = shop.page("headquarters", limit=1)
    assert isinstance(first, Page)
    second = shop.page("headquarters", after=first.after, limit=1)
    assert isinstance(second, Page)
    ids = [view.profile_id for page in (first, second) for view in page.people]
    assert ids == sorted([shop.ada, shop.far])
    assert second.after is None
    assert [event["profile_id"] for event in shop.retailer.events()] == ids
    marketing = shop.page("headquarters", "marketing")
    assert isinstance(marketing, Page)
    assert [view.profile_id for view in marketing.people] == [shop.ada]


def test_a_page_starts_after_an_id_and_nothing_else(shop: Shop) -> None:
    """A cursor that is no profile id is refused and not repeated."""
    denial = shop.page("headquarters", after="139\0")
    assert isinstance(denial, Denial)
    assert denial.reason == "cursor_unusable"


def test_an_empty_scope_is_false_and_never_absent(shop: Shop) -> None:
    """Who has no store under them gets a filter that lets nobody through."""
    with shop.engine.connect() as connection:
        for scope, expected in [
            (Scope(all=False, stores=frozenset()), 0),
            (Scope(all=False, stores=frozenset({"BJ01"})), 1),
            (Scope(all=True, stores=frozenset()), 2),
        ]:
            statement = sa.select(sa.func.count(schema.profile.c.id)).where(rows.inside(scope))
            assert connection.scalar(statement) == expected


# ── evidence ────────────────────────────────────────────────────────────────


def test_evidence_is_for_those_who_may_judge_it(shop: Shop) -> None:
    """A manager sees why the records are one person, a clerk does not; both are in the log."""
    with shop.engine.begin() as connection:
        answers = [
            shop.gate.evidence(connection, shop.subject(who), profile_id, "service")
            for who, profile_id in [
                ("manager.bj01", shop.ada),
                ("clerk.bj01", shop.ada),
                ("manager.bj01", shop.far),
                ("manager.bj01", NOBODY_ID),
            ]
        ]
    assert [member.source for member in answers[0].records] == ["pos", "legacy"]
    assert answers[1].kind is DenialKind.FORBIDDEN
    assert answers[2] == answers[3] == NOT_FOUND
    assert [event["decision"] for event in shop.retailer.events()] == ["allow", *["deny"] * 3]


def test_evidence_leaves_out_what_the_purpose_may_not_use(shop: Shop) -> None:
    """Gate 8: no source, store or date of a record whose own consent does not cover it."""
    retailer = shop.retailer
    made = [
        retailer.record("pos", {}, store="BJ01", purposes=["service"]),
        retailer.record("shop", {}, store="BJ02", purposes=["service", "marketing"]),
        retailer.record("wecom", {}, store="SZ01", refused=["service"]),
        retailer.record("legacy", {}, store="SZ01", purposes=["marketing"]),
    ]
    person = retailer.person(*made)
    names = [one.name for one in COMPARISONS]
    labels = {one.name: [{"level": level.label} for level in one.levels] for one in COMPARISONS}
    model = {"version": 1, "comparisons": {name: labels[name] for name in names}}
    levels, bits = [MISSING] * len(names), [0.0] * len(names)
    told = {"weight": 5.0, "levels": levels, "weights": bits, "epoch": "e1", "direct": True}
    with shop.engine.begin() as connection:
        connection.execute(schema.epoch.insert().values(id="e1", model=model, active=True, at=NOW))
        for low, high in combinations(made, 2):
            connection.execute(schema.edge.insert().values(low_id=low, high_id=high, **told))
        asked = shop.subject("manager.bj01"), person, "service"
        evidence = shop.gate.evidence(connection, *asked)
    assert isinstance(evidence, Evidence)
    assert [(one.record_id, one.store) for one in evidence.records] == [
        (made[0], "BJ01"), (made[1], "BJ02"),
    ]  # fmt: skip
    assert [(one.low_id, one.high_id) for one in evidence.links] == [(made[0], made[1])]
