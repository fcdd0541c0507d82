"""Our policy as other systems ask it: evaluation, evaluations, search, metadata."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from api import authzen_forms as forms
from cdp.access import accounts, keys
from cdp.access.principals import sync_principals
from cdp.access.questions import Questions
from cdp.policy.live import LivePolicy
from policies import enforcer
from policies.decision import Policy, Subject
from policies.enforcer import compile_policy, read_source
from policies.policyfile import POLICY_FILE, read_rules
from policies.vocabulary import Action, Circumstances, FieldClass
from tests.integration.api.site import NOBODY_ID, Site, assert_problem
from tests.integration.retailer import DESTINATIONS, NOW, PRINCIPALS, declaration

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


@pytest.fixture
def desks(site: Site) -> Site:
    """Two help desks that ask before they show: one of the brand, one of a store."""
    told = declaration()
    contract = {**DESTINATIONS["crm"], "purpose": "service", "fields": ["profile_id", "phone"]}
    told["destinations"] = {**DESTINATIONS, "desk": contract}
    told["principals"] = [
        *PRINCIPALS,
        {"id": "desk", "role": "service", "node": "kith", "destination": "desk"},
        {"id": "desk.sz01", "role": "service", "node": "SZ01", "destination": "desk"},
    ]
    workspace = site.retailer.workspace
    text = yaml.safe_dump(told, allow_unicode=True)
    workspace.settings.declaration.write_text(text, encoding="utf-8")
    site.restart()
    with site.retailer.engine.begin() as connection:
        sync_principals(connection, workspace.declaration, NOW)
    return site


def about(site: Site, who: str, profile_id: str, **parts: Any) -> dict[str, Any]:
    """The answer to ``who`` on the phone of one person."""
    what = {"type": "profile", "id": profile_id, "properties": {"field": "phone"}}
    answer = ask(site, "evaluation", {**ONE, "resource": what, **parts}, who)
    assert answer.status_code == 200, answer.text
    told: dict[str, Any] = answer.json()
    return told


def test_a_profile_is_theirs_or_nobody(desks: Site) -> None:
    """Questions 4: whether somebody exists is not told to who may not see them."""
    assert about(desks, "desk", desks.ada)["context"]["reason"] == "granted"
    far = {"type": "principal", "id": "clerk.sz01"}
    everywhere = {"type": "principal", "id": "headquarters"}
    answers = [
        about(desks, "desk", profile_id, subject=subject)
        for subject, profile_id in (
            (far, desks.ada), (far, NOBODY_ID), (CLERK, NOBODY_ID), (everywhere, NOBODY_ID),
        )
    ]  # fmt: skip
    assert all(one == answers[0] for one in answers)
    assert answers[0]["context"]["reason"] == "outside_scope"


def test_who_did_not_agree_is_nobody(site: Site) -> None:
    """Questions 4: for a purpose that needs consent, whoever did not give it is not there."""
    shy = site.retailer.person(site.retailer.record("pos", {}, store="BJ01", purposes=["service"]))
    own = {"subject": {"type": "principal", "id": "crm"}, "context": {"purpose": "marketing"}}
    assert about(site, "crm", site.ada, **own)["context"]["reason"] == "granted"
    assert about(site, "crm", shy, **own)["context"]["reason"] == "outside_scope"


@pytest.mark.parametrize("who", ["operator", "compliance", "desk.sz01"])
def test_who_may_not_read_a_person_hears_nothing_of_them(desks: Site, who: str) -> None:
    """Questions 5: neither that they exist, nor their store, nor what they agreed to."""
    retailer = desks.retailer
    shy = retailer.person(retailer.record("pos", {}, store="BJ01", purposes=["marketing"]))
    questions = [
        {
            "subject": {"type": "principal", "id": subject},
            "action": {"name": action.value},
            "context": {"purpose": purpose},
        }
        for subject in ("headquarters", "crm")
        for purpose in ("service", "marketing", "curiosity")
        for action in Action
    ]
    told = []
    for one in (desks.ada, shy, NOBODY_ID, "no such id"):
        what = {"type": "profile", "id": one, "properties": {"field": "phone"}}
        answers: list[dict[str, Any]] = []
        for place in range(0, len(questions), 100):
            body = {"resource": what, "evaluations": questions[place : place + 100]}
            answers += ask(desks, "evaluations", body, who).json()["evaluations"]
        for kind in ("subject", "action"):
            body = {**ONE, "resource": what}
            answers.append(ask(desks, f"search/{kind}", body, who).json())
        told.append(answers)
    assert all(one == told[0] for one in told)
    assert not [one for one in told[0] if one.get("decision") or one.get("results")]


def test_each_person_asked_about_has_an_event(desks: Site) -> None:
    """Questions 6: whom, which field and whose right; once each, also where nothing is told."""
    profile = {"type": "profile", "id": desks.ada, "properties": {"field": "phone"}}
    manager = {"type": "principal", "id": "manager.bj01"}
    several = [{}, {}, {"subject": manager}, {"resource": {**profile, "id": NOBODY_ID}}]
    body = {**ONE, "resource": profile, "evaluations": several}
    told = ask(desks, "evaluations", body, "desk").json()["evaluations"]
    assert [one["decision"] for one in told] == [True, True, True, False]
    search = {**ONE, "subject": {"type": "principal"}, "resource": profile}
    found = ask(desks, "search/subject", search, "desk").json()["results"]
    assert [one["id"] for one in found] == ["clerk.bj01", "desk", "headquarters", "manager.bj01"]
    about(desks, "compliance", desks.ada)
    about(desks, "clerk.bj01", desks.ada)
    kept = [
        (one["actor"], one["profile_id"], one["decision"], one["fields"], one["detail"])
        for one in desks.retailer.events()
        if one["action"] == "policy.decide" and one.get("profile_id")
    ]
    ada, phone = desks.ada, ["phone"]
    assert kept == [
        ("desk", ada, "allow", phone, "about clerk.bj01"),
        ("desk", ada, "allow", phone, "about manager.bj01"),
        ("desk", NOBODY_ID, "deny", phone, "about clerk.bj01"),
        ("desk", ada, "allow", phone, "about everybody"),
        ("compliance", ada, "deny", phone, "about clerk.bj01"),
        ("clerk.bj01", ada, "allow", phone, "about clerk.bj01"),
    ]


def test_nobody_is_asked_of_what_is_not_done_to_one_person(site: Site) -> None:
    """Questions 4: also about oneself, what needs no person tells of none."""
    for who, action, purpose in (
        ("operator", "configure", "service"),
        ("operator", "ingest", "service"),
        ("compliance", "audit", "legal"),
        ("compliance", "approve", "service"),
        ("analyst", "count", "analysis"),
        ("headquarters", "list", "marketing"),
    ):
        parts: dict[str, Any] = {
            "subject": {"type": "principal", "id": who},
            "action": {"name": action},
            "context": {"purpose": purpose},
        }
        whole = {"type": "field", "id": "profile_id" if action == "list" else "none"}
        assert ask(site, "evaluation", {**ONE, **parts, "resource": whole}, who).json()["decision"]
        for field in ("none", "profile_id"):
            answers = []
            for one in (site.ada, NOBODY_ID):
                what = {"type": "profile", "id": one, "properties": {"field": field}}
                answers.append(about(site, who, one, **parts, resource=what))
            assert answers[0] == answers[1]
            assert answers[0]["context"]["reason"] == "no_rule"


def test_a_key_is_not_widened_by_asking(desks: Site) -> None:
    """Questions 2 and 7: what the key is not for is not told, of oneself or of anybody."""
    own = {"subject": {"type": "principal", "id": "headquarters"}}
    with_key(desks, "headquarters", "merge")
    assert_problem(ask(desks, "evaluation", {**ONE, **own}, "headquarters"), 403, "outside_key")
    with_key(desks, "headquarters", "decide", "merge")
    reasons = {one: about(desks, "headquarters", one, **own) for one in (desks.ada, NOBODY_ID)}
    assert {one["context"]["reason"] for one in reasons.values()} == {"outside_key"}
    with_key(desks, "desk", "decide")
    assert ask(desks, "evaluation", ONE, "desk").json()["decision"] is True
    assert about(desks, "desk", desks.ada)["context"]["reason"] == "outside_scope"
    with_key(desks, "desk", "decide", "read")
    assert about(desks, "desk", desks.ada)["context"]["reason"] == "granted"


def test_of_oneself_the_real_circumstances_count(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Questions 7: who asks about themselves vouches for nothing; for others they do."""
    workspace = site.retailer.workspace
    text = (Path(enforcer.__file__).parent / POLICY_FILE).read_text(encoding="utf-8")
    lines = text.splitlines()
    kept = [one for one in lines if not one.startswith("p, clerk, read, contact")]
    more = "p, clerk, read, contact, mask, service, allow, in_network"
    rules = read_rules("\n".join([*kept, more]) + "\n")
    compiled = compile_policy(replace(read_source(), rules=rules))
    policy = Policy(compiled, workspace.declaration.organisation)
    monkeypatch.setattr(LivePolicy, "policy", property(lambda _: policy))
    inside = {**ONE, "context": {**SERVING, "circumstances": ["in_network"]}}
    assert ask(site, "evaluation", inside, "operator").json()["context"]["reason"] == "granted"
    assert ask(site, "evaluation", ONE, "operator").json()["context"]["reason"] == "not_now"
    assert ask(site, "evaluation", inside, "clerk.bj01").json()["context"]["reason"] == "not_now"
    question = forms.EvaluationForm.model_validate(ONE).question()
    for held, reason in ((Circumstances.IN_NETWORK, "granted"), (Circumstances(0), "not_now")):
        asker = Subject("clerk.bj01", "clerk", "BJ01", circumstances=held)
        with site.retailer.engine.begin() as connection:
            questions = Questions(workspace.repinned(), connection, asker)
            assert questions.answer(question).reason == reason


def test_a_name_that_cannot_be_one_is_nobody(site: Site) -> None:
    """Questions 3: whatever is typed as an id, an assignment or a token is no error."""
    for name in ("a\0b", "\0", "a\nb", "\u200f", "x" * 128, "\U0001f600"):
        subject = {"type": "principal", "id": name}
        assert decided(site, subject=subject) == (False, "unknown_subject")
        acting = {**CLERK, "properties": {"acting_as": name}}
        assert decided(site, subject=acting) == (False, "unknown_subject")
        for kind in ("profile", "store", "field", name):
            what = {"type": kind, "id": name, "properties": {"field": name, "stores": [name]}}
            assert decided(site, resource=what)[0] is False
        search = {**ONE, "subject": {"type": name}, "page": {"token": name}}
        assert ask(site, "search/subject", search).json()["results"] == []


def test_who_is_locked_may_do_nothing(site: Site) -> None:
    """Questions 1: a principal who is let in nowhere is nobody, also in a search."""
    search = {**ONE, "subject": {"type": "principal"}}
    with site.retailer.engine.begin() as connection:
        accounts.lock(connection, CLERK["id"], NOW)
    assert decided(site) == (False, "unknown_subject")
    found = ask(site, "search/subject", search).json()["results"]
    assert [one["id"] for one in found] == ["headquarters", "manager.bj01"]


def with_key(site: Site, who: str, *scopes: str) -> None:
    """From here on ``who`` asks with a key for these actions."""
    with site.retailer.engine.begin() as connection:
        issued = keys.issue(connection, site.retailer.keys, who, NOW, scopes=scopes)
    site._keys[who] = issued.text


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
