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


def assert_same(answer: Any, other: Any) -> None:
    """The answer about somebody else's person is the one about nobody."""
    told = [{k: v for k, v in one.json().items() if k != "request_id"} for one in (answer, other)]
    assert told[0] == told[1]
    assert answer.status_code == other.status_code
