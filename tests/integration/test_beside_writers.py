"""Resolving, adopting and deciding while others write, and while connections break.

`cdp/resolution/run.py` keeps what it found in memory: who is in its way costs it only what
it had stored. `cdp/storage/locks.py` says whether a right is held still.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.access.principals import subject_of
from cdp.errors import Retry, Stop
from cdp.ingest.sync import sync
from cdp.resolution import at_once, epochs, run, storing
from cdp.resolution.adopting import Adopter
from cdp.resolution.at_once import forget, repair_people
from cdp.resolution.deciding import Decided, Decider
from cdp.resolution.online import Arrivals
from cdp.resolution.run import ResolveReport, resolve
from cdp.storage import schema
from cdp.storage.locks import Hold, only_one
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from tests.integration.conftest import Learnt
from tests.integration.test_online import person, send
from tests.integration.test_repair import state
from tests.journeys import tills
from tests.journeys.databases import Databases
from tests.journeys.state import people
from tests.journeys.tills import write_app

pytestmark = pytest.mark.integration
ROWS = [person(n, account) for n in range(6) for account in range(2)]
COLLISION = sa.text("DO $$ BEGIN RAISE EXCEPTION USING ERRCODE = '40P01'; END $$")
FULL = pytest.mark.parametrize("full", [False, True], ids=["repair", "full"])


@pytest.fixture
def shop(
    learnt: Learnt, tmp_path: Path, databases: Databases, template: str
) -> Iterator[Workspace]:
    """Six people in twelve records, resolved under a signed epoch."""
    ring = learnt.workspace.settings.key_ring
    workspace = tills.open_shop(tmp_path / "shop", databases.copy(template), ring)
    now = workspace.now()
    with workspace.engine.begin() as connection:
        signature = epochs.Signature("headquarters", "a test", now)
        epochs.activate(connection, learnt.model, now, signature)
    deliver(workspace, ROWS)
    resolve(workspace)
    yield workspace
    workspace.engine.dispose()


def deliver(workspace: Workspace, rows: list[dict[str, str]]) -> None:
    write_app(workspace.settings.declaration.parent, rows)
    sync(workspace, "app")


def number(workspace: Workspace, row: dict[str, str]) -> int:
    key = RecordKeys(workspace.keyring).record_key("app", row["openid"])
    with workspace.engine.connect() as connection:
        one = sa.select(schema.record.c.id).where(schema.record.c.key == key)
        return int(connection.execute(one).scalar_one())


def home(workspace: Workspace, row: dict[str, str]) -> str:
    key = RecordKeys(workspace.keyring).record_key("app", row["openid"])
    return str(people(workspace)["members"][key.hex()])


def collide_once(monkeypatch: pytest.MonkeyPatch, module: Any) -> list[int]:
    """Let the database end the first who builds profiles, as it ends one of a circle."""
    real, calls = module.rebuild, []

    def colliding(connection: sa.Connection, *arguments: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            connection.execute(COLLISION)
        return real(connection, *arguments)

    monkeypatch.setattr(module, "rebuild", colliding)
    return calls


# ── in the way of one another ───────────────────────────────────────────────


@FULL
def test_a_resolve_that_collides_stores_again(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    """What was found is not lost with the transaction that was to store it."""
    calls = collide_once(monkeypatch, run)
    deliver(shop, [*ROWS, person(3, 9)])
    steps: list[str] = []
    report = resolve(shop, full=full, progress=steps.append)
    assert (report.records, report.profiles, report.updated) == (13, 6, 1)
    assert len(calls) == 2
    assert steps.count("opening features") == full
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


def test_an_epoch_is_adopted_and_logged_once(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stored again, the switch has one signature and one event."""
    collide_once(monkeypatch, run)
    deliver(shop, [*ROWS, person(3, 9)])
    with shop.engine.connect() as connection:
        model = replace(epochs.named(connection, epochs.ACTIVE), join_bits=4.0)
    adopter = Adopter(shop, subject_of(shop, "headquarters"), model, "a test")
    report = adopter.adopt(lambda _: None)
    assert isinstance(report, ResolveReport)
    assert report.epoch == epochs.id_of(model)
    assert events(shop, "identity.adopt") == 1


def events(workspace: Workspace, action: str) -> int:
    table = schema.audit_event
    counted = sa.select(sa.func.count()).where(table.c.action == action)
    with workspace.engine.connect() as connection:
        return connection.scalar(counted) or 0


def test_a_decision_that_collides_is_made_once(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is kept and logged once, and its two people are one."""
    collide_once(monkeypatch, at_once)
    one, other = home(shop, ROWS[0]), home(shop, ROWS[2])
    decider = Decider(shop, subject_of(shop, "headquarters"), repair_people)
    with shop.engine.begin() as connection:
        made = decider.merge(connection, one, other, "seen at the till")
    assert isinstance(made, Decided)
    assert len(made.outcome.merges) == 1
    assert home(shop, ROWS[0]) == home(shop, ROWS[2])
    assert events(shop, "identity.merge") == 2  # one about each of the two
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


def test_a_record_is_forgotten_although_it_collides(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is to go goes, and those who stay are as a full run would leave them."""
    collide_once(monkeypatch, at_once)
    gone = number(shop, ROWS[0])
    with shop.engine.begin() as connection:
        forget(connection, shop, [gone])
    with shop.engine.connect() as connection:
        ids = list(connection.scalars(sa.select(schema.record.c.id)))
    assert gone not in ids
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


def test_who_collides_each_time_is_told(shop: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    """It ends with the database's error, and nothing has changed."""
    before = state(shop)

    def colliding(connection: sa.Connection, *_: Any) -> None:
        connection.execute(COLLISION)

    monkeypatch.setattr(run, "rebuild", colliding)
    with pytest.raises(sa.exc.DBAPIError):
        resolve(shop, full=True)
    assert state(shop) == before


@FULL
def test_a_resolve_takes_people_in_the_order_of_a_sync(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch, *, full: bool
) -> None:
    """`storing`, invariant 6: it waits for the first profile and holds none behind it."""
    monkeypatch.setattr(storing, "FEW", 0)
    homes = {home(shop, row): row for row in ROWS[::2]}
    ordered = sorted(homes)
    # Two people become one; the id that stays is the first, the one that ends comes behind.
    older, younger = next(
        (homes[low], homes[high])
        for low, high in pairwise(ordered)
        if number(shop, homes[low]) < number(shop, homes[high])
    )
    low, high = home(shop, older), home(shop, younger)
    same = {name: text for name, text in older.items() if name != "openid"}
    moved = [{**row, **same} if row["unionid"] == younger["unionid"] else row for row in ROWS]
    deliver(shop, moved)
    profile = schema.profile.c.id
    take = sa.select(profile).with_for_update(key_share=True, nowait=True)
    with ThreadPoolExecutor(1) as pool:
        with shop.engine.begin() as writer:
            assert writer.scalar(take.where(profile == low)) == low
            resolved = pool.submit(resolve, shop, full=full)
            assert waits_for_a_row(shop)
            assert writer.scalar(take.where(profile == high)) == high
        report = resolved.result(timeout=60)
    assert (report.merged, report.profiles) == (1, 5)
    assert home(shop, younger) == low


def waits_for_a_row(workspace: Workspace) -> bool:
    """Whether somebody comes to wait for another transaction, within a few seconds."""
    waiting = sa.text(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' "
        "AND datname = current_database()"
    )
    end = monotonic() + 30
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        while monotonic() < end:
            if connection.scalar(waiting):
                return True
            sleep(0.02)
    return False


# ── what it was allowed to is over ──────────────────────────────────────────


def lose_locks(workspace: Workspace, which: str) -> None:
    """End the connections that hold a lock, as a restart or a router does."""
    ended = sa.text(
        "SELECT count(pg_terminate_backend(l.pid, 5000)) FROM pg_locks l "
        "JOIN pg_database d ON d.oid = l.database AND d.datname = current_database() "
        "WHERE l.locktype = 'advisory' AND l.objid = hashtext(:name)::bigint & 4294967295"
    )
    with workspace.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as other:
        assert other.scalar(ended, {"name": f"kith.{which}"}) == 1


def once_at(step: str, work: Callable[[], None]) -> Callable[[str], None]:
    """Do something when a run says that it begins a step."""
    left = [work]

    def told(begun: str) -> None:
        if begun == step and left:
            left.pop()()

    return told


@pytest.mark.parametrize("which", ["resolve", "repair"])
@pytest.mark.parametrize(
    ("full", "step"),
    [(True, "comparing pairs"), (True, "building profiles"), (False, "building profiles")],
)
def test_a_run_that_lost_its_locks_stores_nothing(
    shop: Workspace, which: str, step: str, *, full: bool
) -> None:
    """Others may have resolved meanwhile: what it found is old. Run again, it succeeds."""
    deliver(shop, [*ROWS, person(3, 9)])
    before = state(shop)
    with pytest.raises(Retry, match=f"{which}: lock_lost; next: nothing was stored"):
        resolve(shop, full=full, progress=once_at(step, lambda: lose_locks(shop, which)))
    assert state(shop) == before
    assert resolve(shop, full=full).records == 13


def test_what_others_resolved_meanwhile_stays(shop: Workspace) -> None:
    """A record that changed and was resolved beside a run that lost its locks is not undone."""
    arrivals = Arrivals(shop, "app")
    moved = {**person(5), "openid": ROWS[9]["openid"]}

    def meanwhile() -> None:
        lose_locks(shop, "repair")
        assert send(arrivals, moved).resolved

    with pytest.raises(Retry, match="lock_lost"):
        resolve(shop, full=True, progress=once_at("comparing pairs", meanwhile))
    assert home(shop, moved) == home(shop, ROWS[10])
    after = state(shop)
    resolve(shop, full=True)
    assert state(shop) == after


def test_a_record_that_came_meanwhile_is_not_called_keyless(
    shop: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To forget a record that is whole would be wrong advice; whose key is gone is named."""
    monkeypatch.setattr(Hold, "require", lambda *_: None)
    arrivals = Arrivals(shop, "app")

    def meanwhile() -> None:
        lose_locks(shop, "repair")
        assert send(arrivals, person(3, 9)).resolved

    with pytest.raises(Retry, match=r"resolved while everybody was; next: .* run it again"):
        resolve(shop, full=True, progress=once_at("comparing pairs", meanwhile))
    with shop.engine.begin() as connection:
        key = schema.data_key
        connection.execute(sa.delete(key).where(key.c.record_id == number(shop, ROWS[0])))
    with pytest.raises(Stop, match="cdp vault shred"):
        resolve(shop, full=True)


def test_a_record_that_went_meanwhile_leaves_no_evidence(shop: Workspace) -> None:
    """An erasure waits for no resolve: nothing of the record is stored after it."""
    deliver(shop, [*ROWS, person(3, 9)])
    record = number(shop, person(3, 9))

    def meanwhile() -> None:
        with shop.engine.begin() as connection:
            connection.execute(sa.delete(schema.record).where(schema.record.c.id == record))

    before = state(shop)
    with pytest.raises(Retry, match=r"records were destroyed .* run it again"):
        resolve(shop, full=True, progress=once_at("comparing pairs", meanwhile))
    after = state(shop)
    assert {**after, "dirty": []} == {**before, "dirty": []}
    resolve(shop, full=True)
    with shop.engine.connect() as connection:
        block = schema.block.c.record_id
        assert connection.scalar(sa.select(sa.func.count()).where(block == record)) == 0


def test_who_destroys_waits_until_a_run_has_stored(shop: Workspace) -> None:
    """What a run stores of a record is there before the record goes, and goes with it."""
    deliver(shop, [*ROWS, person(3, 9)])
    record = number(shop, person(3, 9))
    going = sa.select(schema.record.c.id).where(schema.record.c.id == record)

    def refused() -> None:
        with shop.engine.begin() as connection, pytest.raises(sa.exc.OperationalError):
            connection.execute(going.with_for_update(nowait=True))

    resolve(shop, full=True, progress=once_at("building profiles", refused))
    with shop.engine.begin() as connection:
        assert connection.scalar(going.with_for_update(nowait=True)) == record


def test_a_lock_ends_with_its_connection(shop: Workspace) -> None:
    """What was done under it raises no error of its own when it lets go."""
    with only_one(shop.engine, "sync app", "wait") as hold:
        with shop.engine.connect() as connection:
            hold.require(connection)
        lose_locks(shop, "sync app")
        with shop.engine.connect() as connection, pytest.raises(Retry, match="lock_lost"):
            hold.require(connection)
    with only_one(shop.engine, "sync app", "wait") as hold, shop.engine.connect() as connection:
        hold.require(connection)
        with pytest.raises(Retry, match="lock_lost"):
            replace(hold, process=(hold.process[0], "another start")).require(connection)
