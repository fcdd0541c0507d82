"""What was written about somebody elsewhere goes with them, and nothing of anybody else."""

import datetime as dt
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.erasure import ledger, targets
from cdp.erasure.destroying import Destroyed, destroy
from cdp.ingest.sync import sync
from cdp.resolution.announcing import REMOVED, UPDATED
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.erasure.household import (
    ACCOUNT,
    ACCOUNT_NAME,
    ALL,
    BELLA,
    BELLA_NAME,
    CARD,
    CARD_NAME,
    SECOND_NAME,
    declared,
    home_of,
    key,
    shred,
)
from tests.integration.erasure.test_rejected_rows import delivered, folder_of, kept
from tests.journeys import tills
from tests.journeys.tills import HEADER

pytestmark = pytest.mark.integration
AT = dt.datetime(2026, 5, 4, 9, 0, tzinfo=dt.UTC)
CRM = {
    "connector": "webhook",
    "location": "https://crm.example.com/hook",
    "purpose": "marketing",
    "fields": ["profile_id", "name"],
    "secret": "crm",
}
BEFORE, OTHER = f"p{'b' * 20}", f"p{'c' * 20}"  # profile ids of earlier


def put(workspace: Workspace, table: sa.Table, *rows: dict[str, Any]) -> None:
    """Write rows as whoever works with Kith leaves them."""
    with workspace.engine.begin() as connection:
        connection.execute(table.insert(), list(rows))


def column(workspace: Workspace, of: sa.Column[Any], *where: Any) -> list[Any]:
    """The values of a column, in order."""
    with workspace.engine.connect() as connection:
        found = connection.scalars(sa.select(of).where(*where).order_by(of))
        return [bytes(one) if isinstance(one, memoryview) else one for one in found]


def destroyed(workspace: Workspace, *names: str) -> Destroyed:
    """Destroy records together, as whoever removes a source does."""
    with workspace.engine.begin() as connection:
        ledger.alone(connection)
        held = targets.by_key(connection, [key(workspace, one) for one in names])
        return destroy(connection, workspace, held, workspace.now())


@pytest.fixture
def people(shop: Workspace) -> tuple[Workspace, str, str]:
    """The shop, under whose profile Anna is, and under whose Bella is."""
    anna, bella = home_of(shop, CARD_NAME), home_of(shop, BELLA_NAME)
    assert anna
    assert bella
    return shop, anna, bella


People = tuple[Workspace, str, str]


def outgoing(profile_id: str, kind: str, *, delivered: bool) -> dict[str, Any]:
    return {
        "destination": "crm", "profile_id": profile_id, "kind": kind, "attempts": 0,
        "message_id": f"m {profile_id} {delivered}", "not_before": AT, "at": AT,
        "delivered_at": AT if delivered else None,
    }  # fmt: skip


def test_messages_that_were_sent_go_and_those_of_others_stay(people: People) -> None:
    """Destroying 1: the outbox names somebody destroyed only to have them forgotten."""
    shop, anna, bella = people
    sent = [outgoing(one, UPDATED, delivered=True) for one in (anna, bella)]
    put(shop, schema.outbox, *sent)
    shred(shop, anna)
    assert column(shop, schema.outbox.c.profile_id) == [bella]


def test_a_destination_is_told_to_forget_who_ended_and_of_who_changed(people: People) -> None:
    """Destroying 3: whoever ended, and whoever stays and says something else, each once."""
    shop, anna, bella = people
    tills.write_declaration(folder_of(shop), declared(destinations={"crm": CRM}))
    shop = replace(shop, now=shop.now)  # read anew
    shred(shop, CARD_NAME)
    stays = home_of(shop, ACCOUNT_NAME)
    named = schema.outbox.c.profile_id
    assert stays != anna
    assert column(shop, named, schema.outbox.c.kind == REMOVED) == [anna]
    assert column(shop, named, schema.outbox.c.kind == UPDATED) == [stays]
    shred(shop, bella)
    assert column(shop, named, schema.outbox.c.kind == REMOVED) == sorted([anna, bella])


def test_old_ids_lead_nowhere(people: People) -> None:
    """Destroying 1: neither from somebody destroyed, nor to them."""
    shop, anna, bella = people
    pairs = [(BEFORE, anna), (anna, bella), (OTHER, bella)]
    put(shop, schema.redirect, *({"old_id": a, "new_id": b, "at": AT} for a, b in pairs))
    story = [("merged", anna, bella), ("merged", bella, anna), ("changed", bella, None)]
    put(
        shop,
        schema.profile_event,
        *({"kind": k, "profile_id": a, "other_id": b, "epoch": "e", "at": AT} for k, a, b in story),
    )
    assert targets_of(shop, BEFORE) == len(ALL)
    shred(shop, CARD_NAME, ACCOUNT_NAME, SECOND_NAME)
    assert column(shop, schema.redirect.c.old_id) == [OTHER]
    about = schema.profile_event.c
    for named in (about.profile_id, about.other_id):
        assert anna not in column(shop, named)
    assert column(shop, about.kind, about.kind == "changed", about.epoch == "e") == ["changed"]


def targets_of(workspace: Workspace, name: str) -> int:
    with workspace.engine.connect() as connection:
        return len(targets.find(connection, workspace, name))


def test_events_that_came_before_the_record_go_with_it(people: People) -> None:
    """Destroying 1: they wait under the record's keyed hash; a device's own ones stay."""
    shop, _, _ = people
    subjects = [key(shop, ACCOUNT_NAME), key(shop, "app:device-of-nobody")]
    rows = [
        {"source": "app", "message": bytes([n]), "kind": "track", "name": "Order",
         "subject": subject, "properties": {}, "purposes": [], "occurred_at": AT,
         "received_at": AT}
        for n, subject in enumerate(subjects)
    ]  # fmt: skip
    put(shop, schema.event, *rows)
    shred(shop, ACCOUNT_NAME)
    assert column(shop, schema.event.c.subject) == [subjects[1]]


def test_who_was_shown_somebody_stays_and_whose_it_was_goes(people: People) -> None:
    """Destroying 1: of reveals and requests, and of nobody else's."""
    shop, anna, bella = people
    asked = [
        {"id": f"r{n}", "requester": f"who{n}", "role": "manager", "node": "BJ01",
         "profile_id": one, "field": "phone", "purpose": "service", "reason": "called",
         "state": "open", "at": AT, "latest_at": AT, "ends_at": AT}
        for n, one in enumerate((anna, bella))
    ]  # fmt: skip
    put(shop, schema.reveal_request, *asked)
    shown = [
        {"principal": "manager", "profile_id": one, "field": "phone", "sensitive": False, "at": AT}
        for one in (anna, bella)
    ]
    put(shop, schema.reveal, *shown)
    shred(shop, anna)
    assert column(shop, schema.reveal.c.profile_id) == [bella, None]
    assert column(shop, schema.reveal_request.c.profile_id) == [bella, None]


def test_decisions_about_them_alone_go_and_those_that_name_others_stay(people: People) -> None:
    """Destroying 1: a decision that still holds two records, or names somebody else, is kept."""
    shop, anna, bella = people
    about = {"kind": "not_same", "actor": "officer", "reason": "called", "at": AT}
    put(
        shop,
        schema.decision,
        {**about, "profiles": [anna]},
        {**about, "profiles": [anna, bella]},
        {**about, "profiles": [bella]},
    )
    shred(shop, CARD_NAME)
    assert column(shop, schema.decision.c.profiles) == sorted([[anna, bella], [bella]])


def test_a_decision_that_still_binds_others_stays(people: People) -> None:
    """Destroying 2: it was made about the person, and two of their records stay."""
    shop, anna, _ = people
    about = {"kind": "merge", "actor": "officer", "reason": "called", "at": AT, "profiles": [anna]}
    put(shop, schema.decision, about)
    record = schema.record.c
    chosen = [key(shop, one) for one in (ACCOUNT_NAME, SECOND_NAME)]
    low, high = column(shop, record.id, record.key.in_(chosen))
    [number] = column(shop, schema.decision.c.id)
    link = {"decision_id": number, "low_id": low, "high_id": high, "kind": "must"}
    put(shop, schema.decision_link, link)
    shred(shop, CARD_NAME)
    assert column(shop, schema.decision.c.id) == [number]
    shred(shop, ACCOUNT_NAME)
    assert column(shop, schema.decision_link.c.low_id) == []


def test_rejected_rows_of_all_records_go_together(people: People) -> None:
    """Destroying 1: of a person with several records, whatever record a row is of."""
    shop, anna, _ = people
    stray = [*(CARD[one] for one in HEADER), "stray"]
    assert delivered(shop, [CARD, stray]).rejected == 1
    tills.write_app(folder_of(shop), [ACCOUNT, BELLA])
    lines = (folder_of(shop) / "app.jsonl").read_text(encoding="utf-8")
    openids = [one.partition(":")[2] for one in (*ALL[1:], BELLA_NAME)]
    broken = "".join(f'{{"openid": "{one}", \n' for one in openids)
    (folder_of(shop) / "app.jsonl").write_text(lines + broken, encoding="utf-8")
    assert sync(shop, "app").rejected == 3
    assert len(kept(shop)) == 4
    shred(shop, anna)
    assert [BELLA["openid"] in one for one in kept(shop)] == [True]


def test_all_who_stay_are_named_and_lose_their_tags(people: People) -> None:
    """Destroying 2: of two people who change at once neither is forgotten; nobody who ended is."""
    shop, anna, bella = people
    also = {**BELLA, "openid": "oBellaStays2"}
    tills.write_app(folder_of(shop), [ACCOUNT, {**ACCOUNT, "openid": "oAnnaMarked02"}, BELLA, also])
    sync(shop, "app")
    resolve(shop)
    assert home_of(shop, "app:oBellaStays2") == bella
    named = ({"profile_id": one, "name": "made_up", "value": "x", "rule_version": "1", "at": AT}
             for one in (anna, bella))  # fmt: skip
    put(shop, schema.tag, *named)
    done = destroyed(shop, SECOND_NAME, "app:oBellaStays2")
    assert sorted(done.changed) == sorted([anna, bella])
    assert done.ended == ()
    assert column(shop, schema.tag.c.profile_id, schema.tag.c.name == "made_up") == []
    done = destroyed(shop, CARD_NAME, BELLA_NAME)
    assert sorted(done.ended) == sorted([anna, bella])
    assert done.changed == (home_of(shop, ACCOUNT_NAME),)


@pytest.mark.parametrize("kind", ["card", "account"])
def test_without_an_epoch_no_membership_or_profile_is_left(people: People, kind: str) -> None:
    """Destroying 1 and 4: the oldest record of a person, or another one; those left wait."""
    shop, anna, _ = people
    with shop.engine.begin() as connection:
        connection.execute(sa.update(schema.epoch).values(active=False))
        connection.execute(sa.update(schema.record).values(dirty=False))
    name = CARD_NAME if kind == "card" else SECOND_NAME
    before = column(shop, schema.record.c.id, schema.record.c.key == key(shop, name))
    [done] = shred(shop, name)
    assert not done.destroyed.repaired
    for table in (schema.membership, schema.membership_history, schema.block):
        assert column(shop, table.c.record_id, table.c.record_id.in_(before)) == []
    waiting = column(shop, schema.record.c.key, schema.record.c.dirty)
    assert set(waiting) == {key(shop, one) for one in ALL} - {key(shop, name)}
    if kind == "account":
        assert done.destroyed.changed == (anna,)
        size = column(shop, schema.profile.c.size, schema.profile.c.id == anna)
        assert size == [2]
