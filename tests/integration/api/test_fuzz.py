"""Every operation of the published contract, asked at random: no answer is a failure of ours."""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api.site import CANARIES, Site

pytestmark = pytest.mark.integration

CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
# What lets people in, and what says whether anybody is there, cannot ask for a credential.
OPEN = {
    "/healthz",
    "/readyz",
    "/.well-known/authzen-configuration",
    "/v1/session",  # signing in; who is signed in
    "/v1/session/enrolment",
    "/v1/session/enrolment/confirm",
    "/v1/session/oidc/start",
    "/v1/session/oidc/callback",
}
ASKED_BY = ("clerk.bj01", "headquarters", "compliance", "operator", None)
RANDOM = settings(
    max_examples=8,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)


def operations(site: Site) -> list[Any]:
    """Every operation of the contract."""
    contract = schemathesis.openapi.from_asgi("/openapi.json", site.app)
    return [found.ok() for found in contract.get_all_operations()]


def aimed(case: Any, site: Site, *, hit: bool) -> Any:
    """Let a case be about somebody who is there, for a purpose that many have."""
    if not hit:
        return case
    if "profile_id" in (case.path_parameters or {}):
        case.path_parameters["profile_id"] = site.ada
    for place in (case.query, case.body):
        if isinstance(place, dict) and "purpose" in place:
            place["purpose"] = "service"
    return case


@pytest.mark.parametrize("who", ASKED_BY)
def test_no_operation_fails_or_breaks_its_contract(site: Site, who: str | None) -> None:
    """Whoever asks, whatever is sent: an answer that the contract describes, and never a 5xx."""
    headers = site.key(who) if who else {}
    for operation in operations(site):

        @RANDOM
        @given(operation.as_strategy(), st.booleans())
        def ask(case: Any, hit: Any) -> None:
            aimed(case, site, hit=hit).call_and_validate(headers=headers, checks=CHECKS)

        ask()


@pytest.mark.parametrize("credential", [None, "Bearer ", "Bearer kith_0_0", "Basic a2l0aDpraXRo"])
def test_nothing_is_answered_without_a_credential(site: Site, credential: str | None) -> None:
    """Without a credential everything is 401; with a bad one what is not of its form is 422."""
    headers = {"Authorization": credential} if credential else {}
    expected = {401, 422} if credential else {401}
    for operation in operations(site):
        if operation.path in OPEN:
            continue

        @settings(RANDOM, max_examples=3)
        @given(operation.as_strategy())
        def ask(case: Any) -> None:
            case.cookies, case.headers = {}, {}  # it would make credentials up
            answer = aimed(case, site, hit=True).call(headers=headers)
            assert answer.status_code in expected, (case.operation.label, answer.status_code)
            assert not [canary for canary in CANARIES if canary in answer.text]

        ask()


# What a text can be that a database, a number or a log cannot.
ODD = ("\0", "a\0b", "1E999999", "\u200f", "\U0001f600" * 32)


def bodies(site: Site) -> Iterator[tuple[str, dict[str, Any]]]:
    """The example of every JSON body in the contract, with its path."""
    contract = site.client.get("/openapi.json").json()
    for path, ways in contract["paths"].items():
        content = ways.get("post", {}).get("requestBody", {}).get("content", {})
        name = content.get("application/json", {}).get("schema", {}).get("$ref", "").split("/")[-1]
        for example in contract["components"]["schemas"].get(name, {}).get("examples", []):
            yield path.replace("{profile_id}", site.ada), example


def spoilt(value: Any, odd: str) -> Iterator[Any]:
    """The same with one text in it replaced, for each text in turn."""
    if isinstance(value, str):
        yield odd
    elif isinstance(value, dict):
        for name, part in value.items():
            yield from ({**value, name: other} for other in spoilt(part, odd))
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from ([*value[:place], other, *value[place + 1 :]] for other in spoilt(part, odd))


@pytest.mark.parametrize("who", ["headquarters", "operator"])
def test_no_text_is_a_failure_of_ours(site: Site, who: str) -> None:
    """A form that is right but for one text is answered, or refused with a problem."""
    found = list(bodies(site))
    assert {"/v1/profiles/search", "/v1/figures", "/access/v1/evaluation"} <= {p for p, _ in found}
    numbers = {"field": "attributes", "name": "orders", "at_least": "1", "at_most": "2"}
    found += [
        (path, {"where": [numbers], "purpose": "analysis"})
        for path in ("/v1/profiles/search", "/v1/figures")
    ]
    asked = 0
    for path, example in found:
        for odd in ODD:
            for body in spoilt(example, odd):
                answer = site.post(who, path, body)
                assert answer.status_code < 500, (path, body)
                asked += 1
    assert asked > 200
