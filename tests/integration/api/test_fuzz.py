"""Every operation of the published contract, asked at random: no answer is a failure of ours."""

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
