"""The HTTP API: people read, found, revealed and listed."""

import datetime as dt

import pytest

from cdp.storage import schema
from tests.integration.api.site import (
    CANARY_NAME,
    CANARY_PHONE,
    NOBODY_ID,
    Site,
    assert_problem,
)
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration


def test_a_profile_is_read_by_id_for_a_purpose(site: Site) -> None:
    """A clerk gets masked values, consent and what was left out; edge 1: headers and our id."""
    response = site.get("clerk.bj01", f"/v1/profiles/{site.ada}?purpose=service")
    assert response.status_code == 200
    body = response.json()
    assert body["profile_id"] == site.ada
    assert body["redirected_from"] is None
    assert body["fields"]["phone"] == {"value": "139****6789", "treatment": "mask"}
    assert body["attributes"] == {"orders": 2, "total_spent": "10.5"}
    assert body["consent"] == {"granted": ["analysis", "marketing", "service"], "refused": []}
    assert "national_id" in body["omitted"]
    assert response.headers["cache-control"] == "no-store"
    assert len(response.headers["x-request-id"]) == 32
    event = site.retailer.events()[-1]
    assert (event["actor"], event["request_id"]) == (
        "clerk.bj01",
        response.headers["x-request-id"],
    )


def test_a_former_id_answers_with_the_current_one(site: Site) -> None:
    """A redirected id is a plain 200 that says from where it was redirected."""
    with site.retailer.engine.begin() as connection:
        connection.execute(
            schema.redirect.insert().values(old_id=NOBODY_ID, new_id=site.ada, at=NOW)
        )
    body = site.get("clerk.bj01", f"/v1/profiles/{NOBODY_ID}?purpose=service").json()
    assert (body["profile_id"], body["redirected_from"]) == (site.ada, NOBODY_ID)


def test_who_gets_which_status(site: Site) -> None:
    """404 for a person of another store and for nobody alike; 403 for who may see nobody."""
    for who, purpose, status, code in [
        ("clerk.bj01", "service", 200, None),
        ("clerk.sz01", "service", 404, "not_found"),
        ("manager.bj01", "service", 200, None),
        ("manager.empty", "service", 404, "not_found"),
        ("headquarters", "service", 200, None),
        ("headquarters", "marketing", 403, "no_rule"),
        ("compliance", "service", 403, "no_rule"),
        ("operator", "service", 403, "no_rule"),
        ("crm", "marketing", 200, None),
        ("crm", "service", 403, "outside_contract"),
        ("stray", "service", 403, "outside_contract"),
    ]:
        response = site.get(who, f"/v1/profiles/{site.ada}?purpose={purpose}")
        if status == 200:
            assert response.status_code == 200, who
        else:
            assert_problem(response, status, code)
    mine = site.get("clerk.sz01", f"/v1/profiles/{site.ada}?purpose=service").json()
    nobodys = site.get("clerk.sz01", f"/v1/profiles/{NOBODY_ID}?purpose=service").json()
    assert {**mine, "request_id": ""} == {**nobodys, "request_id": ""}


def test_a_person_is_looked_up_in_a_body(site: Site) -> None:
    """The identifier travels in the body; a stranger's gives an empty list."""
    asked = {"field": "phone", "value": "139 1234 6789", "purpose": "service"}
    found = site.post("clerk.bj01", "/v1/profiles/lookup", asked)
    assert found.status_code == 200
    assert [one["profile_id"] for one in found.json()["profiles"]] == [site.ada]
    assert site.post("clerk.sz01", "/v1/profiles/lookup", asked).json() == {"profiles": []}
    assert_problem(site.post("compliance", "/v1/profiles/lookup", asked), 403, "no_rule")
    by_name = {**asked, "field": "name", "value": CANARY_NAME}
    assert_problem(site.post("clerk.bj01", "/v1/profiles/lookup", by_name), 403, "no_rule")
    masked = {**asked, "value": "139****6789"}
    assert_problem(site.post("clerk.bj01", "/v1/profiles/lookup", masked), 422, "masked")


def test_a_reveal_needs_the_right_and_a_reason(site: Site) -> None:
    """Allowed: the value and an audit event. Refused: the reason, and an event as well."""
    path = f"/v1/profiles/{site.ada}/reveal"
    asked = {"field": "phone", "purpose": "service", "reason": "Call back about ticket 4711"}
    shown = site.post("manager.bj01", path, asked)
    assert shown.json() == {
        "value": CANARY_PHONE, "treatment": "clear", "request": None, "review_by": None,
        "shown_until": (NOW + dt.timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
    }  # fmt: skip
    event = site.retailer.events()[-1]
    assert (event["action"], event["decision"], event["detail"]) == (
        "profile.reveal",
        "allow",
        asked["reason"],
    )
    assert_problem(site.post("clerk.bj01", path, asked), 403, "denied")
    event = site.retailer.events()[-1]
    assert (event["actor"], event["decision"], event["reason"]) == ("clerk.bj01", "deny", "denied")
    number = {**asked, "reason": f"call {CANARY_PHONE}"}
    assert_problem(site.post("manager.bj01", path, number), 422, "detail_like_personal_number")
    asked["field"] = "address"
    assert_problem(site.post("manager.bj01", path, asked), 404, "no_value")
    nobody = f"/v1/profiles/{NOBODY_ID}/reveal"
    asked["field"] = "phone"
    assert_problem(site.post("manager.bj01", nobody, asked), 404, "not_found")


def test_people_are_listed_by_page(site: Site) -> None:
    """Headquarters pages through everybody; a clerk has no list."""
    other = site.retailer.person(site.retailer.record("shop", {"name": "赵一"}, store="SZ01"))
    first = site.get("headquarters", "/v1/profiles?purpose=service&limit=1").json()
    rest = site.get("headquarters", f"/v1/profiles?purpose=service&after={first['after']}").json()
    ids = [one["profile_id"] for page in (first, rest) for one in page["profiles"]]
    assert ids == sorted([site.ada, other])
    assert rest["after"] is None
    assert_problem(site.get("clerk.bj01", "/v1/profiles?purpose=service"), 403, "no_rule")
    assert_problem(
        site.get("headquarters", "/v1/profiles?purpose=service&after=canary"),
        422,
        "cursor_unusable",
    )
    assert_problem(site.get("headquarters", "/v1/profiles?purpose=service&limit=0"), 422)


def test_evidence_is_given_to_those_who_may_judge_it(site: Site) -> None:
    """A manager gets the records and links, a clerk a refusal."""
    path = f"/v1/profiles/{site.ada}/evidence?purpose=service"
    body = site.get("manager.bj01", path).json()
    assert (body["profile_id"], body["links"]) == (site.ada, [])
    assert [record["source"] for record in body["records"]] == ["pos"]
    assert_problem(site.get("clerk.bj01", path), 403, "no_rule")
    missing = f"/v1/profiles/{NOBODY_ID}/evidence?purpose=service"
    assert_problem(site.get("manager.bj01", missing), 404, "not_found")
