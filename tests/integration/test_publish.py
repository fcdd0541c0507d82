"""Publishing on a real database, to a real receiver over loopback.

Each test names the invariant it shows; ``Deliver 3`` is the third of `cdp/publish/deliver.py`.
"""

import csv
import datetime as dt
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml

from cdp.audit.errors import EventNotRecordable
from cdp.demo.receiver import Receiver, count_verified
from cdp.errors import Stop
from cdp.profiles.build import rebuild
from cdp.publish import ledger
from cdp.publish import plan as planning
from cdp.publish.deliver import Courier, World
from cdp.publish.plan import Planned, contract_for, plan, retry_parked
from cdp.publish.receivers import open_destination, signing_secret
from cdp.publish.render import Renderer
from cdp.publish.retry import Pace
from cdp.publish.run import Publisher, PublishReport, run
from cdp.publish.table import TableRun
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.workspace import Workspace, utc_now
from connectors import errors as connectors_errors
from connectors.base import Message
from tests.integration.retailer import TRUST, Retailer

pytestmark = pytest.mark.integration

PHONE, OTHER, LEGACY = "+8613911112222", "+8613733334444", "+8613655556666"
QUICK = Publisher(Pace(base=0.001, cap=0.01, patience=5.0))
UPDATED, REMOVED = "kith.profile.updated.v1", "kith.profile.removed.v1"


@dataclass
class Shop:
    """A retailer with a receiver at the other end."""

    retailer: Retailer
    receiver: Receiver
    workspace: Workspace
    opened: list[Any] = field(default_factory=list)

    @property
    def engine(self) -> sa.Engine:
        """The database."""
        return self.workspace.engine

    def publish(self, *names: str, publisher: Publisher = QUICK) -> PublishReport:
        """Publish to one destination."""
        return run(self.workspace, names or ("crm",), None, publisher)[0]

    def plan(self, name: str = "crm") -> Planned:
        """Plan alone."""
        with self.engine.begin() as connection:
            return plan(connection, self.workspace, name, self.workspace.now())

    def person(self, name: str, phone: str = PHONE, **more: Any) -> str:
        """Add a person of one record."""
        number = self.retailer.record("pos", {"name": name, "phone": phone}, **more)
        return self.retailer.person(number)

    def change(self, statement: sa.Executable, *profiles: str) -> None:
        """Change records, then their profiles."""
        with self.engine.begin() as connection:
            connection.execute(statement)
            rebuild(connection, TRUST, profiles, self.workspace.now())

    def refuse(self, profile_id: str, purpose: str = "marketing") -> None:
        """Let a person refuse a purpose in every record."""
        members = sa.select(schema.membership.c.record_id).where(
            schema.membership.c.profile_id == profile_id
        )
        self.change(
            sa.update(schema.record)
            .where(schema.record.c.id.in_(members))
            .values(refused=[purpose], purposes=["service"]),
            profile_id,
        )

    def rows(self, table: sa.Table) -> list[Any]:
        """Every row of a table."""
        with self.engine.connect() as connection:
            return list(connection.execute(sa.select(table).order_by(*table.primary_key.columns)))

    def courier(self, destination: Any = None, **parts: Any) -> Courier:
        """A courier to the crm, or to another destination in its place."""
        contract = contract_for(self.workspace, "crm")
        declared = self.workspace.declaration.destinations["crm"]
        used = destination or open_destination(self.workspace, declared, contract)
        self.opened.append(used)
        return Courier(self.workspace, contract, used, **{"pace": QUICK.pace, **parts})


def declare(retailer: Retailer, change: Callable[[dict[str, Any]], None]) -> Workspace:
    """The workspace anew, after ``change`` to its cdp.yaml."""
    path = retailer.workspace.settings.declaration
    content = yaml.safe_load(path.read_text("utf-8"))
    change(content)
    path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), "utf-8")
    return Workspace(
        retailer.workspace.settings, retailer.engine, retailer.workspace.keyring, utc_now
    )


@pytest.fixture
def shop(engine: sa.Engine, home: Path) -> Iterator[Shop]:
    with Receiver() as receiver:
        retailer = Retailer(engine, home)

        def change(content: dict[str, Any]) -> None:
            content["destinations"]["crm"]["location"] = receiver.url
            content["destinations"]["weekly"]["fields"] = ["profile_id", "city", "tags", "phone"]

        shop = Shop(retailer, receiver, declare(retailer, change))
        yield shop
        for one in shop.opened:
            one.close()


class Recorder:
    """A destination in memory; ``fails`` decides what becomes of each message."""

    name = "crm"

    def __init__(self, fails: Callable[[Message], BaseException | None] = lambda _: None) -> None:
        self.sent: list[Message] = []
        self._fails = fails

    def deliver(self, message: Message) -> None:
        """Keep the message, and fail as told."""
        self.sent.append(message)
        error = self._fails(message)
        if error is not None:
            raise error

    def close(self) -> None:
        """Nothing to close."""


# ── what is sent ────────────────────────────────────────────────────────────


def test_a_message_has_exactly_the_contracted_fields_and_a_good_signature(shop: Shop) -> None:
    """Render 1: The data has the fields of the contract; an independent library verifies it."""
    known = shop.person("赵一", attributes={"total_spent": "12.50"})
    nameless = shop.retailer.person(shop.retailer.record("pos", {"phone": OTHER}))
    with shop.engine.begin() as connection:
        connection.execute(
            schema.tag.insert().values(
                profile_id=known, name="value", value="high", rule_version="1", at=utc_now()
            )
        )
    report = shop.publish()
    assert (report.delivered, report.stopped) == (2, None)
    assert shop.receiver.people() == {
        known: {"profile_id": known, "name": "赵一", "phone": PHONE, "tags": {"value": "high"}},
        nameless: {"profile_id": nameless, "name": None, "phone": OTHER, "tags": {}},
    }
    event = shop.receiver.accepted[0].event
    assert (event["type"], event["specversion"]) == (UPDATED, "1.0")
    assert event["id"] == shop.receiver.accepted[0].id
    secret = signing_secret(shop.workspace, "crm")
    assert count_verified(shop.receiver.received, secret) == 2
    forged = [replace(one, body=one.body + b" ") for one in shop.receiver.received]
    assert count_verified(forged, secret) == 0


def test_only_people_for_whom_the_purpose_holds_are_sent(shop: Shop) -> None:
    """Render 3: Who did not consent, or refused anywhere, is counted and never sent."""
    yes = shop.person("赵一")
    no = shop.person("钱二", OTHER, purposes=("service",))
    agreed = shop.retailer.record("pos", {"name": "孙三"})
    refused = shop.retailer.record("shop", {"phone": LEGACY}, refused=("marketing",))
    torn = shop.retailer.person(agreed, refused)
    report = shop.publish()
    assert set(shop.receiver.people()) == {yes}
    assert (report.planned.queued, report.planned.not_consented) == (1, 2)
    assert {row.profile_id for row in shop.rows(schema.outbox)} == {yes}
    sent = b"".join(one.body for one in shop.receiver.received).decode()
    assert no not in sent
    assert torn not in sent


def test_a_value_comes_only_from_a_record_whose_own_consent_covers_the_purpose(shop: Shop) -> None:
    """Render 2: A better source that did not ask for marketing gives no value to marketing."""
    trusted = shop.retailer.record("pos", {"name": "赵一", "phone": PHONE}, purposes=("service",))
    agreed = shop.retailer.record("shop", {"phone": OTHER}, purposes=("marketing",))
    profile_id = shop.retailer.person(trusted, agreed)
    shop.publish()
    assert shop.receiver.people()[profile_id] == {
        "profile_id": profile_id,
        "name": None,
        "phone": OTHER,
        "tags": {},
    }


def test_no_value_is_stored_logged_or_sent_outside_the_contract(
    shop: Shop, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    """Deliver 7: A value outside the contract never leaves, and no value at all is stored."""
    canaries = {"email": "canary@example.com", "address": "金丝雀路七号", "note": "canary-note"}
    number = shop.retailer.record(
        "pos", {"name": "卡娜丽", "phone": PHONE, "national_id": "110101199003078515", **canaries}
    )
    profile_id = shop.retailer.person(number)
    shop.receiver.fail(2, 500)
    shop.publish()
    sent = b"".join(one.body for one in shop.receiver.received).decode()
    assert profile_id in sent
    for canary in [*canaries.values(), "110101199003078515"]:
        assert canary not in sent
    stored = repr([shop.rows(t) for t in (schema.outbox, schema.published, schema.audit_event)])
    shown = stored + caplog.text + "".join(capfd.readouterr()) + repr(shop.receiver.received)
    for value in ["卡娜丽", PHONE, "110101199003078515", *canaries.values()]:
        assert value not in shown


def test_the_sensitive_tier_is_withheld_even_when_it_is_declared(
    shop: Shop,
) -> None:
    """Contract 2: A declared ID number is withheld, and the report says so."""
    shop.retailer.person(
        shop.retailer.record("pos", {"phone": PHONE, "national_id": "110101199003078515"})
    )

    def change(content: dict[str, Any]) -> None:
        content["destinations"]["crm"]["fields"] = ["profile_id", "national_id"]

    shop.workspace = declare(shop.retailer, change)
    report = shop.publish()
    assert [(one.field, one.reason) for one in report.withheld] == [
        ("national_id", "sensitive_tier")
    ]
    assert [set(data) for data in shop.receiver.people().values()] == [{"profile_id"}]


# ── what is due ─────────────────────────────────────────────────────────────


def test_publishing_again_sends_nothing_until_something_changes(shop: Shop) -> None:
    """Plan 4: A second run is all unchanged; a changed tag, value or contract is due again."""
    profile_id = shop.person("赵一")
    shop.person("钱二", OTHER)
    assert shop.publish().delivered == 2
    again = shop.publish()
    assert (again.delivered, again.planned) == (0, Planned(0, 2, 0, 0))
    with shop.engine.begin() as connection:
        connection.execute(
            schema.tag.insert().values(
                profile_id=profile_id, name="value", value="low", rule_version="1", at=utc_now()
            )
        )
    assert shop.publish().delivered == 1
    assert shop.receiver.people()[profile_id]["tags"] == {"value": "low"}

    def change(content: dict[str, Any]) -> None:
        content["destinations"]["crm"]["fields"] = ["profile_id", "phone"]

    shop.workspace = declare(shop.retailer, change)
    assert shop.publish().delivered == 2
    assert shop.receiver.people()[profile_id] == {"profile_id": profile_id, "phone": PHONE}


def test_planning_twice_queues_once_and_holds_no_value(shop: Shop) -> None:
    """Plan 1 and 2: The outbox names a profile once, however often its need is found."""
    profile_id = shop.person("赵一")
    assert shop.plan() == Planned(queued=1, unchanged=0, not_consented=0, removed=0)
    assert shop.plan() == Planned(0, 0, 0, 0, waiting=1)
    (row,) = shop.rows(schema.outbox)
    assert (row.profile_id, row.kind, row.last_error) == (profile_id, "profile.updated", None)


def test_a_withdrawn_consent_becomes_a_removal(shop: Shop) -> None:
    """Plan 3: Whoever withdraws is removed at the receiver, once, and comes back on consent."""
    profile_id = shop.person("赵一")
    shop.publish()
    shop.refuse(profile_id)
    report = shop.publish()
    assert (report.planned.removed, report.removed) == (1, 1)
    last = shop.receiver.accepted[-1].event
    assert (last["type"], last["data"]) == (
        REMOVED,
        {"profile_id": profile_id, "redirect_to": None},
    )
    assert shop.receiver.people() == {}
    assert shop.rows(schema.published) == []
    assert shop.publish().delivered == 0
    shop.change(
        sa.update(schema.record).values(refused=[], purposes=["service", "marketing"]), profile_id
    )
    assert shop.publish().delivered == 1
    assert set(shop.receiver.people()) == {profile_id}


def test_a_withdrawal_counts_even_after_a_message_was_queued(shop: Shop) -> None:
    """Deliver 5: Consent is that of the moment of sending: what was queued is not sent."""
    profile_id = shop.person("赵一")
    shop.plan()
    shop.refuse(profile_id)
    recorder = Recorder()
    assert shop.courier(recorder).deliver().messages == 0
    assert recorder.sent == []
    assert shop.rows(schema.outbox) == []


def test_a_merged_profile_is_removed_and_names_its_successor(shop: Shop) -> None:
    """Plan 3: The removal of a merged profile says where it went, if the receiver knows that."""
    one, other = shop.person("赵一"), shop.person("赵一", OTHER)
    lost = shop.person("钱二", LEGACY)
    shop.publish()
    with shop.engine.begin() as connection:
        for old, new in ((other, one), (lost, None)):
            table = schema.membership
            moved = sa.update(table).where(table.c.profile_id == old).values(profile_id=new or one)
            connection.execute(moved)
            connection.execute(sa.delete(schema.profile).where(schema.profile.c.id == old))
            if new:
                connection.execute(
                    schema.redirect.insert().values(old_id=old, new_id=new, at=utc_now())
                )
        rebuild(connection, TRUST, [one], utc_now())
    assert shop.publish().removed == 2
    removed = {
        event["subject"]: event["data"]["redirect_to"]
        for event in (each.event for each in shop.receiver.accepted)
        if event["type"] == REMOVED
    }
    assert removed == {other: one, lost: None}


def test_a_removal_does_not_name_a_successor_that_the_receiver_may_not_know(shop: Shop) -> None:
    """Plan 3: A merge into somebody without consent is not told."""
    one, other = shop.person("赵一"), shop.person("赵一", OTHER)
    shop.publish()
    with shop.engine.begin() as connection:
        table = schema.membership
        connection.execute(
            sa.update(table).where(table.c.profile_id == other).values(profile_id=one)
        )
        connection.execute(sa.delete(schema.profile).where(schema.profile.c.id == other))
        connection.execute(schema.redirect.insert().values(old_id=other, new_id=one, at=utc_now()))
    shop.refuse(one)
    shop.publish()
    targets = [one.event["data"].get("redirect_to") for one in shop.receiver.accepted[-2:]]
    assert targets == [None, None]


# ── how it is sent ──────────────────────────────────────────────────────────


def test_a_failing_receiver_is_tried_again_in_order(shop: Shop) -> None:
    """Deliver 3: Attempts keep their id, and every state arrives after the one before it."""
    profile_id = shop.person("赵一")
    shop.receiver.fail(3, 503)
    report = shop.publish()
    assert (report.delivered, report.failed_attempts, report.left) == (1, 3, 0)
    shop.change(sa.update(schema.record).values(purposes=["service"]), profile_id)
    shop.receiver.fail(2, 500)
    assert shop.publish().removed == 1
    ids = [one.id for one in shop.receiver.received]
    assert len(set(ids[:4])) == 1
    assert len(set(ids[4:])) == 1
    assert [one.event["type"] for one in shop.receiver.accepted] == [UPDATED, REMOVED]
    assert shop.receiver.people() == {}


def test_retry_after_is_honoured(shop: Shop) -> None:
    """Deliver 6: A receiver that says how long to wait is not asked earlier."""
    shop.person("赵一")
    shop.receiver.fail(1, 429, {"retry-after": "1"})
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.sleep(seconds)

    report = shop.publish(publisher=Publisher(QUICK.pace, World(sleep=sleep, draw=lambda: 0.0)))
    assert report.delivered == 1
    assert sum(slept) >= 0.9


def test_a_message_that_keeps_failing_is_parked_with_its_reason(shop: Shop) -> None:
    """Deliver 6: It is given up after the agreed attempts, others go on, and it can be revived."""
    poison, other = shop.person("赵一"), shop.person("钱二", OTHER)
    shop.plan()

    def fails(message: Message) -> BaseException | None:
        bad = message.subject == poison
        return connectors_errors.Retry("crm", "http_500", "Try again later.") if bad else None

    done = shop.courier(Recorder(fails), pace=replace(QUICK.pace, attempts=3)).deliver()
    assert (done.updated, done.failed_attempts, done.parked, done.left) == (1, 3, 1, 0)
    parked = next(row for row in shop.rows(schema.outbox) if row.profile_id == poison)
    assert (parked.last_error, parked.attempts) == ("http_500", 3)
    assert parked.parked_at is not None
    assert shop.plan() == Planned(0, 1, 0, 0, parked=1)
    with shop.engine.begin() as connection:
        assert retry_parked(connection, "crm", utc_now()) == 1
    recorder = Recorder()
    assert shop.courier(recorder).deliver().messages == 1
    assert [one.subject for one in recorder.sent] == [poison]
    assert shop.plan() == Planned(0, 2, 0, 0)
    assert other not in {one.subject for one in recorder.sent}


def test_a_parked_message_is_queued_again_when_the_person_changes(shop: Shop) -> None:
    """Plan 2: A change revives what was given up, under the same message."""
    profile_id = shop.person("赵一")
    shop.plan()
    skip = connectors_errors.Skip("crm", "not_json", "Put plain JSON values in the message.")
    shop.courier(Recorder(lambda _: skip)).deliver()
    (before,) = shop.rows(schema.outbox)
    assert (before.attempts, before.last_error) == (1, "not_json")
    shop.change(
        sa.update(schema.record).values(purposes=["marketing", "service"], store="BJ01"),
        profile_id,
    )
    assert shop.plan().queued == 1
    (after,) = shop.rows(schema.outbox)
    assert (after.message_id, after.parked_at) == (before.message_id, None)


def test_a_receiver_that_takes_nothing_is_left_in_peace(shop: Shop) -> None:
    """Deliver 6: An unreachable receiver is asked a few times; everything stays queued."""
    for place in range(20):
        shop.person("赵一", f"+86139111122{place:02}")
    shop.plan()
    down = connectors_errors.Retry("crm", "unreachable", "Look whether the receiver is up.")
    recorder = Recorder(lambda _: down)
    waits: list[float] = []
    world = World(sleep=waits.append, draw=lambda: 0.5)
    pace = Pace(attempts=2, base=1.0, cap=4.0, patience=10.0, batch=8, probe=1)
    done = shop.courier(recorder, pace=pace, world=world).deliver()
    assert done.stopped is not None
    assert "unreachable" in done.stopped
    assert (done.parked, done.left) == (0, 20)
    assert waits == pytest.approx([0.75, 1.5, 3.0, 3.0], abs=0.1)
    assert len(recorder.sent) == 8 + len(waits)


def test_a_refused_destination_stops_at_once_and_keeps_its_messages(shop: Shop) -> None:
    """Deliver 6: A wrong secret or address is put right first; no message is blamed for it."""
    shop.person("赵一")
    shop.receiver.fail(1, 401)
    report = shop.publish()
    assert report.stopped is not None
    assert "http_401" in report.stopped
    (row,) = shop.rows(schema.outbox)
    assert (row.attempts, row.parked_at, report.left) == (0, None, 1)
    assert shop.publish().delivered == 1


# ── no audit no send, once each ─────────────────────────────────────────────


class Killed(BaseException):
    """The process is gone."""


def test_a_kill_between_send_and_commit_sends_the_same_message_again(shop: Shop) -> None:
    """Deliver 2: The receiver gets the same id twice, and has the person once."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    with pytest.raises(Killed):
        shop.courier(Dies()).deliver()
    assert shop.publish().delivered == 1
    assert len(shop.receiver.received) == 2
    assert len({one.id for one in shop.receiver.received}) == 1
    assert len(shop.receiver.accepted) == 1
    assert set(shop.receiver.people()) == {profile_id}
    assert shop.publish().delivered == 0


def test_after_a_kill_newer_content_is_not_taken_for_the_old(shop: Shop) -> None:
    """Deliver 2: Other content has another id, even when it is the first content again."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    def retag(value: str) -> None:
        with shop.engine.begin() as connection:
            connection.execute(sa.delete(schema.tag))
            connection.execute(
                schema.tag.insert().values(
                    profile_id=profile_id, name="value", value=value, rule_version="1", at=utc_now()
                )
            )

    for value in ("low", "high"):
        retag(value)
        with pytest.raises(Killed):
            shop.courier(Dies()).deliver()
    retag("low")
    shop.publish()
    assert len({one.id for one in shop.receiver.received}) == 3
    assert shop.receiver.people()[profile_id]["tags"] == {"value": "low"}


def test_whoever_may_have_been_sent_can_be_taken_back(shop: Shop) -> None:
    """Deliver 4: A withdrawal after a killed send still reaches the receiver."""
    profile_id = shop.person("赵一")
    shop.plan()
    real = shop.courier().destination

    class Dies(Recorder):
        def deliver(self, message: Message) -> None:
            real.deliver(message)
            raise Killed

    with pytest.raises(Killed):
        shop.courier(Dies()).deliver()
    shop.refuse(profile_id)
    shop.publish()
    assert [one.event["type"] for one in shop.receiver.accepted] == [UPDATED, REMOVED]
    assert shop.receiver.people() == {}


def test_the_audit_event_is_committed_before_the_first_byte(shop: Shop) -> None:
    """Deliver 1: When a message leaves, the event that names it is already there for all to see."""
    profile_id = shop.person("赵一")
    shop.plan()
    seen: list[dict[str, Any]] = []

    def look(_: Message) -> None:
        seen.extend(shop.retailer.events())

    shop.courier(Recorder(look)).deliver()
    (event,) = seen
    assert (event["action"], event["profile_id"], event["actor"]) == (
        "profile.publish",
        profile_id,
        "crm",
    )
    assert event["fields"] == ["name", "phone", "profile_id"]
    assert event["request_id"] == shop.rows(schema.outbox)[0].message_id


def test_without_an_audit_event_nothing_is_sent(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deliver 1: If the event cannot be kept, the message does not leave."""
    shop.person("赵一")
    shop.plan()
    recorder = Recorder()

    def broken(*_: object) -> list[int]:
        raise EventNotRecordable("not_plain_text", "pass a code")

    monkeypatch.setattr(ledger.log, "append_all", broken)
    with pytest.raises(EventNotRecordable):
        shop.courier(recorder).deliver()
    assert recorder.sent == []
    assert shop.rows(schema.published) == []


# ── many, and at once ───────────────────────────────────────────────────────


def test_a_second_publisher_of_a_destination_is_refused(shop: Shop) -> None:
    """Run 1: One publisher at a time; the second says so and sends nothing."""
    shop.person("赵一")
    with only_one(shop.engine, "publish crm", "wait"):
        report = shop.publish()
    assert report.stopped is not None
    assert "already_running" in report.stopped
    assert shop.receiver.received == []


def test_a_bad_destination_does_not_stop_another(shop: Shop) -> None:
    """Run 2: One receiver is gone, the others get everything, and each has its report."""
    shop.person("赵一", store="BJ01")

    def change(content: dict[str, Any]) -> None:
        crm = content["destinations"]["crm"]
        content["destinations"]["gone"] = {**crm, "location": "http://127.0.0.1:9/hook"}
        content["destinations"]["useless"] = {**crm, "purpose": "legal"}

    shop.workspace = declare(shop.retailer, change)
    quick = Publisher(Pace(base=0.001, cap=0.01, patience=0.02))
    reports = {one.destination: one for one in run(shop.workspace, None, None, quick)}
    assert list(reports) == list(shop.workspace.declaration.destinations)
    assert (reports["crm"].delivered, reports["weekly"].delivered) == (1, 1)
    assert reports["crm"].stopped is None
    assert "unreachable" in (reports["gone"].stopped or "")
    assert "nothing_may_be_sent" in (reports["useless"].stopped or "")


def test_an_unknown_destination_is_refused_by_name(shop: Shop) -> None:
    """Run 2: A name that is not declared sends nothing at all."""
    with pytest.raises(Stop, match="no_such_destination"):
        run(shop.workspace, ["crm", "crn"])


def test_many_messages_go_out_quickly(shop: Shop) -> None:
    """Deliver 3: Four hundred people are delivered with progress, each once."""
    for place in range(400):
        shop.person("赵一", f"+861391111{place:04}")
    steps: list[tuple[str, int, int]] = []
    started = time.perf_counter()
    (report,) = run(shop.workspace, ["crm"], lambda *step: steps.append(step))
    seconds = time.perf_counter() - started
    assert report.delivered == len(shop.receiver.received) == len(shop.receiver.people()) == 400
    assert steps[-1] == ("crm", 400, 400)
    assert seconds < 20  # 200 a second on an idle machine; this one may be shared


# ── tables ──────────────────────────────────────────────────────────────────


def read_table(shop: Shop) -> list[dict[str, str]]:
    path = shop.workspace.declaration.folder / "exports" / "weekly.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_a_table_has_the_allowed_columns_and_the_consenting_people(shop: Shop) -> None:
    """Table 4: One row for each person, one column for each field that policy allows."""
    yes = shop.retailer.person(shop.retailer.record("pos", {"city": "北京", "phone": PHONE}))
    shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}, purposes=("service",)))
    with shop.engine.begin() as connection:
        for name, value in (("value", "high"), ("lifecycle", "new")):
            connection.execute(
                schema.tag.insert().values(
                    profile_id=yes, name=name, value=value, rule_version="1", at=utc_now()
                )
            )
    report = shop.publish("weekly")
    assert read_table(shop) == [
        {"profile_id": yes, "city": "北京", "tags": "lifecycle=new;value=high"}
    ]
    assert (report.delivered, [one.field for one in report.withheld]) == (1, ["phone"])
    assert (report.planned.queued, report.planned.not_consented) == (1, 1)


def test_an_unchanged_table_is_not_written_again(shop: Shop) -> None:
    """Table 3: The second run writes nothing; a change, a removal or a lost file does."""
    one = shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    other = shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}))
    assert shop.publish("weekly").delivered == 2
    events = len(shop.retailer.events())
    again = shop.publish("weekly")
    assert (again.delivered, again.planned) == (0, Planned(0, 2, 0, 0))
    assert len(shop.retailer.events()) == events
    shop.refuse(other, "analysis")
    assert shop.publish("weekly").planned.removed == 1
    assert [row["profile_id"] for row in read_table(shop)] == [one]
    (shop.workspace.declaration.folder / "exports" / "weekly.csv").unlink()
    assert shop.publish("weekly").delivered == 1


def test_a_table_is_audited_for_each_person_and_as_a_whole(shop: Shop) -> None:
    """Table 1: One event for every person in it, and one that counts them."""
    people = sorted(
        shop.retailer.person(shop.retailer.record("pos", {"city": "北京"})) for _ in range(3)
    )
    shop.publish("weekly")
    *each, whole = shop.retailer.events()
    assert [event["profile_id"] for event in each] == people
    assert {event["action"] for event in each} == {"profile.publish"}
    assert {tuple(event["fields"]) for event in each} == {("city", "profile_id")}
    assert (whole["action"], whole["profile_id"], whole["detail"]) == (
        "table.publish",
        None,
        "3 people",
    )


def test_a_table_that_cannot_be_audited_does_not_appear(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Table 1 and 2: No event, no table; the old one stays as it was."""
    shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    shop.publish("weekly")
    before = read_table(shop)
    shop.retailer.person(shop.retailer.record("pos", {"city": "上海"}))

    def broken(*_: object) -> int:
        raise EventNotRecordable("not_plain_text", "pass a code")

    monkeypatch.setattr("cdp.publish.table.log.append", broken)
    report = shop.publish("weekly")
    assert "not_plain_text" in (report.stopped or "")
    assert read_table(shop) == before
    monkeypatch.undo()
    assert shop.publish("weekly").planned.queued == 1
    assert len(read_table(shop)) == 2


class Table:
    """A table in memory; somebody else works while it is written."""

    name, header = "weekly", ("profile_id", "city", "tags")

    def __init__(self, meanwhile: Callable[[], object]) -> None:
        self.rows: list[Any] = []
        self._meanwhile = meanwhile

    def write(self, rows: Iterable[Any]) -> int:
        """Keep the rows."""
        self._meanwhile()
        self.rows = list(rows)
        return len(self.rows)


def test_a_table_holds_one_moment(shop: Shop) -> None:
    """Table 4: Who is added while it is written is in the next one."""
    first = shop.retailer.person(shop.retailer.record("pos", {"city": "北京"}))
    table = Table(lambda: shop.person("钱二"))
    contract = contract_for(shop.workspace, "weekly")
    planned, written = TableRun(shop.workspace, contract, table, utc_now()).publish(present=False)
    assert (planned.queued, written) == (1, 1)
    assert [row["profile_id"] for row in table.rows] == [first]


def test_a_rendered_person_does_not_show(shop: Shop) -> None:
    """Render 4: No representation of what is on its way holds a value."""
    profile_id = shop.person("赵一")
    contract = contract_for(shop.workspace, "crm")
    shop.plan()
    with shop.engine.begin() as connection:
        renderer = Renderer(shop.workspace, contract)
        (rendered,) = renderer.render(connection, [profile_id]).values()
        taken = ledger.take(connection, contract, renderer, utc_now(), Pace())
    assert rendered.data["phone"] == taken[0].message.data["phone"] == PHONE
    for shown in (repr(rendered), repr(taken), repr(renderer), repr(shop.courier(Recorder()))):
        assert PHONE not in shown
        assert "赵一" not in shown


def test_delivered_messages_are_kept_for_a_week(shop: Shop) -> None:
    """Plan 1: The outbox does not grow for ever."""
    shop.person("赵一")
    shop.publish()
    assert len(shop.rows(schema.outbox)) == 1
    later = utc_now() + planning.KEPT + dt.timedelta(seconds=1)
    with shop.engine.begin() as connection:
        plan(connection, shop.workspace, "crm", later)
    assert shop.rows(schema.outbox) == []
