"""What is sent: the contract, the consent, and nothing besides.

Each test names the invariant it shows; ``Render 3`` is the third of `cdp/publish/render.py`.
"""

from dataclasses import replace
from typing import Any

import pytest

from cdp.demo.receiver import count_verified
from cdp.publish import ledger
from cdp.publish.plan import contract_for
from cdp.publish.receivers import signing_secret
from cdp.publish.render import Renderer
from cdp.publish.retry import Pace
from cdp.storage import schema
from cdp.workspace import utc_now
from tests.integration.publish.shop import LEGACY, OTHER, PHONE, UPDATED, Recorder, Shop, declare

pytestmark = pytest.mark.integration


def test_a_message_has_exactly_the_contracted_fields_and_a_good_signature(shop: Shop) -> None:
    """Render 1: The data has the fields of the contract; an independent library verifies it."""
    known = shop.person("赵一", attributes={"total_spent": "12.50"})
    nameless = shop.retailer.person(shop.retailer.record("pos", {"phone": OTHER}))
    with shop.engine.begin() as connection:
        connection.execute(
            schema.tag.insert().values(
                profile_id=known, name="value", value="high", rule_version="1", at=utc_now()
            )
        )
    report = shop.publish()
    assert (report.delivered, report.stopped) == (2, None)
    assert shop.receiver.people() == {
        known: {"profile_id": known, "name": "赵一", "phone": PHONE, "tags": {"value": "high"}},
        nameless: {"profile_id": nameless, "name": None, "phone": OTHER, "tags": {}},
    }
    event = shop.receiver.accepted[0].event
    assert (event["type"], event["specversion"]) == (UPDATED, "1.0")
    assert event["id"] == shop.receiver.accepted[0].id
    secret = signing_secret(shop.workspace, "crm")
    assert count_verified(shop.receiver.received, secret) == 2
    forged = [replace(one, body=one.body + b" ") for one in shop.receiver.received]
    assert count_verified(forged, secret) == 0


def test_only_people_for_whom_the_purpose_holds_are_sent(shop: Shop) -> None:
    """Render 3: Who did not consent, or refused anywhere, is counted and never sent."""
    yes = shop.person("赵一")
    no = shop.person("钱二", OTHER, purposes=("service",))
    agreed = shop.retailer.record("pos", {"name": "孙三"})
    refused = shop.retailer.record("shop", {"phone": LEGACY}, refused=("marketing",))
    torn = shop.retailer.person(agreed, refused)
    report = shop.publish()
    assert set(shop.receiver.people()) == {yes}
    assert (report.planned.queued, report.planned.not_consented) == (1, 2)
    assert {row.profile_id for row in shop.rows(schema.outbox)} == {yes}
    sent = b"".join(one.body for one in shop.receiver.received).decode()
    assert no not in sent
    assert torn not in sent


def test_a_value_comes_only_from_a_record_whose_own_consent_covers_the_purpose(shop: Shop) -> None:
    """Render 2: A better source that did not ask for marketing gives no value to marketing."""
    trusted = shop.retailer.record("pos", {"name": "赵一", "phone": PHONE}, purposes=("service",))
    agreed = shop.retailer.record("shop", {"phone": OTHER}, purposes=("marketing",))
    profile_id = shop.retailer.person(trusted, agreed)
    shop.publish()
    assert shop.receiver.people()[profile_id] == {
        "profile_id": profile_id,
        "name": None,
        "phone": OTHER,
        "tags": {},
    }


def test_no_value_is_stored_logged_or_sent_outside_the_contract(
    shop: Shop, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deliver 7: A value outside the contract never leaves, and no value at all is stored."""
    canaries = {"email": "canary@example.com", "address": "金丝雀路七号", "note": "canary-note"}
    number = shop.retailer.record(
        "pos", {"name": "卡娜丽", "phone": PHONE, "national_id": "110101199003078515", **canaries}
    )
    profile_id = shop.retailer.person(number)
    shop.receiver.fail(2, 500)
    shop.publish()
    sent = b"".join(one.body for one in shop.receiver.received).decode()
    assert profile_id in sent
    for canary in [*canaries.values(), "110101199003078515"]:
        assert canary not in sent
    stored = repr([shop.rows(t) for t in (schema.outbox, schema.published, schema.audit_event)])
    shown = stored + caplog.text + "".join(capfd.readouterr()) + repr(shop.receiver.received)
    for value in ["卡娜丽", PHONE, "110101199003078515", *canaries.values()]:
        assert value not in shown


def test_the_sensitive_tier_is_withheld_even_when_it_is_declared(
    shop: Shop,
) -> None:
    """Contract 2: A declared ID number is withheld, and the report says so."""
    shop.retailer.person(
        shop.retailer.record("pos", {"phone": PHONE, "national_id": "110101199003078515"})
    )

    def change(content: dict[str, Any]) -> None:
        content["destinations"]["crm"]["fields"] = ["profile_id", "national_id"]

    shop.workspace = declare(shop.retailer, change)
    report = shop.publish()
    assert [(one.field, one.reason) for one in report.withheld] == [
        ("national_id", "sensitive_tier")
    ]
    assert [set(data) for data in shop.receiver.people().values()] == [{"profile_id"}]


def test_a_rendered_person_does_not_show(shop: Shop) -> None:
    """Render 4: No representation of what is on its way holds a value."""
    profile_id = shop.person("赵一")
    contract = contract_for(shop.workspace, "crm")
    shop.plan()
    with shop.engine.begin() as connection:
        renderer = Renderer(shop.workspace, contract)
        (rendered,) = renderer.render(connection, [profile_id]).values()
        taken = ledger.take(connection, contract, renderer, utc_now(), Pace())
    assert rendered.data["phone"] == taken[0].message.data["phone"] == PHONE
    for shown in (repr(rendered), repr(taken), repr(renderer), repr(shop.courier(Recorder()))):
        assert PHONE not in shown
        assert "赵一" not in shown
