"""Resolving on a real database: who is one person, under which id, and what is written."""

import datetime as dt
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import sqlalchemy as sa

from cdp.demo.world import write_world
from cdp.errors import Refused, Stop
from cdp.ingest.sync import sync
from cdp.profiles.build import rebuild
from cdp.resolution import epochs
from cdp.resolution.run import ResolveReport, resolve
from cdp.storage import schema
from cdp.storage.locks import only_one
from cdp.vault.keyed import RecordKeys
from cdp.workspace import Workspace
from identity.model import Model
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases
from tests.journeys.state import people, rows_as_stored
from tests.journeys.tills import write_app

pytestmark = pytest.mark.integration
Opener = Callable[[], Workspace]
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Town:
    """A small made-up world, synced and resolved once for all tests of this file."""

    workspace: Workspace
    unresolved: str  # address of a copy that was synced and never resolved
    report: ResolveReport
    model: Model


@pytest.fixture(scope="module")
def town(
    tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str
) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=240, seed=7)
    workspace = tills.open_shop(folder, databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    workspace.engine.dispose()  # a database can be copied only while nobody uses it
    unresolved = databases.copy_of(str(workspace.settings.database_url))
    report = resolve(workspace)
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
    assert active is not None
    yield Town(workspace, unresolved, report, active[1])
    workspace.engine.dispose()


@pytest.fixture
def shop(town: Town, tmp_path: Path, databases: Databases, template: str) -> Iterator[Opener]:
    """Opens empty workspaces under the town's key ring, with the town's epoch active."""
    opened: list[Workspace] = []

    def open_one() -> Workspace:
        ring = town.workspace.settings.key_ring
        opened.append(
            tills.open_shop(tmp_path / f"shop{len(opened)}", databases.copy(template), ring)
        )
        with opened[-1].engine.begin() as connection:
            epochs.activate(connection, town.model, opened[-1].now())
        return opened[-1]

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()


# ── a few people of one name, joined by their accounts ──────────────────────

ANNA = {"openid": "oAnna0001", "name": "林晓梅", "phones": "13957140286", "unionid": "uOne00001"}
BELLA = {"openid": "oBella001", "phones": "13957140397", "unionid": "uTwo00002"}
CARLA = {"openid": "oCarla001", "phones": "13957140508", "unionid": "uThree003"}


def like(row: dict[str, str], other: dict[str, str]) -> dict[str, str]:
    """``row``, but of the same person as ``other``."""
    return {**row, **{name: text for name, text in other.items() if name != "openid"}}


def settle(workspace: Workspace, *rows: dict[str, str]) -> ResolveReport:
    """Deliver exactly these rows, sync and resolve."""
    write_app(workspace.settings.declaration.parent, rows)
    sync(workspace, "app")
    return resolve(workspace)


def own_id(workspace: Workspace, row: dict[str, str]) -> str:
    """The id of the profile that this record is the anchor of."""
    keys = RecordKeys(workspace.keyring)
    return keys.profile_id(keys.record_key("app", row["openid"]))


def homes(workspace: Workspace, *rows: dict[str, str]) -> list[str]:
    """The profile of each row's record."""
    keys = RecordKeys(workspace.keyring)
    members = people(workspace)["members"]
    return [members[keys.record_key("app", row["openid"]).hex()] for row in rows]


def test_a_profile_id_follows_the_oldest_record(shop: Opener) -> None:
    """A profile id is computed from its anchor's key (cdp.resolution.storing, invariant 1)."""
    workspace = shop()
    settle(workspace, ANNA, like(BELLA, ANNA), CARLA)
    anna, carla = own_id(workspace, ANNA), own_id(workspace, CARLA)
    assert homes(workspace, ANNA, BELLA, CARLA) == [anna, anna, carla]
    assert people(workspace)["events"] == [("created", anna, None), ("created", carla, None)]


def test_a_bridge_merges_and_its_end_splits(shop: Opener) -> None:
    """A merge keeps the older id; a split gives the other its own back (invariant 2)."""
    workspace = shop()
    alone = (ANNA, BELLA, like(CARLA, ANNA))
    settle(workspace, *alone)
    anna, bella = own_id(workspace, ANNA), own_id(workspace, BELLA)
    assert homes(workspace, *alone) == [anna, bella, anna]

    bridge = {**CARLA, "name": ANNA["name"], "phones": ANNA["phones"], "unionid": BELLA["unionid"]}
    merged = settle(workspace, ANNA, BELLA, bridge)
    state = people(workspace)
    assert homes(workspace, *alone) == [anna, anna, anna]
    assert state["redirects"] == {bella: anna}
    assert state["events"][2:] == [("merged", anna, bella)]
    assert (merged.merged, merged.split, merged.created) == (1, 0, 0)

    split = settle(workspace, *alone)
    state = people(workspace)
    assert homes(workspace, *alone) == [anna, bella, anna]
    assert state["redirects"] == {}
    assert state["events"][3:] == [("split", bella, anna)]
    assert (split.merged, split.split, split.created) == (0, 1, 0)
    assert {name: row[1] for name, row in state["profiles"].items()} == {anna: 2, bella: 1}


def test_an_id_that_merged_twice_leads_to_where_its_record_is(shop: Opener) -> None:
    """A redirect leads to the profile that holds the old id's own record, after a split too."""
    workspace = shop()
    settle(workspace, ANNA, BELLA, CARLA)
    anna, bella, carla = (own_id(workspace, one) for one in (ANNA, BELLA, CARLA))
    settle(workspace, ANNA, BELLA, like(CARLA, BELLA))
    assert people(workspace)["redirects"] == {carla: bella}
    settle(workspace, like(ANNA, BELLA), BELLA, like(CARLA, BELLA))
    assert people(workspace)["redirects"] == {carla: anna, bella: anna}
    settle(workspace, ANNA, BELLA, like(CARLA, BELLA))
    assert homes(workspace, ANNA, BELLA, CARLA) == [anna, bella, bella]
    assert people(workspace)["redirects"] == {carla: bella}


def test_a_revived_id_takes_in_another_in_the_same_run(shop: Opener) -> None:
    """Where one run splits a profile and merges a third into it, every id leads home."""
    workspace = shop()
    settle(workspace, ANNA, BELLA, CARLA)
    settle(workspace, ANNA, like(BELLA, ANNA), CARLA)
    anna, bella, carla = (own_id(workspace, one) for one in (ANNA, BELLA, CARLA))
    assert people(workspace)["redirects"] == {bella: anna}
    settle(workspace, ANNA, like(BELLA, CARLA), CARLA)
    assert homes(workspace, ANNA, BELLA, CARLA) == [anna, bella, bella]
    assert people(workspace)["redirects"] == {carla: bella}
    assert people(workspace)["events"][-2:] == [("split", bella, anna), ("merged", bella, carla)]


def test_a_changed_record_that_stays_updates_its_profile_only(shop: Opener) -> None:
    """A change inside a person makes no event and leaves the others' rows alone."""
    workspace = shop()
    settle(workspace, ANNA, BELLA)
    report = settle(workspace, {**ANNA, "name": "林小梅"}, BELLA)
    assert (report.created, report.merged, report.split) == (0, 0, 0)
    assert len(people(workspace)["events"]) == 2


def test_nothing_to_resolve_says_what_to_do(shop: Opener) -> None:
    """Resolving before the first sync is refused with the next step."""
    workspace = shop()
    with workspace.engine.begin() as connection:
        connection.execute(sa.delete(schema.epoch))
    with pytest.raises(Stop, match="cdp source sync"):
        resolve(workspace)


# ── the town ────────────────────────────────────────────────────────────────

RESOLVED = ("kith.profile", "kith.membership", "kith.edge", "kith.record", "kith.profile_event",
            "kith.redirect", "kith.epoch")  # fmt: skip


def test_resolving_again_writes_nothing(town: Town) -> None:
    """A second run over the same records leaves every row as it was (invariant 3)."""
    before = rows_as_stored(town.workspace.engine)
    report = resolve(town.workspace)
    after = rows_as_stored(town.workspace.engine)
    assert report.nothing_new
    assert not report.trained
    for table in RESOLVED[:-1]:
        assert before[table] == after[table], table
    assert len(after["kith.epoch"]) == 1


def test_a_rebuild_from_scratch_gives_everybody_the_same_id(
    town: Town, tmp_path: Path, databases: Databases, template: str
) -> None:
    """A new database under the same key ring ends with the same ids (invariant 1)."""
    settings = town.workspace.settings
    home = tmp_path / "home"
    rebuilt_settings = replace(settings, home=home, database_url=databases.copy(template))
    home.mkdir(mode=0o700)
    (home / "keyring.json").write_bytes(settings.key_ring.read_bytes())
    (home / "keyring.json").chmod(0o600)
    rebuilt = tills.create(rebuilt_settings)
    for name in rebuilt.declaration.sources:
        sync(rebuilt, name)
    resolve(rebuilt)
    once, again = people(town.workspace), people(rebuilt)
    rebuilt.engine.dispose()
    assert again["members"] == once["members"]
    assert again["profiles"] == once["profiles"]
    assert len(set(once["members"].values())) == town.report.profiles


def test_every_resolved_record_is_clean_and_has_a_profile(town: Town) -> None:
    """After a run no record is left to look at, and profiles count their members."""
    record, member, profile = schema.record, schema.membership, schema.profile
    with town.workspace.engine.connect() as connection:
        dirty = connection.scalar(
            sa.select(sa.func.count()).select_from(record).where(record.c.dirty)
        )
        lost = connection.scalar(
            sa.select(sa.func.count())
            .select_from(record.outerjoin(member, member.c.record_id == record.c.id))
            .where(member.c.record_id.is_(None))
        )
        sizes = connection.execute(
            sa.select(profile.c.size, sa.func.count(), sa.func.min(member.c.record_id))
            .join(member, member.c.profile_id == profile.c.id)
            .group_by(profile.c.id)
            .add_columns(profile.c.anchor_id)
        ).all()
    assert (dirty, lost) == (0, 0)
    assert all(size == count and first == anchor for size, count, first, anchor in sizes)


def test_a_new_profile_is_written_once(town: Town) -> None:
    """A first run stores it with what a rebuild says of it, and says how many it stored."""
    engine = town.workspace.engine
    with engine.begin() as connection:
        everybody = list(connection.scalars(sa.select(schema.profile.c.id)))
        revisions = set(connection.scalars(sa.select(schema.profile.c.revision)))
        assert rebuild(connection, town.workspace.declaration.trust, everybody, NOW) == 0
    assert revisions == {1}
    assert town.report.updated == town.report.created == len(everybody)
    assert _written(engine, "profile") == (len(everybody), 0, 0)


def test_a_resolved_record_stays_in_its_page(town: Town) -> None:
    """Migration 0026: that it waits no longer touches no index."""
    inserted, updated, in_place = _written(town.workspace.engine, "record")
    assert inserted == updated == town.report.records
    assert in_place > 0.9 * updated


def _written(engine: sa.Engine, table: str) -> tuple[int, int, int]:
    """Rows inserted, updated, and updated without a new entry in any index, ever."""
    counted = sa.text(
        "SELECT pg_stat_get_tuples_inserted(t), pg_stat_get_tuples_updated(t), "
        "pg_stat_get_tuples_hot_updated(t) FROM CAST(:name AS regclass) AS t"
    )
    engine.dispose()  # a session tells its last figures when it ends
    deadline = time.monotonic() + 20
    while True:
        with engine.connect() as connection:
            held = connection.scalar(sa.text(f"SELECT count(*) FROM kith.{table}"))
            inserted, updated, in_place = connection.execute(
                counted, {"name": f"kith.{table}"}
            ).one()
        if inserted >= (held or 0) or time.monotonic() > deadline:
            return inserted, updated, in_place
        time.sleep(0.1)


def test_two_resolves_never_run_at_once(town: Town) -> None:
    """A second resolve is refused with the next step, and exits 1."""
    workspace = town.workspace
    shell = Shell(workspace.settings.declaration.parent, workspace.settings.database_url,
                  workspace.settings.home)  # fmt: skip
    with only_one(workspace.engine, "resolve", "wait"):
        with pytest.raises(Refused):
            resolve(workspace)
        outcome = shell.run("identity", "resolve", code=1)
    assert "resolve: already_running; next: wait until it has ended" in outcome.err
    assert outcome.out == ""


# ── kill -9 ─────────────────────────────────────────────────────────────────


def test_killed_at_any_moment_it_ends_as_if_it_had_run_through(town: Town, tmp_path: Path) -> None:
    """`kill -9` in the middle of a resolve, then the same command: the same people."""
    settings = town.workspace.settings
    shell = Shell(settings.declaration.parent, town.unresolved, settings.home)
    engine = sa.create_engine(town.unresolved)
    for moment in (learning(0.2), learning(1.5), storing):
        with engine.connect() as holding:
            # It waits where people are stored, so that it cannot be done before the kill.
            holding.execute(sa.text("LOCK TABLE kith.profile_event IN SHARE MODE"))
            process = shell.start("identity", "resolve")
            with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
                while not moment(connection):
                    assert process.poll() is None, "it ended before it could be killed"
                    time.sleep(0.003)
            process.send_signal(signal.SIGKILL)
            process.communicate()
        assert process.returncode == -signal.SIGKILL
        assert nothing_stored(engine)
    report = shell.run("identity", "resolve", "--json").json
    assert report == town.report.to_dict()
    workspace = replace(town.workspace, engine=engine)
    assert people(workspace) == people(town.workspace)
    engine.dispose()


Moment = Callable[[sa.Connection], bool]


def learning(seconds: float) -> Moment:
    """So long after the run took its lock."""
    begun: list[float] = []
    held = sa.text(
        "SELECT count(*) FROM pg_locks l JOIN pg_database d ON d.oid = l.database "
        "WHERE locktype = 'advisory' AND d.datname = current_database()"
    )

    def reached(connection: sa.Connection) -> bool:
        if not begun and connection.scalar(held):
            begun.append(time.monotonic())
        return bool(begun) and time.monotonic() - begun[0] >= seconds

    return reached


def storing(connection: sa.Connection) -> bool:
    """While the one transaction that stores people has written and not yet committed."""
    return bool(
        connection.scalar(
            sa.text(
                "SELECT count(*) FROM pg_locks WHERE mode = 'RowExclusiveLock' AND NOT granted "
                "AND relation = 'kith.profile_event'::regclass"
            )
        )
    )


def nothing_stored(engine: sa.Engine) -> bool:
    """Nothing is seen half done (cdp.resolution.storing, invariant 4)."""
    with engine.connect() as connection:
        return not any(
            connection.scalar(sa.text(f"SELECT count(*) FROM {table}"))
            for table in RESOLVED
            if table != "kith.record"
        )
