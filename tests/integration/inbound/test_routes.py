"""The addresses of SDKs: what is answered, and what is refused. See `api/write_keys.py`."""

import base64
import gzip
import json
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from api import edge, patience
from api.routes.inbound import CALLS
from connectors.events.body import BATCH_LIMIT
from tests.integration.inbound.shop import KEYS, ORIGIN, Shop, basic, identify, track
from tests.integration.served import answered, served

pytestmark = pytest.mark.integration
CANARY = "13912346789"


def test_each_address_takes_its_call(shop: Shop) -> None:
    """A batch, or one call whose address says what it is."""
    for call, kind in CALLS.items():
        one = {**track("u3", call), "anonymousId": "d", "previousId": "p", "groupId": "g"}
        body = one if kind else {"batch": [one]}
        answer = shop.client.post(f"/v1/{call}", json=body, headers=basic(KEYS["web"]))
        assert (answer.status_code, answer.json()["success"]) == (200, True)
    wanted = [kind.value if kind else "track" for kind in CALLS.values() if kind != "screen"]
    assert sorted(one["kind"] for one in shop.events()) == sorted(wanted)


def test_packed_json_is_taken_whatever_it_is_labelled(shop: Shop) -> None:
    """RudderStack's SDK for Node sends gzip of JSON as a form."""
    for kind in ("application/json", "text/plain", "application/x-www-form-urlencoded"):
        for pack in (True, False):
            one = track("u3", f"{kind}{pack}")
            assert shop.send(one, pack=pack, to="bag", Content_Type=kind).status_code == 200
    assert len(shop.events()) == 6


def test_a_key_comes_as_user_name_as_bearer_or_in_the_body(shop: Shop) -> None:
    """Invariant 1."""
    key = KEYS["web"]
    body = {**track("u3", "m1"), "writeKey": key}
    assert shop.client.post("/v1/track", json=body).status_code == 200
    bearer = {"Authorization": f"Bearer {key}"}
    assert shop.client.post("/v1/track", json=track("u3", "m2"), headers=bearer).status_code == 200


BAD_KEYS = [
    {}, basic("wrong"), basic(""), basic(KEYS["gods"]), {"Authorization": "Basic %%%"},
    {"Authorization": "Basic"}, {"Authorization": "Bearer "}, basic("x" * 300),
    {"Authorization": f"Digest {KEYS['web']}"},
    {"Authorization": "Basic " + base64.b64encode(b"\xff").decode()},
]  # fmt: skip
BAD_BODIES = [
    (b"{", 400, "not_json"), (b"", 400, "not_json"), (b"\xff", 400, "not_json"),
    (gzip.compress(b"{}", mtime=0)[:-4], 400, "not_gzip"), (b"[" * 50_000, 400, "too_deep"),
    (b'{"batch": 1}', 400, "no_batch"), (b'{"batch": {}}', 400, "no_batch"),
    (b"[]", 400, "not_an_object"),
    (json.dumps({"batch": [{}] * 2501}).encode(), 413, "too_many_messages"),
    (b" " * (BATCH_LIMIT + 1), 413, "body_too_large"),
    (gzip.compress(b" " * (64 << 20), mtime=0), 413, "body_too_large"),
]  # fmt: skip


def test_whatever_is_wrong_with_a_key_is_never_said(shop: Shop) -> None:
    """Invariant 1: one answer, and nothing is stored."""
    for headers in BAD_KEYS:
        answer = shop.client.post("/v1/track", json=track(CANARY, "m1"), headers=headers)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthorised")
        assert CANARY not in answer.text
    assert shop.events() == []


def test_a_body_that_cannot_be_used_is_refused(shop: Shop) -> None:
    """400 for what is no JSON, 413 for what is too large, which clients do not send again."""
    for body, status, code in BAD_BODIES:
        answer = shop.client.post("/v1/batch", content=body, headers=basic(KEYS["web"]))
        assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_pages_of_declared_origins_may_send(shop: Shop) -> None:
    """Invariant 2: asked first or not; no page of another origin, nor one with a server's key."""
    asked = {"Origin": ORIGIN, "Access-Control-Request-Method": "POST"}
    first = shop.client.options("/v1/t", headers=asked)
    assert first.status_code == 204
    assert first.headers["access-control-allow-origin"] == ORIGIN
    sent = shop.send(track(None, "m1", anonymousId="d"), to="page", Origin=ORIGIN)
    assert sent.headers["access-control-allow-origin"] == ORIGIN
    for to, origin in (
        ("page", "https://elsewhere.example.com"),
        ("web", ORIGIN),
        ("page", "null"),
    ):
        refused = shop.send(track(None, "m2", anonymousId="d"), to=to, Origin=origin)
        assert (refused.status_code, len(shop.events())) == (403, 1)
        assert "access-control-allow-origin" not in refused.headers
    wrong = shop.client.post(
        "/v1/batch", content=b"{", headers={**basic(KEYS["page"]), "Origin": ORIGIN}
    )
    assert (wrong.status_code, wrong.headers["access-control-allow-origin"]) == (400, ORIGIN)
    elsewhere = {"Origin": "https://elsewhere.example.com"}
    assert shop.client.options("/v1/t", headers=elsewhere).status_code == 403
    assert shop.client.options("/v1/t").status_code == 403


def test_sensors_analytics(shop: Shop) -> None:
    """Its form, with the key in the address or as user name."""
    messages = [
        {"type": "profile_set", "distinct_id": "u3", "time": 1777885190000,
         "properties": {"phone": "13900000003", "name": "刘敏伟", "email": "m3@example.com"}},
        {"type": "track", "event": "Order Completed", "distinct_id": "u3", "time": 1777885190000,
         "properties": {"$is_login_id": True, "total": 3}},
    ]  # fmt: skip
    packed = base64.b64encode(gzip.compress(json.dumps(messages).encode(), mtime=0)).decode()
    body = urlencode({"data_list": packed, "gzip": 1})
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    for address, headers in (
        (f"/sa?token={KEYS['gods']}", form),
        ("/sa", form | basic(KEYS["gods"])),
    ):
        answer = shop.client.post(address, content=body, headers=headers)
        assert answer.status_code == 200, answer.text
    assert shop.person("gods", "u3") == shop.person("till", "C000003")
    assert sorted(one["kind"] for one in shop.events()) == ["identify", "track"]
    assert shop.client.post("/sa", content=body, headers=form).status_code == 401
    assert shop.client.post("/sa", content=b"x=1", headers=basic(KEYS["gods"])).status_code == 400


def test_cloudevents(shop: Shop) -> None:
    """Structured, batched and binary, each once."""
    one = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "com.example.user.identify",
           "subject": "u3", "data": {"phone": "13900000003", "name": "刘敏伟",
                                     "email": "m3@example.com"}}  # fmt: skip
    order = {**one, "id": "2", "type": "Order Completed", "data": {"total": 3}}
    key = basic(KEYS["cloud"])

    def post(kind: str, body: object, **more: str) -> int:
        headers = {**key, "Content-Type": kind, **more}
        sent = shop.client.post("/v1/cloudevents", content=json.dumps(body), headers=headers)
        return sent.status_code

    assert post("application/cloudevents+json", one) == 200
    assert post("application/cloudevents-batch+json", [one, order]) == 200
    binary = {f"ce-{name}": value for name, value in order.items() if isinstance(value, str)}
    assert post("application/json", order["data"], **binary) == 200
    assert shop.person("cloud", "u3") == shop.person("till", "C000003")
    assert sorted(found["kind"] for found in shop.events()) == ["identify", "track"]
    assert post("application/json", one) == 400


def test_rows_are_not_sent_to_an_inbound_source(shop: Shop) -> None:
    """An SDK's source takes messages, and a file's takes none."""
    assert shop.client.post("/v1/sources/web/records", json={}).status_code == 401
    sending = shop.app.state.services.sending
    assert (sending._takes_rows("web"), sending._takes_rows("till")) == (False, True)


def test_no_log_holds_what_was_sent(shop: Shop, capsys: pytest.CaptureFixture[str]) -> None:
    """Neither a key nor a value, in the line of a request or beside it."""
    shop.send(identify(CANARY, "m1", phone=CANARY), {"type": CANARY})
    shop.client.post(f"/sa?token={KEYS['gods']}", content=b"data=" + CANARY.encode())
    shop.client.post("/v1/batch", content=CANARY, headers=basic(CANARY))
    written = "".join(capsys.readouterr())
    assert "/v1/batch" in written
    assert not [one for one in (CANARY, *KEYS.values()) if one in written]


# ── slow ────────────────────────────────────────────────────────────────────


@pytest.fixture
def hurried(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server with little patience."""
    monkeypatch.setattr(edge, "BODY_SECONDS", 0.5)
    monkeypatch.setattr(patience, "HEADER_SECONDS", 0.5)
    with served(shop.workspace) as url:
        yield url


def test_a_slow_client_is_hung_up_on(hurried: str) -> None:
    """Its headers or its body do not come in time; between, others are served."""
    assert answered(hurried) == b""
    assert answered(hurried, b"POST /v1/batch HTTP/1.1\r\nHo", b"st: x\r\nX: y\r\n") == b""
    head = b"POST /v1/batch HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n"
    assert answered(hurried, head, b"{", b'"').startswith(b"HTTP/1.1 408 ")
    once = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    found = answered(hurried, once, b"GET /v1/he")
    assert found.count(b"HTTP/1.1 ") == 1
