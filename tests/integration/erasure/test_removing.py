"""A source is removed with all that it brought, and those who stay are as without it."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from typer.testing import CliRunner, Result

from cdp.access.answers import Denial
from cdp.access.principals import subject_of
from cdp.cli import session
from cdp.cli.app import app
from cdp.erasure import removing
from cdp.erasure.removal_plan import Plan, apart
from cdp.erasure.removing import EVENT, LOOK, Removed, Remover
from cdp.errors import Refused, Stop
from cdp.ingest.intake import Intake
from cdp.ingest.reports import quiet
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.erasure.household import (
    ACCOUNT,
    ACCOUNT_NAME,
    ALL,
    BELLA_NAME,
    CARD,
    CARD_NAME,
    SECOND_NAME,
    WHY,
    as_text,
    count,
    declared,
    freeze,
    home_of,
    key,
    replayed,
    shred,
    stored_keys,
)
from tests.integration.erasure.test_rejected_rows import folder_of
from tests.integration.feeds.deliveries import FEEDS, bad, deliver, row
from tests.journeys import tills
from tests.journeys.state import people, rows_as_stored
from tests.journeys.tills import APP, HEADER, TILL, write_till

pytestmark = pytest.mark.integration

BARRED = {"source_removal", "shred", "audit_event"}  # say that it was there, and by whom it went


def remover(workspace: Workspace, source: str, who: str = "officer") -> Remover:
    return Remover(workspace, subject_of(workspace, who), source)


def erase(workspace: Workspace, source: str) -> Removed:
    done = remover(workspace, source).erase(WHY, quiet)
    assert isinstance(done, Removed)
    return done


def look(workspace: Workspace, source: str) -> Plan:
    plan = remover(workspace, source).look(WHY)
    assert isinstance(plan, Plan)
    return plan


def events(workspace: Workspace, action: str) -> list[dict[str, Any]]:
    chosen = sa.select(schema.audit_event.c.line).where(schema.audit_event.c.action == action)
    with workspace.engine.connect() as connection:
        lines = connection.scalars(chosen.order_by(schema.audit_event.c.id))
        return [json.loads(one) for one in lines]


def with_feed(workspace: Workspace) -> None:
    """A third source, which is a feed: its states and orders go too."""
    sources = {"till": TILL, "app": APP, "shop": FEEDS["shop"]}
    tills.write_declaration(folder_of(workspace), declared(sources=sources))
    workspace.__dict__.pop("declaration", None)


def test_nothing_of_the_source_is_left(shop: Workspace) -> None:
    """No row of any table names the source, a record of it, its key or its index (invariant 1)."""
    stray = [*(CARD[column] for column in HEADER), "stray"]
    write_till(folder_of(shop), [CARD, {**CARD, "card": "C900002", "phone": "12"}, stray])
    sync(shop, "till")
    resolve(shop)
    with shop.engine.connect() as connection:
        of = schema.record.c.source == "till"
        numbers = set(connection.scalars(sa.select(schema.record.c.id).where(of)))
        chosen = sa.select(schema.blind_index.c.value, schema.blind_index.c.field)
        indexes = {
            bytes(one.value).hex()
            for one in connection.execute(chosen.where(schema.blind_index.c.record_id.in_(numbers)))
            if one.field in {"loyalty_card", "national_id", "email"}
        }
    assert len(numbers) == 2
    assert indexes
    before = home_of(shop, CARD_NAME)
    done = erase(shop, "till")
    assert (done.records, done.repaired) == (2, True)
    assert done.rows["reject"] >= 1
    assert done.rows["sync_run"] >= 2
    with shop.engine.connect() as connection:
        for table in schema.metadata.sorted_tables:
            if "source" in table.c and table.name not in BARRED:
                named = sa.select(sa.func.count()).where(table.c.source == "till")
                assert connection.scalar(named) == 0, table.name
            for column in {"record_id", "low_id", "high_id", "anchor_id"} & set(table.c.keys()):
                found = sa.select(sa.func.count()).where(table.c[column].in_(numbers))
                assert connection.scalar(found) == 0, table.name
    text = as_text(shop, without=BARRED)
    assert before is not None
    assert before not in text
    assert key(shop, CARD_NAME).hex() not in text
    assert not [one for one in indexes if one in text]
    assert "4711.07" not in text


def test_states_and_orders_of_a_feed_go_too(shop: Workspace) -> None:
    """Where a feed stands, how new its rows were and what it rejected is gone (1)."""
    with_feed(shop)
    deliver(shop, [row("C1", order=5), row("C2", order=6), bad("no record")])
    assert count(shop, schema.source_state) == 1
    assert count(shop, schema.source_order) == 2
    plan = look(shop, "shop")
    assert (plan.records, plan.waiting) == (2, 2)
    assert (plan.rows["source_state"], plan.rows["source_order"]) == (1, 2)
    done = erase(shop, "shop")
    assert done.rows["source_state"] == 1
    assert done.rows["source_order"] == 2
    assert count(shop, schema.source_state) == count(shop, schema.source_order) == 0
    with pytest.raises(Refused, match="source_removed"):
        deliver(shop, [row("C3")])


def test_those_who_stay_are_as_if_it_had_never_been_there(shop: Workspace) -> None:
    """Anna keeps what her accounts say; what her card said is gone (2)."""
    bella = home_of(shop, BELLA_NAME)
    erase(shop, "till")
    home = home_of(shop, ACCOUNT_NAME)
    assert home == home_of(shop, SECOND_NAME)
    assert home_of(shop, BELLA_NAME) == bella
    assert home_of(shop, CARD_NAME) is None
    with shop.engine.connect() as connection:
        one = connection.execute(sa.select(schema.profile).where(schema.profile.c.id == home)).one()
    assert (one.size, one.stores, one.attributes) == (2, [], {})
    before = people(shop)["members"]
    resolve(shop, full=True)
    assert people(shop)["members"] == before


def test_who_was_known_by_it_alone_is_gone(shop: Workspace) -> None:
    """Bella ends with her only source, and Anna is one record (2)."""
    freeze(shop, BELLA_NAME)
    plan = look(shop, "app")
    assert (plan.records, plan.people, plan.known_only_by_it, plan.frozen) == (3, 2, 1, 1)
    assert (plan.losing_fields, plan.may_split) == (1, 0)
    done = erase(shop, "app")
    assert (done.records, done.ended) == (3, 1)
    assert stored_keys(shop) == {key(shop, CARD_NAME)}
    assert count(shop, schema.profile) == 1


def test_a_look_says_who_would_be_renamed_and_who_may_fall_apart(shop: Workspace) -> None:
    """Anna's card came first; her accounts hang together without it."""
    plan = look(shop, "till")
    assert (plan.records, plan.people, plan.known_only_by_it) == (1, 1, 0)
    assert (plan.losing_fields, plan.renamed, plan.may_split) == (1, 1, 0)
    with shop.engine.begin() as connection:
        connection.execute(sa.delete(schema.edge).where(~involves(shop, CARD_NAME)))
    assert look(shop, "till").may_split == 1


def involves(workspace: Workspace, name: str) -> sa.ColumnElement[bool]:
    mine = sa.select(schema.record.c.id).where(schema.record.c.key == key(workspace, name))
    return schema.edge.c.low_id.in_(mine) | schema.edge.c.high_id.in_(mine)


def test_groups_are_counted_by_what_joins_them() -> None:
    """Records fall into as many groups as edges leave."""
    assert apart([], []) == 0
    assert apart([1, 2, 3], []) == 3
    assert apart([1, 2, 3, 4], [(1, 2), (3, 4), (2, 9)]) == 2
    assert apart([1, 2, 3], [(1, 3), (2, 3)]) == 1


def test_a_look_changes_nothing_and_is_logged(shop: Workspace) -> None:
    """A rehearsal leaves every row as it is, but the event of it (5)."""
    before = rows_as_stored(shop.engine)
    look(shop, "till")
    after = rows_as_stored(shop.engine)
    del before["kith.audit_event"], after["kith.audit_event"]
    assert after == before
    [one] = events(shop, LOOK)
    assert (one["actor"], one["decision"]) == ("officer", "allow")


def test_only_who_may_erase_anybody_removes(shop: Workspace) -> None:
    """Others are refused, and a reason with a number of a person too; both are kept (3)."""
    for who in ("headquarters", "manager"):
        assert isinstance(remover(shop, "till", who).look(WHY), Denial)
        assert isinstance(remover(shop, "till", who).erase(WHY, quiet), Denial)
    assert isinstance(remover(shop, "till").erase("asked by 13957140286", quiet), Denial)
    assert len(stored_keys(shop)) == 4
    assert [one["decision"] for one in events(shop, EVENT)] == ["deny"] * 3
    assert count(shop, schema.source_removal) == 0


def test_ledger_and_log_say_who_when_and_why(shop: Workspace) -> None:
    """Each record has a line of the ledger, each person an event (3)."""
    homes = {home_of(shop, name) for name in (ACCOUNT_NAME, BELLA_NAME)}
    erase(shop, "app")
    with shop.engine.connect() as connection:
        lines = connection.execute(sa.select(schema.shred)).all()
        [noted] = connection.execute(sa.select(schema.source_removal)).all()
    assert {bytes(one.key) for one in lines} == {key(shop, name) for name in (*ALL[1:], BELLA_NAME)}
    assert {(one.actor, one.reason) for one in lines} == {("officer", WHY)}
    assert (noted.source, noted.actor, noted.reason) == ("app", "officer", WHY)
    assert noted.ended_at > noted.started_at
    logged = events(shop, EVENT)
    assert {one["profile_id"] for one in logged if one["profile_id"]} == homes
    replayed(shop)  # file and database tell the same
    assert stored_keys(shop) == {key(shop, CARD_NAME)}


class PulledPlugError(Exception):
    """Stands for a process that ends in the middle."""


def test_killed_it_goes_on_and_nothing_comes_in_meanwhile(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a kill the source stands as being removed; the same command ends it (4)."""
    monkeypatch.setattr(removing, "BATCH", 1)
    reached: list[int] = []

    def pull(done: int, expected: int | None) -> None:
        reached.append(done)
        assert expected == 3
        if done == 2:
            raise PulledPlugError

    with pytest.raises(PulledPlugError):
        remover(shop, "app").erase(WHY, pull)
    assert reached == [0, 1, 2]
    assert len(stored_keys(shop)) == 2
    assert look(shop, "app").begun
    for work in (lambda: sync(shop, "app"), lambda: push(shop)):
        with pytest.raises(Refused, match="source_being_removed"):
            work()
    sync(shop, "till")  # others are not in its way
    assert erase(shop, "app").records == 1
    assert stored_keys(shop) == {key(shop, CARD_NAME)}
    for work in (lambda: sync(shop, "app"), lambda: push(shop)):
        with pytest.raises(Refused, match="source_removed"):
            work()
    assert erase(shop, "app").records == 0


def push(workspace: Workspace, connection: sa.Connection | None = None) -> None:
    """Take in one record of the app, as it is sent."""
    intake = Intake(workspace, "app")
    records, _ = intake.read([json.dumps({**ACCOUNT, "openid": "oAnnaMarked09"})])
    if connection is not None:
        intake.store(connection, records, workspace.now(), waiting=True)
        return
    with workspace.engine.begin() as opened:
        intake.store(opened, records, workspace.now(), waiting=True)


def test_a_record_that_was_on_its_way_goes_too(shop: Workspace) -> None:
    """What is stored by a transaction that began before is waited for, and destroyed (1, 4)."""
    with ThreadPoolExecutor(1) as pool, shop.engine.connect() as writer:
        push(shop, writer)
        work = pool.submit(erase, shop, "app")
        wait_for_table(shop)
        writer.commit()
        assert work.result(60).records == 4
    assert stored_keys(shop) == {key(shop, CARD_NAME)}


def wait_for_table(workspace: Workspace) -> None:
    waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'relation'")
    for _ in range(3000):
        with workspace.engine.connect() as connection:
            if connection.scalar(waits):
                return
            connection.execute(sa.text("SELECT pg_sleep(0.01)"))
    raise AssertionError("nobody waits")


def test_who_writes_for_long_is_not_waited_for_for_ever(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody who holds the table ends the command with the next step, and it can go on (4)."""
    monkeypatch.setattr(removing, "PATIENCE", 0.2)
    with shop.engine.connect() as writer:
        push(shop, writer)
        with pytest.raises(Refused, match="others_are_writing"):
            erase(shop, "app")
        writer.rollback()
    assert erase(shop, "app").records == 0
    assert stored_keys(shop) == {key(shop, CARD_NAME)}


def test_two_at_once_and_a_sync_beside_it_are_refused(shop: Workspace) -> None:
    """While a sync of the source runs, it is not removed."""
    alone = removing.only_one(shop.engine, "sync app", "wait")
    with alone, pytest.raises(Refused, match="already_running"):
        erase(shop, "app")
    assert count(shop, schema.source_removal) == 0


def test_others_who_destroy_in_between_are_noticed(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line that somebody else wrote into the ledger is taken into account (3)."""
    monkeypatch.setattr(removing, "BATCH", 1)

    def shreds(done: int, _expected: int | None) -> None:
        if done == 1:
            shred(shop, CARD_NAME)

    done = remover(shop, "app").erase(WHY, shreds)
    assert isinstance(done, Removed)
    assert (done.records, count(shop, schema.shred)) == (3, 4)
    replayed(shop)


def test_a_source_that_was_never_there_is_refused(shop: Workspace) -> None:
    """A name that is neither declared nor stored is a mistake."""
    with pytest.raises(Stop, match="no_such_source"):
        look(shop, "tilll")
    with pytest.raises(Stop, match="no_such_source"):
        erase(shop, "tilll")


# ── the command ─────────────────────────────────────────────────────────────

Run = Callable[..., Result]


@pytest.fixture
def run(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run ``cdp source remove`` on the shop."""
    monkeypatch.setattr(session, "settings", lambda: shop.settings)

    def invoke(*words: str, code: int = 0, keys: str = "") -> Result:
        arguments = ["source", "remove", *words, "--as", "officer", "--reason", WHY]
        done = CliRunner().invoke(app, arguments, input=keys)
        assert done.exit_code == code, done.output
        return done

    return invoke


def test_the_command_shows_first_and_erases_when_told(run: Run, shop: Workspace) -> None:
    """Without --erase it only says what would go; with it, it asks once more."""
    assert "people known only by it: gone" in " ".join(run("app").stdout.split())
    told = json.loads(run("app", "--json").stdout)
    assert (told["dry_run"], told["records"], told["known_only_by_it"]) == (True, 3, 1)
    run("app", "--erase", code=1, keys="n\n")
    assert len(stored_keys(shop)) == 4
    done = json.loads(run("app", "--erase", "--yes", "--json").stdout)
    assert (done["records"], done["ended"], done["resolved"]) == (3, 1, True)
    assert stored_keys(shop) == {key(shop, CARD_NAME)}


def test_a_source_that_was_taken_out_of_the_declaration_can_go(run: Run, shop: Workspace) -> None:
    """What a source brought goes, although cdp.yaml does not name it any more."""
    tills.write_declaration(folder_of(shop), declared(sources={"till": TILL}))
    shown = run("app", "--erase", "--yes").stdout
    assert "records destroyed" in shown
    assert stored_keys(shop) == {key(shop, CARD_NAME)}
