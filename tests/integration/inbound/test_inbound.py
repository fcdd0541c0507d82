"""What SDKs send, stored and resolved: invariants of `inbound.py` and `happenings.py`."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.resolution import admission as admission_module
from cdp.resolution import inbound as inbound_module
from cdp.storage import schema
from tests.integration.erasure.household import shred
from tests.integration.inbound.shop import IDENTITY_KEY, Shop, identify, track
from tests.unit.vault.test_event_keys import signature

pytestmark = pytest.mark.integration
MEMBER = {
    "phone": "13900000003",
    "email": "m3@example.com",
    "name": "刘敏伟",
}  # C000003 of the till
DEVICES = ("5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e01", "5e57c1a0-7d1e-4b0a-9a3c-0b6f2f1d9e02")
CANARIES = ("13912346789", "canary.bird@example.com", "欧阳金丝")
CANARY = dict(zip(("phone", "email", "name"), CANARIES, strict=True))


def read_shown(shop: Shop, source: str, record_id: str) -> Any:
    """What decides what is shown of a record: cells, attributes and consent, not its revision."""
    row = shop.record(source, record_id)
    table = schema.contact
    with shop.workspace.engine.connect() as connection:
        fields = connection.scalar(sa.select(table.c.fields).where(table.c.record_id == row.id))
    return sorted(fields), row.attributes, row.purposes, row.refused


def rejected(shop: Shop) -> int:
    """How many rows and values are set aside."""
    with shop.workspace.engine.connect() as connection:
        return connection.scalar(sa.select(sa.func.count()).select_from(schema.reject)) or 0


# ── identities ──────────────────────────────────────────────────────────────


def test_an_identify_finds_the_person_of_the_till(shop: Shop) -> None:
    """Invariant 4: resolved in the transaction that stores it."""
    answer = shop.send(identify("u3", "m1", **MEMBER))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    assert shop.person("web", "u3") == shop.person("till", "C000003") is not None


def test_what_an_identify_leaves_out_stays(shop: Shop) -> None:
    """Told in parts, the record is the same as told at once; null takes away."""
    shop.send(identify("u3", "m1", phone=MEMBER["phone"], id_number="11010519491231002X"))
    shop.send(identify("u3", "m2", email=MEMBER["email"], orders=2))
    shop.send(identify("u3", "m3", name=MEMBER["name"]))
    shop.send(identify("u4", "m4", **MEMBER, id_number="11010519491231002X", orders=2))
    assert read_shown(shop, "web", "u3") == read_shown(shop, "web", "u4")
    assert shop.person("web", "u3") == shop.person("till", "C000003")
    shop.send(identify("u3", "m5", email=None, id_number=None))
    fields = read_shown(shop, "web", "u3")[0]
    assert ("email" in fields, "phone" in fields) == (False, True)
    with shop.workspace.engine.connect() as connection:
        numbers = sa.select(schema.sensitive.c.record_id)
        assert list(connection.scalars(numbers)).count(shop.record("web", "u3").id) == 1
        cells = schema.sensitive.c.fields
        (held,) = connection.scalars(
            sa.select(cells).where(schema.sensitive.c.record_id == shop.record("web", "u3").id)
        )
    assert held == ["raw_told_sensitive"]


def test_many_senders_at_once_end_as_one_would(shop: Shop) -> None:
    """Invariant 5 of happenings: eight threads tell parts of five people, new ones too."""
    parts = [
        identify(f"u{n}", f"m{n}-{name}", **{name: value.replace("00003", f"0000{n}")})
        for name, value in MEMBER.items()
        for n in range(1, 6)
    ]

    def send(part: dict[str, Any]) -> int:
        for _ in range(40):
            status = shop.send(part).status_code
            if status != 429:
                return status
        return 429

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, parts)) == {200}
    for n in range(1, 6):
        assert {"phone", "email", "name"} <= set(read_shown(shop, "web", f"u{n}")[0])


def test_a_message_has_an_effect_once(shop: Shop) -> None:
    """Invariant 3, and invariant 1 of happenings: sent again, also later, nothing changes."""
    sent = [identify("u3", "m1", phone="13900000003"), track("u3", "t1"), track("u3", "t1")]
    shop.send(*sent)
    shop.send(identify("u3", "m2", phone="13900000004"))
    before, events = shop.record("web", "u3"), shop.events()
    assert shop.send(*sent).json() == {"success": True}
    assert (shop.record("web", "u3"), shop.events()) == (before, events)
    assert sorted(one["kind"] for one in events) == ["identify", "identify", "track"]


def test_a_message_without_a_name_is_named_by_its_content(shop: Shop) -> None:
    """And the time of sending is none of it: another attempt has another."""
    sent = {"type": "track", "event": "Order Completed", "userId": "u", "properties": {"total": 1},
            "timestamp": "2026-05-04T08:00:00Z"}  # fmt: skip
    shop.send({**sent, "sentAt": "2026-05-04T08:00:01Z"})
    shop.send({**sent, "sentAt": "2026-05-04T08:00:09Z"})
    assert len(shop.events()) == 1


def test_the_same_message_by_many_senders_at_once(shop: Shop) -> None:
    """Invariant 1 of happenings: eight at once leave one."""
    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(lambda _: shop.send(track("u9", "t")).status_code, range(16)))
    assert statuses <= {200, 429}
    assert len(shop.events()) == 1


def test_a_device_is_joined_to_its_user(shop: Shop) -> None:
    """Invariant 3 of happenings: alias and identify say whose a device is, before and after."""
    anonymous = {"userId": None, "anonymousId": DEVICES[0]}
    shop.send(track(None, "t1", anonymousId=DEVICES[0]), track(None, "t2", anonymousId=DEVICES[1]))
    assert {one["record_id"] for one in shop.events()} == {None}
    shop.send({"type": "alias", "previousId": DEVICES[0], "userId": "u3", "messageId": "a1"})
    shop.send(identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICES[1]})
    shop.send(track(None, "t3") | anonymous)
    record = shop.record("web", "u3").id
    assert {one["record_id"] for one in shop.events()} == {record}
    assert "anonymous_id" in read_shown(shop, "web", "u3")[0]


def test_events_before_their_record_are_its_own_later(shop: Shop) -> None:
    """A track of a user nobody has told of yet."""
    shop.send(track("u3", "t1"))
    assert shop.events()[0]["record_id"] is None
    shop.send(identify("u3", "m1", **MEMBER))
    assert {one["record_id"] for one in shop.events()} == {shop.record("web", "u3").id}


def test_a_visitor_without_an_account_is_a_record_of_the_device(shop: Shop) -> None:
    """Told by a trusted key, resolved as anybody."""
    shop.send(identify(None, "m1", **MEMBER) | {"anonymousId": DEVICES[0]})
    assert shop.person("web", f"anonymous_id={DEVICES[0]}") == shop.person("till", "C000003")
    assert shop.record("web", DEVICES[0]) is None


def test_a_group_is_told_by_its_id(shop: Shop) -> None:
    """Of its traits nothing is stored."""
    shop.send({"type": "group", "userId": "u3", "groupId": "g", "traits": {"phone": "139"}})
    assert "phone" not in read_shown(shop, "web", "u3")[0]


# ── events ──────────────────────────────────────────────────────────────────


def test_only_declared_parts_of_declared_events_are_kept(shop: Shop) -> None:
    """Invariant 5: what is left out is counted by rule, and nothing of it is stored."""
    answer = shop.send(
        track("u3", "t1", properties={"total": "9.90", "phone": CANARIES[0]}),
        track("u3", "t2", event="Searched", properties={"query": CANARIES[2]}),
        track("u3", "t3", properties={"total": CANARIES[1]}),
        {"type": "page", "userId": "u3", "name": CANARIES[2], "messageId": "t4"},
        {"type": "screen", "userId": "u3", "name": CANARIES[2], "messageId": "t5"},
    )
    rules = {"property_not_declared": 1, "event_not_declared": 2, "not_decimal": 1}
    assert answer.json() == {"success": True, "left_out": dict(sorted(rules.items()))}
    assert shop.left_out() == rules
    assert [(one["name"], one["properties"]) for one in shop.events()] == [
        ("Viewed", {}), ("Order Completed", {"total": "9.9"}), ("Order Completed", {}),
    ]  # fmt: skip
    assert not [canary for canary in CANARIES if canary in repr(shop.events())]


def test_a_refused_message_is_named_to_its_sender(shop: Shop) -> None:
    """Invariant 5: by place and rule; the others of its batch are stored, nothing of it is."""
    before = rejected(shop)
    answer = shop.send(
        {"type": "delete", "userId": CANARIES[0]}, track("u3", "t1"), {"type": "track"}
    )
    refused = answer.json()["refused"]
    assert [(one["position"], one["rule"]) for one in refused] == [
        (1, "type_unknown"), (3, "id_missing"),
    ]  # fmt: skip
    assert (len(shop.events()), CANARIES[0] in answer.text) == (1, False)
    assert rejected(shop) == before


def test_an_event_carries_what_its_own_consent_grants(shop: Shop) -> None:
    """And is not kept where that is nothing."""
    marketing = {"context": {"consent": {"categoryPreferences": {"Advertising": True}}}}
    refused = {"context": {"consent": {"categoryPreferences": {"Advertising": False}}}}
    shop.send(
        track(None, "t1", anonymousId="d", **marketing),
        track(None, "t2", anonymousId="d", **refused),
        track(None, "t3", anonymousId="d"),
        to="page",
    )
    found = {tuple(one["purposes"]) for one in shop.events()}
    assert found == {("marketing", "service"), ("service",)}


# ── trust ───────────────────────────────────────────────────────────────────


def test_a_browser_adds_events_and_never_says_who_somebody_is(shop: Shop) -> None:
    """With a key that anybody may hold: no record, no join, no event of a named user."""
    shop.send(identify("u3", "m0", **MEMBER))
    before = shop.record("web", "u3")
    answer = shop.send(
        identify("u3", "m1", phone="13900000009"),
        {"type": "alias", "userId": "u3", "previousId": DEVICES[0], "messageId": "m2"},
        {"type": "group", "userId": "u3", "groupId": "g", "messageId": "m3"},
        identify(None, "m4", phone="13900000009") | {"anonymousId": DEVICES[0]},
        track("u3", "t1", anonymousId=DEVICES[0]),
        track("u3", "t2"),
        to="page",
    )
    assert answer.json()["left_out"] == {"identity_not_trusted": 5, "nobody_named": 1}
    assert (shop.record("web", "u3"), shop.record("page", "u3")) == (before, None)
    (kept,) = [one for one in shop.events() if one["source"] == "page"]
    assert (kept["record_id"], kept["kind"]) == (None, "track")


def test_a_signed_id_counts_and_its_traits_do_not(shop: Shop) -> None:
    """The back end vouches for who is signed in, not for what the page says of them."""
    now = shop.workspace.now()
    good = signature(IDENTITY_KEY, "page", "u3", now, 600)
    for text, there in ((good[:-1] + ("0" if good[-1] != "0" else "1"), False), (good, True)):
        sent = identify("u3", f"m{there}", phone=CANARIES[0]) | {
            "context": {"signature": text}, "anonymousId": DEVICES[0],
        }  # fmt: skip
        shop.send(sent, to="page")
        assert (shop.record("page", "u3") is not None) is there
    assert read_shown(shop, "page", "u3")[0] == ["anonymous_id", "raw_told", "record_id"]
    shop.send(track("u3", "t1", context={"signature": good}), to="page")
    assert {one["record_id"] for one in shop.events()} == {shop.record("page", "u3").id}


def test_who_takes_another_key_finds_another_source(shop: Shop) -> None:
    """A message of one source is never one of another, nor is a user."""
    shop.send(track("u3", "t1"), to="web")
    shop.send(track("u3", "t1"), to="bag")
    assert len({(one["message"], one["subject"]) for one in shop.events()}) == 2


# ── gone ────────────────────────────────────────────────────────────────────


def test_with_a_record_its_events_and_devices_go(shop: Shop) -> None:
    """Invariant 4 of happenings, and invariant 2: nothing of it comes in again."""
    shop.send(track("u3", "t0"), track(None, "t1", anonymousId=DEVICES[0]))
    shop.send(identify("u3", "m1", **MEMBER) | {"anonymousId": DEVICES[0]}, track("u3", "t2"))
    shop.send(track("u4", "t3"))
    shred(shop.workspace, "web:u3")
    (left,) = shop.events()
    assert left["subject"] == shop.records.record_key("web", "u4")
    with shop.workspace.engine.connect() as connection:
        assert list(connection.scalars(sa.select(schema.event_device.c.record_id))) == [None]
    answer = shop.send(identify("u3", "m9", **MEMBER), track("u3", "t9"))
    assert answer.json()["left_out"] == {"shredded": 2}
    assert (shop.record("web", "u3"), len(shop.events())) == (None, 1)


def test_no_canary_is_left_in_clear(shop: Shop) -> None:
    """Every table of a person who came by an SDK: no value, no id of theirs, as sent."""
    shop.send(
        identify("user-canary-77", "m1", **CANARY) | {"anonymousId": "device-canary-77"},
        track("user-canary-77", "message-canary-77", context={"ip": CANARIES[0]}),
        {"type": "delete", "userId": "user-canary-77"},
    )
    wanted = (*CANARIES, "canary-77", CANARIES[0][3:])
    with shop.workspace.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            text = f"SELECT coalesce(string_agg(x::text, ''), '') FROM {table.fullname} x"
            found = connection.scalar(sa.text(text))
            assert not [one for one in wanted if one in found], table.fullname
            assert not [one for one in wanted if one.encode().hex() in found], table.fullname


# ── how much ────────────────────────────────────────────────────────────────


def test_too_much_is_asked_to_wait(shop: Shop) -> None:
    """Invariant 6: 429 with Retry-After, and nothing was stored; later it is taken."""
    clock = [shop.workspace.now()]
    object.__setattr__(shop.workspace, "now", lambda: clock[0])
    many = [track(None, f"t{n}", anonymousId="d") for n in range(1500)]
    assert shop.send(*many, to="page").status_code == 200
    refused = shop.send(track(None, "t", anonymousId="d"), to="page")
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert len(shop.events()) == 1500
    clock[0] += admission_module.REFRESH
    assert shop.send(track(None, "t", anonymousId="d"), to="page").status_code == 200


def test_too_many_at_once_are_asked_to_wait(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 6: who gets no turn is told so, and has lost nothing."""
    monkeypatch.setattr(admission_module, "PATIENCE", 0.01)
    admission = shop.app.state.services.inbound.admission
    turns = [admission.turn() for _ in range(admission_module.AT_ONCE)]
    assert [one.__enter__() for one in turns] == [None] * admission_module.AT_ONCE
    refused = shop.send(track("u", "t"))
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    for one in turns:
        one.__exit__(None, None, None)
    with admission.turn() as wait:
        assert wait is None
    assert shop.send(track("u", "t")).status_code == 200


def test_acknowledged_is_committed(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Invariant 2: where the last transaction of a body fails the answer is an error."""
    monkeypatch.setattr("cdp.resolution.inbound_storing.MOST_ASSERTING", 2)
    parts = [identify(f"u{n}", f"m{n}", **MEMBER) for n in range(5)]
    committed = inbound_module.Storing._resolved
    calls = []

    def fail_third(self: Any, part: Any) -> Any:
        calls.append(part)
        if len(calls) == 3:
            raise sa.exc.OperationalError("", None, Exception())
        return committed(self, part)

    monkeypatch.setattr(inbound_module.Storing, "_resolved", fail_third)
    assert shop.send(*parts).status_code == 503
    assert shop.send(*parts).status_code == 200
    assert len(shop.events()) == 5
