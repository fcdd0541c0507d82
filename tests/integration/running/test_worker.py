"""Workers at work: several at once, sources that hang and fail, stopping, a database away."""

import datetime as dt
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.erasure.departing import Departing
from cdp.running import ending, jobs
from cdp.running.ending import How, Patience, Patiences
from cdp.running.jobs import MOST_WAITING, RESOLVE, SYNC, Lease
from cdp.running.one_run import Bounds, Run
from cdp.running.worker import Terms, Worker, World, _reach
from cdp.storage.schema import job, membership, record, sync_run
from cdp.workspace import Workspace
from tests.integration.running.conftest import Opener
from tests.journeys import tills

pytestmark = pytest.mark.integration
SOON = Terms(poll=0.05, once=True)
WORLD = World(Departing())
SECRET = "SOURCE_HANGING"
TILL = {**tills.TILL, "schedule": {"minutes": 1000}}
HANGING = {
    "connector": "sql",
    "query": "SELECT CAST(pg_sleep(250) AS text) AS id, 'a' AS name",
    "record_id": "id",
    "fields": {"name": "name"},
    "credentials": {"dsn": f"env:{SECRET}"},
    "schedule": {"minutes": 1000},
}
LONGEST = 120.0  # seconds that anything here may take


def hanging(workspace: Workspace) -> Workspace:
    """The same, with a database that answers after minutes: its own, asked to sleep."""
    url = workspace.settings.database_url
    workspace.settings.source_secrets[SECRET] = url  # type: ignore[index]
    return workspace


def write(workspace: Workspace, name: str, rows: int, first: int = 0) -> None:
    """A file of members for a source."""
    folder = workspace.settings.declaration.parent
    tills.write_till(folder, tills.crowd(first + rows)[first:])
    (folder / "till.csv").rename(folder / f"{name}.csv")


def rows_of(workspace: Workspace, kind: str = SYNC) -> dict[str, Any]:
    """The table of jobs, by source."""
    with workspace.engine.connect() as connection:
        found = connection.execute(sa.select(job).where(job.c.kind == kind))
        return {row.source: row for row in found}


def take_away(workspace: Workspace, source: str, to: str | None) -> None:
    """Another worker has the lease of a source now; or nobody has."""
    until_then = workspace.now() + dt.timedelta(minutes=5) if to else None
    values = {"worker": to, "leased_until": until_then, "lease": job.c.lease + 1}
    with workspace.engine.begin() as connection:
        connection.execute(sa.update(job).where(job.c.source == source).values(values))


def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds."""
    end = time.monotonic() + LONGEST
    while not holds():
        assert time.monotonic() < end, "it never came to be"
        time.sleep(0.05)


@contextmanager
def at_work(*workers: Worker) -> Iterator[None]:
    """Workers that run beside the test, and are stopped behind it."""
    threads = [threading.Thread(target=one.run) for one in workers]
    for one in threads:
        one.start()
    try:
        yield
    finally:
        for worker in workers:
            worker.stop()
            worker.stop()
        for one in threads:
            one.join(LONGEST)
    assert not any(one.is_alive() for one in threads)


def test_two_workers_share_the_sources_and_resolve_what_came(shop: Opener) -> None:
    """Invariants 1 and 5: each source has one run, both have worked, everybody has a profile."""
    names = ("a", "b")
    workspace = shop({one: {**TILL, "location": f"{one}.csv"} for one in names})
    for place, name in enumerate(names):
        write(workspace, name, 30, 30 * place)
    other = tills.reopen(workspace, workspace.settings)
    alone = replace(SOON, processes=1)
    workers = Worker(workspace, alone, WORLD), Worker(other, alone, WORLD)
    threads = [threading.Thread(target=one.run) for one in workers]
    with workspace.engine.begin() as holding:
        # No run gets on before both have begun: a quick worker would have done the work of both.
        holding.execute(sa.text("LOCK TABLE kith.record IN EXCLUSIVE MODE"))
        for one in threads:
            one.start()
        until(lambda: len({row.worker for row in rows_of(workspace).values() if row.worker}) == 2)
    for one in threads:
        one.join(LONGEST)
    other.engine.dispose()
    done = workers[0].endings + workers[1].endings
    assert {how for _, _, how in done} == {How.DONE}
    assert all(done[SYNC, one, How.DONE] == 1 for one in names)
    assert all(any(kind == SYNC for kind, _, _ in one.endings) for one in workers)
    with workspace.engine.connect() as connection:
        runs = connection.scalars(sa.select(sync_run.c.source)).all()
        assert sorted(runs) == list(names)
        assert connection.scalar(sa.select(sa.func.count()).select_from(membership)) == 60
        assert not connection.scalar(sa.select(sa.func.bool_or(record.c.dirty)))
    assert rows_of(workspace, RESOLVE)[""].waiting == 0


def test_a_source_that_hangs_or_fails_holds_no_other_up(shop: Opener) -> None:
    """Invariants 2 and 4: the others are done, the failing one is paused, and what hangs ends.

    It ends when another worker has its lease, and when the worker is told twice to stop.
    """
    lacks = {**TILL, "location": "no.csv"}
    workspace = hanging(shop({"hangs": HANGING, "lacks": lacks, "till": TILL}))
    write(workspace, "till", 12)
    hurried = Patiences(stop=Patience(0.2, 2))
    worker = Worker(workspace, Terms(poll=0.05, patiences=hurried, lease=6, resolves=False), WORLD)
    with at_work(worker):
        until(lambda: getattr(rows_of(workspace).get("lacks"), "paused_at", None) is not None)
        rows = rows_of(workspace)
        until(lambda: rows_of(workspace)["hangs"].leased_until > rows["hangs"].leased_until)
        take_away(workspace, "hangs", "other")
        until(lambda: worker.endings[SYNC, "hangs", How.BROKEN_OFF] == 1)
        assert rows_of(workspace)["hangs"].worker == "other"  # its row is not ours any more
        take_away(workspace, "hangs", None)
        until(lambda: rows_of(workspace)["hangs"].worker not in {"other", None})
        worker.stop()
        assert rows_of(workspace)["hangs"].worker is not None  # it has its time to end
    assert (rows["lacks"].rule, rows["lacks"].failures) == ("file_missing", 2)
    assert rows["till"].succeeded_at is not None
    assert worker.endings == {
        (SYNC, "till", How.DONE): 1,
        (SYNC, "lacks", How.STOP): 2,
        (SYNC, "hangs", How.BROKEN_OFF): 2,
    }
    hangs = rows_of(workspace)["hangs"]
    assert (hangs.worker, hangs.failures) == (None, 0)  # told to end by us, it has not failed


def test_a_run_is_kept_within_its_bounds(shop: Opener) -> None:
    """One run 1, 2, 5: beyond its time or memory it is ended; killed, it is said to have died."""
    workspace = hanging(shop({"hangs": HANGING}))
    lease = Lease(SYNC, "hangs", 1, dt.datetime.now(dt.UTC), 0, 0, taken_over=False)  # noqa: TID251
    ways = workspace.now, WORLD.departures
    much = 1 << 40
    bounds = Bounds(0.2, 0.2, much), Bounds(99, 1, 1), Bounds(99, 1, much)
    late, large, killed = (Run(lease, one, workspace.settings, ways) for one in bounds)
    killed._process.kill()
    found = {}
    for name, one in (("late", late), ("large", large), ("killed", killed)):
        while (how := one.ended()) is None:
            one.watch()
            time.sleep(0.05)
        found[name] = how
    assert found == {
        "late": ending.TIME_LIMIT,
        "large": ending.OUT_OF_MEMORY,
        "killed": ending.DIED,
    }


def test_a_run_that_only_takes_long_has_not_failed(shop: Opener) -> None:
    """Endings 4: it reached its time limit and committed something: it goes on from there."""
    workspace = shop({"till": TILL})
    worker = Worker(workspace, SOON, WORLD)
    counts = dict.fromkeys(("read", "added", "changed", "unchanged", "rejected", "set_aside"), 0)
    told = []
    for position in (0, 10, 10, 25):
        with workspace.engine.begin() as connection:
            now = jobs.database_clock(connection)
            jobs.plan(connection, jobs.scheduled(workspace.declaration), now)
            connection.execute(sa.update(job).values(due_at=now))
            before = _reach(connection, "till")
            (lease,) = jobs.take_syncs(connection, worker._taking, ["till"], 1, now)
            known = {"source": "till", "fingerprint": "f", "declaration": "d", "started_at": now}
            if position == 0:
                connection.execute(sync_run.insert().values(position=0, **known, **counts))
            connection.execute(sa.update(sync_run).values(position=position))
        worker._end(SimpleNamespace(lease=lease, took=1.0), ending.TIME_LIMIT, before)  # type: ignore[arg-type]
        told.append(rows_of(workspace)["till"].failures)
    assert told == [1, 1, 2, 2]


def test_while_too_much_waits_no_sync_begins(shop: Opener) -> None:
    """Invariant 6: another worker resolves, and this one lets it catch up."""
    workspace = shop({"till": TILL})
    later = workspace.now() + dt.timedelta(minutes=5)
    values = {"due_at": workspace.now(), "waiting": MOST_WAITING}
    leased = {"worker": "other", "leased_until": later}
    with workspace.engine.begin() as connection:
        connection.execute(sa.insert(job).values(kind=RESOLVE, source="", **values, **leased))
    worker = Worker(workspace, SOON, WORLD)
    worker.run()
    assert not worker.endings
    assert rows_of(workspace)["till"].lease == 0


def test_while_the_database_is_away_it_waits(
    shop: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    """Invariant 7: it says so without the text of the error, and goes on."""
    workspace = shop({"till": {**TILL, "schedule": {"daily": "00:00"}}})
    tries: list[int] = []

    def clock(connection: sa.Connection) -> dt.datetime:
        tries.append(1)
        if len(tries) < 3:
            raise sa.exc.OperationalError("SELECT", None, Exception("canary-secret"))
        return jobs.database_clock(connection)

    Worker(workspace, SOON, World(clock=clock)).run()
    assert len(tries) == 3
    told = capsys.readouterr()
    assert "database_away" in told.out + told.err
    assert "canary" not in told.out + told.err


def test_a_changed_declaration_counts_and_with_a_wrong_one_nothing_begins(
    shop: Opener, capsys: pytest.CaptureFixture[str]
) -> None:
    """What a worker runs follows ``cdp.yaml``; while it is wrong no source fails for it."""
    workspace = shop({"till": TILL})
    worker = Worker(workspace, SOON, WORLD)
    path = workspace.settings.declaration
    path.write_text("version: 1\nsources: [", "utf-8")
    worker.run()
    told = capsys.readouterr()
    assert "declaration_unreadable" in told.out + told.err
    assert rows_of(workspace) == {}
    nightly = {**TILL, "schedule": {"daily": "01:00"}}
    tills.write_declaration(path.parent, tills.declaration(sources={"new": nightly}))
    worker.run()
    assert set(rows_of(workspace)) == {"new"}


def test_while_the_database_takes_no_writes_it_waits(shop: Opener) -> None:
    """A server that stands in for another takes no writes for a while (invariant 7)."""
    workspace = shop({"till": {**TILL, "schedule": {"daily": "00:00"}}})
    tries: list[int] = []

    def clock(connection: sa.Connection) -> dt.datetime:
        tries.append(1)
        if len(tries) < 3:
            connection.execute(sa.text("SET TRANSACTION READ ONLY"))
            connection.execute(sa.update(job).values(failures=0))
        return jobs.database_clock(connection)

    Worker(workspace, SOON, World(clock=clock)).run()
    assert len(tries) == 3
    assert set(rows_of(workspace)) == {"till"}


def test_a_run_that_cannot_begin_is_given_back_and_ends_no_other(
    shop: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine without a process to spare is no reason to end what runs, nor to wait a lease."""
    workspace = shop({"till": TILL, "app": TILL | {"location": "app.csv"}})
    write(workspace, "app", 3)
    write(workspace, "till", 3)
    begin = Worker._begin
    refused = ["app", "till"]

    def scarce(self: Worker, lease: Lease, declared: Any) -> Run:
        if lease.source in refused:
            refused.remove(lease.source)
            raise BlockingIOError(11, "Resource temporarily unavailable")
        return begin(self, lease, declared)

    monkeypatch.setattr(Worker, "_begin", scarce)
    worker = Worker(workspace, replace(SOON, resolves=False), WORLD)
    worker.run()
    assert not worker.endings
    assert all(row.worker is None for row in rows_of(workspace).values())
    worker.run()
    assert {(source, how) for _, source, how in worker.endings} == {
        ("app", How.DONE),
        ("till", How.DONE),
    }
    assert all(row.failures == 0 for row in rows_of(workspace).values())
