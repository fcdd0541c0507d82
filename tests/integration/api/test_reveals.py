"""Reveals over HTTP: the request, its second person, the limit, the broken glass."""

import datetime as dt
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from cdp.storage import schema
from tests.integration.api.site import CANARIES, CANARY_ID, NOBODY_ID, Site, assert_problem
from tests.integration.retailer import NOW

pytestmark = pytest.mark.integration
WHY = "Points stolen, case 4711"


@pytest.fixture
def site(site: Site) -> Site:
    """A site whose values may be used for fraud."""
    purposes = sa.func.array_append(schema.record.c.purposes, "fraud")
    with site.retailer.engine.begin() as connection:
        connection.execute(sa.update(schema.record).values(purposes=purposes))
    return site


def reveal(site: Site, who: str, **more: Any) -> httpx.Response:
    """Ask for Ada's ID number."""
    body = {"field": "national_id", "purpose": "fraud", "reason": WHY, **more}
    return site.post(who, f"/v1/profiles/{site.ada}/reveal", body)


def ask(site: Site, who: str, person: str) -> httpx.Response:
    """Ask for a second person."""
    body = {"profile_id": person, "field": "national_id", "purpose": "fraud", "reason": WHY}
    return site.post(who, "/v1/reveals", body)


def test_from_request_to_value_and_not_twice(site: Site) -> None:
    """403 says what is needed; approved by somebody else, the value is shown once."""
    assert_problem(reveal(site, "headquarters"), 403, "needs_approval")
    asked = ask(site, "headquarters", site.ada)
    assert asked.status_code == 201
    path = f"/v1/reveals/{asked.json()['id']}"
    own = site.post("headquarters", f"{path}/approval", {"answer": "approve"})
    assert_problem(own, 403, "own_request")
    seen = site.get("compliance", "/v1/reveals?state=open").json()["requests"]
    assert [one["profile_id"] for one in seen] == [site.ada]
    assert not [canary for canary in CANARIES if canary in str(seen)]
    done = site.post("compliance", f"{path}/approval", {"answer": "approve", "comment": "Seen"})
    assert (done.json()["state"], done.json()["second"]["id"]) == ("approved", "compliance")
    shown = reveal(site, "headquarters")
    assert shown.json() == {
        "value": CANARY_ID,
        "treatment": "clear",
        "shown_until": (NOW + dt.timedelta(minutes=1)).isoformat().replace("+00:00", "Z"),
        "request": asked.json()["id"],
        "review_by": None,
    }
    assert shown.headers["cache-control"] == "no-store"
    assert_problem(reveal(site, "headquarters"), 403, "needs_approval")
    again = site.post("compliance", f"{path}/approval", {"answer": "reject"})
    assert_problem(again, 409, "request_settled")


def test_nobody_and_somebody_elses_are_one_answer(site: Site) -> None:
    """404 for a person and for a request, alike in every part but the number of the answer."""
    asked = ask(site, "headquarters", site.ada).json()["id"]
    for who, path, body in [
        ("manager.bj01", "/v1/reveals/{}/approval", {"answer": "approve"}),
        ("compliance", "/v1/reveals/{}/review", {"verdict": "justified", "comment": "x"}),
        ("compliance", "/v1/reveals/{}", None),
    ]:
        answers = []
        for request_id in (asked, "nosuchrequest"):
            where = path.format(request_id)
            if body is None:
                answer = site.client.delete(where, headers=site.key(who))
            else:
                answer = site.post(who, where, body)
            answers.append((answer.status_code, {**answer.json(), "request_id": ""}))
        if who == "compliance" and body:
            assert [one[0] for one in answers] == [409, 404]  # theirs to judge, and not broken
        else:
            assert answers[0] == answers[1]
            assert answers[0][0] == 404
    assert_problem(ask(site, "headquarters", NOBODY_ID), 404, "not_found")
    assert_problem(ask(site, "clerk.bj01", site.ada), 403, "no_rule")
    taken_back = site.client.delete(f"/v1/reveals/{asked}", headers=site.key("headquarters"))
    assert taken_back.json()["state"] == "withdrawn"


def test_the_limit_is_a_429_that_says_when(site: Site) -> None:
    """Retry-After is a date of HTTP; the refusal is the same whoever it is about."""
    phone = {"field": "phone", "purpose": "service"}
    with site.retailer.engine.begin() as connection:
        before = {"principal": "manager.bj01", "field": "phone", "sensitive": False, "at": NOW}
        connection.execute(sa.insert(schema.reveal), [{**before, "profile_id": site.ada}] * 19)
    assert reveal(site, "manager.bj01", **phone).status_code == 200
    for person in (site.ada, NOBODY_ID):
        body = {**phone, "reason": WHY}
        refused = site.post("manager.bj01", f"/v1/profiles/{person}/reveal", body)
        assert_problem(refused, 429, "reveal_limit")
        assert refused.headers["retry-after"] == "Mon, 04 May 2026 10:30:00 GMT"


def test_a_broken_glass_waits_in_the_list_until_it_is_reviewed(site: Site) -> None:
    """At once, with a review that somebody else gives; a comment is needed."""
    shown = reveal(site, "headquarters", emergency=True).json()
    assert shown["value"] == CANARY_ID
    assert shown["review_by"] == "2026-05-07T09:30:00Z"
    (waiting,) = site.get("compliance", "/v1/reveals?state=to-review").json()["requests"]
    assert (waiting["id"], waiting["state"]) == (shown["request"], "to-review")
    path = f"/v1/reveals/{waiting['id']}/review"
    assert_problem(site.post("compliance", path, {"verdict": "justified"}), 422)
    blank = {"verdict": "justified", "comment": " "}
    assert_problem(site.post("compliance", path, blank), 422, "comment_missing")
    fault = {"verdict": "not-justified", "comment": "No such case"}
    assert site.post("compliance", path, fault).json()["state"] == "not-justified"
    assert site.get("compliance", "/v1/reveals?state=to-review").json() == {
        "requests": [],
        "after": None,
    }
    assert_problem(reveal(site, "headquarters", emergency=True), 403, "glass_barred")


def test_a_garbled_answer_is_refused(site: Site) -> None:
    """422, and the request stays open."""
    asked = ask(site, "headquarters", site.ada).json()["id"]
    for body in [
        {}, {"answer": "perhaps"}, {"answer": "approve", "minutes": 0},
        {"answer": "approve", "minutes": 1441}, {"answer": "approve", "extra": 1},
        {"answer": "approve", "comment": "call 13912346789"}, [], "approve",
    ]:  # fmt: skip
        assert_problem(site.post("compliance", f"/v1/reveals/{asked}/approval", body), 422)
    (still,) = site.get("headquarters", "/v1/reveals").json()["requests"]
    assert still["state"] == "open"
    strange = site.client.delete("/v1/reveals/a%00b", headers=site.key("headquarters"))
    assert_problem(strange, 404, "no_such_request")


def test_every_route_needs_a_credential(site: Site) -> None:
    """401 for each, and nothing is written."""
    for method, path in [
        ("POST", "/v1/reveals"), ("GET", "/v1/reveals"), ("DELETE", "/v1/reveals/x"),
        ("POST", "/v1/reveals/x/approval"), ("POST", "/v1/reveals/x/review"),
    ]:  # fmt: skip
        body = {"answer": "approve"} if "approval" in path else {"verdict": "justified",
                                                                 "comment": "x"}  # fmt: skip
        if path == "/v1/reveals":
            body = {"profile_id": site.ada, "field": "national_id", "purpose": "fraud",
                    "reason": WHY}  # fmt: skip
        sent = None if method in {"GET", "DELETE"} else body
        assert_problem(site.client.request(method, path, json=sent), 401)
