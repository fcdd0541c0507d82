"""One run, in a process of its own, and how its worker keeps it within bounds.

A process of its own, because what a source does to it must not matter to others: it may hang,
crash the interpreter, or take all memory it can get.

Invariants, each named by a test in ``tests/integration/running/test_worker.py``:

1. A run that takes longer than it may is asked to end, and ended when it does not.
2. A run that takes more memory than it may, with what it started, is ended, and so is that.
3. A run that is asked to end commits the batch at hand, and goes on from there next time.
4. It ends with its worker, however that ended.
5. What it hands back is counts, a rule and a next step, or the number of a crash. What it prints
   goes nowhere: the worker's output is a document of its own.
6. A declaration that is wrong just then is no failure of the run: nothing begins until it is right.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final

from cdp import logs
from cdp.errors import KithError
from cdp.ingest.feed_sync import Departures
from cdp.ingest.side_by_side import end_with
from cdp.ingest.sync import sync
from cdp.running import ending
from cdp.running.ending import Ending, How, of_error
from cdp.running.jobs import RESOLVE, Lease
from cdp.settings import Settings
from cdp.workspace import Clock, Workspace, open_workspace

_PROCESSES: Final = Path("/proc")  # where the system tells of them; elsewhere memory is not watched
_PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LEAVING: Final = 10.0
"""Seconds that a process may take to leave, once it has told how its run ended."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a run may take.

    Attributes:
        seconds: of time.
        grace: seconds from being asked to end until it is ended.
        memory: bytes.
    """

    seconds: float
    grace: float
    memory: int


class _AskedToEnd(Exception):  # noqa: N818 - not an error
    """The batch at hand is committed, and the worker wants the run to end."""


class Run:
    """A run that goes on."""

    def __init__(
        self,
        lease: Lease,
        bounds: Bounds,
        settings: Settings,
        ways: tuple[Clock, Departures],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Begin it. ``clock`` gives seconds that only grow."""
        self.lease = lease
        self._bounds = bounds
        self._clock = clock
        context = get_context("spawn")  # a fork would share database connections
        self._receiver, sender = context.Pipe(duplex=False)
        given = (sender, os.getpid(), settings, ways, lease)
        self._process: SpawnProcess = context.Process(
            target=_carry_out, args=given, name=f"{lease.kind} {lease.source}", daemon=True
        )
        # Until it can hear them: it would die of a signal that asks it to end.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._process.start()
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        sender.close()
        self._began = clock()
        self._asked: float | None = None
        self._why: Ending | None = None
        self._told: Ending | None = None
        self._leaves_by: float | None = None
        self._ended: Ending | None = None

    @property
    def took(self) -> float:
        """Seconds since it began."""
        return self._clock() - self._began

    @property
    def heard(self) -> tuple[Connection | int, ...]:
        """What is ready when there is something to look at."""
        if self._ended is not None:
            return ()
        told = self._leaves_by is not None
        return (self._process.sentinel,) if told else (self._receiver, self._process.sentinel)

    def watch(self) -> None:
        """End it where it takes more than it may."""
        now = self._clock()
        if self._memory() > self._bounds.memory:
            self.end_at_once(ending.OUT_OF_MEMORY)
        elif self._leaves_by is not None and now > self._leaves_by:
            self._kill()  # it has told, and hangs in leaving
        elif self._asked is None and self.took > self._bounds.seconds:
            self.ask_to_end(ending.TIME_LIMIT)
        elif self._asked is not None and now - self._asked > self._bounds.grace:
            self._kill()

    def ask_to_end(self, why: Ending = ending.BROKEN_OFF) -> None:
        """Have it commit the batch at hand and end."""
        if self._asked is None and self._ended is None:
            self._asked, self._why = self._clock(), why
            self._process.terminate()

    def end_at_once(self, why: Ending = ending.BROKEN_OFF) -> None:
        """End it now; what it has not committed is rolled back."""
        if self._ended is None:
            self._asked, self._why = self._asked or self._clock(), why
            self._kill()

    def ended(self) -> Ending | None:
        """How it ended; None while it goes on."""
        if self._ended is None:
            self._hear()
            if self._process.is_alive():
                return None
            self._hear()
            self._receiver.close()
            self._process.close()
            good = self._told is not None and self._told.how is not How.BROKEN_OFF
            self._ended = self._told if good else self._why or self._told or ending.DIED
        return self._ended

    def _hear(self) -> None:
        try:
            if self._leaves_by is None and self._receiver.poll():
                self._leaves_by = self._clock() + LEAVING
                self._told = self._receiver.recv()
        except (EOFError, OSError):  # it was ended before it told, or while it did
            self._told = None

    def _kill(self) -> None:
        """End its process and those that it started, which would outlive it."""
        family = _family(self._process.pid)
        self._process.kill()
        for one in family[1:]:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(one, signal.SIGKILL)

    def _memory(self) -> int:
        """Bytes that it has in memory with what it started; 0 where the system does not tell."""
        return sum(map(_resident, _family(self._process.pid)))


def _family(process: int | None) -> list[int]:
    """A process, and those that it started and that they did, as far as the system tells."""
    found = [process] if process else []
    for one in found:  # it grows meanwhile
        try:
            threads = list((_PROCESSES / str(one) / "task").iterdir())
            texts = [(thread / "children").read_text("ascii") for thread in threads]
        except OSError:
            continue  # it ended, or there is no such folder here
        found += (int(child) for text in texts for child in text.split())
    return found


def _resident(process: int) -> int:
    """Bytes of one process in memory."""
    try:
        pages = (_PROCESSES / str(process) / "statm").read_text("ascii").split()[1]
    except (OSError, IndexError):
        return 0
    return int(pages) * _PAGE


# ── in the process of the run ───────────────────────────────────────────────


def _carry_out(
    sender: Connection,
    worker: int,
    settings: Settings,
    ways: tuple[Clock, Departures],
    lease: Lease,
) -> None:
    asked: list[int] = []
    for one in _SIGNALS:
        signal.signal(one, lambda number, _: asked.append(number))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
    end_with(worker)
    logs.write_to(None)
    _print_nowhere()
    now, departures = ways

    def go_on(*_: object) -> None:
        if asked:
            raise _AskedToEnd

    try:
        found = _done(settings, now, lease, departures, go_on)
    except _AskedToEnd:
        found = ending.BROKEN_OFF
    except Exception as error:  # noqa: BLE001 - whatever it is, the worker goes on
        found = of_error(error)
    sender.send(found)
    sender.close()


def _print_nowhere() -> None:
    """Have what a connector prints go nowhere: it may hold values."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)


def _done(
    settings: Settings,
    now: Clock,
    lease: Lease,
    departures: Departures,
    go_on: Callable[..., None],
) -> Ending:
    workspace = open_workspace(settings, now)
    try:
        try:
            _ = workspace.declaration  # read once, and held
        except KithError as error:  # somebody edits it just now
            return Ending(How.BUSY, error.rule, error.next_step)
        if lease.kind == RESOLVE:
            return _resolved(workspace, go_on)
        return _synced(workspace, lease.source, departures, go_on)
    finally:
        workspace.engine.dispose()


def _synced(
    workspace: Workspace, source: str, departures: Departures, go_on: Callable[..., None]
) -> Ending:
    # Progress is told after each commit: there a run can end and nothing is lost.
    report = sync(workspace, source, go_on, departures)
    changes = report.added + report.changed + report.deleted
    counts = {"rows": report.read, "changes": changes, "rejected": report.rejected}
    return Ending(How.DONE, counts=counts)


def _resolved(workspace: Workspace, go_on: Callable[..., None]) -> Ending:
    # Imported here: it loads what learns a model, which a sync does not need.
    from cdp.resolution.run import resolve  # noqa: PLC0415

    report = resolve(workspace, progress=go_on)
    changes = report.created + report.merged + report.split + report.updated
    return Ending(How.DONE, counts={"rows": report.judged, "changes": changes})
