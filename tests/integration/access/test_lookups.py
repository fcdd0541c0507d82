"""The gate on a real database: who finds whom by what."""

import pytest

from cdp.access import gate as gates
from cdp.access.answers import Denial, DenialKind
from tests.integration.access.shop import (
    BORN,
    CARD,
    MASKED,
    NAME,
    NATIONAL_ID,
    OPENID,
    PHONE,
    Shop,
    fields_of,
)

pytestmark = pytest.mark.integration


def test_a_clerk_finds_the_member_who_stands_before_them(shop: Shop) -> None:
    """Invariant 6: a whole number, however typed, finds the members of one's own store alone."""
    (view,) = shop.find("clerk.bj01", "phone", "139 1234-6789")
    assert view.profile_id == shop.ada
    assert fields_of(view) == MASKED
    assert {one.profile_id for one in shop.find("headquarters", "phone", PHONE)} == {
        shop.ada,
        shop.far,
    }
    assert shop.find("clerk.bj01", "loyalty_card", CARD)[0].profile_id == shop.ada
    assert shop.find("clerk.bj01", "loyalty_card", CARD, scope="kith")[0].profile_id == shop.ada
    assert shop.find("clerk.bj01", "loyalty_card", CARD, scope="other") == []


REFUSED_SEARCHES = [
    ("clerk.bj01", "phone", "1391234", DenialKind.UNUSABLE, "no_area_code"),
    ("clerk.bj01", "phone", "139****6789", DenialKind.UNUSABLE, "masked"),
    ("clerk.bj01", "phone", "13800138000", DenialKind.UNUSABLE, "filler"),
    ("clerk.bj01", "name", NAME, DenialKind.FORBIDDEN, "no_rule"),
    ("clerk.bj01", "openid", OPENID, DenialKind.FORBIDDEN, "no_rule"),
    ("headquarters", "birth_date", BORN, DenialKind.FORBIDDEN, "no_rule"),
    ("headquarters", "national_id", NATIONAL_ID, DenialKind.FORBIDDEN, "no_rule"),
    ("crm", "phone", PHONE, DenialKind.FORBIDDEN, "no_rule"),
    ("compliance", "phone", PHONE, DenialKind.FORBIDDEN, "no_rule"),
]


def test_nobody_searches_by_what_is_masked_for_them(shop: Shop) -> None:
    """Invariant 6: parts, masks, fillers and every other field find nobody."""
    for who, field, typed, kind, reason in REFUSED_SEARCHES:
        denial = shop.find(who, field, typed)
        assert isinstance(denial, Denial)
        assert (denial.kind, denial.reason) == (kind, reason), (who, field)
        assert typed not in repr(denial)


def test_a_shared_number_shows_at_most_twenty(shop: Shop) -> None:
    """A number with more people than twenty names nobody, so the answer is cut."""
    for _ in range(gates.MOST_FOUND + 2):
        shop.retailer.person(shop.retailer.record("pos", {"phone": "+8613711112222"}, store="BJ01"))
    assert len(shop.find("clerk.bj01", "phone", "13711112222")) == gates.MOST_FOUND
