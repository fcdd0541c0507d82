"""Our policy as other systems ask it: evaluation, evaluations, search, metadata."""

from typing import Any

import httpx
import pytest

from policies.vocabulary import Action, FieldClass
from tests.integration.api.site import NOBODY_ID, Site, assert_problem

pytestmark = pytest.mark.integration

BASE = "/access/v1"
CLERK = {"type": "principal", "id": "clerk.bj01"}
PHONE = {"type": "field", "id": "phone", "properties": {"stores": ["BJ01"]}}
READ = {"name": "read"}
SERVING = {"purpose": "service"}
ONE = {"subject": CLERK, "action": READ, "resource": PHONE, "context": SERVING}


def ask(site: Site, where: str, body: dict[str, Any], who: str = "operator") -> httpx.Response:
    """Ask as a system that an engineer wired."""
    return site.post(who, f"{BASE}/{where}", body)


def decided(site: Site, **parts: Any) -> tuple[bool, str]:
    """The decision on ``ONE`` with other parts, and its reason."""
    told = ask(site, "evaluation", {**ONE, **parts}).json()
    return told["decision"], told["context"]["reason"]


def test_an_evaluation_is_the_decision_of_the_policy(site: Site) -> None:
    """Questions 1: allowed or not, why, how the field is shown, and which policy said so."""
    told = ask(site, "evaluation", ONE).json()
    assert told["decision"] is True
    context = told["context"]
    assert (context["reason"], context["treatment"]) == ("granted", "mask")
    assert context["reason_user"] == {"en": "A policy line allows it."}
    assert context["reason_admin"]["en"].endswith("p, clerk, read, contact, mask, service, allow")
    assert context["policy_version"] == site.retailer.workspace.policy.version
    elsewhere = {**PHONE, "properties": {"stores": ["SZ01"]}}
    assert decided(site, resource=elsewhere) == (False, "outside_scope")
    assert decided(site, action={"name": "reveal"}) == (False, "denied")
    assert decided(site, context={"purpose": "marketing"}) == (False, "no_rule")


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"subject": {"type": "principal", "id": "nobody"}}, "unknown_subject"),
        ({"subject": {"type": "robot", "id": "clerk.bj01"}}, "unknown_subject"),
        (
            {"subject": {**CLERK, "properties": {"acting_as": "headquarters@kith"}}},
            "unknown_subject",
        ),
        ({"action": {"name": "peek"}}, "unknown_action"),
        ({"resource": {"type": "field", "id": "shoe_size"}}, "unknown_field"),
        ({"resource": {"type": "table", "id": "phone"}}, "unknown_field"),
        ({"resource": {"type": "store", "id": "mars"}}, "unknown_node"),
        ({"context": {"purpose": "curiosity"}}, "unknown_purpose"),
        ({"context": {}}, "unknown_purpose"),
        ({"resource": {"type": "field", "id": "phone"}}, "needs_person"),
    ],
)
def test_what_is_not_known_is_refused(site: Site, parts: dict[str, Any], reason: str) -> None:
    """Questions 3: an unknown word is an answer (false, with its reason), never an error."""
    assert decided(site, **parts) == (False, reason)


def test_a_profile_is_theirs_or_nobody(site: Site) -> None:
    """Questions 4: whether somebody exists is not told to who may not see them."""
    ada = {"type": "profile", "id": site.ada, "properties": {"field": "phone"}}
    nobody = {**ada, "id": NOBODY_ID}
    assert decided(site, resource=ada) == (True, "granted")
    far = {"type": "principal", "id": "clerk.sz01"}
    answers = [
        ask(site, "evaluation", {**ONE, "subject": subject, "resource": resource}).json()
        for subject, resource in ((far, ada), (far, nobody), (CLERK, nobody))
    ]
    assert answers[0] == answers[1] == answers[2]
    assert answers[0]["context"]["reason"] == "outside_scope"
    everywhere = {"type": "principal", "id": "headquarters"}
    assert decided(site, subject=everywhere, resource=nobody) == (False, "outside_scope")


def test_who_did_not_agree_is_nobody(site: Site) -> None:
    """Questions 4: for a purpose that needs consent, whoever did not give it is not there."""
    shy = site.retailer.person(site.retailer.record("pos", {}, store="BJ01", purposes=["service"]))
    crm = {"type": "principal", "id": "crm"}
    context = {"purpose": "marketing"}
    for profile_id, answer in ((site.ada, (True, "granted")), (shy, (False, "outside_scope"))):
        what = {"type": "profile", "id": profile_id, "properties": {"field": "phone"}}
        assert decided(site, subject=crm, resource=what, context=context) == answer
    body = {
        **ONE,
        "evaluations": [
            {"resource": {"type": "profile", "id": site.ada, "properties": {"field": "phone"}}},
            {"subject": {"type": "principal", "id": "manager.bj01"}},
        ],
    }
    told = ask(site, "evaluations", body).json()["evaluations"]
    assert [one["decision"] for one in told] == [True, True]


def test_several_questions_share_what_they_have_in_common(site: Site) -> None:
    """What one question leaves out is taken from the request, and the order is kept."""
    body = {
        **ONE,
        "evaluations": [{}, {"action": {"name": "reveal"}}, {"context": {"purpose": "legal"}}, {}],
    }
    told = ask(site, "evaluations", body).json()["evaluations"]
    assert [one["decision"] for one in told] == [True, False, False, True]
    stop = {**body, "options": {"evaluations_semantic": "deny_on_first_deny"}}
    told = ask(site, "evaluations", stop).json()["evaluations"]
    assert [one["decision"] for one in told] == [True, False]
    stop = {**body, "options": {"evaluations_semantic": "permit_on_first_permit"}}
    told = ask(site, "evaluations", stop).json()["evaluations"]
    assert [one["decision"] for one in told] == [True]
    assert ask(site, "evaluations", ONE).json()["decision"] is True
    lacking = {"evaluations": [{"action": READ}]}
    told = ask(site, "evaluations", lacking).json()["evaluations"]
    assert [one["decision"] for one in told] == [False]
    assert_problem(ask(site, "evaluations", {"subject": CLERK}), 422)
    assert_problem(ask(site, "evaluations", {**ONE, "evaluations": [{}] * 101}), 422)


def test_searches(site: Site) -> None:
    """Who may, on what, and what: each result is one that an evaluation allows, and all are."""
    body = {"subject": {"type": "principal"}, "action": READ, "resource": PHONE, "context": SERVING}
    told = ask(site, "search/subject", body).json()
    found = [one["id"] for one in told["results"]]
    assert found == ["clerk.bj01", "headquarters", "manager.bj01"]
    assert told["page"] == {"next_token": "", "count": 3, "total": 3}
    body = {**ONE, "resource": {"type": "field", "properties": {"stores": ["BJ01"]}}}
    found = [one["id"] for one in ask(site, "search/resource", body).json()["results"]]
    assert found == sorted(
        field.value
        for field in FieldClass
        if decided(site, resource={**PHONE, "id": field.value})[0]
    )
    body = {**ONE, "resource": {"type": "store"}}
    results = ask(site, "search/resource", body).json()["results"]
    assert results == [{"type": "store", "id": "BJ01"}]
    found = [one["name"] for one in ask(site, "search/action", ONE).json()["results"]]
    assert found == sorted(one for one in Action if decided(site, action={"name": one})[0])
    assert found == ["find", "read"]
    people = {**ONE, "resource": {"type": "profile"}}
    assert_problem(ask(site, "search/resource", people), 422, "people_are_not_listed")


def test_a_long_answer_comes_in_pages(site: Site) -> None:
    """The token of a page asks for the next one; together they are the whole answer."""
    body: dict[str, Any] = {**ONE, "resource": {"type": "field", "properties": PHONE["properties"]}}
    whole = ask(site, "search/resource", body).json()
    found, token = [], ""
    while True:
        page = {"limit": 3, "token": token}
        told = ask(site, "search/resource", {**body, "page": page}).json()
        assert told["page"]["total"] == whole["page"]["total"]
        assert told["page"]["count"] == len(told["results"])
        found += told["results"]
        token = told["page"]["next_token"]
        if not token:
            break
    assert found == whole["results"]


def test_who_may_ask(site: Site) -> None:
    """Questions 2: about oneself everybody may ask; about others who may by policy. All is kept."""
    assert_problem(ask(site, "evaluation", ONE, "manager.bj01"), 403, "no_rule")
    assert ask(site, "evaluation", ONE, "clerk.bj01").json()["decision"] is True
    both = {**ONE, "evaluations": [{}, {"subject": {"type": "principal", "id": "crm"}}]}
    assert_problem(ask(site, "evaluations", both, "clerk.bj01"), 403)
    search = {**ONE, "subject": {"type": "principal"}}
    assert_problem(ask(site, "search/subject", search, "clerk.bj01"), 403)
    kept = [
        (one["actor"], one["decision"])
        for one in site.retailer.events()
        if one["action"] == "policy.decide"
    ]
    assert kept == [
        ("manager.bj01", "deny"),
        ("clerk.bj01", "allow"),
        ("clerk.bj01", "deny"),
        ("clerk.bj01", "deny"),
    ]


def test_the_request_id_of_the_caller_comes_back(site: Site) -> None:
    """The standard lets the caller name a request; ours is told beside it."""
    named = {**site.key("operator"), "X-Request-ID": "bfe9-1"}
    answer = site.client.post(f"{BASE}/evaluation", headers=named, json=ONE)
    assert answer.headers["x-request-id"] == "bfe9-1"
    assert answer.headers["kith-request-id"] not in {"", "bfe9-1"}
    elsewhere = site.client.get("/healthz", headers={"X-Request-ID": "bfe9-1"})
    assert elsewhere.headers["x-request-id"] != "bfe9-1"


def test_the_metadata_say_where_to_ask(site: Site) -> None:
    """Each address of the metadata answers."""
    told = site.client.get("/.well-known/authzen-configuration").json()
    here = told.pop("policy_decision_point")
    assert len(told) == 5
    for address in told.values():
        assert address.startswith(here)
        assert_problem(site.client.post(address.removeprefix(here), json=ONE), 401)
