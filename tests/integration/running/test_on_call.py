"""What somebody finds who is called at night: long resolves, lost processes, a broken file."""

import datetime as dt
import subprocess
import sys
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy as sa

from cdp.ingest.feed_state import Standing
from cdp.running import ending, jobs, one_run, prometheus, standing
from cdp.running.ending import Ending, How
from cdp.running.jobs import EVERYBODY, RESOLVE, SYNC, Lease
from cdp.running.one_run import Bounds, Run
from cdp.running.standing import Resolving, SourceStanding, Work, work
from cdp.running.worker import Terms, Worker
from cdp.storage.schema import job
from cdp.workspace import Workspace
from tests.integration.in_process import run
from tests.integration.running.conftest import Opener
from tests.integration.running.test_worker import SOON, TILL, WORLD, rows_of, until
from tests.journeys.commands import Outcome

pytestmark = pytest.mark.integration
MINUTE = dt.timedelta(minutes=1)
STOP = Ending(How.STOP, "file_missing", "Put it there.")
Told = Callable[..., Outcome]


def taken(worker: Worker, kind: str = SYNC) -> Lease:
    """The lease that this worker gets, of the till or of the resolve."""
    with worker._workspace.engine.begin() as connection:
        now = jobs.database_clock(connection)
        connection.execute(sa.update(job).where(job.c.kind == kind).values(due_at=now - MINUTE))
        if kind == SYNC:
            return jobs.take_syncs(connection, worker._taking, ["till"], 1, now)[0]
        return jobs.take_resolve(connection, worker._taking, [], now)[0]


def ended(worker: Worker, lease: Lease, how: Ending) -> Any:
    """Its row, once its run has ended so."""
    worker._end(SimpleNamespace(lease=lease, took=1.0), how, (0, 0))  # type: ignore[arg-type]
    return rows_of(worker._workspace, lease.kind)[lease.source]


@pytest.fixture
def till(shop: Opener) -> Workspace:
    """A workspace with a till that is planned, and something to resolve."""
    workspace = shop({"till": TILL})
    with workspace.engine.begin() as connection:
        now = jobs.database_clock(connection)
        jobs.plan(connection, jobs.scheduled(workspace.declaration), now)
        connection.execute(sa.insert(job).values(kind=RESOLVE, source="", due_at=now, waiting=7))
    return workspace


@pytest.fixture
def told(
    till: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Told:
    """Runs a command on that workspace."""
    environment = {
        "CDP_HOME": str(till.settings.home),
        "CDP_CONFIG": str(till.settings.declaration),
        "CDP_DATABASE_URL": str(till.settings.database_url),
    }
    return lambda *words, code=0: run(monkeypatch, capsys, words, environment, code)


def test_resumed_while_it_ran_it_begins_anew(till: Workspace) -> None:
    """What the run found was from before: it is due at once, as a first failure."""
    worker = Worker(till, SOON, WORLD)
    with till.engine.begin() as connection:
        connection.execute(sa.update(job).where(job.c.kind == SYNC).values(failures=4))
    lease = taken(worker)
    with till.engine.begin() as connection:
        jobs.resume(connection, SYNC, "till", jobs.database_clock(connection))
    row = ended(worker, lease, STOP)
    assert (row.failures, row.paused_at) == (1, None)
    assert row.due_at == row.ended_at
    row = ended(worker, taken(worker), STOP)
    assert row.failures == 2
    assert row.due_at > row.ended_at + 4 * MINUTE


def test_without_that_the_fifth_failure_pauses(till: Workspace) -> None:
    """The same, and nobody resumed it."""
    worker = Worker(till, SOON, WORLD)
    with till.engine.begin() as connection:
        connection.execute(sa.update(job).where(job.c.kind == SYNC).values(failures=4))
    row = ended(worker, taken(worker), STOP)
    assert row.failures == 5
    assert row.paused_at is not None


def test_a_resolve_that_takes_long_gets_longer_and_is_paused_after_a_day(
    till: Workspace, told: Told
) -> None:
    """It says what to do; resumed by hand, it begins with what it was given at first."""
    worker = Worker(till, Terms(resolve_minutes=300), WORLD)
    given = []
    while (lease := taken(worker, RESOLVE)) and len(given) < 3:
        given.append(worker._minutes(lease))
        row = ended(worker, lease, ending.TIME_LIMIT)
        if row.paused_at is None:
            assert "--resolve-limit" in row.next_step
    assert given == [300, 600, 1200]
    row = ended(worker, lease, ending.TIME_LIMIT)
    assert (row.rule, row.failures) == ("time_limit", 4)
    assert "cdp identity resolve" in row.next_step
    assert row.paused_at is not None
    paused = told("worker", "status", "--json").json["resolve"]
    assert (paused["state"], paused["rule"]) == ("paused", "time_limit")
    assert "cdp worker resume" in told("worker", "status").err
    assert told("worker", "resume", "--json").json == {"resumed": True}
    assert told("worker", "resume", "--json").json == {"resumed": False}
    assert worker._minutes(taken(worker, RESOLVE)) == 300


def test_what_nobody_takes_is_said(till: Workspace, told: Told) -> None:
    """In the command and in the figures: since when, and whether anybody works at all."""
    with till.engine.begin() as connection:
        now = jobs.database_clock(connection)
        late = sa.case((job.c.kind == SYNC, now - 9 * MINUTE), else_=now - 5 * MINUTE)
        connection.execute(sa.update(job).values(due_at=late))
    found = told("worker", "status", "--json").json
    assert (found["nobody_works"], found["overdue"]["source"]) == (True, "till")
    assert found["sources"] == {"due": 1}
    words = told("worker", "status").err
    assert "till has been due for 9 minutes" in words
    assert "cdp worker run" in words
    with till.engine.connect() as connection:
        known = standing.resolving(connection)
        text = prometheus.exposed([], known, now)
    assert 290 < float(text.split("kith_resolve_overdue_seconds ")[-1].split()[0]) < 400
    assert "kith_resolve_paused 0" in text


def _stands(source: str, state: str, due: dt.datetime | None) -> SourceStanding:
    read = Standing(source, None, None, None, None, None, None, None)
    return SourceStanding(state, read, due_at=due)


def test_what_is_left_is_known_from_what_is_due() -> None:
    """What runs, is paused or is not due yet is not left; two minutes are no delay."""
    now = dt.datetime(2026, 3, 1, 3, 0, tzinfo=dt.UTC)
    old = now - 60 * MINUTE
    idle = Resolving()
    fine = [("a", "running", old), ("b", "paused", old), ("c", "waiting", now + MINUTE)]
    found = work([_stands(*one) for one in fine], idle, now)
    assert (found.overdue, found.nobody, found.running) == (None, False, ("a",))
    assert _stands("b", "paused", old).due_again is None
    assert found.states == {"paused": 1, "running": 1, "waiting": 1}
    late = _stands("d", "due", now - 2 * MINUTE), _stands("e", "failing", now - 3 * MINUTE)
    found = work(late, idle, now)
    assert found.overdue == ("e", 180.0)
    assert found.nobody
    assert not work(late[:1], idle, now).is_left
    busy = work([*late, _stands("a", "running", old)], idle, now)
    assert (busy.is_left, busy.nobody) == (True, False)
    resolving = Resolving(state="running")
    assert not Work(resolving, {}, (), ("e", 180.0)).nobody
    assert work([], Resolving(state="due", overdue=500.0), now).overdue == (EVERYBODY, 500.0)


def test_memory_counts_what_a_run_started_and_it_ends_with_it() -> None:
    """One run 2: children of children too; killed, none of them is left."""
    words = "import subprocess, sys; subprocess.run([sys.executable, '-c', sys.argv[1]])"
    deep = "x = bytearray(50_000_000); print('there', flush=True); import time; time.sleep(300)"
    process = subprocess.Popen([sys.executable, "-c", words, deep], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"there\n"
    family = one_run._family(process.pid)
    assert family[0] == process.pid
    assert len(family) == 2
    mine: Any = SimpleNamespace(_process=process)
    assert Run._memory(mine) > 50_000_000 + one_run._resident(process.pid)
    Run._kill(mine)
    process.wait()
    until(lambda: not one_run._resident(family[1]))
    process.stdout.close()
    assert one_run._family(None) == []
    assert one_run._resident(process.pid) == 0


def test_what_a_run_prints_goes_nowhere() -> None:
    """One run 5: the output of the worker is a document of its own."""
    words = """
import multiprocessing, os, sys
from cdp.running import ending, one_run
one_run._done = lambda *_: print("canary") or ending.BROKEN_OFF
receiver, sender = multiprocessing.Pipe(duplex=False)
one_run._carry_out(sender, os.getppid(), None, (None, None), None)
sys.stderr.write(receiver.recv().how)
"""
    done = subprocess.run([sys.executable, "-c", words], capture_output=True, check=True)
    assert (done.stdout, done.stderr) == (b"", b"broken_off")


def test_a_declaration_that_breaks_just_then_is_no_failure(till: Workspace) -> None:
    """One run 6: somebody saves half a file between the worker's look and the run's."""
    till.settings.declaration.write_text("version: 1\nsources: [", "utf-8")
    worker = Worker(till, SOON, WORLD)
    lease = taken(worker)
    begun = Run(lease, Bounds(99, 9, 1 << 40), till.settings, (till.now, WORLD.departures))
    while (how := begun.ended()) is None:
        time.sleep(0.05)
    assert (how.how, how.rule) == (How.BUSY, "declaration_unreadable")
    row = ended(worker, lease, how)
    assert (row.failures, row.rule) == (0, "declaration_unreadable")
    assert row.due_at <= row.ended_at + MINUTE
