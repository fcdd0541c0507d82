"""Resolving a few records among many; invariants of `cdp/resolution/repair.py`."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from cdp.demo.world import write_world
from cdp.errors import Stop
from cdp.ingest.sync import sync
from cdp.resolution import at_once, block_rows, blocks, epochs, numbers, pairing, readiness, repair
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.storage.engine import open_engine
from cdp.vault.keyed import BlockKeyer
from cdp.workspace import Workspace
from identity import blocking, candidates, clusters, components, identifiers, scorer, sharing
from identity.model import Model
from identity.sharing import PhoneUse
from tests.journeys import tills
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
Opener = Callable[[], Workspace]
EMPTY = np.zeros(0, np.int64)


@dataclass(frozen=True)
class Town:
    """A small made-up world, synced and not resolved, and an epoch learnt from it."""

    workspace: Workspace
    model: Model
    records: list[int]


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory, databases: Databases, template: str) -> Town:
    folder = tmp_path_factory.mktemp("town")
    write_world(folder, people=120, seed=11)
    workspace = tills.open_shop(folder, databases.copy(template))
    for name in workspace.declaration.sources:
        sync(workspace, name)
    workspace.engine.dispose()
    unresolved = databases.copy_of(str(workspace.settings.database_url))
    resolve(workspace)
    with workspace.engine.connect() as connection:
        active = epochs.active(connection)
        records = list(connection.scalars(sa.select(schema.record.c.id).order_by("id")))
    workspace.engine.dispose()
    assert active is not None
    settings = replace(workspace.settings, database_url=unresolved)
    return Town(replace(workspace, settings=settings), active[1], records)


@pytest.fixture
def another(town: Town, databases: Databases) -> Iterator[Opener]:
    """Opens copies of the unresolved town with the epoch active and nobody resolved yet."""
    opened: list[Workspace] = []

    def open_one() -> Workspace:
        url = databases.copy_of(str(town.workspace.settings.database_url))
        engine = open_engine(url, town.workspace.settings.database_folder)
        workspace = replace(town.workspace, engine=engine)
        opened.append(workspace)
        with engine.begin() as connection:
            epochs.activate(connection, town.model, workspace.now())
            nothing = blocks.Blocked(EMPTY, EMPTY, EMPTY)
            made = blocks.made_with(town.model.most_people)
            keyer = BlockKeyer(workspace.keyring)
            block_rows.store_all(connection, keyer, nothing, PhoneUse(EMPTY, EMPTY), made)
        return workspace

    yield open_one
    for workspace in opened:
        workspace.engine.dispose()


@pytest.fixture(params=["usual limits", "small limits"])
def limits(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every law holds where limits are crossed all the time, too."""
    if request.param == "small limits":
        for module in (blocking, candidates, repair, pairing, blocks):
            monkeypatch.setattr(module, "MOST", 4)
        for module in (sharing, numbers, repair):
            monkeypatch.setattr(module, "MOST_HOLDERS", 5)
        for module in (clusters, components, repair):
            monkeypatch.setattr(module, "LARGEST", 4)
        usual = identifiers.most_people
        monkeypatch.setattr(
            identifiers, "most_people", lambda name: 1 if name == "email" else usual(name)
        )
    return str(request.param)


TABLES = {
    "membership": "SELECT record_id, profile_id FROM kith.membership",
    "profile": "SELECT id, anchor_id, size, stores, golden::text, attributes::text, purposes "
    "FROM kith.profile",
    "edge": "SELECT low_id, high_id, weight, levels, weights, epoch, direct FROM kith.edge",
    "block": "SELECT key, record_id FROM kith.block",
    "record_block": "SELECT record_id, keys, rules FROM kith.record_block",
    "shared_number": "SELECT key, people FROM kith.shared_number",
    "dirty": "SELECT id FROM kith.record WHERE dirty",
}


def state(workspace: Workspace) -> dict[str, list[Any]]:
    """What identity stores, as sorted rows."""
    with workspace.engine.connect() as connection:
        return {
            name: sorted(map(repr, connection.execute(sa.text(query))))
            for name, query in TABLES.items()
        }


def assert_same(one: Workspace, other: Workspace) -> None:
    here, there = state(one), state(other)
    for name in TABLES:
        assert here[name] == there[name], name


def arrive(workspace: Workspace, records: Sequence[int]) -> None:
    """Resolve records that are stored and not resolved yet."""
    with workspace.engine.begin() as connection:
        at_once.repair(connection, workspace, records)


def leave(workspace: Workspace, records: Sequence[int]) -> None:
    """Let records go for good."""
    with workspace.engine.begin() as connection:
        at_once.forget(connection, workspace, records)


def portions(records: Sequence[int], seed: int, largest: int) -> Iterator[list[int]]:
    """The records in a random order, in portions of random size."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(records).tolist()
    while order:
        size = int(generator.integers(1, largest + 1))
        yield order[:size]
        del order[:size]


@pytest.mark.parametrize(("seed", "largest"), [(1, 400), (2, 60), (3, 8)])
def test_arriving_in_any_order_and_portion_equals_one_full_run(
    another: Opener, town: Town, limits: str, seed: int, largest: int
) -> None:
    """Invariant 1: people, ids, edges, blocks and counts are those of one full run."""
    once, bit_by_bit = another(), another()
    resolve(once, full=True)
    for portion in portions(town.records, seed, largest):
        arrive(bit_by_bit, portion)
    assert_same(once, bit_by_bit)


def test_coming_and_going_equals_never_having_been_there(
    another: Opener, town: Town, limits: str
) -> None:
    """Invariant 1: whoever left has left no trace in the people who stay."""
    rest, visited = another(), another()
    guests = np.random.default_rng(4).permutation(town.records)[:90].tolist()
    with rest.engine.begin() as connection:
        connection.execute(sa.delete(schema.record).where(schema.record.c.id.in_(guests)))
    resolve(rest, full=True)
    for portion in portions(town.records, 5, 120):
        arrive(visited, portion)
    for portion in portions(guests, 6, 25):
        leave(visited, portion)
    assert_same(rest, visited)


def test_a_record_that_waits_goes_on_waiting(another: Opener, town: Town) -> None:
    """Whoever touches its component does not take a changed record off the list."""
    workspace = another()
    resolve(workspace, full=True)
    members = "SELECT min(record_id), max(record_id) FROM kith.membership GROUP BY profile_id"
    with workspace.engine.begin() as connection:
        pairs = connection.execute(sa.text(f"{members} HAVING count(*) > 1")).all()
        waiting, other = pairs[0]
        record = schema.record
        connection.execute(sa.update(record).where(record.c.id == waiting).values(dirty=True))
    arrive(workspace, [other])
    with workspace.engine.connect() as connection:
        dirty = list(connection.scalars(sa.select(record.c.id).where(record.c.dirty)))
    assert dirty == [waiting]


@pytest.mark.parametrize("who", ["the older", "the younger"])
def test_a_decision_about_a_record_ends_with_it(another: Opener, town: Town, who: str) -> None:
    """Forgetting one of two merged people leaves the other whole, under a right id."""
    workspace = another()
    resolve(workspace, full=True)
    with workspace.engine.begin() as connection:
        anchors = list(connection.scalars(sa.select(schema.profile.c.anchor_id).order_by("id")))
        low, high = sorted(anchors[:2])
        number = connection.scalar(
            schema.decision.insert()
            .values(kind="merge", profiles=[], actor="headquarters", reason="test",
                    at=workspace.now())
            .returning(schema.decision.c.id)
        )  # fmt: skip
        connection.execute(
            schema.decision_link.insert().values(
                decision_id=number, low_id=low, high_id=high, kind="must"
            )
        )
    arrive(workspace, [low, high])
    leave(workspace, [low if who == "the older" else high])
    before = state(workspace)
    resolve(workspace, full=True)
    assert state(workspace) == before


def test_a_second_look_changes_nothing(another: Opener, town: Town) -> None:
    """Invariant 1: repairing what is right writes no row."""
    workspace = another()
    resolve(workspace, full=True)
    before = state(workspace)
    arrive(workspace, town.records[::7])
    assert state(workspace) == before


@pytest.mark.parametrize("what", ["nothing", "a revision", "people on a number", "an edge"])
def test_what_was_decided_by_is_looked_at_again(another: Opener, town: Town, what: str) -> None:
    """Invariant 4: a repair tells whether its ground has changed since it was found."""
    workspace = another()
    resolve(workspace, full=True)
    with workspace.engine.connect() as connection:
        epoch = readiness.ready(connection)
        assert epoch is not None
        low, high = _paired(connection)
        work = repair.Repair(connection, workspace, epoch)
        work.find([low])
        assert high in work.nodes
        connection.execute(CHANGED[what], {"low": low, "high": high})
        assert work.still_holds() is (what == "nothing")


@pytest.mark.parametrize("what", ["nothing", "a record came", "a record went"])
def test_a_block_of_whoever_is_renewed_is_looked_at_again(
    another: Opener, town: Town, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """Invariant 4: nobody holds their keys, and another writer may have changed their blocks."""
    for module in (blocking, candidates, pairing, repair, blocks):
        monkeypatch.setattr(module, "MOST", 2)
    workspace = another()
    late = town.records[::5]
    arrive(workspace, [one for one in town.records if one not in late])
    with workspace.engine.connect() as connection:
        work, given = _renewing(connection, workspace, late)
        assert connection.execute(BLOCKS_CHANGED[what], given).rowcount > 0
        assert work.still_holds() is (what == "nothing")


def _renewing(
    connection: sa.Connection, workspace: Workspace, late: Sequence[int]
) -> tuple[repair.Repair, dict[str, Any]]:
    """A repair that renews others, and one of these with a block that the repair does not hold."""
    epoch = readiness.ready(connection)
    assert epoch is not None
    for one in late:
        work = repair.Repair(connection, workspace, epoch)
        work.find([one])
        given = {"renewed": work.nodes.tolist(), "held": work.touched_keys.tolist(), "one": one}
        others = np.setdiff1d(work._renewed, work._looked_at).tolist()
        row = connection.execute(A_SMALL_BLOCK, given | {"renewed": others}).one_or_none()
        if row:
            return work, {**given, **row._mapping}
    raise AssertionError("nobody turned a block")


A_SMALL_BLOCK = sa.text(
    "SELECT s.record_id AS low, b.key FROM kith.record_block s "
    "CROSS JOIN unnest(s.keys, s.rules) AS b(key, rule) WHERE s.record_id = ANY(:renewed) "
    f"AND b.rule <> {blocks.HOLDER} AND b.key <> ALL(:held) "
    "AND (SELECT count(*) FROM kith.block o WHERE o.key = b.key) = 2 "
    "ORDER BY 1, 2 LIMIT 1"
)
BLOCKS_CHANGED = {
    "nothing": sa.text("SELECT CAST(:low AS bigint)"),
    # One that shared nothing with it so far.
    "a record came": sa.text(
        "INSERT INTO kith.block (key, record_id) SELECT :key, min(r.id) "
        "FROM kith.record r WHERE r.id <> :one AND NOT EXISTS (SELECT FROM kith.block o "
        "JOIN kith.block m ON m.key = o.key WHERE o.record_id = r.id AND m.record_id = :low)"
    ),
    "a record went": sa.text("DELETE FROM kith.block WHERE record_id = :low AND key <> ALL(:held)"),
}


@pytest.mark.parametrize("most", [1, 50])
def test_pairs_are_compared_some_at_a_time(
    another: Opener, town: Town, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """However many records came, so many pairs are compared together, with the same people."""
    compared: list[int] = []
    real = scorer.compare

    def counted(columns: Any, left: Any, right: Any) -> Any:
        compared.append(len(left))
        return real(columns, left, right)

    monkeypatch.setattr(scorer, "compare", counted)
    monkeypatch.setattr(repair, "compare", counted)
    for module in (scorer, repair):
        monkeypatch.setattr(module, "AT_ONCE", most)
    once, together = another(), another()
    resolve(once, full=True)
    compared.clear()
    arrive(together, town.records)
    assert max(compared) == most
    assert_same(once, together)


def _paired(connection: sa.Connection) -> tuple[int, int]:
    """Two records of one person, of whom the older one holds a number."""
    edge, block = schema.edge.c, schema.record_block.c
    holds = sa.exists().where(
        block.record_id == edge.low_id, sa.literal(blocks.HOLDER) == block.rules.any_()
    )
    pair = sa.select(edge.low_id, edge.high_id).where(edge.direct, holds)
    low, high = connection.execute(pair.order_by(edge.low_id, edge.high_id).limit(1)).one()
    return low, high


@pytest.mark.parametrize("full", [False, True])
def test_a_record_without_its_data_key_is_named(another: Opener, *, full: bool) -> None:
    """Nobody can say who it is: the error says which record, and what to do about it."""
    workspace = another()
    resolve(workspace, full=True)
    with workspace.engine.begin() as connection:
        low, high = _paired(connection)
        key, record = schema.data_key, schema.record
        connection.execute(sa.delete(key).where(key.c.record_id == high))
        connection.execute(sa.update(record).where(record.c.id == low).values(dirty=True))
    with pytest.raises(Stop, match="data key") as caught:
        resolve(workspace, full=full)
    assert caught.value.where["record"] == high
    assert "cdp vault shred" in caught.value.next_step


CHANGED = {
    "nothing": sa.text("SELECT CAST(:low AS bigint), CAST(:high AS bigint)"),
    "a revision": sa.text(
        "UPDATE kith.record SET revision = revision + 1 WHERE id IN (:low, :high)"
    ),
    # Every number that the two hold gets one more person than it had.
    "people on a number": sa.text(
        "INSERT INTO kith.shared_number (key, people) SELECT DISTINCT k.key, 2 "
        "FROM kith.record_block s CROSS JOIN unnest(s.keys, s.rules) AS k(key, rule) "
        f"WHERE k.rule = {blocks.HOLDER} AND s.record_id IN (:low, :high) "
        "ON CONFLICT (key) DO UPDATE SET people = shared_number.people + 1"
    ),
    # To a record that had none.
    "an edge": sa.text(
        "INSERT INTO kith.edge (low_id, high_id, weight, levels, weights, epoch, direct) "
        "SELECT least(:high, r.id), greatest(:high, r.id), e.weight, e.levels, e.weights, "
        "e.epoch, TRUE FROM kith.edge e, kith.record r WHERE e.low_id = :low AND "
        "e.high_id = :high AND NOT EXISTS (SELECT FROM kith.edge o "
        "WHERE o.low_id = r.id OR o.high_id = r.id) ORDER BY r.id LIMIT 1"
    ),
}


def test_without_a_full_run_there_is_nothing_to_repair(another: Opener, town: Town) -> None:
    """Keys of another version are refused with the next step."""
    workspace = another()
    with workspace.engine.begin() as connection:
        connection.execute(sa.text("UPDATE kith.workspace SET blocked_with = 'earlier'"))
    with pytest.raises(Stop, match="cdp identity resolve"):
        arrive(workspace, town.records[:1])
