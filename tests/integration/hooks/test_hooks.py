"""Webhooks of a real sender to a real server. See ``cdp/resolution/hooks.py``."""

import base64
import gzip
import json
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest import happenings
from cdp.ingest.feed_sync import FROZEN
from cdp.ingest.rejects import list_rejects
from cdp.running.standing import standings
from cdp.storage import schema
from tests.integration.hooks.world import SECRETS, World, mac, member, write_secret

pytestmark = pytest.mark.integration
CANARY = "canary-13912346789"


def update(*rows: Any, kind: str = "member.updated") -> dict[str, Any]:
    return {"type": kind, "data": list(rows)}


def left_out(world: World) -> dict[str, int]:
    with world.workspace.engine.connect() as connection:
        return {rule: count for _, _, rule, count in happenings.tallied(connection)}


def test_a_message_is_stored_and_resolved_before_it_is_answered(world: World) -> None:
    """Invariants 2 and 4: its people are the till's, in the transaction that stored them."""
    answer = world.standard(update(member(3), member(4)))
    assert (answer.status_code, answer.json()) == (200, {"success": True})
    for number in (3, 4):
        person = world.person("crm", f"m{number}")
        assert person is not None
        assert person == world.person("till", f"C{number:06}")


def test_senders_of_each_scheme_are_taken_in(world: World) -> None:
    """Standard Webhooks, Shopify's HMAC of the body, GitHub's with a time that is signed."""
    assert world.standard(update(member(3))).status_code == 200
    assert world.shopify(member(3)).status_code == 200
    assert world.forge(member(3)).status_code == 200
    people = {world.person(source, "m3") for source in ("crm", "shopify", "forge")}
    assert people == {world.person("till", "C000003")}


def test_the_same_message_has_one_effect_and_the_same_answer(world: World) -> None:
    """Invariant 3: sent again, replayed as it was, and at once from several places."""
    body = update(member(3, changed=1))
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: world.standard(body, "one"), range(4)))
    assert {one.status_code for one in answers} <= {200, 429}
    answers = [world.standard(body, "one") for _ in range(2)]
    assert {(one.status_code, one.text) for one in answers} == {(200, '{"success":true}')}
    stored = world.record("crm", "m3")
    assert stored is not None
    # Under the name of a message that was taken in, nothing else is.
    other = update(member(5, changed=1))
    assert world.standard(other, "one").status_code == 200
    assert world.record("crm", "m5") is None
    assert world.standard(other, "two").status_code == 200
    assert world.record("crm", "m5") is not None


def test_a_replay_without_a_time_is_known_by_what_was_signed(world: World) -> None:
    """Invariant 3: also under another topic, which nobody signed; forgotten after the tolerance."""
    assert world.shopify(member(3)).status_code == 200
    assert world.shopify(member(3), "customers/delete").status_code == 200
    assert world.record("shopify", "m3") is not None
    world.clock.ahead += timedelta(seconds=301)
    assert world.shopify(member(3), "customers/delete").status_code == 200
    assert world.record("shopify", "m3") is None


def test_remembered_messages_are_forgotten_in_the_end(world: World) -> None:
    """The table does not grow: what is over for a day goes with the next messages."""
    table = schema.hook_message.c.message
    for number in range(3):
        world.standard(update(member(number)), f"m{number}")
    assert len(world.all(sa.select(table))) == 3
    world.clock.ahead += timedelta(days=1, seconds=1)
    world.standard(update(member(9)), "m9")
    assert len(world.all(sa.select(table))) == 4  # they are counted: see cdp source status
    world.clock.ahead += timedelta(days=1)
    world.standard(update(member(8)), "m8")
    assert len(world.all(sa.select(table))) == 2


def test_what_the_sender_deleted_is_destroyed(world: World) -> None:
    """By a path in the body, a header or a column; and it may come again."""
    world.standard(update(member(3)), "a")
    world.shopify(member(4))
    world.forge(member(5))
    assert world.standard(update({"id": "m3"}, kind="member.deleted"), "b").status_code == 200
    assert world.shopify({"id": "m4"}, "Customers/Delete").status_code == 200
    assert world.forge({"id": "m5", "gone": "yes"}).status_code == 200
    found = [world.record(*one) for one in (("crm", "m3"), ("shopify", "m4"), ("forge", "m5"))]
    assert found == [None, None, None]
    assert world.person("till", "C000003") is not None
    world.standard(update(member(3)), "c")
    assert world.person("crm", "m3") == world.person("till", "C000003")


def test_rows_and_deletions_of_one_message(world: World) -> None:
    """Each has its effect, the last row of a record alone; then the message is remembered."""
    world.forge([member(3), member(4)])
    rows = [{"id": "m3", "gone": "yes"}, member(5), {"id": "m6", "gone": "yes"}, member(6)]
    assert world.forge(rows).status_code == 200
    found = [one for one in ("m3", "m4", "m5", "m6") if world.record("forge", one)]
    assert found == ["m4", "m5", "m6"]


def test_an_older_row_changes_nothing(world: World) -> None:
    """Invariant 6: it comes late; what came of it is counted."""
    world.standard(update(member(3, changed=7)), "a")
    before = world.record("crm", "m3")
    world.standard(update(member(3, changed=6, name="另一个")), "b")
    assert world.record("crm", "m3") == before
    world.standard(update({"id": "m3", "changed": 8}, kind="member.deleted"), "c")
    world.standard(update(member(3, changed=7)), "d")
    assert world.record("crm", "m3") is None
    assert left_out(world) == {"superseded": 2}


def test_a_frozen_record_stays(world: World) -> None:
    """A person decided that; the deletion stands among the rejected rows, under its rule."""
    world.standard(update(member(3)), "a")
    with world.workspace.engine.begin() as connection:
        connection.execute(
            sa.update(schema.record).where(schema.record.c.source == "crm").values(state="frozen")
        )
    assert world.standard(update({"id": "m3"}, kind="member.deleted"), "b").status_code == 200
    assert world.record("crm", "m3") is not None
    with world.workspace.engine.connect() as connection:
        assert [one.rule for one in list_rejects(connection, "crm", None, 10)] == [FROZEN]


def test_what_was_not_asked_for_is_acknowledged_and_counted(world: World) -> None:
    """Invariant 5: another topic of the same sender."""
    assert world.shopify(member(3), "orders/create").json() == {"success": True}
    assert world.record("shopify", "m3") is None
    assert left_out(world) == {"not_asked_for": 1}


def test_what_was_not_asked_for_is_counted_once(world: World) -> None:
    """Sent again it counts no more; and the same body under a topic that counts has its effect."""
    for _ in range(3):
        assert world.shopify(member(3), "orders/create").status_code == 200
    assert left_out(world) == {"not_asked_for": 1}
    assert world.shopify(member(3)).status_code == 200
    assert world.record("shopify", "m3") is not None
    world.shopify(member(4), "orders/create")
    assert left_out(world) == {"not_asked_for": 2}


def test_a_row_that_is_no_record_is_kept_sealed(world: World) -> None:
    """Invariant 5: its sender reads no answers; it is acknowledged, and the others are stored."""
    broken = {"name": CANARY}
    assert world.standard(update(broken, member(3), [CANARY])).status_code == 200
    assert world.record("crm", "m3") is not None
    table = schema.reject.c
    kept = sa.select(table.rule).where(table.source == "crm", table.field == "")
    assert sorted(world.all(kept)) == ["not_an_object", "record_id_missing"]
    with world.workspace.engine.connect() as connection:
        assert len(list_rejects(connection, "crm", None, 10)) == 2
    sealed = world.all(sa.select(table.sealed).where(table.source == "crm"))
    assert not any(CANARY.encode() in bytes(one) for one in sealed)


def test_a_deletion_opens_no_rejected_row_of_others(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whose a rejected row may be was written down when it was kept, of a frozen one too."""
    mine, others = ({"id": f"m{n}", "name": 1, "gone": "perhaps"} for n in (3, 4))
    assert world.forge([member(3), member(4)]).status_code == 200
    assert world.forge([mine, {**mine, "name": 2}, others]).status_code == 200
    with world.workspace.engine.begin() as connection:
        record = schema.record
        frozen = sa.update(record).where(record.c.id == world.record("forge", "m4").id)  # type: ignore[union-attr]
        connection.execute(frozen.values(state="frozen"))
    assert world.forge({"id": "m4", "gone": "yes"}).status_code == 200
    kept = sa.select(schema.reject.c.rule).where(schema.reject.c.source == "forge")
    assert sorted(world.all(kept)) == ["deleted_unclear"] * 3 + [FROZEN]
    opened: list[object] = []
    monkeypatch.setattr(type(world.workspace.vault), "open_reject", lambda *_: opened.append(1))
    assert world.forge({"id": "m3", "gone": "yes"}).status_code == 200
    assert world.record("forge", "m3") is None
    assert (opened, sorted(world.all(kept))) == ([], ["deleted_unclear", FROZEN])


def test_how_webhooks_stand(world: World) -> None:
    """``cdp source status`` counts messages of the last day, and what was not taken in of them."""

    def told() -> dict[str, tuple[int, int, int | None]]:
        names = ["crm", "shopify", "forge"]
        with world.workspace.engine.connect() as connection:
            declared = world.workspace.declaration
            found = standings(connection, declared, names, world.workspace.now())
        return {
            one.source: (one.outcomes["added"], one.outcomes["rejected"], lag and round(lag, -1))
            for one in found
            for lag in (one.read.lag,)
        }

    assert told() == {"crm": (0, 0, None), "shopify": (0, 0, None), "forge": (0, 0, None)}
    for _ in range(2):
        world.standard(update(member(3), {"name": "nobody"}), "a")
    world.standard(update(member(4)), "b")
    world.shopify(member(3))
    world.shopify(member(3), "orders/create")
    world.forge(member(3))
    world.clock.ahead += timedelta(hours=20)
    world.forge(member(5))
    assert told() == {"crm": (2, 1, 72000), "shopify": (1, 1, 72000), "forge": (2, 0, 0)}
    world.clock.ahead += timedelta(hours=20)
    assert told()["forge"] == (1, 0, 72000)
    world.clock.ahead += timedelta(hours=28)
    assert told() == {"crm": (0, 0, None), "shopify": (0, 0, None), "forge": (0, 0, None)}


def test_nothing_comes_in_of_a_source_that_is_removed(world: World) -> None:
    """Its sender is told what one is told of a source that there is not; nothing is left behind."""
    removed = {"source": "shopify", "actor": "a", "reason": "r", "started_at": world.clock()}
    with world.workspace.engine.begin() as connection:
        connection.execute(sa.insert(schema.source_removal).values(**removed))
    for _ in range(2):
        assert world.shopify(member(3)).status_code == 401
        assert world.shopify(member(3), "orders/create").status_code == 401
    assert world.shopify({"id": "m3"}, "customers/delete").status_code == 401
    assert world.all(sa.select(schema.hook_message.c.source)) == []
    assert left_out(world) == {}
    assert world.forge(member(3)).status_code == 200


def test_only_a_good_signature_is_told_more_than_no(world: World) -> None:
    """Invariant 1: one answer, whatever is wrong, also of a source that there is not."""
    good = json.dumps(update(member(3))).encode()
    digest = base64.b64encode(mac("another", good)).decode()
    wrong = "whsec_" + base64.b64encode(b"x" * 32).decode()
    answers = [
        world.standard(update(member(3)), secret=wrong),
        world.standard(update(member(3)), to="nobody"),
        world.standard(update(member(3)), to="till"),
        world.standard("{", secret=wrong),
        world.standard(update(member(3)), ago=301),
        world.standard(update(member(3)), ago=-301),
        world.standard(update(member(3)), webhook_id="other"),
        world.standard(update(member(3)), webhook_signature="v1,"),
        world.standard(update(member(3)), webhook_signature="v2,abc"),
        world.standard(update(member(3)), webhook_timestamp="soon"),
        world.post("crm", good, {}),
        world.post("crm", b"", {}),
        world.post("shopify", good, {"X-Shopify-Hmac-Sha256": digest}),
        world.post("shopify", good, {"X-Shopify-Hmac-Sha256": "%%"}),
        world.shopify(member(3), secret="another"),
        world.forge(member(3), ago=301),
        world.post("forge", good, {"X-Hub-Signature-256": "sha1=00", "X-Sent-At": "1"}),
    ]
    assert {one.status_code for one in answers} == {401}
    told = [{k: v for k, v in one.json().items() if k != "request_id"} for one in answers]
    assert all(one == told[0] for one in told)
    assert {one.headers["www-authenticate"] for one in answers} == {'Signature realm="kith"'}
    assert world.record("crm", "m3") is None
    assert world.all(sa.select(schema.hook_message.c.source)) == []


def test_clocks_may_differ_within_the_tolerance(world: World) -> None:
    """Five minutes by default, either way."""
    for number, ago in enumerate((290, -290)):
        assert world.standard(update(member(number)), f"a{number}", ago=ago).status_code == 200
        assert world.forge(member(number), ago=ago).status_code == 200


def test_two_secrets_are_good_while_one_replaces_the_other(world: World) -> None:
    """The former one too, and either of several signatures; a new one within a minute."""
    former = SECRETS["former"]
    assert world.standard(update(member(3)), "a", secret=former).status_code == 200
    fresh = "whsec_" + base64.b64encode(b"the third secret of this shop").decode()
    assert world.standard(update(member(4)), "b", secret=fresh).status_code == 401
    folder = world.workspace.declaration.folder
    write_secret(folder, "secret", fresh)
    world.clock.ahead += timedelta(seconds=61)
    try:
        assert world.standard(update(member(4)), "b", secret=fresh).status_code == 200
        assert world.standard(update(member(5)), "c").status_code == 401
    finally:
        write_secret(folder, "secret", SECRETS["secret"])


def test_a_secret_that_cannot_be_used_loses_no_message(world: World) -> None:
    """Invariant 7: 503 and when to come again, until it is there; the others are served."""
    folder = world.workspace.declaration.folder
    for number, broken in enumerate(("", "whsec_short", "no base 64 at all")):
        write_secret(folder, "secret", broken)
        world.clock.ahead += timedelta(seconds=61)
        try:
            answer = world.standard(update(member(3)), f"a{number}")
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
            assert world.forge(member(3)).status_code == 200
        finally:
            write_secret(folder, "secret", SECRETS["secret"])
        world.clock.ahead += timedelta(seconds=3)
        assert world.standard(update(member(3)), f"a{number}").status_code == 200


def test_packed_bodies_are_signed_as_they_are_sent(world: World) -> None:
    """Packing is told by its first bytes; what it unpacks to is bounded."""
    packed = gzip.compress(json.dumps(member(3)).encode(), mtime=0)

    def send(body: bytes) -> int:
        digest = base64.b64encode(mac("canary-shared-secret", body)).decode()
        headers = {"X-Shopify-Hmac-Sha256": digest, "X-Shopify-Topic": "customers/update"}
        return world.post("shopify", body, headers).status_code

    assert send(packed) == 200
    assert world.record("shopify", "m3") is not None
    assert send(packed[:-4]) == 400
    assert send(gzip.compress(b" " * (32 << 20), mtime=0)) == 413


BODIES = [
    ("{", 400), ("", 400), ('{"data": 1}', 400), ("[]", 400), ('"x"', 400), ("1}, {", 400),
    ('{"data": [], "data": []}', 400), ('{"data": {"id": NaN}}', 400), ("[" * 5000, 400),
    (json.dumps({"data": [{}] * 101}), 413), ('{"data": []}', 200),
]  # fmt: skip


def test_a_body_that_cannot_be_used_is_refused(world: World) -> None:
    """Its sender is known, and told by which rule; nothing of it is told or remembered."""
    for number, (body, status) in enumerate(BODIES):
        answer = world.standard(body, f"b{number}")
        assert (number, answer.status_code) == (number, status)
    assert len(world.all(sa.select(schema.hook_message.c.source))) == 1


def test_a_sender_that_is_too_fast_is_asked_to_wait(world: World) -> None:
    """By the rate of the source; who cannot sign uses none of it up."""
    for number in range(20):
        assert world.post("forge", b"{}", {}).status_code == 401, number
    answers = [world.forge(member(number)) for number in range(12)]
    assert {one.status_code for one in answers} == {200, 429}
    late = next(one for one in answers if one.status_code == 429)
    assert int(late.headers["retry-after"]) >= 1


def test_the_use_of_a_secret_is_audited_once_an_hour(world: World) -> None:
    """Before what came with it, by the name of the source: invariant 2 of `admission.py`."""
    for number in range(3):
        world.standard(update(member(number)), f"a{number}")
    line = schema.audit_event.c
    lines = [str(one) for one in world.all(sa.select(line.line)) if "events.receive" in str(one)]
    assert len(lines) == 1
    assert "source:crm" in lines[0]
    assert "signature" in lines[0]
    world.clock.ahead += timedelta(hours=1)
    world.standard(update(member(5)), "later")
    lines = [str(one) for one in world.all(sa.select(line.line)) if "events.receive" in str(one)]
    assert len(lines) == 2


def test_no_log_and_no_answer_holds_what_was_sent(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """Neither a body, nor a name of a message, nor a signature, nor a secret."""
    row = {"id": CANARY, "name": CANARY, "phone": CANARY, "email": f"{CANARY}@example.com"}
    answers = [
        world.standard(update(row), CANARY),
        world.standard({"type": CANARY, "data": CANARY}, CANARY + "2"),
        world.standard(f'{{"{CANARY}"', CANARY + "3"),
        world.standard(update(row), to=CANARY),
        world.shopify(row, CANARY),
        world.shopify(row),
        world.forge([row, CANARY, {CANARY: CANARY}]),
        world.forge(row, ago=900),
    ]
    written = "".join(capsys.readouterr()) + "".join(f"{one.text}{one.headers}" for one in answers)
    assert "/v1/hooks/{source}" in written
    assert not [one for one in (CANARY, *SECRETS.values(), "canary-shared") if one in written]
