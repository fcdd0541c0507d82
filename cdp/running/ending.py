"""How a run ended, and what follows from it. Pure but for the kinds of errors that it knows.

Two families of errors are two kinds of waiting. A ``Retry``, a database that went away or a
process that died may be better in a moment: it is tried again soon, and often. A ``Stop`` gives
the same answer until somebody changes something: it is tried rarely, and paused early. Where a
contract says ``pause``, the source is paused at once.

Waiting doubles with each failure up to a limit, and half of it is drawn at random, so that
sources that failed together do not come back together ("equal jitter", M. Brooker, Exponential
Backoff And Jitter, AWS Architecture Blog, 2015).

Invariants, each named by a test in ``tests/unit/running/test_ending.py``:

1. What is kept of an error is its rule and its next step, or the number of a crash: no value.
2. Waiting is bounded, and so is the number of times that a source fails before it is paused.
3. Who asked us to wait (Retry-After) is not asked earlier, within the same limit.
4. A run that committed something before its time was up has not failed.
5. What the machine lacks for a while (room on a disk, memory, files) is not taken for a fault of
   the program.
6. A resolve that reaches its time limit is given twice as long, and is not begun again for ever.
"""

import errno
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

import sqlalchemy as sa

from cdp import crash, errors
from cdp.ingest.contract import ContractPause
from connectors import errors as at_the_edge
from identity.errors import IdentityError

NO_COUNTS: Final[Mapping[str, int]] = {}
MOST_DOUBLINGS: Final = 30
RESUME: Final = "Then: cdp source resume NAME"


class How(StrEnum):
    """How a run ended."""

    DONE = "done"
    RETRY = "retry"  # it failed, and may go well in a moment
    STOP = "stop"  # it failed, and somebody has to change something
    PAUSE = "pause"  # its contract says that it pauses
    BUSY = "busy"  # somebody is at the same work, or changes what is declared: it has not failed
    BROKEN_OFF = "broken_off"  # we ended it; it goes on where it committed last


@dataclass(frozen=True, slots=True)
class Ending:
    """How a run ended.

    Attributes:
        how: in which way.
        rule: of what went wrong; empty where nothing did.
        next_step: what to do about it.
        after: seconds that the other side asked us to wait.
        counts: what it did.
    """

    how: How
    rule: str = ""
    next_step: str = ""
    after: float | None = None
    counts: Mapping[str, int] = field(default_factory=lambda: NO_COUNTS)

    @property
    def failed(self) -> bool:
        """Whether it counts as a failure."""
        return self.how in {How.RETRY, How.STOP, How.PAUSE}


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a job that failed waits, and when it is paused. Times are in seconds."""

    base: float  # after the first failure
    most: float  # failures in a row; then it is paused
    cap: float = 3600.0


@dataclass(frozen=True, slots=True)
class Patiences:
    """The patience with each kind of failure, and with what is in the way."""

    retry: Patience = Patience(30.0, 20)  # paused after about ten hours
    stop: Patience = Patience(600.0, 5)  # paused after about an hour and a half
    busy: float = 60.0  # until the same is tried that somebody else is at


@dataclass(frozen=True, slots=True)
class Sequel:
    """What follows from an ending.

    Attributes:
        failures: in a row, this one included.
        wait: seconds until it is tried again; None: when its schedule says so.
        paused: whether it waits for a person.
    """

    failures: int
    wait: float | None
    paused: bool = False


def sequel(ending: Ending, failures: int, patiences: Patiences, drawn: float) -> Sequel:
    """Say what follows.

    Args:
        ending: of the run.
        failures: in a row before it.
        patiences: with failures.
        drawn: uniform in [0, 1).
    """
    if ending.how is How.DONE:
        return Sequel(0, None)
    if ending.how is How.BROKEN_OFF:
        return Sequel(failures, 0.0)
    if ending.how is How.BUSY:
        return Sequel(failures, patiences.busy * (1 + drawn) / 2)
    if ending.how is How.PAUSE:
        return Sequel(failures + 1, None, paused=True)
    patience = patiences.stop if ending.how is How.STOP else patiences.retry
    if failures + 1 >= patience.most:
        return Sequel(failures + 1, None, paused=True)
    full = min(patience.cap, patience.base * 2.0 ** min(failures, MOST_DOUBLINGS))
    asked = min(ending.after or 0.0, patience.cap)
    return Sequel(failures + 1, max(full / 2 + drawn * full / 2, asked))


_NOTHING_TO_RESOLVE: Final = "too_few_records"
_BUSY: Final = "already_running"
_CAPITALS: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
DISK_FULL: Final = "disk_full"
_DATABASE_FULL: Final = "53100"  # of a statement, PostgreSQL manual, appendix A
_NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
_LACKS: Final = _NO_ROOM | {errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN, errno.EIO}


def of_error(error: Exception) -> Ending:
    """Say how a run ended that raised this."""
    if isinstance(error, errors.KithError):
        return _ours(error)
    if isinstance(error, at_the_edge.ConnectorError):
        return _of_source(error)
    if isinstance(error, sa.exc.DBAPIError):
        return _of_database(getattr(error.orig, "pgcode", None) or "connection lost")
    if isinstance(error, MemoryError | OSError):
        return _of_machine(error)
    if isinstance(error, IdentityError):
        return Ending(How.STOP, _rule_of(error), str(error))
    return _unforeseen(error)


def _of_source(error: at_the_edge.ConnectorError) -> Ending:
    step = error.next_step if error.field is None else f"{error.next_step} ({error.field})"
    if isinstance(error, at_the_edge.Retry):
        return Ending(How.RETRY, error.rule, step, error.after)
    return Ending(How.STOP, error.rule, step)


def _rule_of(error: IdentityError) -> str:
    """What an error of a resolve is called: its class, as rules are written."""
    name = type(error).__name__.removesuffix("Error")
    return _CAPITALS.sub("_", name).lower()


def _of_database(state: str) -> Ending:
    if state == _DATABASE_FULL:
        return Ending(How.RETRY, DISK_FULL, "make room where the database lies")
    step = f"look at the log of the database ({state}); it is tried again"
    return Ending(How.RETRY, "database_failed", step)


def _of_machine(error: MemoryError | OSError) -> Ending:
    """How a run ended to which the system gave no more, or something else."""
    if isinstance(error, MemoryError):
        return OUT_OF_MEMORY
    if error.errno not in _LACKS:
        return _unforeseen(error)
    name = errno.errorcode[error.errno]
    if error.errno in _NO_ROOM:
        return Ending(How.RETRY, DISK_FULL, f"make room for temporary files ({name})")
    step = f"see what the machine lacks, files, processes or memory ({name}); it is tried again"
    return Ending(How.RETRY, "machine_failed", step)


def _unforeseen(error: Exception) -> Ending:
    found = crash.of(error)
    return Ending(How.STOP, "unforeseen", f"{crash.NEXT_STEP}: {found.reference}, {found.place}")


def _ours(error: errors.KithError) -> Ending:
    rule, step = error.rule, error.next_step
    if isinstance(error, ContractPause):
        return Ending(How.PAUSE, rule, f"{step}. {RESUME}")
    if isinstance(error, errors.Refused) and rule == _BUSY:
        return Ending(How.BUSY, rule, step)
    if isinstance(error, errors.Stop) and rule == _NOTHING_TO_RESOLVE:
        return Ending(How.DONE)
    if isinstance(error, errors.Retry):
        return Ending(How.RETRY, rule, step)
    return Ending(How.STOP, rule, step)


BROKEN_OFF: Final = Ending(How.BROKEN_OFF)
OUT_OF_MEMORY: Final = Ending(
    How.STOP, "memory_limit", "raise CDP_MEMORY_MB, or set a smaller CDP_BATCH_ROWS"
)
TIME_LIMIT: Final = Ending(
    How.RETRY, "time_limit", "see what holds the source up, or raise schedule.time_limit"
)
DIED: Final = Ending(
    How.RETRY, "process_died", "look at the system's log: was it killed for its memory?"
)

# ── a resolve that takes long ───────────────────────────────────────────────

DAY: Final = 24 * 60  # minutes
BY_HAND: Final = "run cdp identity resolve, which has no limit, then: cdp worker resume"
LONGER: Final = Ending(
    How.RETRY, "time_limit", "it is given twice as long; or raise cdp worker run --resolve-limit"
)
TOO_LONG: Final = Ending(How.PAUSE, "time_limit", BY_HAND)


def minutes_for_resolve(limit: int, failures: int, rule: str | None) -> int:
    """Say how long a resolve may take. It commits nothing half way: the same time again is lost.

    Args:
        limit: minutes, as the worker was told.
        failures: in a row, before it.
        rule: of the last one.
    """
    if rule != LONGER.rule:
        return limit
    return max(limit, min(DAY, limit << min(failures, MOST_DOUBLINGS)))


def of_late_resolve(given: int, limit: int) -> Ending:
    """How a resolve ended that reached its time limit, with so many minutes of a limit."""
    return LONGER if given < max(DAY, limit) else TOO_LONG
