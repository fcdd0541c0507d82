"""The HTTP API: bad input is answered and not repeated."""

import pytest

from api import edge
from tests.integration.api.site import (
    CANARY_PHONE,
    Site,
    assert_problem,
)

pytestmark = pytest.mark.integration


def test_a_missing_purpose_is_a_400(site: Site) -> None:
    """Nobody reads a person without saying what for."""
    for path in (
        f"/v1/profiles/{site.ada}",
        f"/v1/profiles/{site.ada}?purpose=canary",
        f"/v1/profiles/{site.ada}/evidence",
        "/v1/profiles",
    ):
        assert_problem(site.get("headquarters", path), 400, "purpose_needed")
    no_purpose = {"field": "phone", "value": CANARY_PHONE}
    assert_problem(
        site.post("clerk.bj01", "/v1/profiles/lookup", no_purpose), 400, "purpose_needed"
    )


BAD_BODIES = [
    (b'{"canary', 400),
    (b"\xff\xfe canary", 400),
    (b"", 422),
    (b"[" * 9000, 400),
    (b'"canary"', 422),
    (b"null", 422),
    (b'{"field": "canary", "value": "x", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": 13912346789, "purpose": "service"}', 422),
    (b'{"field": "phone", "value": ["canary"], "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "x", "purpose": "service", "canary": "canary"}', 422),
    (b'{"field": "phone", "value": "\\ud800", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "canary\\u0000", "purpose": "service"}', 422),
    (b'{"field": "phone", "value": "%s", "purpose": "service"}' % (b"canary" * 99), 422),
]


def test_bad_bodies_are_problems_that_repeat_nothing(site: Site) -> None:
    """Errors 1 and 2: whatever was sent, the answer is a problem without any of it."""
    headers = {**site.key("clerk.bj01"), "Content-Type": "application/json"}
    for body, status in BAD_BODIES:
        response = site.client.post("/v1/profiles/lookup", headers=headers, content=body)
        assert_problem(response, status)


def test_framework_errors_are_problems_too(site: Site) -> None:
    """Errors 1: unknown routes, methods and media types have the same shape."""
    header = site.key("clerk.bj01")
    assert_problem(site.client.get("/canary/13912346789?q=canary"), 404, "no_such_route")
    assert_problem(site.client.get("/v1/profiles/"), 404)
    response = site.client.delete(f"/v1/profiles/{site.ada}", headers=header)
    assert_problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == "GET"
    wrong = site.client.post(
        "/v1/profiles/lookup",
        headers={**header, "Content-Type": "text/plain"},
        content=b'{"field": "phone", "value": "canary", "purpose": "service"}',
    )
    assert_problem(wrong, 422)
    for weird in ("%00", "%ff", "canary' OR 1=1", "..%2f..%2fetc"):
        assert_problem(
            site.client.get(f"/v1/profiles/{weird}?purpose=service", headers=header), 404
        )


def test_a_body_beyond_the_limit_is_refused(site: Site) -> None:
    """Edge 2: a declared, an undeclared and a lying length are all held to the limit."""
    header = site.key("clerk.bj01")
    large = b'{"value": "' + b"canary" * edge.BODY_LIMIT + b'"}'
    sent = site.client.post("/v1/profiles/lookup", headers=header, content=large)
    assert_problem(sent, 413, "body_too_large")
    streamed = site.client.post(
        "/v1/profiles/lookup",
        headers=header,
        content=(large[at : at + 999] for at in range(0, len(large), 999)),
    )
    assert_problem(streamed, 413, "body_too_large")
    lying = site.client.post(
        "/v1/profiles/lookup", headers={**header, "Content-Length": "canary"}, content=b"{}"
    )
    assert_problem(lying, 413)
