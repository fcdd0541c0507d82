"""What is described of inbound requests, asked at random with good keys: never our failure."""

import json
from typing import Any

import pytest
import schemathesis
from hypothesis import given
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.integration.api.test_fuzz import ODD, RANDOM, spoilt
from tests.integration.inbound.shop import KEYS, Shop, basic

pytestmark = pytest.mark.integration
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]
KEY_OF = {"/sa": "gods", "/v1/cloudevents": "cloud"}
MORE_ODD = (
    "\ud800", "x" * 40_000, "9" * 5000, "1e999999", "anonymous_id=d", " ", True, None, 10**400,
    float("nan"), {"a": {"b": ["\0"]}}, [[[]]],
)  # fmt: skip


def inbound(shop: Shop) -> list[Any]:
    """The operations that take a write key."""
    contract = schemathesis.openapi.from_asgi("/openapi.json", shop.app)
    found = [one.ok() for one in contract.get_all_operations()]
    return [one for one in found if {"writeKey": []} in one.definition.raw.get("security", [])]


def test_no_operation_fails_or_breaks_its_contract(shop: Shop) -> None:
    """Whatever is sent with a good key is answered as described, and never by a 5xx."""
    operations = inbound(shop)
    assert len(operations) == 9
    answered = set()
    for operation in operations:

        @RANDOM
        @given(operation.as_strategy())
        def ask(case: Any) -> None:
            case.headers, case.cookies, case.query = {}, {}, {}  # it would make keys up
            key = basic(KEYS[KEY_OF.get(case.operation.path, "web")])
            answer = case.call_and_validate(headers=key, checks=CHECKS)
            answered.add((case.operation.path, answer.status_code))

        ask()
    assert {path for path, status in answered if status == 200} >= set(KEY_OF) | {"/v1/batch"}


def test_no_value_of_a_message_is_a_failure_of_ours(shop: Shop) -> None:
    """Each text of each example, spoilt: the message is taken or refused, and others go on."""
    contract = shop.client.get("/openapi.json").json()
    good = {"type": "track", "event": "Order Completed", "userId": "u1"}
    asked = 0
    for path, ways in contract["paths"].items():
        sent = ways.get("post", {})
        if {"writeKey": []} not in sent.get("security", []):
            continue
        for kind, content in sent["requestBody"]["content"].items():
            headers = {**basic(KEYS[KEY_OF.get(path, "web")]), "Content-Type": kind}
            for example in content.get("examples", {}).values():
                for odd in (*ODD, *MORE_ODD):
                    for body in spoilt(example["value"], odd):
                        if isinstance(body, dict) and "batch" in body:
                            body["batch"] = [*body["batch"], {**good, "messageId": f"g{asked}"}]
                        answer = shop.client.post(path, content=json.dumps(body), headers=headers)
                        assert answer.status_code in {200, 400, 413}, (path, answer.text)
                        asked += 1
    assert asked > 500
