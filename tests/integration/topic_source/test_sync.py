"""A topic into PostgreSQL, and on to people: batches, deletions, duplicates, kills."""

import json
import secrets
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest.rejects import list_rejects
from cdp.ingest.sync import sync
from cdp.resolution.run import resolve
from cdp.storage import schema
from cdp.workspace import Workspace
from tests.integration.feeds.deliveries import FOLLOWED, left, runs
from tests.integration.topic_source.cluster import Cluster
from tests.journeys import tills
from tests.journeys.commands import Shell
from tests.journeys.databases import Databases

pytestmark = pytest.mark.integration
KILLS = 2
MESSAGES = 320
PEOPLE = tills.crowd(60)


def crm(brokers: str, **more: Any) -> dict[str, Any]:
    """The entry of a topic of members."""
    return {
        "connector": "kafka",
        "location": brokers,
        "topic": {"name": "members", "security": {"protocol": "plaintext"}},
        "record_id": "id",
        "deleted": "tombstone",
        "fields": {"name": "name", "phone": "phone", "email": "email"},
        "consent": {"basis": "membership", "purposes": ["service"]},
        **more,
    }


def row(number: int, **more: Any) -> dict[str, Any]:
    """A member as a message says it."""
    name = PEOPLE[number % len(PEOPLE)]["name"]
    return {"id": f"m{number}", "name": name, "phone": f"139{number:08}", **more}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A cluster of its own."""
    with Cluster() as made:
        yield made


@pytest.fixture
def opened(tmp_path: Path, databases: Databases, template: str) -> Iterator[Any]:
    """Opens workspaces under one key ring."""
    made: list[Workspace] = []

    def open_one(name: str, **sources: Any) -> Workspace:
        folder = tmp_path / name
        tills.write_declaration(folder, tills.declaration(sources=sources))
        ring = made[0].settings.key_ring if made else None
        made.append(tills.open_shop(folder, databases.copy(template), ring))
        return made[-1]

    yield open_one
    for workspace in made:
        workspace.engine.dispose()


def people(workspace: Workspace) -> dict[int, int]:
    """How many people have how many records."""
    member = schema.membership.c
    with workspace.engine.connect() as connection:
        sizes = connection.scalars(
            sa.select(sa.func.count(member.record_id)).group_by(member.profile_id)
        )
        found: dict[int, int] = {}
        for size in sizes:
            found[size] = found.get(size, 0) + 1
        return found


def test_a_topic_becomes_people_and_tombstones_take_them_away(
    cluster: Cluster, opened: Any
) -> None:
    """Rows, a change, a deletion and poison, in one command; then only what is new."""
    workspace = opened("shop", crm=crm(cluster.brokers), till=tills.TILL)
    tills.write_till(workspace.declaration.folder, PEOPLE)
    sync(workspace, "till")
    for n in range(8):
        cluster.send("members", f"m{n}", row(n, email=f"m{n}@example.com"), n % 4)
    cluster.send("members", "m1", row(1, email="new@example.com"), 1)
    cluster.send("members", "m2", None, 2)
    cluster.send("members", "m3", b"\xff", 3)
    cluster.send("members", "m9", row(8), 0)
    report = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert report.read == 12
    with workspace.engine.connect() as connection:
        listed = [one.rule for one in list_rejects(connection, "crm", None, 10) if not one.field]
        assert sorted(listed) == ["key_of_another_record", "not_decodable"]
        stored = sa.select(sa.func.count()).where(schema.record.c.source == "crm")
        assert connection.scalar(stored) == 7
    resolve(workspace)
    before = people(workspace)
    assert before[2] >= 3  # the members of the till whose phone and mailbox a message has
    cluster.send("members", "m4", None, 0)
    again = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert (again.read, again.deleted) == (1, 1)
    assert people(workspace)[2] == before[2] - 1
    nothing = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert nothing.read == 0


def test_a_batch_of_duplicates_has_one_effect(cluster: Cluster, opened: Any) -> None:
    """A producer that sends everything twice, and a topic that is read again, add nothing."""
    workspace = opened("shop", crm=crm(cluster.brokers))
    for _ in range(3):
        cluster.send_all("members", [(f"m{n}", row(n)) for n in range(50)])
    report = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert (report.read, report.added) == (150, 50)
    with workspace.engine.begin() as connection:
        connection.execute(sa.delete(schema.source_state))
    again = sync(workspace, "crm", departures=FOLLOWED.departures)
    assert (again.read, again.added, again.changed) == (150, 0, 0)


def test_killed_at_any_moment_it_ends_as_if_it_had_run_through(
    cluster: Cluster, opened: Any
) -> None:
    """Two kills at chance moments of a topic with tombstones, then the same command."""
    for partition in range(4):
        several = [
            (f"m{n}", row(n, phone=f"138{turn}{n:07}") if n % 7 or turn == 0 else None)
            for turn in range(2)
            for n in range(partition, MESSAGES // 2, 4)
        ]
        cluster.send_all("members", [(k, v and json.dumps(v)) for k, v in several], partition)
    whole, killed = (opened(name, crm=crm(cluster.brokers)) for name in ("whole", "killed"))
    expected = sync(whole, "crm", departures=FOLLOWED.departures)
    assert expected.read == MESSAGES
    shell = Shell(
        killed.settings.declaration.parent, killed.settings.database_url, killed.settings.home
    )
    for _ in range(KILLS):
        process = shell.start("source", "sync", "crm", CDP_BATCH_ROWS="10")
        began = len(runs(killed))
        while len(runs(killed)) == began and process.poll() is None:
            time.sleep(0.02)
        time.sleep(secrets.randbelow(500) / 1000)
        process.send_signal(signal.SIGKILL)
        shell.finish(process)
    sync(killed, "crm", departures=FOLLOWED.departures)
    assert left(killed) == left(whole)
    assert sync(killed, "crm", departures=FOLLOWED.departures).read == 0


def test_the_state_shows_no_offset_and_no_value(cluster: Cluster, opened: Any) -> None:
    """It is sealed in the transaction of its rows."""
    workspace = opened("shop", crm=crm(cluster.brokers))
    cluster.send("members", "m1", row(1))
    sync(workspace, "crm", departures=FOLLOWED.departures)
    with workspace.engine.connect() as connection:
        [state] = connection.execute(sa.select(schema.source_state)).all()
    assert state.newest_at is not None
    assert b"members" not in bytes(state.sealed)
