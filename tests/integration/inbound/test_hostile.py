"""What hostile, careless and unlucky senders may try, message by message."""

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.resolution.admission import SOON
from cdp.resolution.inbound_storing import COUNTED_FOR
from cdp.storage import schema
from tests.integration.erasure.household import shred
from tests.integration.inbound.shop import IDENTITY_KEY, KEYS, Shop, basic, identify, track
from tests.unit.vault.test_event_keys import signature

pytestmark = pytest.mark.integration
MEMBER = {"phone": "13900000003", "email": "m3@example.com", "name": "刘敏伟"}
DEVICE = "5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e01"
OTHER = "5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e02"


def sensors(shop: Shop, *messages: dict[str, Any]) -> Any:
    """Send what an SDK of Sensors Analytics does, as JSON."""
    return shop.client.post("/sa", content=json.dumps(messages), headers=basic(KEYS["gods"]))


def cloudevents(shop: Shop, *events: dict[str, Any]) -> Any:
    """Send a batch of CloudEvents."""
    headers = {**basic(KEYS["cloud"]), "Content-Type": "application/cloudevents-batch+json"}
    return shop.client.post("/v1/cloudevents", content=json.dumps(events), headers=headers)


# ── nothing is lost ─────────────────────────────────────────────────────────


def test_two_events_of_sensors_that_differ_in_time_alone_are_two(shop: Shop) -> None:
    """They have no id: what names them holds their time, and another attempt changes nothing."""
    one = {"type": "track", "event": "Order Completed", "distinct_id": "d3", "_track_id": 7,
           "time": 1777885190000, "properties": {"total": 3}}  # fmt: skip
    for sent in ([one], [{**one, "time": 1777885199000}], [{**one, "_track_id": 8}]):
        for flushed in (1777885200000, 1777885300000):
            answer = sensors(shop, *({**part, "_flush_time": flushed} for part in sent))
            assert answer.status_code == 200
    assert len(shop.events()) == 3


BROKEN_DATA = [
    "é", "%", base64.b64encode(b"[" * 900 + b"]" * 900).decode(), base64.b64encode(b"{").decode(),
    base64.b64encode(b'{"a": "\\ud800"}').decode(),
    base64.b64encode(b'{"a":' * 900 + b"1" + b"}" * 900).decode(),
]  # fmt: skip


@pytest.mark.parametrize("data", BROKEN_DATA, ids=range(len(BROKEN_DATA)))
def test_data_that_cannot_be_read_is_one_message_refused(shop: Shop, data: str) -> None:
    """Of a CloudEvent in base 64: the others of its batch are stored."""
    one = {"specversion": "1.0", "id": "1", "source": "/crm", "type": "com.example.identify",
           "subject": "u3"}  # fmt: skip
    order = {**one, "id": "2", "type": "Order Completed", "data": {"total": 3}}
    answer = cloudevents(shop, {**one, "data_base64": data}, order)
    assert (answer.status_code, len(answer.json()["refused"])) == (200, 1)
    assert [found["kind"] for found in shop.events()] == ["track"]


def test_letters_that_base_64_does_not_have_are_refused(shop: Shop) -> None:
    """In a header it is no key, in a form no data: never a failure of ours."""
    header = {b"Authorization": "Basic é".encode("latin-1")}
    assert shop.client.post("/v1/track", json=track("u", "m"), headers=header).status_code == 401
    form = {**basic(KEYS["gods"]), "Content-Type": "application/x-www-form-urlencoded"}
    assert shop.client.post("/sa", content=b"data=%C3%A9", headers=form).status_code == 400


def test_a_key_that_cannot_be_read_loses_no_message(shop: Shop) -> None:
    """While the secret of a source is not there a sender is asked to come again, not sent away."""
    path = shop.workspace.declaration.folder / "web.key"
    kept = path.read_text()
    path.unlink()
    try:
        answer = shop.send(track("u3", "t1"))
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert shop.send(track("u3", "t1"), to="bag").status_code == 200
        nobody = shop.client.post("/v1/track", json=track("u3", "t1"))
        assert nobody.status_code == 401
    finally:
        path.write_text(kept)
        path.chmod(0o600)


def test_a_signature_that_cannot_be_looked_at_loses_no_message(shop: Shop) -> None:
    """While the identity key is not there a signed visitor comes again; the others are served."""
    path = shop.workspace.declaration.folder / "identity.key"
    kept = path.read_text()
    good = signature(IDENTITY_KEY, "page", "u3", shop.workspace.now(), 600)
    signed = identify("u3", "m1") | {"context": {"signature": good}}
    path.unlink()
    try:
        answer = shop.send(signed, to="page")
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert shop.events() == []
        unsigned = shop.send(identify("u3", "m2"), to="page")
        assert unsigned.json()["left_out"] == {"identity_not_trusted": 1}
        assert shop.client.post("/v1/track", headers=basic("nobody's")).status_code == 401
    finally:
        path.write_text(kept)
        path.chmod(0o600)
    later = shop.workspace.now() + 2 * SOON
    object.__setattr__(shop.workspace, "now", lambda: later)
    assert shop.send(signed, to="page").status_code == 200
    assert shop.record("page", "u3") is not None


def test_nothing_comes_in_of_a_source_that_is_removed(shop: Shop) -> None:
    """Neither an event nor a count: afterwards nothing bears its name."""
    removed = {"source": "web", "actor": "a", "reason": "r", "started_at": shop.workspace.now()}
    with shop.workspace.engine.begin() as connection:
        connection.execute(sa.insert(schema.source_removal).values(**removed))
    for sent in (track("u3", "t1"), track("u3", "t2", event="Searched"), identify("u3", "m1")):
        assert shop.send(sent).status_code == 401
    assert (shop.events(), shop.left_out(), shop.record("web", "u3")) == ([], {}, None)
    assert shop.send(track("u3", "t1"), to="bag").status_code == 200


def test_what_a_batch_says_for_all_is_not_written_out_without_end(shop: Shop) -> None:
    """Half a megabyte for each of two thousand: refused at once, with the key of a browser."""
    for shared in ({"context": {"a": ["y"] * 100_000}}, {"sentAt": ["y"] * 100_000}):
        body = {"batch": [track(None, "t", anonymousId="d")] * 900, **shared}
        content = json.dumps(body, separators=(",", ":"))
        began = time.perf_counter()
        answer = shop.client.post("/v1/batch", content=content, headers=basic(KEYS["page"]))
        assert answer.status_code in {200, 413}
        assert time.perf_counter() - began < 5  # it took half a minute
    context = {"context": {"a": "y" * 2000}}
    body = {"batch": [track(None, f"t{n}", anonymousId="d") for n in range(100)], **context}
    assert shop.client.post("/v1/batch", json=body, headers=basic(KEYS["page"])).status_code == 200


# ── counted once ────────────────────────────────────────────────────────────


def test_what_is_left_out_of_a_body_is_counted_once(shop: Shop) -> None:
    """Invariant 6 of happenings: at another time of sending, at once by many; another one anew."""
    body = [
        track("u3", "t1", properties={"total": "x"}), track("u3", "t2", event="Searched"),
        {"type": "delete", "userId": "u3"}, identify("u3", "m1", **MEMBER),
    ]  # fmt: skip

    def send(number: int, *messages: dict[str, Any]) -> int:
        sent = {"batch": messages or body, "sentAt": f"2026-05-04T08:00:0{number}Z"}
        answer = shop.client.post("/v1/batch", json=sent, headers=basic(KEYS["web"]))
        return answer.status_code

    once = {"not_decimal": 1, "event_not_declared": 1, "type_unknown": 1}
    assert send(0) == 200
    assert shop.left_out() == once
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(1, 9))) <= {200, 429}
    assert shop.left_out() == once
    assert send(0, track("u3", "t3", event="Searched")) == 200
    assert send(1, {"type": "delete", "userId": "u4"}) == 200
    assert shop.left_out() == {**once, "event_not_declared": 2, "type_unknown": 2}
    later = shop.workspace.now() + 2 * COUNTED_FOR
    object.__setattr__(shop.workspace, "now", lambda: later)
    assert send(2) == 200
    assert shop.left_out()["type_unknown"] == 3


# ── whose it is ─────────────────────────────────────────────────────────────


def test_a_device_changes_hands_within_a_body(shop: Shop) -> None:
    """What the very body says of a device counts for its other messages, whoever had it before."""
    shop.send(identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICE})
    shop.send(
        identify("u4", "m2", phone="13900000004") | {"anonymousId": DEVICE},
        track(None, "t1", anonymousId=DEVICE),
    )
    (event,) = [one for one in shop.events() if one["kind"] == "track"]
    assert event["record_id"] == shop.record("web", "u4").id


def test_a_device_with_a_record_of_its_own_is_its_users_too(shop: Shop) -> None:
    """Who was known by a device alone and then says who they are."""
    shop.send(identify(None, "m1", phone="13900000003") | {"anonymousId": DEVICE})
    shop.send({"type": "alias", "previousId": DEVICE, "userId": "u3", "messageId": "a1"})
    shop.send(track(None, "t1", anonymousId=DEVICE))
    (event,) = [one for one in shop.events() if one["kind"] == "track"]
    assert event["record_id"] == shop.record("web", "u3").id


def test_devices_of_the_destroyed_bring_nothing_back(shop: Shop) -> None:
    """Neither what was sent before and comes again, nor what their device sends from then on."""
    told = identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICE}
    early = track(None, "t0", anonymousId=DEVICE)
    shop.send(early, told)
    shred(shop.workspace, "web:u3")
    answer = shop.send(
        early,
        track(None, "t1", anonymousId=DEVICE),
        identify(None, "m2", **MEMBER) | {"anonymousId": DEVICE},
    )
    assert answer.json()["left_out"] == {"shredded": 3}
    assert (shop.events(), shop.record("web", f"anonymous_id={DEVICE}")) == ([], None)
    shop.send(identify("u5", "m5") | {"anonymousId": DEVICE})  # somebody else has it now
    shop.send(track(None, "t2", anonymousId=DEVICE))
    assert {one["record_id"] for one in shop.events()} == {shop.record("web", "u5").id}


def test_whoever_signs_in_on_a_device_is_not_who_had_it_before(shop: Shop) -> None:
    """A signed id and somebody's device: what they have in common joins nobody."""
    shop.send(identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICE})
    good = signature(IDENTITY_KEY, "page", "u9", shop.workspace.now(), 600)
    context = {"context": {"signature": good}}
    shop.send(
        identify("u9", "m2", **MEMBER) | {"anonymousId": DEVICE, **context},
        {"type": "alias", "userId": "u9", "previousId": DEVICE, "messageId": "a", **context},
        to="page",
    )
    assert shop.person("page", "u9") not in {None, shop.person("web", "u3")}


ASSERTIONS = [
    {"type": "track_signup", "event": "$SignUp", "distinct_id": "u3", "original_id": DEVICE},
    {"type": "profile_set", "distinct_id": "u3", "properties": {"phone": "13900000009"}},
    {"type": "profile_set_once", "distinct_id": "u3", "properties": {"phone": "13900000009"}},
    {"type": "profile_unset", "distinct_id": "u3", "properties": {"phone": ""}},
    {"type": "track_id_bind", "identities": {"$identity_login_id": "u3"}, "distinct_id": "u3"},
    {"type": "track", "event": "Order Completed", "login_id": "u3", "anonymous_id": DEVICE,
     "properties": {"$is_login_id": True, "phone": "13900000009"}},
]  # fmt: skip


def test_a_public_key_of_any_flavour_says_nothing_of_anybody(shop: Shop) -> None:
    """As in `test_inbound.py` for Segment's: no record, no join, whatever the message is called."""
    inbound = shop.app.state.services.inbound
    for name in ("gods", "cloud", "bag"):
        spec = inbound._declared[name].inbound
        object.__setattr__(spec, "trust", "events")
    try:
        sensors(shop, *ASSERTIONS)
        cloudevents(
            shop,
            *(
                {"specversion": "1.0", "id": str(n), "source": "/x", "type": kind, "subject": "u3",
                 "anonymousid": DEVICE, "data": {"phone": "13900000009", "groupId": "g"}}
                for n, kind in enumerate(("a.identify", "a.alias", "a.group", "Order Completed"))
            ),
        )  # fmt: skip
        traits = {"context": {"traits": {"phone": "13900000009"}}, "anonymousId": DEVICE}
        shop.send(identify("u3", "r1") | traits, track("u3", "r2", **traits), to="bag")
    finally:
        for name in ("gods", "cloud", "bag"):
            object.__setattr__(inbound._declared[name].inbound, "trust", "identities")
    with shop.workspace.engine.connect() as connection:
        sources = set(connection.scalars(sa.select(schema.record.c.source)))
        assert list(connection.scalars(sa.select(schema.event_device.c.subject))) == []
    assert sources == {"till"}
    assert {one["kind"] for one in shop.events()} == {"track"}
    assert {one["record_id"] for one in shop.events()} == {None}


def test_a_key_in_an_address_is_for_sensors_alone(shop: Shop) -> None:
    """Others have headers and bodies: an address stands in logs of proxies."""
    for path in ("/v1/track", "/v1/cloudevents"):
        body = {**track("u", "m"), "specversion": "1.0"}
        for key in (KEYS["web"], KEYS["cloud"]):
            assert shop.client.post(f"{path}?token={key}", json=body).status_code == 401


# ── consent ─────────────────────────────────────────────────────────────────


def said(**categories: bool | None) -> dict[str, Any]:
    """The part of a message that tells of consent."""
    return {"context": {"consent": {"categoryPreferences": categories}}}


def purposes(shop: Shop, source: str, record_id: str) -> tuple[set[str], set[str]]:
    """What a record's people agreed to, and what they refused."""
    row = shop.record(source, record_id)
    return set(row.purposes), set(row.refused)


def held_for(shop: Shop, user: str) -> set[str]:
    """The purposes for which the person of a user may be published."""
    table = schema.profile.c
    asked = sa.select(table.purposes).where(table.id == shop.person("web", user))
    with shop.workspace.engine.connect() as connection:
        return set(connection.scalar(asked))


def test_consent_is_withdrawn_by_the_event_that_says_so(shop: Shop) -> None:
    """Segment's "Segment Consent Preference Updated": a track; late ones undo nothing newer."""
    inbound = shop.app.state.services.inbound
    object.__setattr__(inbound._declared["web"].inbound, "categories", {"Ads": ("marketing",)})
    try:
        shop.send(identify("u3", "m1", **MEMBER) | said(Ads=True) | {"timestamp": "2026-01-01"})
        assert purposes(shop, "web", "u3") == ({"service", "marketing"}, set())
        assert "marketing" in held_for(shop, "u3")
        updated = track("u3", "c1", event="Segment Consent Preference Updated")
        shop.send(updated | said(Ads=False) | {"timestamp": "2026-01-03"})
        assert purposes(shop, "web", "u3") == ({"service"}, {"marketing"})
        assert "marketing" not in held_for(shop, "u3")  # although the till has their consent
        late = {**updated, "messageId": "c0"} | said(Ads=True) | {"timestamp": "2026-01-02"}
        shop.send(late)
        assert purposes(shop, "web", "u3") == ({"service"}, {"marketing"})
        shop.send(track("u3", "t1", **said(Ads=True)))  # an event has its own, and no more
        assert purposes(shop, "web", "u3") == ({"service"}, {"marketing"})
    finally:
        object.__setattr__(inbound._declared["web"].inbound, "categories", {})


def test_a_signed_visitor_withdraws_their_own_consent(shop: Shop) -> None:
    """Traits of a page are anybody's words; what it says of consent is the visitor's own."""
    good = signature(IDENTITY_KEY, "page", "u3", shop.workspace.now(), 600)

    def context(**categories: bool) -> dict[str, Any]:
        return {"context": {"signature": good, **said(**categories)["context"]}}

    shop.send(identify("u3", "m1", **MEMBER) | context(Advertising=True), to="page")
    assert purposes(shop, "page", "u3") == ({"service", "marketing"}, set())
    updated = track("u3", "c1", event="Segment Consent Preference Updated")
    shop.send(updated | context(Advertising=False), to="page")
    assert purposes(shop, "page", "u3") == ({"service"}, {"marketing"})
    unsigned = {**updated, "messageId": "c2"} | said(Advertising=True)
    shop.send(unsigned, to="page")
    assert purposes(shop, "page", "u3") == ({"service"}, {"marketing"})


# ── all at once ─────────────────────────────────────────────────────────────


def test_the_same_identities_by_many_senders_at_once(shop: Shop) -> None:
    """Eight send the same identify, alias and track; one effect, and nobody waits for ever."""
    body = [
        identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICE},
        {"type": "alias", "userId": "u3", "previousId": OTHER, "messageId": "a1"},
        track(None, "t1", anonymousId=OTHER),
    ]
    with ThreadPoolExecutor(8) as pool:
        statuses = list(pool.map(lambda _: shop.send(*body).status_code, range(16)))
    assert set(statuses) <= {200, 429}
    assert 200 in statuses
    assert sorted(one["kind"] for one in shop.events()) == ["alias", "identify", "track"]
    assert {one["record_id"] for one in shop.events()} == {shop.record("web", "u3").id}
