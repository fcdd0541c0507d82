"""Every endpoint, asked by every principal for every purpose, about their people and others.

What is expected is worked out from the lines of ``policy.csv`` by a plain reading of them, not by
the table that the API uses: object by object (OWASP API1:2023) and property by property
(API3:2023).
"""

from itertools import product
from typing import Any, NamedTuple

import pytest

from policies.declarations import load_masking
from policies.enforcer import read_source
from policies.masks import mask
from policies.vocabulary import SENSITIVE, Action, Effect, FieldClass, Purpose, Treatment
from tests.integration.api.site import NOBODY_ID, Site, assert_problem
from tests.integration.retailer import DESTINATIONS, PRINCIPALS

pytestmark = pytest.mark.integration

SOURCE = read_source()
MASKING = load_masking()
FIELDS = {
    "name": "欧阳金丝",
    "given_name": "金丝",
    "phone": "+8613912347777",
    "email": "canary.bird@example.com",
    "address": "北京市朝阳区建国路88号3单元502",
    "birth_date": "1949-12-31",
    "gender": "female",
    "city": "北京",
    "national_id": "11010519491231002X",
    "bank_card": "6222021234567890128",
    "loyalty_card": "8800123456",
    "openid": "oCanary0001",
    "remark": "prefers canaries",
}
OTHERS = {**FIELDS, "phone": "+8613912340000", "loyalty_card": "8800999999", "openid": "oOther0002"}
BY_ID = {one["id"]: one for one in PRINCIPALS}
STORES = {"BJ01": {"BJ01"}, "SZ01": {"SZ01"}, "kith": {"BJ01", "SZ01"}, "empty": set()}


class Case(NamedTuple):
    """A person of one store, and what is in their fields."""

    id: str
    store: str
    fields: dict[str, str]


def allowed(who: str, action: str, field: str, purpose: str) -> Treatment | None:
    """Read the policy's lines: the most that ``who`` is shown, or None where it is refused."""
    principal = BY_ID[who]
    lines = [
        rule
        for rule in SOURCE.rules.rules
        if (rule.role, rule.action, rule.purpose) == (principal["role"], action, purpose)
        and FieldClass(field) in SOURCE.rules.fields_of(rule.target)
    ]
    if principal["role"] == "service":
        contract: dict[str, Any] = DESTINATIONS.get(principal.get("destination", ""), {})
        if purpose != contract.get("purpose") or field not in (*contract["fields"], "none"):
            return None
    most = None
    for treatment in Treatment:
        granted = any(r.effect is Effect.ALLOW and r.treatment >= treatment for r in lines)
        denied = any(r.effect is Effect.DENY and r.treatment <= treatment for r in lines)
        most = treatment if granted and not denied else most
    return most


def shown(who: str, action: str, purpose: str, case: Case) -> dict[str, dict[str, str]]:
    """The fields of a person as ``who`` must see them: no more, and no less."""
    found = {}
    for field, value in case.fields.items():
        treatment = allowed(who, action, field, purpose)
        if treatment is Treatment.CLEAR:
            found[field] = {"value": value, "treatment": "clear"}
        elif treatment is Treatment.MASK:
            found[field] = {"value": mask(MASKING[field], value), "treatment": "mask"}
    return found


def is_theirs(who: str, case: Case) -> bool:
    """Say whether the person belongs to a store under the principal's node."""
    return case.store in STORES[BY_ID[who]["node"]]


@pytest.fixture
def people(site: Site) -> tuple[Case, Case]:
    """Two people of two stores, whose records every purpose may use."""

    def person(store: str, fields: dict[str, str]) -> Case:
        record = site.retailer.record(
            "pos", dict(fields), store=store, purposes=list(Purpose), attributes={"orders": 2}
        )
        return Case(site.retailer.person(record), store, fields)

    return person("BJ01", FIELDS), person("SZ01", OTHERS)


@pytest.mark.parametrize("who", BY_ID)
def test_reading(site: Site, people: tuple[Case, Case], who: str) -> None:
    """One person: 403 for who reads nobody, 404 for somebody else's, else field by field."""
    for purpose, case in product(Purpose, people):
        answer = site.get(who, f"/v1/profiles/{case.id}?purpose={purpose}")
        reads = allowed(who, Action.READ, "profile_id", purpose) is Treatment.CLEAR
        if not reads:
            assert answer.status_code in {403, 404}
            assert_same(answer, site.get(who, f"/v1/profiles/{NOBODY_ID}?purpose={purpose}"))
        elif not is_theirs(who, case):
            assert_problem(answer, 404, "not_found")
            assert_same(answer, site.get(who, f"/v1/profiles/{NOBODY_ID}?purpose={purpose}"))
        else:
            assert answer.status_code == 200
            told = answer.json()
            assert told["fields"] == shown(who, Action.READ, purpose, case), (who, purpose)
            for part in ("attributes", "tags", "stores"):
                clear = allowed(who, Action.READ, part, purpose) is Treatment.CLEAR
                assert clear or not told[part]
                assert (part in told["omitted"]) is not clear
            assert set(told["omitted"]) >= case.fields.keys() - told["fields"].keys()


@pytest.mark.parametrize("who", BY_ID)
def test_finding(site: Site, people: tuple[Case, Case], who: str) -> None:
    """A look-up: 403 by what may not be searched by, an empty answer for somebody else's."""
    for purpose, case, field in product(Purpose, people, ("phone", "loyalty_card", "national_id")):
        body = {"field": field, "value": case.fields[field], "purpose": purpose}
        answer = site.post(who, "/v1/profiles/lookup", body)
        if allowed(who, Action.FIND, field, purpose) is None:
            assert_problem(answer, 403)
            continue
        found = {one["profile_id"]: one["fields"] for one in answer.json()["profiles"]}
        reads = allowed(who, Action.READ, "profile_id", purpose) is Treatment.CLEAR
        meant = {case.id} if is_theirs(who, case) and reads else set()
        assert found.keys() == meant
        assert all(one == shown(who, Action.READ, purpose, case) for one in found.values())


@pytest.mark.parametrize("who", BY_ID)
def test_listing(site: Site, people: tuple[Case, Case], who: str) -> None:
    """A page: 403, or exactly the people under one's node, each as the policy shows them."""
    for purpose in Purpose:
        answer = site.get(who, f"/v1/profiles?purpose={purpose}")
        if allowed(who, Action.LIST, "profile_id", purpose) is not Treatment.CLEAR:
            assert_problem(answer, 403)
            continue
        found = {one["profile_id"]: one["fields"] for one in answer.json()["profiles"]}
        assert {case.id for case in people if is_theirs(who, case)} == found.keys() - {site.ada}
        for case in people:
            if is_theirs(who, case):
                assert found[case.id] == shown(who, Action.LIST, purpose, case)


@pytest.mark.parametrize("who", BY_ID)
def test_revealing(site: Site, people: tuple[Case, Case], who: str) -> None:
    """A reveal: 403 where no line allows it or a second person lacks, 404 for somebody else's."""
    for purpose, case in product(Purpose, people):
        for field in ("name", "phone", "birth_date", "national_id", "remark"):
            value = case.fields[field]
            body = {"field": field, "purpose": purpose, "reason": "Call back about ticket 4711"}
            answer = site.post(who, f"/v1/profiles/{case.id}/reveal", body)
            if allowed(who, Action.REVEAL, field, purpose) is not Treatment.CLEAR:
                assert_problem(answer, 403)
            elif field in SENSITIVE:
                assert_problem(answer, 403 if is_theirs(who, case) else 404)
            elif not is_theirs(who, case):
                assert_problem(answer, 404, "not_found")
            elif answer.status_code != 429:  # an hour has only so many reveals
                assert answer.json().get("value") == value, (who, purpose, field, answer.text)


@pytest.mark.parametrize("who", BY_ID)
def test_evidence(site: Site, people: tuple[Case, Case], who: str) -> None:
    """Why records were joined: 403, 404 or 200, as the policy says of ``evidence``."""
    for purpose, case in product(Purpose, people):
        answer = site.get(who, f"/v1/profiles/{case.id}/evidence?purpose={purpose}")
        if allowed(who, Action.READ, "evidence", purpose) is not Treatment.CLEAR:
            assert_problem(answer, 403)
        elif not is_theirs(who, case):
            assert_problem(answer, 404, "not_found")
        else:
            assert answer.status_code == 200


SEARCHES = {
    "attributes": {"name": "orders", "equals": 2},
    "tags": {"name": "lifecycle", "equals": "new"},
    "stores": {"equals": "BJ01"},
    "phone": {"equals": FIELDS["phone"]},
    "birth_date": {"equals": FIELDS["birth_date"]},
    "city": {"equals": FIELDS["city"]},
}


@pytest.mark.parametrize("who", BY_ID)
def test_searching(site: Site, people: tuple[Case, Case], who: str) -> None:
    """Nobody filters by what a list would not show them clear; whom they find are their own."""
    for purpose, (field, asked) in product(Purpose, SEARCHES.items()):
        body = {"where": [{"field": field, **asked}], "purpose": purpose}
        answer = site.post(who, "/v1/profiles/search", body)
        lists = allowed(who, Action.LIST, "profile_id", purpose) is Treatment.CLEAR
        clear = allowed(who, Action.LIST, field, purpose) is Treatment.CLEAR
        if not (lists and clear):
            assert_problem(answer, 403)
        elif field not in {"attributes", "tags", "stores"}:  # no list filters by what is sealed
            assert answer.status_code in {403, 422}
        else:
            found = {one["profile_id"] for one in answer.json()["profiles"]} - {site.ada}
            assert found <= {case.id for case in people if is_theirs(who, case)}
            if field == "attributes":
                assert found == {case.id for case in people if is_theirs(who, case)}


@pytest.mark.parametrize("who", BY_ID)
def test_counting(site: Site, people: tuple[Case, Case], who: str) -> None:
    """Figures need ``count`` on what they group and filter by; two people are too few to tell."""
    assert people
    groups = {
        "tags": {"kind": "tag", "name": "lifecycle"},
        "attributes": {"kind": "attribute", "name": "orders"},
        "stores": {"kind": "store"},
    }
    for purpose, (field, dimension) in product(Purpose, groups.items()):
        answer = site.post(who, "/v1/figures", {"by": [dimension], "purpose": purpose})
        counts = allowed(who, Action.COUNT, "none", purpose) is not None
        if not counts or allowed(who, Action.COUNT, field, purpose) is not Treatment.CLEAR:
            assert_problem(answer, 403)
        else:
            assert answer.status_code == 200
            assert answer.json()["groups"] == []
            assert not [one for one in FIELDS.values() if one in answer.text]


@pytest.mark.parametrize("who", BY_ID)
def test_asking_for_a_reveal(site: Site, people: tuple[Case, Case], who: str) -> None:
    """A request: 403 where no line allows the reveal, 404 for somebody else's, else it waits."""
    for purpose, case, field in product(Purpose, people, ("phone", "bank_card", "remark")):
        body = {"profile_id": case.id, "field": field, "purpose": purpose, "reason": "Case 4711"}
        answer = site.post(who, "/v1/reveals", body)
        if allowed(who, Action.REVEAL, field, purpose) is not Treatment.CLEAR:
            assert_problem(answer, 403)
        elif FieldClass(field) not in SENSITIVE:
            assert answer.status_code in {404, 409}  # it needs no second person
        elif not is_theirs(who, case):
            assert_problem(answer, 404, "not_found")
        else:
            assert answer.status_code == 201
        assert case.fields[field] not in answer.text


@pytest.mark.parametrize("who", BY_ID)
def test_sending(site: Site, who: str) -> None:
    """Records are taken from who may ``ingest``; others learn not even which sources there are."""
    for source in ("pos", "nowhere"):
        answer = site.post(who, f"/v1/sources/{source}/records", [])
        if allowed(who, Action.INGEST, "none", Purpose.SERVICE) is None:
            assert_problem(answer, 403)
        else:
            assert answer.status_code == {"pos": 422, "nowhere": 404}[source]


@pytest.mark.parametrize("who", BY_ID)
def test_asking_after_others(site: Site, who: str) -> None:
    """About oneself anybody asks; about others who may ``decide``."""
    ask = {
        "action": {"name": "read"},
        "resource": {"type": "field", "id": "phone"},
        "context": {"purpose": "service"},
    }
    for other in ("clerk.bj01", "crm"):
        body = {**ask, "subject": {"type": "principal", "id": other}}
        answer = site.post(who, "/access/v1/evaluation", body)
        may = who == other or allowed(who, Action.DECIDE, "none", Purpose.SERVICE) is not None
        assert answer.status_code == (200 if may else 403)


ELSEWHERE = {
    "/metrics": "test_metrics",
    "/sa": "inbound/test_routes",
    "/v1/alias": "inbound/test_routes",
    "/v1/batch": "inbound/test_routes",
    "/v1/cloudevents": "inbound/test_routes",
    "/v1/group": "inbound/test_routes",
    "/v1/identify": "inbound/test_routes",
    "/v1/page": "inbound/test_routes",
    "/v1/screen": "inbound/test_routes",
    "/v1/track": "inbound/test_routes",
    "/v1/hooks/{source}": "integration/hooks",
    "/healthz": "asks for nobody",
    "/readyz": "asks for nobody",
    "/.well-known/authzen-configuration": "asks for nobody",
    "/v1/profiles/match": "test_matching, test_index_lookups",
    "/v1/reveals/{request_id}": "test_reveals",
    "/v1/reveals/{request_id}/approval": "test_reveals",
    "/v1/reveals/{request_id}/review": "test_reveals",
    "/v1/session": "signing_in",
    "/v1/session/acting-as": "signing_in",
    "/v1/session/enrolment": "signing_in",
    "/v1/session/enrolment/confirm": "signing_in",
    "/v1/session/oidc/callback": "signing_in",
    "/v1/session/oidc/start": "signing_in",
    "/access/v1/evaluations": "test_authzen",
    "/access/v1/search/action": "test_authzen",
    "/access/v1/search/resource": "test_authzen",
    "/access/v1/search/subject": "test_authzen",
}
HERE = {
    "/v1/profiles",
    "/v1/profiles/{profile_id}",
    "/v1/profiles/lookup",
    "/v1/profiles/search",
    "/v1/profiles/{profile_id}/reveal",
    "/v1/profiles/{profile_id}/evidence",
    "/v1/figures",
    "/v1/reveals",
    "/v1/sources/{source}/records",
    "/access/v1/evaluation",
}


def test_every_endpoint_has_its_place(site: Site) -> None:
    """An endpoint that is added is put into the matrix, or it is said where it is tested."""
    assert set(site.client.get("/openapi.json").json()["paths"]) == HERE | ELSEWHERE.keys()


def assert_same(answer: Any, other: Any) -> None:
    """The answer about somebody else's person is the one about nobody."""
    told = [{k: v for k, v in one.json().items() if k != "request_id"} for one in (answer, other)]
    assert told[0] == told[1]
    assert answer.status_code == other.status_code
