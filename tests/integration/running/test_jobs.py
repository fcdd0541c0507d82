"""The table of jobs: taking, keeping, ending, planning, by real transactions."""

import datetime as dt
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.running import ending, jobs
from cdp.running.ending import Ending, How, Sequel
from cdp.running.jobs import MOST_WAITING, RESOLVE, SYNC, Lease, Taking
from cdp.storage.schema import job, sync_run
from connectors.schedule import Schedule

pytestmark = pytest.mark.integration
NOW = dt.datetime(2026, 3, 1, 12, 0, tzinfo=dt.UTC)
MINUTE = dt.timedelta(minutes=1)
ANN, BOB = Taking("ann", MINUTE), Taking("bob", MINUTE)
EVERY = Schedule(minutes=10)
CANARY = "canary-13957149163"
GOOD = (Ending(How.DONE), Sequel(0, None))
COUNTS = ("added", "changed", "unchanged", "rejected", "set_aside")


@pytest.fixture
def due(engine: sa.Engine) -> sa.Engine:
    """A table with four sources, the first of them overdue longest."""
    with engine.begin() as connection:
        for minutes, source in enumerate(("a", "b", "c", "d")):
            jobs.plan(connection, {source: EVERY}, NOW + minutes * MINUTE)
    return engine


LATER = NOW + 5 * MINUTE
ALL = ("a", "b", "c", "d")


def row(engine: sa.Engine, source: str = "a", kind: str = SYNC) -> Any:
    """A row of the table."""
    with engine.connect() as connection:
        asked = sa.select(job).where(job.c.source == source, job.c.kind == kind)
        return connection.execute(asked).one()


def take(engine: sa.Engine, who: Taking, most: int = 9, now: dt.datetime = LATER) -> list[Lease]:
    """Take syncs in a transaction of their own."""
    with engine.begin() as connection:
        return jobs.take_syncs(connection, who, ALL, most, now)


def ran(engine: sa.Engine, source: str, added: int, run: int | None = None) -> int:
    """A run of a source that added so many records; ``run``: the same one, further on."""
    with engine.begin() as connection:
        if run is not None:
            connection.execute(sa.update(sync_run).where(sync_run.c.id == run).values(added=added))
            return run
        counts = dict.fromkeys(COUNTS, 0) | {"added": added, "read": added, "position": added}
        made = sync_run.insert().values(
            source=source, fingerprint="f", declaration="d", started_at=NOW, **counts
        )
        return int(connection.scalar(made.returning(sync_run.c.id)) or 0)


def test_workers_that_ask_at_once_get_different_jobs(due: sa.Engine) -> None:
    """Invariants 1 and 4: the second skips what the first has locked, and does not wait."""
    with due.begin() as first, due.begin() as second:
        second.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
        mine = jobs.take_syncs(first, ANN, ALL, 2, LATER)
        theirs = jobs.take_syncs(second, BOB, ALL, 9, LATER)
    assert [one.source for one in mine] == ["a", "b"]
    assert [one.source for one in theirs] == ["c", "d"]
    assert take(due, BOB) == []


def test_a_lease_that_is_kept_stays_and_one_that_is_not_ends(due: sa.Engine) -> None:
    """Invariant 2: renewed it holds; a minute after the last heartbeat somebody else has it."""
    (lease, *_) = take(due, ANN, 1)
    with due.begin() as connection:
        assert jobs.renew(connection, ANN, [lease], LATER + MINUTE / 2) == []
    assert "a" not in {one.source for one in take(due, BOB, now=LATER + MINUTE)}
    (again,) = take(due, BOB, now=LATER + 7 * MINUTE / 4)
    assert (again.source, again.taken_over) == ("a", True)
    with due.begin() as connection:
        assert jobs.renew(connection, ANN, [lease], LATER + 2 * MINUTE) == [lease]


def test_who_lost_a_lease_ends_nothing(due: sa.Engine) -> None:
    """Invariant 3: the late word of a worker that was thought dead changes nothing."""
    (lease,) = take(due, ANN, 1)
    (again,) = take(due, BOB, 1, now=LATER + 2 * MINUTE)
    before = row(due)
    with due.begin() as connection:
        assert not jobs.end(connection, ANN, lease, GOOD, NOW, LATER)
    assert row(due) == before
    with due.begin() as connection:
        assert jobs.end(connection, BOB, again, GOOD, NOW + 10 * MINUTE, LATER)
    assert (row(due).worker, row(due).succeeded_at) == (None, LATER)


def test_what_changed_is_known_from_the_runs(due: sa.Engine) -> None:
    """Invariant 5: each change is told once, of a broken-off run and of one by hand too."""
    run = ran(due, "a", 5)
    told = []
    with due.begin() as connection:
        told.append(jobs.tell_resolve(connection, "a", NOW))
    ran(due, "a", 12, run)
    ran(due, "a", 100)
    for _ in range(2):
        with due.begin() as connection:
            told.append(jobs.tell_resolve(connection, "a", LATER))
    assert told == [5, 107, 0]
    resolving = row(due, "", RESOLVE)
    assert (resolving.waiting, resolving.due_at) == (112, NOW)


def test_a_resolve_comes_after_its_round(due: sa.Engine) -> None:
    """It lets due sources come first, for a minute at the most, and failing ones not at all."""
    ran(due, "a", 5)

    def resolves(now: dt.datetime) -> list[Lease]:
        with due.connect() as connection:
            return jobs.take_resolve(connection, ANN, ALL, now)  # rolled back

    with due.begin() as connection:
        jobs.tell_resolve(connection, "a", LATER)
    assert resolves(LATER) == []
    assert resolves(LATER + jobs.ROUND)
    leases = take(due, ANN)
    assert resolves(LATER) == []  # they run
    with due.begin() as connection:
        for one in leases:
            failing = (Ending(How.RETRY, "r", "s"), Sequel(1, 0.0))
            jobs.end(connection, ANN, one, failing, LATER, LATER)
    (lease,) = resolves(LATER)
    assert (lease.kind, lease.waiting) == (RESOLVE, 5)


def test_too_much_that_waits_holds_up_syncs(due: sa.Engine) -> None:
    """Nothing begins until it is resolved, unless resolving fails."""
    ran(due, "a", MOST_WAITING)
    with due.begin() as connection:
        assert not jobs.is_full(connection)
        jobs.tell_resolve(connection, "a", LATER)
        assert jobs.is_full(connection)
        (lease,) = jobs.take_resolve(connection, ANN, ALL, LATER)  # before the due syncs
        assert jobs.is_full(connection)
        failing = (Ending(How.RETRY, "r", "s"), Sequel(1, 60.0))
        jobs.end(connection, ANN, lease, failing, LATER, LATER)
        assert not jobs.is_full(connection)


def test_what_changes_while_it_resolves_waits_for_the_next(due: sa.Engine) -> None:
    """A resolve takes off what it began with, and no more."""
    ran(due, "a", 5)
    with due.begin() as connection:
        jobs.tell_resolve(connection, "a", NOW)
        (lease,) = jobs.take_resolve(connection, ANN, (), LATER)
    ran(due, "b", 3)
    with due.begin() as connection:
        jobs.tell_resolve(connection, "b", LATER)
        assert jobs.still_waiting(connection, lease)
        jobs.end(connection, ANN, lease, GOOD, LATER, LATER)
    assert row(due, "", RESOLVE).waiting == 3


def test_a_clock_set_back_holds_up_neither_source_nor_lease(due: sa.Engine) -> None:
    """Invariant 6: a day earlier, each is due within two rhythms, and a lease ends in minutes."""
    take(due, ANN, 1)
    back = NOW - dt.timedelta(days=1)
    with due.begin() as connection:
        jobs.plan(connection, dict.fromkeys(ALL, EVERY), back)
    rows = [row(due, one) for one in ALL]
    assert all(one.due_at <= back + 20 * MINUTE for one in rows)
    assert rows[0].leased_until == back + jobs.LONGEST_LEASE


def test_planning_again_changes_nothing_and_another_schedule_is_planned_anew(
    due: sa.Engine,
) -> None:
    """What is overdue stays so, or it would lose its place; a new rhythm counts at once."""
    before = [row(due, one) for one in ALL]
    with due.begin() as connection:
        jobs.plan(connection, dict.fromkeys(ALL, EVERY), LATER + 60 * MINUTE)
    assert [row(due, one) for one in ALL] == before
    nightly = Schedule(daily="02:00")
    with due.begin() as connection:
        jobs.plan(connection, {"a": nightly}, LATER)
    assert row(due).due_at == dt.datetime(2026, 3, 2, 2, tzinfo=dt.UTC)


def test_a_run_after_a_failure_keeps_the_slots(due: sa.Engine) -> None:
    """What was tried again beside its slot does not move those that follow."""
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        jobs.end(connection, ANN, lease, GOOD, NOW + 10 * MINUTE, NOW + 6 * MINUTE)
    retried = Lease(SYNC, "a", 2, NOW + 13 * MINUTE, 1, 0, taken_over=False)
    with due.begin() as connection:
        connection.execute(
            sa.update(job)
            .where(job.c.source == "a")
            .values(lease=2, worker="ann", leased_until=NOW + 14 * MINUTE)
        )
        jobs.end(connection, ANN, retried, GOOD, None, NOW + 14 * MINUTE)
    assert row(due).last_due_at == NOW


def test_paused_by_hand_and_resumed(due: sa.Engine) -> None:
    """No worker takes it; resumed it is due at once and its failures are forgotten."""
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        assert jobs.pause(connection, "a", LATER)  # it runs, and goes on
        failing = (Ending(How.STOP, "file_missing", CANARY), Sequel(1, 600.0))
        jobs.end(connection, ANN, lease, failing, LATER, LATER)
    assert (row(due).rule, row(due).failures) == (jobs.BY_HAND, 1)
    assert "a" not in {one.source for one in take(due, ANN)}
    with due.begin() as connection:
        assert jobs.resume(connection, SYNC, "a", LATER)
        assert not jobs.resume(connection, SYNC, "a", LATER)
    (again,) = take(due, ANN)
    assert (again.source, again.failures) == ("a", 0)


def test_no_row_holds_a_value(due: sa.Engine) -> None:
    """Invariant 7: of an error that quotes a value, the table keeps rule and number."""
    (lease,) = take(due, ANN, 1)
    found = ending.of_error(ValueError(CANARY))
    with due.begin() as connection:
        jobs.end(connection, ANN, lease, (found, Sequel(1, 1.0)), LATER, LATER)
    kept = row(due)
    assert CANARY not in str(kept)
    assert (kept.rule, kept.failures) == ("unforeseen", 1)


def test_what_was_resumed_while_it_ran_is_known(due: sa.Engine) -> None:
    """Whoever ends the run is told; of one that had not failed there is nothing to forget."""
    with due.begin() as connection:
        connection.execute(sa.update(job).where(job.c.source == "a").values(failures=3))
    leases = {one.source: one for one in take(due, ANN, 2)}
    with due.begin() as connection:
        assert not jobs.was_resumed(connection, leases["a"])
        jobs.resume(connection, SYNC, "a", LATER)
        assert jobs.was_resumed(connection, leases["a"])
        jobs.resume(connection, SYNC, "b", LATER)
        assert not jobs.was_resumed(connection, leases["b"])
        connection.execute(sa.delete(job).where(job.c.source == "b"))
        assert not jobs.was_resumed(connection, leases["b"])


def test_workers_lock_rows_in_one_order(due: sa.Engine) -> None:
    """Who keeps leases waits for who plans, and neither ends the other's turn."""
    leases = sorted(take(due, ANN, 4), key=lambda one: one.source, reverse=True)
    with due.connect() as planning, due.connect() as keeping, ThreadPoolExecutor(1) as pool:
        for one in (planning, keeping):
            one.execute(sa.text("SET deadlock_timeout = '100ms'"))
        planning.execute(sa.update(job).where(job.c.source == "a").values(failures=0))
        renewed = pool.submit(jobs.renew, keeping, ANN, leases, LATER)
        waits = sa.text("SELECT count(*) FROM pg_locks WHERE NOT granted")
        with due.connect().execution_options(isolation_level="AUTOCOMMIT") as looking:
            while not looking.scalar(waits):
                time.sleep(0.02)
        planning.execute(sa.update(job).where(job.c.source == "d").values(failures=0))
        planning.commit()
        assert renewed.result(30) == []
