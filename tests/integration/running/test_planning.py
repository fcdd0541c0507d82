"""The table of jobs at its edges: clocks set back, workers that plan at once, who comes first."""

import datetime as dt

import pytest
import sqlalchemy as sa

from cdp.running import ending, jobs
from cdp.running.ending import Ending, How, Sequel
from cdp.running.jobs import EVERYBODY, MOST_WAITING, RESOLVE, SYNC
from cdp.storage.schema import job
from connectors.schedule import Schedule
from tests.integration.running.test_jobs import (
    ALL,
    ANN,
    BOB,
    EVERY,
    GOOD,
    LATER,
    MINUTE,
    NOW,
    due,
    ran,
    row,
    take,
)

pytestmark = pytest.mark.integration
__all__ = ["due"]  # a fixture
HOUR = 60 * MINUTE
NIGHTLY = Schedule(daily="02:00")


def put(engine: sa.Engine, source: str = "a", kind: str = SYNC, **values: object) -> None:
    """Change a row by hand, or make it."""
    with engine.begin() as connection:
        mine = sa.and_(job.c.source == source, job.c.kind == kind)
        if not connection.execute(sa.update(job).where(mine).values(values)).rowcount:
            connection.execute(sa.insert(job).values(kind=kind, source=source, **values))


def plan(engine: sa.Engine, schedule: Schedule, now: dt.datetime, source: str = "a") -> None:
    """Plan one source."""
    with engine.begin() as connection:
        jobs.plan(connection, {source: schedule}, now)


def test_what_is_overdue_longest_comes_first_whatever_its_name(due: sa.Engine) -> None:
    """Invariant 4: also where only some can be taken."""
    put(due, "d", due_at=NOW - HOUR)
    put(due, "c", due_at=NOW - MINUTE)
    assert [one.source for one in take(due, ANN, 2)] == ["d", "c"]


def test_a_failing_source_waits_for_its_next_try_and_no_longer(due: sa.Engine) -> None:
    """Another schedule does not make it due; a clock that was set back does (invariant 6)."""
    put(due, failures=2, due_at=NOW + HOUR / 2)
    plan(due, NIGHTLY, NOW)
    assert (row(due).due_at, row(due).schedule) == (NOW + HOUR / 2, "daily 02:00 UTC")
    plan(due, NIGHTLY, NOW - HOUR)
    assert row(due).due_at == NOW - HOUR
    put(due, failures=0, due_at=NOW + 13 * HOUR)
    plan(due, NIGHTLY, NOW)
    assert row(due).due_at == NOW + 13 * HOUR


def test_a_clock_set_back_by_little_cuts_leases_and_waits(due: sa.Engine) -> None:
    """Invariant 6: half an hour, not a day: a lease ends in ten minutes, a resolve is due."""
    take(due, ANN, 1)
    put(due, EVERYBODY, RESOLVE, due_at=LATER + HOUR + MINUTE)
    plan(due, EVERY, LATER - 30 * MINUTE)
    assert row(due).leased_until == LATER - 20 * MINUTE
    assert row(due, EVERYBODY, RESOLVE).due_at == LATER - 30 * MINUTE
    put(due, EVERYBODY, RESOLVE, due_at=LATER + HOUR / 2)
    plan(due, EVERY, LATER)
    assert row(due, EVERYBODY, RESOLVE).due_at == LATER + HOUR / 2


def test_who_plans_late_changes_nothing(due: sa.Engine) -> None:
    """Another worker took the job, or planned it, since its row was read."""
    before = row(due)
    take(due, BOB, 1)
    with due.begin() as connection:
        jobs._put(connection, "a", NOW + HOUR, "x", before)
    assert (row(due).due_at, row(due).schedule) == (before.due_at, before.schedule)
    before = row(due, "b")
    put(due, "b", due_at=NOW + 3 * HOUR)
    with due.begin() as connection:
        jobs._put(connection, "b", NOW + HOUR, "x", before)
        jobs._put(connection, "a", NOW + HOUR, "x", None)
    assert row(due, "b").due_at == NOW + 3 * HOUR
    assert row(due).schedule == before.schedule


def test_nothing_is_held_up_by_a_resolve_that_does_not_come(due: sa.Engine) -> None:
    """One that fails, is paused or has nothing to do: records are stored all the same."""
    full = {"waiting": MOST_WAITING, "due_at": NOW, "failures": 0, "paused_at": None}
    told = []
    for more in ({}, {"failures": 1}, {"paused_at": NOW}, {"due_at": None}, {"waiting": 9}):
        put(due, EVERYBODY, RESOLVE, **(full | more))
        with due.connect() as connection:
            told.append(jobs.is_full(connection))
    assert told == [True, False, False, False, False]


def test_a_resolve_waits_for_those_alone_that_come(due: sa.Engine) -> None:
    """For what runs and what is due; not for what is paused or fails; at all for little alone."""
    now = NOW + 10 * MINUTE
    for one in ALL:
        put(due, one, due_at=now + HOUR)
    put(due, EVERYBODY, RESOLVE, due_at=now, waiting=5)

    def resolves() -> bool:
        with due.connect() as connection:
            return bool(jobs.take_resolve(connection, ANN, ALL, now))  # rolled back

    told = [resolves()]
    for values in (
        {"due_at": now},
        {"due_at": now, "failures": 1},
        {"due_at": now, "failures": 0, "paused_at": now},
        {"due_at": now + HOUR, "paused_at": None, "worker": "x", "leased_until": now + MINUTE},
        {"leased_until": now},
    ):
        put(due, **values)
        told.append(resolves())
    assert told == [True, False, True, True, False, True]
    put(due, due_at=now)
    assert not resolves()
    put(due, EVERYBODY, RESOLVE, waiting=MOST_WAITING)
    assert resolves()


def test_a_lease_of_the_same_number_is_of_one_worker(due: sa.Engine) -> None:
    """Invariant 3: who has another lease, or is another worker, can neither keep nor end it."""
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        assert jobs.renew(connection, BOB, [lease], LATER) == [lease]
        assert not jobs.end(connection, BOB, lease, GOOD, None, LATER)
        jobs.give_back(connection, BOB, lease)
    assert row(due).worker == "ann"
    (again,) = take(due, ANN, 1, LATER + 2 * MINUTE)
    assert (again.number, again.taken_over) == (lease.number + 1, True)
    with due.begin() as connection:
        assert jobs.renew(connection, ANN, [lease], LATER) == [lease]
        jobs.give_back(connection, ANN, again)
    assert row(due).worker is None
    (free,) = take(due, BOB, 1, LATER + 2 * MINUTE)
    assert not free.taken_over


def test_what_waits_is_counted_down_by_what_was_told(due: sa.Engine) -> None:
    """A resolve settles what it knew of; what came meanwhile makes it due again."""
    put(due, EVERYBODY, RESOLVE, due_at=NOW, waiting=5)
    with due.begin() as connection:
        (lease,) = jobs.take_resolve(connection, ANN, [], LATER)
        assert not jobs.still_waiting(connection, lease)
    ran(due, "b", 3)
    with due.begin() as connection:
        jobs.tell_resolve(connection, "b", LATER)
        assert jobs.still_waiting(connection, lease)
        jobs.end(connection, ANN, lease, GOOD, LATER, LATER)
    found = row(due, EVERYBODY, RESOLVE)
    assert (found.waiting, found.due_at) == (3, LATER)
    put(due, EVERYBODY, RESOLVE, due_at=NOW - HOUR)
    ran(due, "c", 2)
    with due.begin() as connection:
        jobs.tell_resolve(connection, "c", LATER)
    assert row(due, EVERYBODY, RESOLVE).due_at == NOW - HOUR  # it keeps its place


def test_what_stands_in_the_way_is_said_and_a_pause_keeps_its_word(due: sa.Engine) -> None:
    """Of a run that found somebody at work, by its rule; of a paused one why it was paused."""
    busy = Ending(How.BUSY, "already_running", "wait")
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        jobs.end(connection, ANN, lease, (busy, Sequel(0, 60.0)), NOW - HOUR, LATER)
    assert (row(due).rule, row(due).succeeded_at) == ("already_running", None)
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        jobs.end(connection, ANN, lease, (ending.BROKEN_OFF, Sequel(0, 0.0)), NOW - HOUR, LATER)
    assert row(due).rule == "already_running"  # we ended it: nothing new is known
    (lease,) = take(due, ANN, 1)
    with due.begin() as connection:
        jobs.pause(connection, "a", LATER)
        jobs.end(connection, ANN, lease, GOOD, LATER, LATER)
    assert (row(due).rule, row(due).succeeded_at) == (jobs.BY_HAND, LATER)
    with due.begin() as connection:
        assert not jobs.pause(connection, "a", LATER)  # nobody runs it now
        assert not jobs.pause(connection, "new", LATER)
    put(due, worker="x", leased_until=LATER - MINUTE)
    with due.begin() as connection:
        assert not jobs.pause(connection, "a", LATER)  # its worker is dead


def test_a_failing_source_can_be_resumed_without_a_pause(due: sa.Engine) -> None:
    """It need not wait for its next try."""
    put(due, failures=3, rule="file_missing", due_at=NOW + HOUR)
    with due.begin() as connection:
        assert jobs.resume(connection, SYNC, "a", LATER)
    assert (row(due).failures, row(due).rule, row(due).due_at) == (0, None, LATER)
