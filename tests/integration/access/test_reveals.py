"""The gate on a real database: one clear field for a reason."""

import pytest
import sqlalchemy as sa

from cdp.access.answers import Denial, DenialKind, Shown
from cdp.storage import schema
from tests.integration.access.shop import (
    EMAIL,
    PHONE,
    VALUES,
    Shop,
)

pytestmark = pytest.mark.integration


def test_an_allowed_reveal_leaves_its_event(shop: Shop, opened: list[str]) -> None:
    """A manager gets one clear field, and the log keeps who, whom, what and why."""
    shown = shop.reveal("manager.bj01", shop.ada, "phone")
    assert isinstance(shown, Shown)
    assert (shown.value, shown.treatment) == (PHONE, "clear")
    assert opened == ["phone"]
    (event,) = shop.retailer.events()
    assert (event["action"], event["decision"], event["fields"]) == (
        "profile.reveal", "allow", ["phone"],
    )  # fmt: skip
    assert event["detail"] == "Call back about ticket 4711"
    assert event["profile_id"] == shop.ada
    assert event["policy_version"] == shop.retailer.workspace.policy.version
    assert PHONE not in repr(shown) + str(event)


REFUSED_REVEALS = [
    ("clerk.bj01", "phone", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("manager.bj01", "national_id", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("headquarters", "national_id", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("compliance", "phone", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "birth_date", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "attributes", "ticket 4711", DenialKind.FORBIDDEN, "no_rule"),
    ("manager.bj01", "no such", "ticket 4711", DenialKind.FORBIDDEN, "unknown_field"),
    ("manager.bj01", "phone", " ", DenialKind.UNUSABLE, "detail_length"),
    ("manager.bj01", "phone", "x" * 201, DenialKind.UNUSABLE, "detail_length"),
    ("manager.bj01", "phone", "call 13912345678", DenialKind.UNUSABLE,
     "detail_like_personal_number"),
    ("manager.bj01", "phone", f"mail {EMAIL}", DenialKind.UNUSABLE, "detail_like_email"),
    ("manager.bj01", "address", "ticket 4711", DenialKind.NOT_FOUND, "no_value"),
    ("clerk.sz01", "phone", "ticket 4711", DenialKind.FORBIDDEN, "denied"),
    ("manager.empty", "phone", "ticket 4711", DenialKind.NOT_FOUND, "not_found"),
]  # fmt: skip


def test_a_refused_reveal_says_why(shop: Shop, opened: list[str]) -> None:
    """Invariant 5: each refusal has its reason, opens nothing and stands in the log."""
    for who, field, reason, kind, code in REFUSED_REVEALS:
        denial = shop.reveal(who, shop.ada, field, reason)
        assert isinstance(denial, Denial)
        assert (denial.kind, denial.reason) == (kind, code), (who, field)
    assert opened == []
    events = shop.retailer.events()
    assert [event["decision"] for event in events] == ["deny"] * len(REFUSED_REVEALS)
    assert not [value for value in VALUES if value in str(events)]


def test_a_value_whose_key_is_gone_is_no_value(shop: Shop) -> None:
    """After erasure a reveal finds nothing, and fails no louder than an empty field."""
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.data_key))
    denial = shop.reveal("manager.bj01", shop.ada, "phone")
    assert isinstance(denial, Denial)
    assert denial.reason == "no_value"
    view = shop.view("manager.bj01", shop.ada)
    assert view is not None
    assert view.fields == {}
