"""Runs what is due: takes jobs from the table, each in a process of its own, until told to stop.

Invariants, each named by a test in ``tests/integration/running/test_worker.py``:

1. Two workers never run one source at once, and both get work.
2. A source that fails, hangs or dies holds no other one up; it waits longer each time, and is
   paused in the end.
3. What a worker that was killed had begun is taken again after its lease, and ends the same.
4. Told to stop, it begins nothing more; what runs commits its batch and ends. Told again, all of
   it ends at once.
5. Records that changed become profiles without a person.
6. While more waits for a resolve than may, no sync begins.
7. While the database is away it waits; it does not end.
"""

import datetime as dt
import secrets
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import Pipe
from multiprocessing.connection import wait
from typing import Final

import sqlalchemy as sa

from cdp import declaration as declarations
from cdp import logs
from cdp.declaration import Declaration
from cdp.errors import KithError
from cdp.ingest.feed_sync import NO_DEPARTURES, Departures
from cdp.running import ending as endings
from cdp.running import jobs
from cdp.running.due import next_due
from cdp.running.ending import BROKEN_OFF, TIME_LIMIT, Ending, How, Patiences, Sequel, sequel
from cdp.running.expiring import Expiring
from cdp.running.jobs import RESOLVE, SYNC, Lease, Taking
from cdp.running.one_run import Bounds, Run
from cdp.workspace import Workspace
from connectors.schedule import TIME_LIMIT as MINUTES

Reach = tuple[int, int]  # id of a source's newest run, and the rows that it has committed
_log = logs.get_logger("kith.worker")
_MINUTE: Final = 60.0
_MB: Final = 1_000_000
_DRAWN: Final = 1 << 30
# Internal: a server that takes no writes, as one that stands in for another until it takes over.
_AWAY: Final = (
    sa.exc.OperationalError,
    sa.exc.InterfaceError,
    sa.exc.InternalError,
    sa.exc.TimeoutError,
)


def is_away(error: sa.exc.SQLAlchemyError) -> bool:
    """Whether an error says that the database is away for now."""
    lost = isinstance(error, sa.exc.DBAPIError) and error.connection_invalidated
    return lost or isinstance(error, _AWAY)


def drawn() -> float:
    """A number in [0, 1), drawn anew."""
    return secrets.randbelow(_DRAWN) / _DRAWN


@dataclass(frozen=True, slots=True)
class Terms:
    """How a worker works. Times are in seconds.

    Attributes:
        processes: runs at once, a resolve among them.
        lease: after which the jobs of a worker that died are taken by another.
        heartbeats: in a lease; the lease ends when all but the first were missed.
        poll: between two looks at the table.
        grace: that a run has to commit its batch, once it is asked to end.
        resolves: whether it resolves what changed.
        resolve_minutes: that a resolve may take; twice as long when it was not enough.
        once: whether it ends when nothing is due; each source then has one run.
        patiences: with sources that fail. A resolve is never given up.
    """

    processes: int = 2
    lease: float = 60.0
    heartbeats: int = 6
    poll: float = 1.0
    grace: float = 30.0
    resolves: bool = True
    resolve_minutes: int = MINUTES
    once: bool = False
    patiences: Patiences = field(default_factory=Patiences)


@dataclass(frozen=True, slots=True)
class World:
    """What a worker takes from outside.

    Attributes:
        departures: destroys what a feed says was deleted.
        clock: the time by a connection; the database's, unless a test says otherwise.
        seconds: that only grow.
        draw: a number in [0, 1).
    """

    departures: Departures = NO_DEPARTURES
    clock: Callable[[sa.Connection], dt.datetime] = jobs.database_clock
    seconds: Callable[[], float] = time.monotonic
    draw: Callable[[], float] = drawn


class Worker:
    """One worker of a workspace."""

    def __init__(self, workspace: Workspace, terms: Terms, world: World) -> None:
        self._workspace = workspace
        self._terms = terms
        self._world = world
        self._taking = Taking(secrets.token_hex(8), dt.timedelta(seconds=terms.lease))
        self._declared = _Declared(workspace)
        self._expiring = Expiring(workspace, world.seconds)
        self._runs: list[tuple[Run, Reach]] = []
        self._had: set[str] = set()  # sources that had a run
        self._stops = 0
        self._away = False  # the database
        self._ear, self._bell = Pipe(duplex=False)  # a signal is heard at once
        self._beat = self._lost_at = 0.0
        self.endings: Counter[tuple[str, str, How]] = Counter()  # by kind, source and way

    def stop(self, *_: object) -> None:
        """Begin nothing more; the second time, end everything at once. For handlers of signals."""
        self._stops += 1
        self._bell.send_bytes(b"!")

    def run(self) -> None:
        """Work until told to stop, or, once, until nothing is due."""
        _log.info("worker_began")
        idle = False
        try:
            while not (idle and (self._stops or self._terms.once)):
                idle = self._turn()
                self._wait(idle=idle)
        finally:
            self._expiring.close()
            for one, _ in self._runs:
                one.end_at_once()
        _log.info("worker_ended")

    def _turn(self) -> bool:
        """Look at everything once; return whether there is nothing to do."""
        if self._stops:
            for one, _ in self._runs:
                one.end_at_once() if self._stops > 1 else one.ask_to_end()
        try:
            self._keep_leases()
            self._collect()
            more = not self._stops and self._begin_due()
        except sa.exc.SQLAlchemyError as error:
            if not is_away(error):
                raise
            if not self._away:
                _log.warning("database_away", exc_info=error)
            self._away = True
            self._give_up_lost()
            return bool(self._stops and not self._runs)
        if self._away:
            _log.info("database_back")
        self._away = False
        return not self._runs and not more

    def _wait(self, *, idle: bool) -> None:
        if idle and (self._stops or self._terms.once):
            return
        wait([self._ear, *(one for run, _ in self._runs for one in run.heard)], self._terms.poll)
        while self._ear.poll():
            self._ear.recv_bytes()

    # ── what runs ───────────────────────────────────────────────────────────

    def _keep_leases(self) -> None:
        now = self._world.seconds()
        if now - self._beat < self._terms.lease / self._terms.heartbeats:
            return
        if self._runs:
            with self._workspace.engine.begin() as connection:
                held = [run.lease for run, _ in self._runs]
                lost = jobs.renew(connection, self._taking, held, self._world.clock(connection))
            for run, _ in self._runs:
                if run.lease in lost:  # somebody else has it: what is not committed is theirs
                    run.end_at_once()
        self._beat = self._lost_at = now

    def _give_up_lost(self) -> None:
        """End runs whose lease must have ended by now, because it could not be renewed."""
        if self._world.seconds() - self._lost_at > self._terms.lease:
            for run, _ in self._runs:
                run.end_at_once()

    def _collect(self) -> None:
        """Write down which runs have ended, and keep the others within their bounds."""
        for one in list(self._runs):
            run, before = one
            ending = run.ended()
            if ending is None:
                run.watch()
            else:
                self._end(run, ending, before)
                self._runs.remove(one)  # not before it stands in the table

    def _end(self, run: Run, ending: Ending, before: Reach) -> None:
        lease, follows = run.lease, None
        with self._workspace.engine.begin() as connection:
            now = self._world.clock(connection)
            resumed = jobs.was_resumed(connection, lease)
            ending = self._judged(connection, ending, lease, before)
            failures = 0 if resumed else lease.failures
            follows = sequel(ending, failures, self._patiences(lease), self._world.draw())
            if lease.kind == SYNC:
                jobs.tell_resolve(connection, lease.source, now)
            due = self._next(connection, lease, follows, now)
            if resumed and ending.failed and due is not None:
                due = now  # it began before whatever was mended, and is due at once
            held = jobs.end(connection, self._taking, lease, (ending, follows), due, now)
        self._tell(run, ending, follows, held=held)

    def _judged(
        self, connection: sa.Connection, ending: Ending, lease: Lease, before: Reach
    ) -> Ending:
        """How a run ended, if it reached its time limit: it may only take long."""
        if ending != TIME_LIMIT:
            return ending
        if lease.kind == RESOLVE:
            limit = self._terms.resolve_minutes
            return endings.of_late_resolve(self._minutes(lease), limit)
        return BROKEN_OFF if _reach(connection, lease.source) > before else ending

    def _patiences(self, lease: Lease) -> Patiences:
        known = self._terms.patiences
        if lease.kind == SYNC:
            return known
        for_ever = (replace(one, most=float("inf")) for one in (known.retry, known.stop))
        retry, stop = for_ever
        return replace(known, retry=retry, stop=stop)

    def _next(
        self, connection: sa.Connection, lease: Lease, follows: Sequel, now: dt.datetime
    ) -> dt.datetime | None:
        if follows.wait is not None:
            return now + dt.timedelta(seconds=follows.wait)
        if lease.kind == RESOLVE:
            return now if jobs.still_waiting(connection, lease) else None
        declared = self._declared.now.sources.get(lease.source)
        if declared is None or declared.schedule is None or follows.paused:
            return None
        return next_due(declared.schedule, lease.due, now, now)

    def _tell(self, run: Run, ending: Ending, follows: Sequel, *, held: bool) -> None:
        lease = run.lease
        self.endings[lease.kind, lease.source, ending.how] += 1
        say = _log.warning if ending.failed else _log.info
        named = {"source": lease.source} if lease.source else {}
        ruled = {"rule": ending.rule} if ending.rule else {}
        say(
            "run_ended" if held else "lease_lost",
            job=lease.kind,
            outcome="paused" if follows.paused else ending.how.value,
            milliseconds=round(1000 * run.took),
            **named,
            **ruled,
            **ending.counts,
        )

    # ── what begins ─────────────────────────────────────────────────────────

    def _begin_due(self) -> bool:
        """Begin what is due; return whether events are being removed meanwhile."""
        declared = self._declared.read()
        if declared is None:
            return False
        schedules = jobs.scheduled(declared)
        free = self._terms.processes - len(self._runs)
        with self._workspace.engine.begin() as connection:
            now = self._world.clock(connection)
            jobs.plan(connection, schedules, now)
            taken = self._taken(connection, set(schedules), free, now)
            reached = [_reach(connection, one.source) for one in taken]
        for lease, reach in zip(taken, reached, strict=True):
            if lease.taken_over:
                named = {"source": lease.source} if lease.source else {}
                _log.warning("taken_over", job=lease.kind, **named)
            try:
                run = self._begin(lease, declared)
            except OSError as error:  # the machine has no process, memory or file left to give
                _log.warning("run_not_begun", job=lease.kind, exc_info=error)
                with self._workspace.engine.begin() as connection:
                    jobs.give_back(connection, self._taking, lease)
                continue
            self._had.add(lease.source)
            self._runs.append((run, reach))
        return self._expiring.step(declared)

    def _taken(
        self, connection: sa.Connection, sources: set[str], free: int, now: dt.datetime
    ) -> list[Lease]:
        if free < 1:
            return []
        left = sources - self._had if self._terms.once else sources
        taken: list[Lease] = []
        if self._terms.resolves:
            taken = jobs.take_resolve(connection, self._taking, left, now)
            if jobs.is_full(connection):
                return taken
        if len(taken) < free:
            taken += jobs.take_syncs(connection, self._taking, left, free - len(taken), now)
        return taken

    def _begin(self, lease: Lease, declared: Declaration) -> Run:
        source = declared.sources.get(lease.source)
        schedule = source.schedule if source else None
        settings = self._workspace.settings
        bounds = Bounds(
            _MINUTE * (schedule.time_limit if schedule else self._minutes(lease)),
            self._terms.grace,
            settings.memory_mb * _MB * (2 if lease.kind == RESOLVE else 1),
        )
        ways = self._workspace.now, self._world.departures
        return Run(lease, bounds, settings, ways, self._world.seconds)

    def _minutes(self, lease: Lease) -> int:
        """How long a resolve may take."""
        limit = self._terms.resolve_minutes
        return endings.minutes_for_resolve(limit, lease.failures, lease.rule)


class _Declared:
    """``cdp.yaml``, read again when it changes.

    A run reads it for itself. So nothing begins while it is wrong: each source would fail.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._path = workspace.settings.declaration
        self._stamp = self._of_file()
        self._wrong = False
        self.now: Declaration = workspace.declaration  # the last one that was right

    def read(self) -> Declaration | None:
        """What it says now; None: it is wrong."""
        stamp = self._of_file()
        if stamp != self._stamp:
            self._stamp = stamp
            try:
                self.now, self._wrong = declarations.load(self._path), False
            except KithError as error:
                self._wrong = True
                _log.warning("declaration_wrong", rule=error.rule)
        return None if self._wrong else self.now

    def _of_file(self) -> tuple[int, int]:
        try:
            status = self._path.stat()
        except OSError:
            return 0, 0
        return status.st_mtime_ns, status.st_size


_REACH: Final = sa.text(
    "SELECT id, position FROM kith.sync_run WHERE source = :source ORDER BY id DESC LIMIT 1"
)


def _reach(connection: sa.Connection, source: str) -> Reach:
    """How far the newest run of a source is; one that committed nothing reaches nowhere."""
    row = connection.execute(_REACH, {"source": source}).one_or_none()
    return (row.id, row.position) if row and row.position else (row.id - 1, 0) if row else (0, 0)


def failed(endings: Mapping[tuple[str, str, How], int]) -> bool:
    """Whether any run failed."""
    return any(Ending(how).failed for _, _, how in endings)
