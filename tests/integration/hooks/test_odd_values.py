"""Whatever a proven message holds is taken in or refused: never a failure of ours."""

import base64
import gzip
import json
from typing import Any

import pytest

from tests.integration.api.test_fuzz import ODD, spoilt
from tests.integration.hooks.world import SHARED, World, mac, member
from tests.integration.inbound.test_fuzz import MORE_ODD

pytestmark = pytest.mark.integration


def test_no_value_of_a_message_is_a_failure_of_ours(world: World) -> None:
    """Each text of a message, spoilt; beside it a row that goes on to be somebody."""
    asked = 0
    for odd in (*ODD, *MORE_ODD):
        for body in spoilt({"type": "member.updated", "data": [member(3, changed=1)]}, odd):
            if isinstance(body, dict) and isinstance(body.get("data"), list):
                body["data"].append(member(4, changed=asked))
            content = json.dumps(body)
            answer = world.standard(content, f"odd{asked}")
            assert answer.status_code in {200, 400, 413}, (answer.text, odd)
            asked += 1
    assert asked > 150
    assert world.person("crm", "m4") == world.person("till", "C000004")


HEADERS: list[dict[Any, Any]] = [
    {b"webhook-id": "é".encode("latin-1")},
    {b"webhook-id": b""},
    {b"webhook-id": b"x" * 300},
    {b"webhook-timestamp": "١٧".encode()},
    {b"webhook-timestamp": b"1" * 13},
    {b"webhook-timestamp": b"-1"},
    {b"webhook-timestamp": b"1e9"},
    {b"webhook-signature": "v1,é".encode("latin-1")},
    {b"webhook-signature": b"v1," * 5000},
    {b"webhook-signature": b"v1,AAAA v1, v1,%%"},
]


@pytest.mark.parametrize("odd", HEADERS, ids=range(len(HEADERS)))
def test_no_header_is_a_failure_of_ours(world: World, odd: dict[Any, Any]) -> None:
    """Missing, empty, too long, of other letters: it is not proven, and no more is said."""
    good = world.standard({"data": []}, "good").request.headers
    names = "webhook-id", "webhook-timestamp", "webhook-signature"
    sent = {name.encode(): good[name].encode() for name in names} | odd
    assert (
        world.client.post("/v1/hooks/crm", content=b'{"data": []}', headers=sent).status_code == 401
    )


def test_a_header_that_is_there_twice_proves_nothing_more(world: World) -> None:
    """The first one counts, for what is signed and for what is done alike."""
    good = world.standard({"data": [member(3)]}, "good").request
    names = "webhook-id", "webhook-timestamp", "webhook-signature"
    sent = [(name, good.headers[name]) for name in names]
    twice = [("webhook-id", "other"), *sent]
    answer = world.client.post("/v1/hooks/crm", content=good.content, headers=twice)
    assert answer.status_code == 401


def test_what_is_packed_behind_what_is_packed_is_not_lost(world: World) -> None:
    """A packed body may stand in several members (RFC 1952, 2.2): together they are the body."""
    content = json.dumps(member(3)).encode()
    packed = gzip.compress(content[:20], mtime=0) + gzip.compress(content[20:], mtime=0)

    def send(body: bytes) -> int:
        digest = base64.b64encode(mac(SHARED, body)).decode()
        headers = {"X-Shopify-Hmac-Sha256": digest, "X-Shopify-Topic": "customers/update"}
        return world.post("shopify", body, headers).status_code

    assert send(packed) == 200
    assert world.record("shopify", "m3") is not None
    assert send(gzip.compress(content, mtime=0) + b"more") == 400
    bomb = gzip.compress(b" " * (1 << 19), mtime=0)
    assert send(bomb * 100) == 413
